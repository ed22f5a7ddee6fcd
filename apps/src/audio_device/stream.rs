//! Streams of devices: samples of any format from and to mono floats.

use std::sync::Arc;
use std::time::Duration;

use cpal::traits::DeviceTrait;
use cpal::{Device, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, Stream, StreamConfig};

use super::health::Health;
use super::pace::Pace;

/// What fills a device's buffer; called in its callback, so no allocation and no lock.
pub(crate) trait Player: Send + 'static {
    /// Fills interleaved samples of `channels` channels.
    fn fill<T: Copy>(&mut self, out: &mut [T], channels: usize, convert: impl Fn(f32) -> T);
}

/// What takes a device's samples; called in its callback, so no allocation and no lock.
pub(crate) trait Recorder: Send + 'static {
    /// Takes interleaved samples and mixes the `channels` down.
    fn take<T: Copy>(&mut self, samples: &[T], channels: usize, convert: impl Fn(T) -> f32);
}

/// Opens a device for playing; it has still to be started.
pub(super) fn build_playback(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    player: impl Player,
    health: &Arc<Health>,
) -> Result<Stream, cpal::Error> {
    match format {
        SampleFormat::F32 => playback::<f32>(device, config, player, health),
        SampleFormat::I16 => playback::<i16>(device, config, player, health),
        SampleFormat::I32 => playback::<i32>(device, config, player, health),
        SampleFormat::U8 => playback::<u8>(device, config, player, health),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }
}

/// Opens a device for recording; it has still to be started.
pub(super) fn build_capture(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    recorder: impl Recorder,
    health: &Arc<Health>,
) -> Result<Stream, cpal::Error> {
    match format {
        SampleFormat::F32 => capture::<f32>(device, config, recorder, health),
        SampleFormat::I16 => capture::<i16>(device, config, recorder, health),
        SampleFormat::I32 => capture::<i32>(device, config, recorder, health),
        SampleFormat::U8 => capture::<u8>(device, config, recorder, health),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }
}

fn playback<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut player: impl Player,
    health: &Arc<Health>,
) -> Result<Stream, cpal::Error> {
    let (channels, mut pace) = (usize::from(config.channels), Pace::new(config.sample_rate));
    let (called, failed) = (health.clone(), health.clone());
    device.build_output_stream(
        config,
        move |out: &mut [T], info| {
            let times = info.timestamp();
            let delay = times.playback.checked_duration_since(times.callback).unwrap_or_default();
            called.note_call(delay);
            // Clamped: integers would wrap where a decoder overshoots full scale.
            player.fill(out, channels, |s| T::from_sample_(s.clamp(-1.0, 1.0)));
            wait(pace.next_wait(out.len() / channels.max(1), delay));
        },
        move |error| failed.note_error(error),
        None,
    )
}

fn capture<T: SizedSample>(
    device: &Device,
    config: StreamConfig,
    mut recorder: impl Recorder,
    health: &Arc<Health>,
) -> Result<Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let (channels, mut pace) = (usize::from(config.channels), Pace::new(config.sample_rate));
    let (called, failed) = (health.clone(), health.clone());
    device.build_input_stream(
        config,
        move |samples: &[T], _| {
            called.note_call(Duration::ZERO);
            recorder.take(samples, channels, |s| f32::from_sample(s));
            wait(pace.next_wait(samples.len() / channels.max(1), Duration::ZERO));
        },
        move |error| failed.note_error(error),
        None,
    )
}

/// Only devices without a clock come to wait, and nothing waits for them.
fn wait(duration: Duration) {
    if !duration.is_zero() {
        std::thread::sleep(duration);
    }
}
