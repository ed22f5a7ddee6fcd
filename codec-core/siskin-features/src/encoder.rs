use siskin_bitstream::feature::{FeatureHead, FeatureHeader};
use siskin_media::{PixelFormat, Size, VideoFrame, VideoFrameView};
use siskin_model::bundle::FeatureBundle;
use siskin_model::runtime::{Provider, Runtime, TensorNetwork, TensorSpec};

use crate::latents::{Latents, MAX_LATENT, write_latents};
use crate::packing::{CELL, INPUTS, block_grid, pack_frame};
use crate::tables::{Contexts, FeatureTables};
use crate::{Error, Limits, Result};

/// The device half: frames in, a packet for each.
pub struct Encoder {
    bundle: FeatureBundle,
    runtime: Runtime,
    tables: FeatureTables,
    level: u8,
    /// Opened for the size of the frames.
    network: Option<(Size, Box<dyn TensorNetwork>)>,
    padded: VideoFrame,
    latents: Latents,
    contexts: Contexts,
    packet: Vec<u8>,
}

impl Encoder {
    /// An encoder at the bundle's default level. The network is opened at the first frame, whose size it depends on.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if the tables do not fit the manifest.
    pub fn new(bundle: &FeatureBundle, runtime: &Runtime) -> Result<Self> {
        Ok(Self {
            tables: read_tables(bundle)?,
            level: bundle.manifest().default_level,
            bundle: bundle.clone(),
            runtime: runtime.clone(),
            network: None,
            padded: VideoFrame::new(PixelFormat::I420, Size::MIN),
            latents: Latents::default(),
            contexts: Contexts::default(),
            packet: Vec::new(),
        })
    }

    /// The level of the next packets, 0 the finest.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Sets the level of the next packets; it may change from packet to packet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a level that the bundle does not have.
    pub fn set_level(&mut self, level: u8) -> Result<()> {
        let levels = self.bundle.manifest().levels;
        if level >= levels {
            return Err(Error::parameter("level", level, format!("0 to {}", levels - 1)));
        }
        self.level = level;
        Ok(())
    }

    /// The header of a stream of frames of this size and rate.
    pub fn header(&self, size: Size, frame_rate: (u32, u32)) -> FeatureHeader {
        let manifest = self.bundle.manifest();
        FeatureHeader { bundle: manifest.id(), bundle_name: manifest.name.clone(), size, frame_rate }
    }

    /// Codes a frame of I420, of any size; the packet is there until the next call.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another format than I420, [`Error::Network`] or [`Error::Provider`] if the device half cannot
    /// be opened or run, or gives values that are not finite.
    pub fn encode(&mut self, frame: &VideoFrameView<'_>) -> Result<&[u8]> {
        self.encode_with(frame, &mut |_| ())
    }

    /// As [`encode`](Self::encode); `between` is called when the network has run and the latents are about to be coded, for
    /// measurements.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode).
    pub fn encode_with(
        &mut self,
        frame: &VideoFrameView<'_>,
        between: &mut dyn FnMut(&[i16]),
    ) -> Result<&[u8]> {
        let (stride, align) = (self.bundle.manifest().stride, self.bundle.manifest().align);
        let size = frame.size();
        // What no reader takes is not written.
        let (pixels, most) = ((size.width() * size.height()) as u64, Limits::default().max_video_pixels);
        if pixels > most {
            let found = format!("{}x{}", size.width(), size.height());
            return Err(Error::parameter("frame", found, format!("up to {most} pixels")));
        }
        let aligned = size.align_to(align.into());
        if self.network.as_ref().is_none_or(|(of, _)| *of != aligned) {
            self.network = Some((aligned, open_device(&self.bundle, &self.runtime, aligned)?));
        }
        let Some((_, network)) = &mut self.network else { return Ok(&[]) };
        pack_frame(frame, align, &mut self.padded, network.input(0))?;
        network.run()?;
        let (columns, rows) = block_grid(aligned, stride);
        let channels = usize::from(self.bundle.manifest().channels);
        self.latents.reshape(columns, rows, channels);
        round_latents(network.output(0), self.tables.gains(self.level), &mut self.latents)?;
        between(&self.latents.values);
        self.packet.clear();
        let id = self.bundle.manifest().id().0;
        FeatureHead { level: self.level, bundle: [id[0], id[1]], size }.write_to(&mut self.packet);
        write_latents(&mut self.latents, &self.tables, self.level, &mut self.contexts, &mut self.packet)?;
        Ok(&self.packet)
    }

    /// What runs the device half; none before the first frame.
    pub fn provider(&self) -> Option<Provider> {
        self.network.as_ref().map(|(_, network)| network.provider())
    }
}

/// The frame in the bytes of I420 of this size, without padding of rows.
///
/// # Errors
/// [`Error::Parameter`] for another number of bytes.
pub fn read_frame(size: Size, data: &[u8]) -> Result<VideoFrameView<'_>> {
    VideoFrameView::from_data(PixelFormat::I420, size, data)
}

/// The tables of a bundle.
///
/// # Errors
/// [`Error::BadBundle`].
pub(crate) fn read_tables(bundle: &FeatureBundle) -> Result<FeatureTables> {
    let manifest = bundle.manifest();
    let file = &bundle.file_bytes(&manifest.tables)?;
    FeatureTables::parse(file, manifest.levels, manifest.channels)
        .map_err(|reason| Error::bad_bundle(bundle.path(), format!("{}: {reason}", manifest.tables)))
}

fn open_device(bundle: &FeatureBundle, runtime: &Runtime, size: Size) -> Result<Box<dyn TensorNetwork>> {
    let manifest = bundle.manifest();
    let spec = TensorSpec {
        name: "device half of features",
        inputs: &["frame"],
        outputs: &["latents"],
        states: &[],
    };
    let (columns, rows) = block_grid(size, manifest.stride);
    let cells = (size.width() / CELL, size.height() / CELL);
    let sizes = [("rows", cells.1), ("columns", cells.0), ("latent_rows", rows), ("latent_columns", columns)];
    let mut network =
        runtime.open_sized_tensor_network(&spec, &sizes, &bundle.file_bytes(&manifest.device)?)?;
    let expected = [INPUTS * cells.0 * cells.1, usize::from(manifest.channels) * columns * rows];
    let found = [network.input(0).len(), network.output(0).len()];
    // The graph comes from a bundle on disk: one of another layout must be an error here and no panic in a copy later.
    if found != expected {
        return Err(Error::network(&manifest.device, format!("{found:?} values, expected {expected:?}")));
    }
    Ok(network)
}

/// Rounds latents `[channel][row][column]` to integers `[row][column][channel]`.
fn round_latents(values: &[f32], gains: &[f32], out: &mut Latents) -> Result<()> {
    let count = out.columns * out.rows;
    for ((channel, values), gain) in values.chunks_exact(count.max(1)).enumerate().zip(gains) {
        for (place, value) in values.iter().enumerate() {
            let scaled = value * gain;
            if !scaled.is_finite() {
                return Err(Error::network("device half of features", "a latent that is not finite"));
            }
            let most = f32::from(MAX_LATENT);
            out.values[place * out.channels + channel] = scaled.round_ties_even().clamp(-most, most) as i16;
        }
    }
    Ok(())
}
