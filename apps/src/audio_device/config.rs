//! How a device is to be opened: rate, format, and how many samples it takes at a time.

use anyhow::{Result, anyhow};
use cpal::traits::DeviceTrait;
use cpal::{BufferSize, Device, SampleFormat, SupportedBufferSize, SupportedStreamConfig};

use super::Direction;

/// Longest period in seconds. A device that wants more is refused: nothing would be in time.
pub(super) const MAX_PERIOD: f64 = 1.0;

/// The device's configuration at `rate` if it has one, else its usual one; float before integers.
pub(super) fn choose_config(
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

/// Periods to ask a device for, each with the samples that it may come to: first the one of `seconds` or the nearest
/// that the device offers, then longer ones, at last what the device chooses itself.
// The range that a device states may shrink once its rate and format are set, and then the first is refused. What it
// chooses itself is last: 1.4 s through ALSA's JACK plugin, two periods of which were waited for at each seek.
pub(super) fn periods_to_try(config: &SupportedStreamConfig, seconds: f64) -> Vec<(BufferSize, usize)> {
    let samples = |seconds: f64| (f64::from(config.sample_rate()) * seconds) as u32;
    let longest = samples(MAX_PERIOD);
    let wanted = samples(seconds).clamp(1, longest.max(1));
    let mut tried = Vec::new();
    // Drivers may report an empty range, on which `clamp` would panic.
    if let SupportedBufferSize::Range { min, max } = *config.buffer_size()
        && min <= max
    {
        let doubled = std::iter::successors(Some(wanted), |n| n.checked_mul(2)).take_while(|n| *n <= longest);
        for size in doubled.map(|n| n.clamp(min, max)) {
            if !tried.iter().any(|&(_, n)| n == size as usize) {
                tried.push((BufferSize::Fixed(size), size as usize));
            }
        }
        // Powers of two are what servers such as JACK count in.
        let power = wanted.checked_next_power_of_two().unwrap_or(wanted).clamp(min, max);
        if !tried.iter().any(|&(_, n)| n == power as usize) {
            tried.insert(1.min(tried.len()), (BufferSize::Fixed(power), power as usize));
        }
    }
    tried.push((BufferSize::Default, longest as usize));
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(range: SupportedBufferSize, seconds: f64) -> Vec<usize> {
        let config = SupportedStreamConfig::new(2, 48_000, range, SampleFormat::F32);
        periods_to_try(&config, seconds).into_iter().map(|(_, samples)| samples).collect()
    }

    #[test]
    fn a_period_in_the_devices_range_comes_first_and_longer_ones_follow() {
        let range = |min, max| SupportedBufferSize::Range { min, max };
        assert_eq!(sizes(range(16, 4000), 0.01), [480, 512, 960, 1920, 3840, 4000, 48_000]);
        assert_eq!(sizes(range(1024, 1024), 0.01), [1024, 48_000], "JACK has one");
        assert_eq!(sizes(range(9, 5), 0.01), [48_000], "an empty range");
        assert_eq!(sizes(SupportedBufferSize::Unknown, 0.01), [48_000]);
        assert_eq!(sizes(range(1, u32::MAX), 5.0)[0], 48_000, "no longer than a second");
    }
}
