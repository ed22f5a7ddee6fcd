use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::base_transform::GenerateOutputSuccess;
use gst_base::subclass::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
use siskin_core::features::{Decoded, Decoder, DecoderOptions, FoundObject, inspect};
use siskin_core::media::Size;
use siskin_core::{Error, Limits, Result};

use crate::element::{
    counters, debug_category, describe_element, describe_properties, map_buffer, post_error,
};
use crate::features;
use crate::inference::InferenceSettings;
use crate::sync::lock;
use crate::{caps as pads, errors, properties};

debug_category!("siskinfeaturedec", "Siskin feature decoder");

/// So many packets in a row that cannot be read are no damage of a network: the stream is not what its caps say.
const MAX_BROKEN: u32 = 50;

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-feature-decoder-stats" {
        frames: u64,
        bytes: u64,
        broken_packets: u64,
        objects: u64,
    }
}

#[derive(Debug, Clone)]
struct Settings {
    head: Option<String>,
    inference: InferenceSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self { head: None, inference: InferenceSettings::new(None) }
    }
}

/// What downstream takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Json,
    Map(Size),
}

/// A decoder whose stream is known.
struct Session {
    decoder: Decoder,
    output: Output,
    head: String,
    /// What the caps say of the frames: a network is opened for a size, so no packet may change it by itself.
    size: Option<Size>,
    /// Packets in a row that could not be read.
    broken: u32,
}

#[derive(Default)]
pub struct SiskinFeatureDec {
    settings: Mutex<Settings>,
    session: Mutex<Option<Session>>,
    stats: Mutex<Stats>,
    provider: Mutex<&'static str>,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinFeatureDec {
    const NAME: &'static str = "GstSiskinFeatureDec";
    type Type = super::SiskinFeatureDec;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for SiskinFeatureDec {
    describe_properties!({
        let mut specs = InferenceSettings::audio_specs(
            None,
            "Name or directory of the bundle of kind feature; by default the one that the stream names",
        );
        specs.push(
            glib::ParamSpecString::builder("head")
                .nick("Head")
                .blurb("Head whose map is given as video; by default the bundle's first")
                .mutable_ready()
                .build(),
        );
        specs.extend(properties::state_specs());
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match spec.name() {
            "head" => settings.head = properties::text_from(value),
            name => {
                settings.inference.set_property(value, name);
            }
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "head" => lock(&self.settings).head.to_value(),
            "active-provider" => lock(&self.provider).to_value(),
            "stats" => lock(&self.stats).to_structure().to_value(),
            name => {
                let own = lock(&self.settings).inference.property(name);
                own.unwrap_or_else(|| spec.default_value().clone())
            }
        }
    }
}

impl GstObjectImpl for SiskinFeatureDec {}

fn side_of(caps: &gst::CapsRef, name: &str) -> Option<u32> {
    caps.structure(0)?.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok())
}

fn text_caps() -> gst::Caps {
    gst::Caps::builder("text/x-raw").field("format", "utf8").build()
}

/// What is given, the default first.
fn out_template() -> gst::Caps {
    let mut caps = text_caps();
    caps.merge(gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::Gray8).build());
    caps
}

impl ElementImpl for SiskinFeatureDec {
    describe_element!(
        "Siskin feature decoder",
        "Codec/Decoder/Analyzer/Video",
        "Runs a server's network on the features that a device has sent",
        vec![
            pads::always("sink", gst::PadDirection::Sink, &features::decodable()),
            pads::always("src", gst::PadDirection::Src, &out_template()),
        ]
    );
}

// A transform and not GstVideoDecoder, whose output is always video, while what comes by default is text.
impl BaseTransformImpl for SiskinFeatureDec {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> std::result::Result<(), gst::ErrorMessage> {
        *lock(&self.stats) = Stats::default();
        Ok(())
    }

