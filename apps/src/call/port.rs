//! Where sound comes from and goes to: a sound card, a file in real time, or nothing.

use std::any::Any;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use cpal::Host;
use cpal::traits::StreamTrait;
use crossbeam::queue::ArrayQueue;

use super::ends::{self, Microphone, Speaker};
use crate::audio_device::{self, Direction, Errors, Player, Recorder};
use crate::media::{AudioInput, AudioOutput, Labels, OutputFormat};

/// Rate of files played as if they were devices: that of most sound cards, so that rates are converted as with one.
pub(super) const FILE_RATE: u32 = 48_000;
/// Period asked of devices, and that of files, in seconds.
// Half a codec frame: shorter periods wake the machine more often and save only milliseconds, and not every driver
// grants them.
const PERIOD: f64 = 0.01;

/// Where sound is to come from or go to.
#[derive(Debug, Clone)]
pub(super) enum Choice {
    /// A sound card, the default one without a name.
    Device(Option<String>),
    /// A file.
    File(PathBuf),
}

/// An open source or target of sound.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) rate: u32,
    /// When its first sample was heard or is played, in seconds since 1970, for a file.
    pub(super) since: Option<f64>,
    kind: Kind,
}

enum Kind {
    /// The stream plays until it is dropped.
    Device {
        _stream: Box<dyn Any>,
        errors: Errors,
    },
    Thread(Option<JoinHandle<Result<()>>>, Arc<Signals>),
}

#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    ended: AtomicBool,
}

impl Port {
    /// What made the device fail, if it has.
    pub(super) fn take_failure(&self) -> Option<String> {
        match &self.kind {
            Kind::Device { errors, .. } => errors.pop().map(|e| e.to_string()),
            Kind::Thread(..) => None,
        }
    }

    /// Whether a file has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        matches!(&self.kind, Kind::Thread(_, signals) if signals.ended.load(Ordering::Relaxed))
    }

    /// Closes it; a file is then whole.
    pub(super) fn close(mut self) -> Result<()> {
        self.kind.close()
    }
}

impl Kind {
    fn close(&mut self) -> Result<()> {
        let Self::Thread(thread, signals) = self else { return Ok(()) };
        signals.stop.store(true, Ordering::Relaxed);
        thread.take().map_or(Ok(()), |t| t.join().map_err(|_| anyhow!("a file's thread failed"))?)
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        // Errors have been told by `close` if anyone asked.
        self.close().ok();
    }
}

/// Opens what is to be heard; `rate` is the rate to be had from a device if it can.
pub(super) fn open_capture(choice: &Choice, host: &Host, rate: u32) -> Result<(Port, Microphone)> {
    match choice {
        Choice::Device(name) => {
            let device = audio_device::find_device(host, Direction::Capture, name.as_deref())?;
            let config = audio_device::choose_config(&device, Direction::Capture, rate)?;
            let (recording, microphone) = ends::recording_ring(config.sample_rate());
            // One is enough; the room is for drivers that report several at once.
            let errors: Errors = Arc::new(ArrayQueue::new(8));
            let fail = |e: cpal::Error| anyhow!("the sound device {device} cannot be opened: {e}");
            let period = audio_device::with_period(&config, PERIOD);
            let stream =
                audio_device::open_capture(&device, period, config.sample_format(), recording, &errors)
                    .map_err(fail)?;
            stream.play().map_err(fail)?;
            Ok((device_port(device.to_string(), microphone.rate, stream, errors), microphone))
        }
        Choice::File(path) => {
            // Whole into memory before the call, so that no decoder competes with the codec in it.
            let samples = read_file(path)?;
            Ok(virtual_capture(path.display().to_string(), samples))
        }
    }
}

/// Opens what is to play.
pub(super) fn open_playback(choice: &Choice, host: &Host, rate: u32) -> Result<(Port, Speaker)> {
    match choice {
        Choice::Device(name) => {
            let device = audio_device::find_device(host, Direction::Playback, name.as_deref())?;
            let config = audio_device::choose_config(&device, Direction::Playback, rate)?;
            let (playing, speaker) = ends::playback_ring(config.sample_rate());
            let errors: Errors = Arc::new(ArrayQueue::new(8));
            let fail = |e: cpal::Error| anyhow!("the sound device {device} cannot be opened: {e}");
            let period = audio_device::with_period(&config, PERIOD);
            let stream =
                audio_device::open_playback(&device, period, config.sample_format(), playing, &errors)
                    .map_err(fail)?;
            stream.play().map_err(fail)?;
            Ok((device_port(device.to_string(), speaker.rate, stream, errors), speaker))
        }
        Choice::File(path) => {
            let format = OutputFormat::of(path, false, false)?;
            let file = File::create(path).with_context(|| path.display().to_string())?;
            let output = AudioOutput::create(Some(file), true, &format, FILE_RATE, &Labels::default())?;
            Ok(virtual_playback(path.display().to_string(), Some(output)))
        }
    }
}

