//! Devices opened and closed on threads of their own: a client library that waits for its server holds nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use cpal::traits::StreamTrait;
use cpal::{ErrorKind, Stream, StreamConfig};
use crossbeam::channel::{Receiver, TryRecvError, bounded};

use super::config::{MAX_PERIOD, choose_config, periods_to_try};
use super::health::{Health, Watch};
use super::host::find_device;
use super::stream::{build_capture, build_playback};
use super::{Direction, Player, Recorder};

/// How long closing a device is waited for at the end.
// PulseAudio closes within 0.1 s; one that is stuck is left behind.
const CLOSING: Duration = Duration::from_secs(1);
/// A device's period may be longer than the wanted one by this factor without a word.
const TOLERATED: f64 = 1.5;

/// A device to be opened.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) direction: Direction,
    /// None for the default device.
    pub(crate) name: Option<String>,
    /// Rate to be had from the device if it can, in Hz.
    pub(crate) rate: u32,
    /// Period to be had from the device if it can, in seconds.
    pub(crate) period: f64,
}

/// An open device; its stream runs until this is dropped.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) rate: u32,
    /// Period in seconds, and the one that was wanted.
    pub(crate) period: f64,
    pub(crate) wanted_period: f64,
    stream: Option<Stream>,
    health: Arc<Health>,
    watch: Watch,
}

impl Device {
    /// Why the device is taken for gone, if it is.
    pub(super) fn find_failure(&mut self) -> Option<String> {
        self.watch.find_failure(&self.health)
    }

    /// Errors so far from which the device went on, most of them xruns.
    pub(super) fn recovered_errors(&self) -> u64 {
        self.health.recovered_errors()
    }

    /// How long the first of the samples that the device took last waits before it sounds.
    pub(crate) fn delay(&self) -> Duration {
        self.health.delay()
    }

    /// What to say of a period that had to be longer than the wanted one.
    pub(crate) fn describe_period(&self) -> Option<String> {
        (self.period > self.wanted_period * TOLERATED).then(|| {
            format!(
                "the sound device {} takes {:.0} ms of samples at a time, {:.0} ms were wanted",
                self.name,
                self.period * 1e3,
                self.wanted_period * 1e3
            )
        })
    }

    /// Closes the device and waits for that, unless it is stuck.
    pub(super) fn close(mut self) {
        let (sender, closed) = bounded::<()>(0);
        self.close_apart(sender);
        // An error says that it is closed.
        closed.recv_timeout(CLOSING).ok();
    }

    /// Closes the stream on a thread of its own; `held` is dropped afterwards.
    fn close_apart(&mut self, held: impl Send + 'static) {
        if let Some(stream) = self.stream.take() {
            std::thread::spawn(move || {
                drop(stream);
                drop(held);
            });
        }
    }

    /// A device without a stream.
    #[cfg(test)]
    fn fake(name: &str, rate: u32) -> (Self, Arc<Health>) {
        let health = Health::new();
        let device = Self {
            name: name.to_owned(),
            rate,
            period: 0.01,
            wanted_period: 0.01,
            stream: None,
            health: health.clone(),
            watch: Watch::new(),
        };
        (device, health)
    }
}

/// A device that tests put in and pull out.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct FakeDevice {
    is_gone: Arc<std::sync::atomic::AtomicBool>,
    last: Arc<std::sync::Mutex<Option<Arc<Health>>>>,
}

#[cfg(test)]
impl FakeDevice {
    /// What a [`super::Seat`] opens it by; `end` makes the other end of its samples.
    pub(crate) fn opener<E: Send + 'static>(
        &self,
        end: impl Fn() -> E + Clone + Send + 'static,
    ) -> impl Fn() -> Opening<E> + Send + 'static {
        let own = self.clone();
        move || {
            let (own, end) = (own.clone(), end.clone());
            Opening::start(move || {
                if own.is_gone.load(std::sync::atomic::Ordering::SeqCst) {
                    return Err(anyhow!("no sound device"));
                }
                let (device, health) = Device::fake("stick", 24_000);
                *own.last.lock().expect("no panic") = Some(health);
                Ok((device, end()))
            })
        }
    }

    pub(crate) fn pull_out(&self) {
        self.is_gone.store(true, std::sync::atomic::Ordering::SeqCst);
        self.health().note_error(cpal::Error::new(ErrorKind::DeviceNotAvailable));
    }

    pub(crate) fn put_back(&self) {
        self.is_gone.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    /// Of the stream that was opened last.
    pub(crate) fn health(&self) -> Arc<Health> {
        self.last.lock().expect("no panic").clone().expect("an open device")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // `cpal` waits for its worker, which may wait for a server that is gone: a call froze for good by that.
        self.close_apart(());
    }
}

