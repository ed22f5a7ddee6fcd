//! Sound devices through `cpal`: listed, chosen and opened for mono samples.

mod stream;

use anyhow::{Context, Result, anyhow};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{
    BufferSize, Device, Host, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfig,
};

use crate::events;
use crate::report;

pub(crate) use stream::{Errors, Player, Recorder, open_capture, open_playback};

/// Which way samples go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From a microphone.
    Capture,
    /// To a loudspeaker.
    Playback,
}

impl Direction {
    /// The word for it in lists and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Playback => "playback",
        }
    }
}

/// The system's sound.
pub(crate) fn default_host() -> Host {
    // What ALSA would write to stderr comes as an error, too; here it is taken and never read.
    #[cfg(target_os = "linux")]
    alsa::Output::local_error_handler().ok();
    cpal::default_host()
}

/// Prints the devices of these directions.
pub(crate) fn list_devices(host: &Host, directions: &[Direction], json: bool) -> Result<()> {
    for &direction in directions {
        let fail = |e: cpal::Error| anyhow!("sound devices cannot be listed: {e}");
        let (devices, default): (Vec<Device>, _) = match direction {
            Direction::Capture => {
                (host.input_devices().map_err(fail)?.collect(), host.default_input_device())
            }
            Direction::Playback => {
                (host.output_devices().map_err(fail)?.collect(), host.default_output_device())
            }
        };
        for device in devices {
            let is_default = default.as_ref() == Some(&device);
            let kind = direction.name();
            if json {
                let name = device.to_string();
                let line = events::ListedDevice { kind, name: &name, default: is_default };
                report::write_json_line(&line)?;
            } else {
                let mark = if is_default { " (default)" } else { "" };
                let kind = if directions.len() > 1 { format!("{kind}: ") } else { String::new() };
                report::print_text(&format!("{kind}{device}{mark}\n"))?;
            }
        }
    }
    Ok(())
}

/// The device of a name, or the default one.
pub(crate) fn find_device(host: &Host, direction: Direction, name: Option<&str>) -> Result<Device> {
    let Some(name) = name else {
        let default = match direction {
            Direction::Capture => host.default_input_device(),
            Direction::Playback => host.default_output_device(),
        };
        return default
            .with_context(|| format!("no sound device for {} (see --list-devices)", direction.name()));
    };
    let mut devices = host.devices().map_err(|e| anyhow!("sound devices cannot be listed: {e}"))?;
    let fits = |d: &Device| {
        let supported = match direction {
            Direction::Capture => d.supports_input(),
            Direction::Playback => d.supports_output(),
        };
        // By the name that lists show, or by the system's own identifier.
        supported && (d.to_string() == name || d.id().is_ok_and(|id| id.id() == name))
    };
    let missing = || anyhow!("no sound device {name:?} for {} (see --list-devices)", direction.name());
    devices.find(fits).ok_or_else(missing)
}

/// The device's configuration at `rate` if it has one, else its usual one; float before integers.
pub(crate) fn choose_config(
    device: &Device,
    direction: Direction,
    rate: u32,
) -> Result<SupportedStreamConfig> {
    let fail = |e: cpal::Error| anyhow!("no sound from {device}: {e}");
    let rank = |f: SampleFormat| match f {
        // Float first, since nothing is converted; 16 bits are what most devices have in hardware.
        SampleFormat::F32 => 0,
        SampleFormat::I16 => 1,
        SampleFormat::I32 => 2,
        _ => 3,
    };
    let (offered, usual): (Vec<_>, _) = match direction {
        Direction::Capture => {
            (device.supported_input_configs().map_err(fail)?.collect(), device.default_input_config())
        }
        Direction::Playback => {
            (device.supported_output_configs().map_err(fail)?.collect(), device.default_output_config())
        }
    };
    // A microphone has one channel, a loudspeaker two.
    let channels = if direction == Direction::Capture { 1u16 } else { 2 };
    let best = offered
        .into_iter()
        .filter_map(|c| c.try_with_sample_rate(rate))
        .filter(|c| rank(c.sample_format()) < 3)
        // The format before the channels: mixing down is one sum, a poor format loses quality.
        .min_by_key(|c| (rank(c.sample_format()), c.channels().abs_diff(channels)));
    best.map_or_else(|| usual.map_err(fail), Ok)
}

/// The configuration with a period of `seconds`, or the nearest that the device offers.
pub(crate) fn with_period(config: &SupportedStreamConfig, seconds: f64) -> StreamConfig {
    let wanted = (f64::from(config.sample_rate()) * seconds) as u32;
    let buffer_size = match *config.buffer_size() {
        // Drivers may report an empty range, on which `clamp` would panic.
        SupportedBufferSize::Range { min, max } if min <= max => BufferSize::Fixed(wanted.clamp(min, max)),
        _ => BufferSize::Default,
    };
    StreamConfig { buffer_size, ..config.config() }
}