/// A source of silence, while there is no device.
pub(super) fn no_capture() -> (Port, Microphone) {
    virtual_capture("nothing".into(), Vec::new())
}

/// A target that plays to nobody, while there is no device.
pub(super) fn no_playback() -> (Port, Speaker) {
    virtual_playback("nothing".into(), None)
}

/// The port of a device, whose `stream` is kept.
pub(super) fn device_port(name: String, rate: u32, stream: impl Any, errors: Errors) -> Port {
    Port { name, rate, since: None, kind: Kind::Device { _stream: Box::new(stream), errors } }
}

fn read_file(path: &Path) -> Result<Vec<f32>> {
    let mut input = AudioInput::open(path, Some(FILE_RATE))?;
    let mut samples = Vec::new();
    while input.next(&mut samples)? {}
    Ok(samples)
}

/// Plays samples into a ring as a microphone would: each period when its last sample has sounded. Silence follows.
fn virtual_capture(name: String, samples: Vec<f32>) -> (Port, Microphone) {
    let (mut recording, microphone) = ends::recording_ring(FILE_RATE);
    let period = period_samples();
    let mut block = vec![0.0; period];
    let port = run_paced(name, 1, move |count, signals| {
        let Some(count) = count else { return Ok(()) };
        let from = (count as usize).saturating_mul(period).min(samples.len());
        let part = &samples[from..(from + period).min(samples.len())];
        block[..part.len()].copy_from_slice(part);
        block[part.len()..].fill(0.0);
        // Stays set; the silence that follows is what a microphone in a quiet room gives.
        signals.ended.fetch_or(part.len() < period, Ordering::Relaxed);
        recording.take(&block, 1, |s| s);
        Ok(())
    });
    (port, microphone)
}

/// Takes samples out of a ring as a loudspeaker would: each period when its first sample is to sound.
fn virtual_playback(name: String, mut output: Option<AudioOutput>) -> (Port, Speaker) {
    let (mut playing, speaker) = ends::playback_ring(FILE_RATE);
    let mut block = vec![0.0; period_samples()];
    let port = run_paced(name, 0, move |count, _| {
        if count.is_none() {
            return output.take().map_or(Ok(()), AudioOutput::finish);
        }
        playing.fill(&mut block, 1, |s| s.clamp(-1.0, 1.0));
        output.as_mut().map_or(Ok(()), |o| o.write(&block))
    });
    (port, speaker)
}

fn period_samples() -> usize {
    (f64::from(FILE_RATE) * PERIOD) as usize
}

/// Runs `step` once a period, with the number of the period, and at the end without one. Period 0 is due after `lag`
/// periods. A late step is made up for, as a sound card's clock does not stop either.
fn run_paced(
    name: String,
    lag: u32,
    mut step: impl FnMut(Option<u64>, &Signals) -> Result<()> + Send + 'static,
) -> Port {
    let signals = Arc::new(Signals::default());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_secs_f64()).ok();
    let start = Instant::now() + Duration::from_secs_f64(PERIOD) * lag;
    let thread = std::thread::spawn({
        let signals = signals.clone();
        move || {
            for count in 0u64.. {
                let due = start + Duration::from_secs_f64(PERIOD * count as f64);
                // Against a fixed start and not from step to step, so that errors of sleeping do not add up.
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if signals.stop.load(Ordering::Relaxed) {
                    break;
                }
                step(Some(count), &signals)?;
            }
            step(None, &signals)
        }
    });
    Port { name, rate: FILE_RATE, since, kind: Kind::Thread(Some(thread), signals) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sounds_in_real_time_and_then_silence() {
        let started = Instant::now();
        let (port, mut microphone) = virtual_capture("test".into(), vec![0.5; 1000]);
        let mut heard = Vec::new();
        while heard.len() < 2000 {
            heard.extend(microphone.samples.pop().ok());
            assert!(started.elapsed() < Duration::from_secs(10));
        }
        assert!(started.elapsed() >= Duration::from_millis(50), "five periods");
        assert!(heard[..1000].iter().all(|&s| s == 0.5) && heard[1000..].iter().all(|&s| s == 0.0));
        assert!(port.has_ended() && port.since.is_some());
        port.close().expect("a thread that ends");
    }
}