    fn stop(&self) -> std::result::Result<(), gst::ErrorMessage> {
        *lock(&self.session) = None;
        *lock(&self.provider) = "";
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let other = match direction {
            gst::PadDirection::Src => features::decodable(),
            _ => {
                let mut out = text_caps();
                // A map has the size and rate of the frames, as far as these caps say them.
                for structure in caps.iter() {
                    let mut map =
                        gst_video::VideoCapsBuilder::new().format(gst_video::VideoFormat::Gray8).build();
                    for name in ["width", "height", "framerate"] {
                        if let Ok(value) = structure.value(name) {
                            map.make_mut().set_value(name, value.clone());
                        }
                    }
                    out.merge(map);
                }
                out
            }
        };
        Some(
            filter.map_or_else(
                || other.clone(),
                |f| f.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            ),
        )
    }

    fn set_caps(
        &self,
        incaps: &gst::Caps,
        outcaps: &gst::Caps,
    ) -> std::result::Result<(), gst::LoggableError> {
        let opened = self.open_session(incaps, outcaps);
        opened.map_err(|e| {
            self.post_error_message(errors::to_message(&e));
            gst::loggable_error!(CAT, "{e}")
        })
    }

    fn generate_output(&self) -> std::result::Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(packet) = self.take_queued_buffer() else { return Ok(GenerateOutputSuccess::NoOutput) };
        let result = {
            let data = map_buffer(self, &packet)?;
            let mut guard = lock(&self.session);
            let session = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            session.decode(&data, packet.pts()).map(|made| (made, session.provider(), data.len()))
        };
        match result {
            Ok(((buffer, objects), provider, bytes)) => {
                {
                    let mut stats = lock(&self.stats);
                    stats.frames += 1;
                    stats.bytes += bytes as u64;
                    stats.objects += objects as u64;
                }
                if std::mem::replace(&mut *lock(&self.provider), provider) != provider {
                    self.obj().notify("active-provider");
                }
                Ok(GenerateOutputSuccess::Buffer(self.timed(buffer, &packet)))
            }
            Err(e @ (Error::Bitstream { .. } | Error::WrongBundle { .. })) => self.drop_packet(&e),
            Err(e) => Err(post_error(self, &e)),
        }
    }
}

impl SiskinFeatureDec {
    fn open_session(&self, incaps: &gst::CapsRef, outcaps: &gst::CapsRef) -> Result<()> {
        let settings = lock(&self.settings).clone();
        let header = features::header(incaps)?;
        let bundle = features::bundle_for(header.as_ref(), settings.inference.model.as_deref())?;
        let output = match outcaps.structure(0).map(|s| s.name().as_str()) {
            Some("video/x-raw") => {
                let side = |name| side_of(outcaps, name).unwrap_or_default();
                Output::Map(Size::new(side("width"), side("height"))?)
            }
            _ => Output::Json,
        };
        let first = bundle.manifest().heads.first().map(|h| h.name.clone()).unwrap_or_default();
        let head = settings.head.unwrap_or(first);
        // A map needs its own head and the first, which finds the objects.
        let (width, height) = (side_of(incaps, "width"), side_of(incaps, "height"));
        let size = width.zip(height).map(|(w, h)| Size::new(w, h)).transpose()?;
        let heads = (output != Output::Json).then(|| vec![head.clone()]);
        let options = DecoderOptions { heads, ..Default::default() };
        let decoder = Decoder::new(&bundle, &settings.inference.load_runtime()?, &options)?;
        *lock(&self.session) = Some(Session { decoder, output, head, size, broken: 0 });
        Ok(())
    }

    /// Gives the output the time of its packet, and says where one is missing before it.
    fn timed(&self, mut buffer: gst::Buffer, packet: &gst::BufferRef) -> gst::Buffer {
        if let Some(edit) = buffer.get_mut() {
            edit.set_pts(packet.pts());
            edit.set_duration(packet.duration());
            if packet.flags().contains(gst::BufferFlags::DISCONT) {
                edit.set_flags(gst::BufferFlags::DISCONT);
            }
        }
        buffer
    }

