use serde::Serialize;
use siskin_bitstream::feature::FeatureHead;
use siskin_media::Size;
use siskin_model::bundle::{FeatureBundle, HeadSpec, ResultKind};
use siskin_model::runtime::{Provider, Runtime, TensorNetwork, TensorSpec};

use crate::boxes::{FoundObject, Map, find_boxes, mean_in_box};
use crate::encoder::read_tables;
use crate::latents::{Latents, read_latents};
use crate::packing::block_grid;
use crate::tables::{Contexts, FeatureTables};
use crate::{Error, Limits, Result};

/// How packets are to be read.
#[derive(Debug, Clone, Default)]
pub struct DecoderOptions {
    /// Names of the heads that run besides the first; none means all of them.
    pub heads: Option<Vec<String>>,
    /// Bounds for what packets state.
    pub limits: Limits,
}

/// The server half: packets in, what the heads say of each frame.
pub struct Decoder {
    bundle: FeatureBundle,
    runtime: Runtime,
    tables: FeatureTables,
    limits: Limits,
    heads: Vec<Head>,
    latents: Latents,
    contexts: Contexts,
}

/// A head and its network, opened for the size of the frames.
struct Head {
    spec: HeadSpec,
    network: Option<(Size, Box<dyn TensorNetwork>)>,
    map: Map,
}

/// What was read of a packet.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The head of the packet.
    pub head: FeatureHead,
    maps: Vec<(&'a HeadSpec, &'a Map)>,
}

impl Decoder {
    /// A decoder of a bundle's packets. Networks are opened at the first packet, whose size they depend on.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if the tables do not fit the manifest, [`Error::Parameter`] for a head that the bundle lacks.
    pub fn new(bundle: &FeatureBundle, runtime: &Runtime, options: &DecoderOptions) -> Result<Self> {
        let specs = &bundle.manifest().heads;
        let names = || specs.iter().map(|h| h.name.as_str()).collect::<Vec<_>>().join(", ");
        for name in options.heads.iter().flatten() {
            if specs.iter().all(|h| h.name != *name) {
                return Err(Error::parameter("head", name, names()));
            }
        }
        let is_wanted = |spec: &HeadSpec| {
            spec.result == ResultKind::Boxes || options.heads.as_ref().is_none_or(|h| h.contains(&spec.name))
        };
        let heads = specs.iter().filter(|spec| is_wanted(spec));
        Ok(Self {
            tables: read_tables(bundle)?,
            heads: heads
                .map(|spec| Head { spec: spec.clone(), network: None, map: Map::default() })
                .collect(),
            bundle: bundle.clone(),
            runtime: runtime.clone(),
            limits: options.limits.clone(),
            latents: Latents::default(),
            contexts: Contexts::default(),
        })
    }

    /// The bundle.
    pub fn bundle(&self) -> &FeatureBundle {
        &self.bundle
    }

    /// Reads a packet and runs the heads. A packet needs none before it; after an error the decoder goes on with the next one.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for a packet that no encoder with this bundle writes, [`Error::WrongBundle`] for another bundle's,
    /// [`Error::Network`] or [`Error::Provider`] if a head cannot be opened or run.
    pub fn decode(&mut self, data: &[u8]) -> Result<Decoded<'_>> {
        let head = self.read_packet(data)?;
        let manifest = self.bundle.manifest();
        let aligned = head.size.align_to(manifest.align.into());
        let gains = self.tables.gains(head.level);
        for own in &mut self.heads {
            own.run(&self.bundle, &self.runtime, aligned, &self.latents, gains)?;
        }
        let maps = self.heads.iter().map(|own| (&own.spec, &own.map)).collect();
        Ok(Decoded { head, maps })
    }

    /// Reads the integers of a packet, `[row][column][channel]`, without running a head.
    ///
    /// # Errors
    /// [`Error::Bitstream`] and [`Error::WrongBundle`] as for [`decode`](Self::decode).
    pub fn decode_latents(&mut self, data: &[u8]) -> Result<(FeatureHead, &[i16])> {
        let head = self.read_packet(data)?;
        Ok((head, &self.latents.values))
    }

    fn read_packet(&mut self, data: &[u8]) -> Result<FeatureHead> {
        let manifest = self.bundle.manifest();
        let (head, body) = FeatureHead::parse(data, manifest.levels, &self.limits)?;
        let id = manifest.id();
        if head.bundle != id.0[..2] {
            return Err(Error::WrongBundle {
                needed_name: String::new(),
                needed_id: format!("{:02x}{:02x}...", head.bundle[0], head.bundle[1]),
                found: format!("{} ({id})", manifest.name),
            });
        }
        let aligned = head.size.align_to(manifest.align.into());
        let (columns, rows) = block_grid(aligned, manifest.stride);
        self.latents.reshape(columns, rows, manifest.channels.into());
        read_latents(body, &self.tables, head.level, &mut self.contexts, &mut self.latents)?;
        Ok(head)
    }

    /// What runs the first head; none before the first packet.
    pub fn provider(&self) -> Option<Provider> {
        self.heads.first()?.network.as_ref().map(|(_, network)| network.provider())
    }
}

