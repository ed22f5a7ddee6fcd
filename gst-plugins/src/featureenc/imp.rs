use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;
use gst_video::VideoCodecFrameFlags;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use siskin_core::Result;
use siskin_core::bitstream::VideoHeader;
use siskin_core::bundle::FeatureBundle;
use siskin_core::features::{COLORIMETRY, Encoder, FeatureHeader};
use siskin_core::media::PixelFormat;
use siskin_core::runtime::Runtime;

use crate::element::{counters, debug_category, describe_element, describe_properties, post_error};
use crate::features;
use crate::inference::InferenceSettings;
use crate::sync::lock;
use crate::video::caps;
use crate::video::frames::FrameReader;
use crate::{caps as pads, errors, properties};

debug_category!("siskinfeatureenc", "Siskin feature encoder");

/// The bundle's own level.
const DEFAULT_LEVEL: i32 = -1;

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-feature-encoder-stats" {
        frames: u64,
        bytes: u64,
        /// Frames left out since they were late.
        late_frames: u64,
    }
}

#[derive(Debug, Clone)]
struct Settings {
    level: i32,
    inference: InferenceSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: DEFAULT_LEVEL, inference: InferenceSettings::new(Some(FeatureBundle::DEFAULT)) }
    }
}

/// An encoder whose format is known.
struct Session {
    reader: FrameReader,
    encoder: Encoder,
    default_level: u8,
}

#[derive(Default)]
pub struct SiskinFeatureEnc {
    settings: Mutex<Settings>,
    runtime: Mutex<Option<(Runtime, FeatureBundle)>>,
    session: Mutex<Option<Session>>,
    stats: Mutex<Stats>,
    provider: Mutex<&'static str>,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinFeatureEnc {
    const NAME: &'static str = "GstSiskinFeatureEnc";
    type Type = super::SiskinFeatureEnc;
    type ParentType = gst_video::VideoEncoder;
    type Interfaces = (gst::Preset,);
}

impl PresetImpl for SiskinFeatureEnc {}

impl ObjectImpl for SiskinFeatureEnc {
    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        // Each frame stands by itself, so one that is late can be left out.
        obj.set_qos_enabled(true);
        obj.sink_pad().set_pad_flags(gst::PadFlags::ACCEPT_INTERSECT);
    }

    describe_properties!({
        let mut specs = InferenceSettings::audio_specs(
            Some(FeatureBundle::DEFAULT),
            "Name or directory of the bundle of kind feature",
        );
        specs.push(
            glib::ParamSpecInt::builder("level")
                .nick("Level")
                .blurb("Quality level, 0 the finest and largest; -1 is the bundle's default")
                .minimum(-1)
                .maximum(i32::from(siskin_core::bitstream::feature::MAX_LEVELS) - 1)
                .default_value(DEFAULT_LEVEL)
                .mutable_playing()
                .build(),
        );
        specs.extend(properties::state_specs());
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        // GObject has checked types and ranges.
        match spec.name() {
            "level" => settings.level = value.get().unwrap_or(DEFAULT_LEVEL),
            name => {
                settings.inference.set_property(value, name);
            }
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "level" => lock(&self.settings).level.to_value(),
            "active-provider" => lock(&self.provider).to_value(),
            "stats" => lock(&self.stats).to_structure().to_value(),
            name => {
                let own = lock(&self.settings).inference.property(name);
                own.unwrap_or_else(|| spec.default_value().clone())
            }
        }
    }
}

impl GstObjectImpl for SiskinFeatureEnc {}

impl ElementImpl for SiskinFeatureEnc {
    describe_element!(
        "Siskin feature encoder",
        "Codec/Encoder/Video",
        "Turns video into the features that a server's network needs",
        vec![
            pads::always("sink", gst::PadDirection::Sink, &caps::raw_in()),
            pads::always("src", gst::PadDirection::Src, &features::template()),
        ]
    );
}

