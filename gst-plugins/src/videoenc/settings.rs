//! The encoder's properties.

use gst::glib;
use gst::prelude::*;
use siskin_core::Result;
use siskin_core::bundle::VideoBundle;
use siskin_core::media::{PixelFormat, TimeBase};
use siskin_core::video::{EncoderConfig, Preset, Target, lambda_of_quality, realtime};

use crate::inference::InferenceSettings;

/// Most epochs of a fit: more than 60 times those of the slowest preset.
const MAX_EPOCHS: u32 = 100_000;
/// Most frames per GOP and from keyframe to keyframe: what `Limits::max_video_frames` lets a decoder take in one packet.
const MAX_GOP_SIZE: u32 = 4096;

/// Values of the property `preset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstSiskinVideoPreset")]
pub enum VideoPreset {
    /// A packet per frame, at once.
    #[default]
    #[enum_value(name = "Each frame at once, in real time", nick = "realtime")]
    Realtime,
    /// The same, quickest.
    #[enum_value(name = "Each frame at once, quickest", nick = "fast")]
    Fast,
    /// The same as `realtime`.
    #[enum_value(name = "Each frame at once, as realtime", nick = "medium")]
    Medium,
    /// The same, thorough.
    #[enum_value(name = "Each frame at once, everything is tried", nick = "slow")]
    Slow,
    /// 40 epochs.
    #[enum_value(name = "Fit a network to each GOP: minutes per GOP, 40 epochs", nick = "nerv-fast")]
    NervFast,
    /// 130 epochs.
    #[enum_value(name = "Fit a network to each GOP: minutes per GOP, 130 epochs", nick = "nerv")]
    Nerv,
    /// 400 epochs.
    #[enum_value(name = "Fit a network to each GOP: up to hours per GOP, 400 epochs", nick = "nerv-slow")]
    NervSlow,
    /// 1600 epochs.
    #[enum_value(name = "Fit a network to each GOP: hours per GOP, 1600 epochs", nick = "nerv-placebo")]
    NervPlacebo,
}

impl VideoPreset {
    /// The core's preset of the fit; none where frames are coded one by one.
    fn fit_preset(self) -> Option<Preset> {
        match self {
            Self::Realtime | Self::Fast | Self::Medium | Self::Slow => None,
            Self::NervFast => Some(Preset::Fast),
            Self::Nerv => Some(Preset::Medium),
            Self::NervSlow => Some(Preset::Slow),
            Self::NervPlacebo => Some(Preset::Placebo),
        }
    }

    /// The work on each frame.
    fn refinements(self) -> u32 {
        let effort = |index: usize| realtime::EFFORTS[index].1;
        match self {
            Self::Fast => effort(0),
            Self::Medium => effort(1),
            Self::Slow => effort(2),
            _ => realtime::Config::default().refinements,
        }
    }
}

/// Values of the properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) inference: InferenceSettings,
    preset: VideoPreset,
    /// Epochs of the fit; 0 for the preset's.
    epochs: u32,
    /// Refinements of each frame that is coded at once; the preset's unless they are set.
    refine: Option<u32>,
    /// Bits per second; 0 for constant quality.
    pub(super) bitrate: u32,
    quality: f64,
    /// Frames of a fitted GOP.
    pub(super) gop_size: u32,
    is_gop_size_set: bool,
    /// Frames from one keyframe to the next in real time.
    keyframe_interval: u32,
    /// Frames that wait for each other.
    lookahead: u32,
    /// GOPs from one that decodes alone to the next.
    key_interval: u32,
    /// The last value of the old property `steps`.
    steps: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inference: InferenceSettings::for_video(None),
            preset: VideoPreset::default(),
            epochs: 0,
            refine: None,
            bitrate: 0,
            quality: 50.0,
            gop_size: 120,
            is_gop_size_set: false,
            keyframe_interval: realtime::Config::default().keyframe_interval,
            lookahead: 0,
            key_interval: 1,
            steps: -1,
        }
    }
}