/// A device that is being opened.
pub(crate) struct Opening<E> {
    result: Receiver<Result<(Device, E)>>,
    pub(super) since: Instant,
}

impl<E: Send + 'static> Opening<E> {
    /// Opens a device for playing. `make` gives what fills its buffer, for a rate and a period in samples, and what to
    /// hand over once it is open; it is called for each try.
    pub(crate) fn playback<P: Player>(
        wanted: Wanted,
        make: impl Fn(u32, usize) -> (P, E) + Send + 'static,
    ) -> Self {
        Self::start(move || {
            open(&wanted, make, |device, config, format, player, health| {
                build_playback(device, config, format, player, health)
            })
        })
    }

    /// Opens a device for recording, like [`Opening::playback`].
    pub(crate) fn capture<R: Recorder>(
        wanted: Wanted,
        make: impl Fn(u32, usize) -> (R, E) + Send + 'static,
    ) -> Self {
        Self::start(move || {
            open(&wanted, make, |device, config, format, recorder, health| {
                build_capture(device, config, format, recorder, health)
            })
        })
    }

    /// Runs `work`, which opens a device, on a thread of its own.
    pub(crate) fn start(work: impl FnOnce() -> Result<(Device, E)> + Send + 'static) -> Self {
        let (sender, result) = bounded(1);
        // Where nobody waits any more the device is closed again.
        std::thread::spawn(move || sender.send(work()).ok());
        Self { result, since: Instant::now() }
    }

    /// The device, once it is open.
    pub(super) fn poll(&self) -> Option<Result<(Device, E)>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(anyhow!("the thread that opens a device failed"))),
        }
    }
}

fn open<T, E>(
    wanted: &Wanted,
    make: impl Fn(u32, usize) -> (T, E),
    build: impl Fn(
        &cpal::Device,
        StreamConfig,
        cpal::SampleFormat,
        T,
        &Arc<Health>,
    ) -> Result<Stream, cpal::Error>,
) -> Result<(Device, E)> {
    let device = find_device(wanted.direction, wanted.name.as_deref())?;
    let config = choose_config(&device, wanted.direction, wanted.rate)?;
    let fail = |e: cpal::Error| anyhow!("the sound device {device} cannot be opened: {e}");
    let rate = config.sample_rate();
    let mut refused = cpal::Error::new(ErrorKind::UnsupportedConfig);
    for (buffer_size, samples) in periods_to_try(&config, wanted.period) {
        let health = Health::new();
        let (callback, end) = make(rate, samples);
        let stream_config = StreamConfig { buffer_size, ..config.config() };
        let stream = match build(&device, stream_config, config.sample_format(), callback, &health) {
            Ok(stream) => stream,
            // Only the size is in question; what else is wrong stays wrong.
            Err(e) if e.kind() == ErrorKind::UnsupportedConfig => {
                refused = e;
                continue;
            }
            Err(e) => return Err(fail(e)),
        };
        // What was granted, since drivers round to what they can do.
        let period = stream.buffer_size().map_or(samples, |n| n as usize) as f64 / f64::from(rate);
        if period > MAX_PERIOD {
            return Err(anyhow!(
                "the sound device {device} takes {period:.1} s of samples at a time, too long"
            ));
        }
        stream.play().map_err(fail)?;
        let name = device.to_string();
        let device = Device {
            name,
            rate,
            period,
            wanted_period: wanted.period,
            stream: Some(stream),
            health,
            watch: Watch::new(),
        };
        return Ok((device, end));
    }
    Err(fail(refused))
}