impl VideoEncoderImpl for SiskinFeatureEnc {
    fn start(&self) -> std::result::Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).inference.clone();
        let load = || -> Result<_> {
            let bundle = FeatureBundle::find(settings.model.as_deref().unwrap_or(FeatureBundle::DEFAULT))?;
            Ok((settings.load_runtime()?, bundle))
        };
        *lock(&self.runtime) = Some(load().map_err(|e| errors::to_message(&e))?);
        *lock(&self.stats) = Stats::default();
        Ok(())
    }

    fn stop(&self) -> std::result::Result<(), gst::ErrorMessage> {
        *lock(&self.session) = None;
        *lock(&self.runtime) = None;
        *lock(&self.provider) = "";
        Ok(())
    }

    fn set_format(
        &self,
        state: &gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>,
    ) -> std::result::Result<(), gst::LoggableError> {
        let header = self.open_session(state.info()).map_err(|e| gst::loggable_error!(CAT, "{e}"))?;
        let obj = self.obj();
        let output = obj
            .set_output_state(features::caps(&header), Some(state))
            .map_err(|e| gst::loggable_error!(CAT, "output format: {e}"))?;
        let mut tags = gst::TagList::new();
        tags.make_mut().add::<gst::tags::VideoCodec>(&features::CODEC_NAME, gst::TagMergeMode::Replace);
        VideoEncoderExt::merge_tags(&*obj, Some(&tags), gst::TagMergeMode::Replace);
        obj.negotiate(output).map_err(|e| gst::loggable_error!(CAT, "negotiation: {e}"))
    }

    fn handle_frame(
        &self,
        mut frame: gst_video::VideoCodecFrame,
    ) -> std::result::Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        if obj.max_encode_time(&frame) < 0 {
            lock(&self.stats).late_frames += 1;
            return obj.finish_frame(frame);
        }
        let level = lock(&self.settings).level;
        let (data, provider) = {
            let mut guard = lock(&self.session);
            let session = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let input = frame.input_buffer().ok_or(gst::FlowError::Error)?;
            session.encode(input, level).map_err(|e| post_error(self, &e))?
        };
        {
            let mut stats = lock(&self.stats);
            (stats.frames, stats.bytes) = (stats.frames + 1, stats.bytes + data.len() as u64);
        }
        if std::mem::replace(&mut *lock(&self.provider), provider) != provider {
            obj.notify("active-provider");
        }
        frame.set_output_buffer(gst::Buffer::from_slice(data));
        // A reader may begin at any of them.
        frame.set_flags(VideoCodecFrameFlags::SYNC_POINT);
        obj.finish_frame(frame)
    }
}

impl SiskinFeatureEnc {
    /// Opens an encoder for frames of a format; an error is posted as well.
    fn open_session(&self, info: &gst_video::VideoInfo) -> Result<FeatureHeader> {
        let opened = self.try_open_session(info);
        if let Err(e) = &opened {
            self.post_error_message(errors::to_message(e));
        }
        opened
    }

    fn try_open_session(&self, info: &gst_video::VideoInfo) -> Result<FeatureHeader> {
        let header = caps::header_of(info);
        let started = lock(&self.runtime).clone();
        let unfit = |reason: String| siskin_core::Error::Parameter {
            name: "format",
            value: caps::describe(info),
            allowed: reason,
        };
        let (runtime, bundle) = started.ok_or_else(|| unfit("none before the start".into()))?;
        let encoder = Encoder::new(&bundle, &runtime)?;
        let own = encoder.header(header.size()?, header.frame_rate);
        let wanted = VideoHeader { colorimetry: COLORIMETRY, ..header };
        let reader = FrameReader::new(info, &wanted, PixelFormat::I420)
            .map_err(|e| unfit(format!("what can be converted: {e}")))?;
        let default_level = bundle.manifest().default_level;
        *lock(&self.session) = Some(Session { reader, encoder, default_level });
        Ok(own)
    }
}

impl Session {
    fn encode(&mut self, buffer: &gst::BufferRef, level: i32) -> Result<(Vec<u8>, &'static str)> {
        // Below 0 stands for the default; above the bundle's levels is an error of the core.
        self.encoder.set_level(u8::try_from(level).unwrap_or(self.default_level))?;
        let encoder = &mut self.encoder;
        let packet = self.reader.with_frame(buffer, |frame| encoder.encode(frame).map(<[u8]>::to_vec));
        let packet = packet.map_err(|e| siskin_core::Error::Parameter {
            name: "frame",
            value: format!("{} bytes", buffer.size()),
            allowed: e.to_string(),
        })??;
        Ok((packet, self.encoder.provider().map_or("", |p| p.name())))
    }
}
