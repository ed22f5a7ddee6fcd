//! Streams of devices: samples of any format from and to mono floats.

use std::sync::Arc;

use cpal::traits::DeviceTrait;
use cpal::{Device, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, Stream, StreamConfig};
use crossbeam::queue::ArrayQueue;

/// What fills a device's buffer; called in its callback, so no allocation and no lock.
pub(crate) trait Player: Send + 'static {
    /// Fills interleaved samples, each of `channels` the same.
    fn fill<T: Copy>(&mut self, out: &mut [T], channels: usize, convert: impl Fn(f32) -> T);
}

/// What takes a device's samples; called in its callback, so no allocation and no lock.
pub(crate) trait Recorder: Send + 'static {
    /// Takes interleaved samples and mixes the `channels` down.
    fn take<T: Copy>(&mut self, samples: &[T], channels: usize, convert: impl Fn(T) -> f32);
}

/// Errors that end a stream. A full queue holds one already, and one is enough.
pub(crate) type Errors = Arc<ArrayQueue<cpal::Error>>;

/// Opens a device for playing; it has still to be started.
pub(crate) fn open_playback(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    player: impl Player,
    errors: &Errors,
) -> Result<Stream, cpal::Error> {
    match format {
        SampleFormat::F32 => playback::<f32>(device, config, player, errors),
        SampleFormat::I16 => playback::<i16>(device, config, player, errors),
        SampleFormat::I32 => playback::<i32>(device, config, player, errors),
        SampleFormat::U8 => playback::<u8>(device, config, player, errors),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }
}

/// Opens a device for recording; it has still to be started.
pub(crate) fn open_capture(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    recorder: impl Recorder,
    errors: &Errors,
) -> Result<Stream, cpal::Error> {
    match format {
        SampleFormat::F32 => capture::<f32>(device, config, recorder, errors),
        SampleFormat::I16 => capture::<i16>(device, config, recorder, errors),
        SampleFormat::I32 => capture::<i32>(device, config, recorder, errors),
        SampleFormat::U8 => capture::<u8>(device, config, recorder, errors),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }
}

fn playback<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut player: impl Player,
    errors: &Errors,
) -> Result<Stream, cpal::Error> {
    let channels = usize::from(config.channels);
    device.build_output_stream(
        config,
        // Clamped: integers would wrap where a decoder overshoots full scale.
        move |out: &mut [T], _| player.fill(out, channels, |s| T::from_sample_(s.clamp(-1.0, 1.0))),
        keep_error(errors),
        None,
    )
}

fn capture<T: SizedSample>(
    device: &Device,
    config: StreamConfig,
    mut recorder: impl Recorder,
    errors: &Errors,
) -> Result<Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels);
    device.build_input_stream(
        config,
        move |samples: &[T], _| recorder.take(samples, channels, |s| f32::from_sample(s)),
        keep_error(errors),
        None,
    )
}

fn keep_error(errors: &Errors) -> impl FnMut(cpal::Error) + Send + 'static {
    let errors = errors.clone();
    move |error| match error.kind() {
        // Heard, and counted by the ring where it is our fault; the stream goes on.
        ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
        // A queue and no lock, since this runs in the device's thread.
        _ => drop(errors.push(error)),
    }
}