impl Settings {
    /// The properties of the encoder.
    pub(super) fn specs() -> Vec<glib::ParamSpec> {
        let defaults = Self::default();
        let mut specs = InferenceSettings::video_specs();
        let model = InferenceSettings::audio_specs(
            None,
            "Name or directory of a video bundle whose network is to code each frame; none codes without a network",
        );
        specs.extend(model.into_iter().filter(|spec| spec.name() == "model"));
        let number = |name, nick, blurb, (low, high, default)| {
            glib::ParamSpecUInt::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(low)
                .maximum(high)
                .default_value(default)
                .mutable_ready()
                .build()
        };
        specs.extend([
            glib::ParamSpecEnum::builder_with_default("preset", defaults.preset)
                .nick("Preset")
                .blurb("How much work each frame is given; or, for research, how many epochs a network is fitted to each GOP, which takes minutes to hours")
                .mutable_ready()
                .build(),
            number(
                "epochs",
                "Epochs",
                "Passes of the fit over the frames of a GOP, 2 and more; 0 is the preset's; for presets that fit",
                (0, MAX_EPOCHS, defaults.epochs),
            ),
            number(
                "refine",
                "Refinements",
                "Work on each frame that is coded at once: 0 is quickest, 1 usual, 2 thorough; with a model, more are analysis by \
                 synthesis. Less is done where frames are late. Unless it is set, the preset says it",
                (0, realtime::MAX_REFINEMENTS, defaults.refinements()),
            ),
            glib::ParamSpecUInt::builder("bitrate")
                .nick("Bit rate")
                .blurb("Bits per second; 0 holds quality constant instead")
                .maximum(i32::MAX as u32)
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("quality")
                .nick("Quality")
                .blurb("Quality where bitrate is 0; 10 more halve lambda")
                .minimum(0.0)
                .maximum(100.0)
                .default_value(defaults.quality)
                .mutable_playing()
                .build(),
            number(
                "keyframe-interval",
                "Keyframe interval",
                "Maximum frames from one keyframe to the next where each frame is coded at once",
                (1, MAX_GOP_SIZE, defaults.keyframe_interval),
            ),
            number(
                "lookahead",
                "Lookahead",
                "Frames that wait for each other, for files: all but the last are predicted from both sides, which takes a fifth off \
                 the rate, and share a packet with it; 0 codes each frame at once",
                (0, realtime::MAX_LOOKAHEAD, defaults.lookahead),
            ),
            number(
                "gop-size",
                "GOP size",
                "Frames per GOP, which share a fitted network; for other presets an old name of keyframe-interval",
                (1, MAX_GOP_SIZE, defaults.gop_size),
            ),
            number(
                "key-interval",
                "Key GOP interval",
                "GOPs of a fit from one that decodes alone to the next; those between refer to the GOP before",
                (1, u32::MAX, defaults.key_interval),
            ),
            glib::ParamSpecInt::builder("steps")
                .nick("Steps")
                .blurb("Old name of epochs and, where each frame is coded at once, of refine, which will be removed in the next release")
                .minimum(-1)
                .maximum(MAX_EPOCHS as i32)
                .default_value(defaults.steps)
                .deprecated()
                .build(),
        ]);
        specs
    }

    /// Sets a property; an old name that it has comes back with the current one.
    pub(super) fn set_property(
        &mut self,
        value: &glib::Value,
        spec: &glib::ParamSpec,
    ) -> Option<(&'static str, &'static str)> {
        // GObject has checked types and ranges.
        match spec.name() {
            "preset" => self.preset = value.get().unwrap_or_default(),
            "epochs" => self.epochs = value.get().unwrap_or_default(),
            "refine" => self.refine = value.get().ok(),
            "bitrate" => self.bitrate = value.get().unwrap_or_default(),
            "quality" => self.quality = value.get().unwrap_or_default(),
            "gop-size" => {
                self.gop_size = value.get().unwrap_or(1);
                // Release 0.2 had one name for both; the preset may be set later than this.
                self.keyframe_interval = self.gop_size;
                self.is_gop_size_set = true;
            }
            "keyframe-interval" => {
                self.keyframe_interval = value.get().unwrap_or(1);
                self.is_gop_size_set = false;
            }
            "lookahead" => self.lookahead = value.get().unwrap_or_default(),
            "key-interval" => self.key_interval = value.get().unwrap_or(1),
            "steps" => {
                self.steps = value.get().unwrap_or(-1);
                let steps = u32::try_from(self.steps).ok();
                self.epochs = steps.unwrap_or(0);
                self.refine = steps;
                return Some(("steps", "epochs and refine"));
            }
            name => {
                self.inference.set_property(value, name);
            }
        }
        None
    }

