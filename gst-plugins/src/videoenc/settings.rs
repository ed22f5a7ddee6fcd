//! The encoder's properties.

use gst::glib;
use gst::prelude::*;
use siskin_core::Result;
use siskin_core::bundle::VideoBundle;
use siskin_core::video::{EncoderConfig, Preset, Target, lambda_of_quality, realtime};

use crate::network::NetworkSettings;

/// Values of the property `preset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstSiskinVideoPreset")]
pub enum VideoPreset {
    /// One trained network for all streams, a packet a picture.
    #[enum_value(name = "A trained network for all streams, in real time", nick = "realtime")]
    Realtime,
    /// 40 passes over the frames.
    #[enum_value(name = "40 passes over the frames", nick = "fast")]
    Fast,
    /// 130 passes.
    #[default]
    #[enum_value(name = "130 passes over the frames", nick = "medium")]
    Medium,
    /// 400 passes.
    #[enum_value(name = "400 passes over the frames", nick = "slow")]
    Slow,
    /// 1600 passes.
    #[enum_value(name = "1600 passes over the frames", nick = "placebo")]
    Placebo,
}

impl VideoPreset {
    /// The fit's preset; none in real time.
    fn fit(self) -> Option<Preset> {
        match self {
            Self::Realtime => None,
            Self::Fast => Some(Preset::Fast),
            Self::Medium => Some(Preset::Medium),
            Self::Slow => Some(Preset::Slow),
            Self::Placebo => Some(Preset::Placebo),
        }
    }
}

/// Values of the properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) network: NetworkSettings,
    preset: VideoPreset,
    /// Passes over the frames; 0 for the preset's.
    steps: i32,
    /// Bits a second; 0 for a constant quality.
    pub(super) bitrate: u32,
    quality: f64,
    pub(super) gop_size: u32,
    key_interval: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: NetworkSettings::for_video(Some(VideoBundle::DEFAULT)),
            preset: VideoPreset::default(),
            steps: -1,
            bitrate: 0,
            quality: 50.0,
            gop_size: 120,
            key_interval: 1,
        }
    }
}

impl Settings {
    /// The properties' descriptions.
    pub(super) fn specs() -> Vec<glib::ParamSpec> {
        let defaults = Self::default();
        let mut specs = NetworkSettings::video_specs();
        let model = NetworkSettings::specs(
            Some(VideoBundle::DEFAULT),
            "Name or folder of the video bundle of the preset realtime",
        );
        specs.extend(model.into_iter().filter(|spec| spec.name() == "model"));
        specs.extend([
            glib::ParamSpecEnum::builder_with_default("preset", defaults.preset)
                .nick("Preset")
                .blurb("How much work is put into a group of pictures")
                .mutable_ready()
                .build(),
            glib::ParamSpecInt::builder("steps")
                .nick("Steps")
                .blurb(
                    "Passes over the frames of a group, 2 and more; in real time, steps of refinement of each picture, \
                     0 to 16, fewer where it gets late; -1 takes the preset's",
                )
                .minimum(-1)
                .maximum(100_000)
                .default_value(defaults.steps)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("bitrate")
                .nick("Bit rate")
                .blurb("Bits a second, which no group exceeds; 0 holds quality constant instead")
                .maximum(i32::MAX as u32)
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("quality")
                .nick("Quality")
                .blurb("Quality where there is no bit rate; ten points double the bits' worth")
                .minimum(0.0)
                .maximum(100.0)
                .default_value(defaults.quality)
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("gop-size")
                .nick("Frames a group")
                .blurb("Frames that share a network; in real time, the most from one key picture to the next")
                .minimum(1)
                .maximum(4096)
                .default_value(defaults.gop_size)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("key-interval")
                .nick("Key interval")
                .blurb("Every so many groups one decodes alone; the others are coded against the one before")
                .minimum(1)
                .default_value(defaults.key_interval)
                .mutable_ready()
                .build(),
        ]);
        specs
    }

    /// Sets a property.
    pub(super) fn set(&mut self, value: &glib::Value, spec: &glib::ParamSpec) {
        // GObject has checked types and ranges.
        match spec.name() {
            "preset" => self.preset = value.get().unwrap_or_default(),
            "steps" => self.steps = value.get().unwrap_or(-1),
            "bitrate" => self.bitrate = value.get().unwrap_or_default(),
            "quality" => self.quality = value.get().unwrap_or_default(),
            "gop-size" => self.gop_size = value.get().unwrap_or(1),
            "key-interval" => self.key_interval = value.get().unwrap_or(1),
            _ => {
                self.network.set(value, spec);
            }
        }
    }

    /// A property's value.
    pub(super) fn get(&self, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "preset" => self.preset.to_value(),
            "steps" => self.steps.to_value(),
            "bitrate" => self.bitrate.to_value(),
            "quality" => self.quality.to_value(),
            "gop-size" => self.gop_size.to_value(),
            "key-interval" => self.key_interval.to_value(),
            _ => self.network.get(spec).unwrap_or_else(|| spec.default_value().clone()),
        }
    }

    /// How the core is to fit networks; none in real time.
    pub(super) fn config(&self) -> Result<Option<EncoderConfig>> {
        let Some(preset) = self.preset.fit() else { return Ok(None) };
        let mut config = EncoderConfig { key_interval: self.key_interval, ..preset.config() };
        if let Ok(steps) = u32::try_from(self.steps) {
            config.set_passes(steps)?;
        }
        Ok(Some(config))
    }

    /// The bundle of the real-time mode.
    pub(super) fn bundle(&self) -> Result<VideoBundle> {
        VideoBundle::find(self.network.model.as_deref().unwrap_or(VideoBundle::DEFAULT))
    }

    /// How the core is to encode in real time with a bundle of so many qualities.
    pub(super) fn realtime(&self, qualities: u16) -> realtime::Config {
        realtime::Config {
            target: self.realtime_target(qualities),
            key_interval: self.gop_size,
            steps: u32::try_from(self.steps).unwrap_or(realtime::Config::default().steps),
            ..Default::default()
        }
    }

    /// What to hold constant in real time, with a bundle of so many qualities.
    pub(super) fn realtime_target(&self, qualities: u16) -> realtime::Target {
        let worst = f64::from(qualities.saturating_sub(1).min(u8::MAX.into()));
        match self.bitrate {
            0 => realtime::Target::Quality((worst * (100.0 - self.quality) / 100.0).round() as u8),
            rate => realtime::Target::Bitrate(rate),
        }
    }

    /// Whether pictures are coded one by one as they come.
    pub(super) fn is_realtime(&self) -> bool {
        self.preset == VideoPreset::Realtime
    }

    /// What to hold constant in a group that lasts for `length`.
    pub(super) fn target(&self, length: gst::ClockTime) -> Result<Target> {
        Ok(match self.bitrate {
            0 => Target::Lambda(lambda_of_quality(self.quality)?),
            rate => Target::Bits(f64::from(rate) * length.nseconds() as f64 / 1e9),
        })
    }
}