impl Head {
    fn run(
        &mut self,
        bundle: &FeatureBundle,
        runtime: &Runtime,
        size: Size,
        latents: &Latents,
        gains: &[f32],
    ) -> Result<()> {
        if self.network.as_ref().is_none_or(|(of, _)| *of != size) {
            self.network = Some((size, open_head(bundle, runtime, size, &self.spec)?));
        }
        let Some((_, network)) = &mut self.network else { return Ok(()) };
        let count = latents.columns * latents.rows;
        // Back from steps to the latents' own unit, and to the order of the tensor.
        for ((channel, out), gain) in network.input(0).chunks_exact_mut(count).enumerate().zip(gains) {
            let unit = 1.0 / gain;
            let values = latents.values.iter().skip(channel).step_by(latents.channels);
            out.iter_mut().zip(values).for_each(|(out, &v)| *out = f32::from(v) * unit);
        }
        network.run()?;
        let stride = usize::from(self.spec.map_stride);
        self.map.stride = stride;
        (self.map.columns, self.map.rows) = (size.width() / stride, size.height() / stride);
        self.map.values.clear();
        self.map.values.extend_from_slice(network.output(0));
        if let Some(value) = self.map.values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            return Err(Error::network(&self.spec.file, format!("a probability of {value}")));
        }
        Ok(())
    }
}

fn open_head(
    bundle: &FeatureBundle,
    runtime: &Runtime,
    size: Size,
    head: &HeadSpec,
) -> Result<Box<dyn TensorNetwork>> {
    let manifest = bundle.manifest();
    let spec =
        TensorSpec { name: "server half of features", inputs: &["latents"], outputs: &["map"], states: &[] };
    let (columns, rows) = block_grid(size, manifest.stride);
    let scale = usize::from(manifest.stride / head.map_stride);
    let sizes =
        [("rows", rows), ("columns", columns), ("map_rows", rows * scale), ("map_columns", columns * scale)];
    let mut network = runtime.open_sized_tensor_network(&spec, &sizes, &bundle.file_bytes(&head.file)?)?;
    let map = scale * scale * columns * rows;
    let expected = [usize::from(manifest.channels) * columns * rows, map];
    let found = [network.input(0).len(), network.output(0).len()];
    if found != expected {
        return Err(Error::network(&head.file, format!("{found:?} values, expected {expected:?}")));
    }
    Ok(network)
}

impl Decoded<'_> {
    /// The maps of the heads that ran, by name; they cover the frame padded to whole blocks.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.maps.iter().map(|(spec, map)| (spec.name.as_str(), *map))
    }

    /// The objects that the first head finds, with what the others say of each.
    pub fn objects(&self) -> Vec<FoundObject> {
        let Some(((spec, map), rest)) = self.maps.split_first() else { return Vec::new() };
        let mut found = find_boxes(map, spec.threshold, self.head.size);
        for object in &mut found {
            for (spec, map) in rest {
                object.properties.insert(spec.name.clone(), mean_in_box(map, &object.middle));
            }
        }
        found
    }

    /// The objects, with what the packet says of the frame.
    pub fn report(&self, pts_ns: Option<u64>) -> FrameReport {
        let FeatureHead { level, size, .. } = self.head;
        FrameReport { pts_ns, width: size.width(), height: size.height(), level, objects: self.objects() }
    }

    /// The map of a head at the frame's own size, 0 to 255; none for a head that did not run.
    pub fn gray_map(&self, head: &str) -> Option<VideoPlane> {
        let (_, map) = self.maps.iter().find(|(spec, _)| spec.name == head)?;
        let (width, height) = (self.head.size.width(), self.head.size.height());
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = &map.values[y / map.stride * map.columns..][..map.columns];
            // Values are checked to be 0 to 1.
            data.extend((0..width).map(|x| (row[x / map.stride] * 255.0).round() as u8));
        }
        Some(VideoPlane { width, height, data })
    }
}

/// A plane of bytes without gaps between its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPlane {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row.
    pub data: Vec<u8>,
}

/// What was found in a frame, as the command line and the elements write it: one JSON object (`docs/features.md`).
#[derive(Debug, Clone, Serialize)]
pub struct FrameReport {
    /// Time of the frame in nanoseconds, if it is known.
    pub pts_ns: Option<u64>,
    /// Columns of the frame.
    pub width: usize,
    /// Rows of the frame.
    pub height: usize,
    /// Level of the packet.
    pub level: u8,
    /// Objects of the first head.
    pub objects: Vec<FoundObject>,
}

/// The head of a packet, without its bundle; levels are those that the format has room for.
///
/// # Errors
/// [`Error::Bitstream`] as for [`FeatureHead::parse`].
pub fn inspect(data: &[u8], limits: &Limits) -> Result<FeatureHead> {
    FeatureHead::parse(data, siskin_bitstream::feature::MAX_LEVELS, limits).map(|(head, _)| head)
}