    /// A property's value.
    pub(super) fn property(&self, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "preset" => self.preset.to_value(),
            "epochs" => self.epochs.to_value(),
            "refine" => self.refinements().to_value(),
            "bitrate" => self.bitrate.to_value(),
            "quality" => self.quality.to_value(),
            "gop-size" => self.gop_size.to_value(),
            "keyframe-interval" => self.keyframe_interval.to_value(),
            "lookahead" => self.lookahead.to_value(),
            "key-interval" => self.key_interval.to_value(),
            "steps" => self.steps.to_value(),
            name => self.inference.property(name).unwrap_or_else(|| spec.default_value().clone()),
        }
    }

    /// Whether `gop-size` was set for the real-time mode, where it is an old name.
    pub(super) fn has_old_gop_size(&self) -> bool {
        self.is_realtime() && self.is_gop_size_set
    }

    /// The configuration of the fit; none in real time.
    ///
    /// # Errors
    /// [`siskin_core::Error::Parameter`] for 1 epoch: both phases of a fit need one.
    pub(super) fn fit_config(&self) -> Result<Option<EncoderConfig>> {
        let Some(preset) = self.preset.fit_preset() else { return Ok(None) };
        let mut config = EncoderConfig { keyframe_interval: self.key_interval, ..preset.config() };
        if self.epochs > 0 {
            config.set_passes(self.epochs)?;
        }
        Ok(Some(config))
    }

    /// The bundle of the real-time mode, if one is named.
    pub(super) fn find_bundle(&self) -> Result<Option<VideoBundle>> {
        self.inference.model.as_deref().map(VideoBundle::find).transpose()
    }

    /// The configuration of the real-time mode with `qualities` qualities.
    pub(super) fn realtime_config(&self, qualities: u16) -> realtime::Config {
        realtime::Config {
            target: self.realtime_target(qualities),
            keyframe_interval: self.keyframe_interval,
            refinements: self.refinements(),
            threads: self.inference.threads(),
            lookahead: self.lookahead,
            ..Default::default()
        }
    }

    /// Quality or bit rate in real time, of `qualities` qualities.
    pub(super) fn realtime_target(&self, qualities: u16) -> realtime::Target {
        // The codec counts qualities from the finest, 0; the property from the worst, as users expect.
        let worst = f64::from(qualities.saturating_sub(1).min(u8::MAX.into()));
        match self.bitrate {
            0 => realtime::Target::Quality((worst * (100.0 - self.quality) / 100.0).round() as u8),
            rate => realtime::Target::Bitrate(rate),
        }
    }

    /// The work on each frame.
    fn refinements(&self) -> u32 {
        self.refine.unwrap_or(self.preset.refinements())
    }

    /// Whether frames wait for each other, but are not fitted.
    pub(super) fn has_lookahead(&self) -> bool {
        self.is_realtime() && self.lookahead > 1
    }

    /// Whether frames are coded, and no network is fitted to them.
    pub(super) fn is_realtime(&self) -> bool {
        self.preset.fit_preset().is_none()
    }

    /// The format of frames in the codec.
    pub(super) fn codec_format(&self) -> PixelFormat {
        if self.is_realtime() { PixelFormat::I420 } else { PixelFormat::Rgb }
    }

    /// The target of a fitted GOP that lasts for `length`.
    pub(super) fn fit_target(&self, length: gst::ClockTime) -> Result<Target> {
        Ok(match self.bitrate {
            0 => Target::Lambda(lambda_of_quality(self.quality)?),
            rate => {
                let seconds = TimeBase::NANOSECONDS.ticks_to_seconds(length.nseconds());
                Target::Bits(f64::from(rate) * seconds)
            }
        })
    }
}
