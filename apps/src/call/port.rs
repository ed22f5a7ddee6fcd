//! Where sound comes from and goes to: a sound card, a file in real time, or nothing.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};

use super::ends::{self, Microphone, Speaker};
use crate::audio_device::{Direction, Opening, Player, Recorder, Wanted};
use crate::media::{AudioInput, AudioOutput, Labels, OutputFormat};

/// Rate of files played as if they were devices: that of most sound cards, so that rates are converted as with one.
pub(super) const FILE_RATE: u32 = 48_000;
/// Period asked of devices, and that of files, in seconds.
// Half a codec frame: shorter periods wake the machine more often and save only milliseconds, and not every driver
// grants them.
const PERIOD: f64 = 0.01;

/// An open source or target of sound.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) rate: u32,
    /// When its first sample was heard or is played, in seconds since 1970, for a file.
    pub(super) since: Option<f64>,
    /// What runs a file or the silence; a device runs by itself.
    thread: Option<PacedThread>,
}

struct PacedThread {
    /// None once it has been waited for.
    handle: Option<JoinHandle<Result<()>>>,
    signals: Arc<Signals>,
}

#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    ended: AtomicBool,
}

impl Port {
    /// The port of an open device.
    pub(super) fn of_device(name: String, rate: u32) -> Self {
        Self { name, rate, since: None, thread: None }
    }

    /// Whether a file has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(|t| t.signals.ended.load(Ordering::Relaxed))
    }

    /// Closes it; a file is then whole.
    pub(super) fn close(mut self) -> Result<()> {
        self.thread.as_mut().map_or(Ok(()), PacedThread::end)
    }
}

impl PacedThread {
    fn end(&mut self) -> Result<()> {
        self.signals.stop.store(true, Ordering::Relaxed);
        self.handle.take().map_or(Ok(()), |t| t.join().map_err(|_| anyhow!("a file's thread failed"))?)
    }
}

impl Drop for PacedThread {
    fn drop(&mut self) {
        // Errors have been told by `close` if anyone asked.
        self.end().ok();
    }
}

/// Begins to open a microphone; `rate` is the rate to be had from it if it can.
pub(super) fn open_microphone(name: Option<String>, rate: u32) -> Opening<Microphone> {
    let wanted = Wanted { direction: Direction::Capture, name, rate, period: PERIOD };
    Opening::capture(wanted, ends::recording_ring)
}

/// Begins to open a loudspeaker.
pub(super) fn open_loudspeaker(name: Option<String>, rate: u32) -> Opening<Speaker> {
    let wanted = Wanted { direction: Direction::Playback, name, rate, period: PERIOD };
    Opening::playback(wanted, ends::playback_ring)
}

/// Opens a file that is to be sent.
pub(super) fn open_source(path: &Path) -> Result<(Port, Microphone)> {
    // Whole into memory before the call, so that no decoder competes with the codec in it.
    let samples = read_file(path)?;
    Ok(virtual_capture(path.display().to_string(), samples))
}

/// Opens a file that takes what is heard.
pub(super) fn create_target(path: &Path) -> Result<(Port, Speaker)> {
    let format = OutputFormat::of(path, false, false)?;
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let output = AudioOutput::create(Some(file), true, &format, (FILE_RATE, 1), &Labels::default())?;
    Ok(virtual_playback(path.display().to_string(), Some(output)))
}

/// A source of silence, while there is no device.
pub(super) fn no_capture() -> (Port, Microphone) {
    virtual_capture("nothing".into(), Vec::new())
}

/// A target that plays to nobody, while there is no device.
pub(super) fn no_playback() -> (Port, Speaker) {
    virtual_playback("nothing".into(), None)
}

fn read_file(path: &Path) -> Result<Vec<f32>> {
    let mut input = AudioInput::open(path, Some(FILE_RATE))?;
    let mut samples = Vec::new();
    while input.next(&mut samples)? {}
    Ok(samples)
}

/// Plays samples into a ring as a microphone would: each period when its last sample has sounded. Silence follows.
fn virtual_capture(name: String, samples: Vec<f32>) -> (Port, Microphone) {
    let (mut recording, microphone) = ends::recording_ring(FILE_RATE, period_samples());
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
    let (mut playing, speaker) = ends::playback_ring(FILE_RATE, period_samples());
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
    Port { name, rate: FILE_RATE, since, thread: Some(PacedThread { handle: Some(thread), signals }) }
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