    /// Leaves a packet out that cannot be read; many in a row end the stream.
    fn drop_packet(&self, error: &Error) -> std::result::Result<GenerateOutputSuccess, gst::FlowError> {
        lock(&self.stats).broken_packets += 1;
        let broken = lock(&self.session).as_mut().map_or(0, |session| {
            session.broken += 1;
            session.broken
        });
        if broken > MAX_BROKEN {
            return Err(post_error(self, error));
        }
        // One warning for each run of bad packets.
        if broken == 1 {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("a packet was left out: {error}"));
        }
        Ok(GenerateOutputSuccess::Dropped)
    }
}

impl Session {
    fn provider(&self) -> &'static str {
        self.decoder.provider().map_or("", |p| p.name())
    }

    /// The output of a packet, and how many objects there are.
    fn decode(&mut self, data: &[u8], pts: Option<gst::ClockTime>) -> Result<(gst::Buffer, usize)> {
        let found = inspect(data, &Limits::default())?.size;
        if let Some(size) = self.size.filter(|&size| size != found) {
            return Err(Error::bitstream(
                "feature packet",
                "size",
                3,
                format!("{found}, the caps say {size}"),
            ));
        }
        let decoded = self.decoder.decode(data)?;
        let made = match self.output {
            Output::Json => json_of(&decoded, pts)?,
            Output::Map(size) => map_of(&decoded, &self.head, size)?,
        };
        self.broken = 0;
        Ok(made)
    }
}

fn json_of(decoded: &Decoded<'_>, pts: Option<gst::ClockTime>) -> Result<(gst::Buffer, usize)> {
    let report = decoded.report(pts.map(gst::ClockTime::nseconds));
    let mut text = serde_json::to_vec(&report).map_err(|e| Error::Parameter {
        name: "result",
        value: "a report".into(),
        allowed: e.to_string(),
    })?;
    // So that a file of them is one object a line.
    text.push(b'\n');
    Ok((gst::Buffer::from_slice(text), report.objects.len()))
}

fn map_of(decoded: &Decoded<'_>, head: &str, size: Size) -> Result<(gst::Buffer, usize)> {
    if decoded.head.size != size {
        // Caps of the packets need not say the size, those of the map do.
        let reason = format!("{}, the caps say {size}", decoded.head.size);
        return Err(Error::bitstream("feature packet", "size", 3, reason));
    }
    let missing =
        || Error::Parameter { name: "head", value: head.to_owned(), allowed: "a head of the bundle".into() };
    let map = decoded.gray_map(head).ok_or_else(missing)?;
    // Rows of raw video in GStreamer's own layout are rounded up to four bytes.
    let stride = map.width.next_multiple_of(4);
    let mut data = vec![0; stride * map.height];
    for (to, from) in data.chunks_exact_mut(stride).zip(map.data.chunks_exact(map.width)) {
        to[..map.width].copy_from_slice(from);
    }
    let mut buffer = gst::Buffer::from_slice(data);
    let objects = decoded.objects();
    if let Some(edit) = buffer.get_mut() {
        objects.iter().for_each(|object| add_region(edit, head, object));
    }
    Ok((buffer, objects.len()))
}

/// The upright rectangle around an object as a region of interest, with the object itself as its parameters.
fn add_region(buffer: &mut gst::BufferRef, head: &str, object: &FoundObject) {
    let ends = |axis: usize| {
        let values = object.corners.map(|c| c[axis]);
        let low = values.iter().copied().fold(f32::MAX, f32::min).floor() as u32;
        (low, values.iter().copied().fold(0.0, f32::max).ceil() as u32)
    };
    let ((x, right), (y, bottom)) = (ends(0), ends(1));
    let mut meta = VideoRegionOfInterestMeta::add(buffer, head, (x, y, right - x, bottom - y));
    let corners = gst::Array::new(object.corners.iter().flatten());
    let mut parameters = gst::Structure::builder("siskin-object")
        .field("score", f64::from(object.score))
        .field("corners", corners)
        .build();
    for (name, value) in &object.properties {
        parameters.set(name.as_str(), f64::from(*value));
    }
    meta.add_param(parameters);
}
