//! The device that a ring is played on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Ring;
use crate::audio_device::{Change, Device, Direction, Opening, Seat, Wanted};

/// Period asked of the device, in seconds.
// Two of them are how late a seek is heard. A desktop's busy moment lasts tens of milliseconds.
const PERIOD: f64 = 0.1;
/// How long a device that is gone is looked for.
// A sound server is back within seconds after a restart; a script is not to wait for ever.
const SEARCH: Duration = Duration::from_secs(30);
/// Longest wait for what a device has taken.
const MAX_DELAY: Duration = Duration::from_secs(3);

/// The device, or its place while it is gone.
pub(crate) struct Output {
    seat: Seat<()>,
    ring: Arc<Ring>,
    /// Name and rate of the last device.
    last: Option<(String, u32)>,
    lost: Option<Instant>,
    /// Errors while there was nothing to be heard.
    inaudible_errors: u64,
}

impl Output {
    /// Begins to open the device of a name, or the default one. It takes silence until the ring is primed.
    pub(crate) fn open(name: Option<String>, rate: u32, ring: Arc<Ring>) -> Self {
        let wanted = Wanted { direction: Direction::Playback, name, rate, period: PERIOD };
        let played = ring.clone();
        let seat = Seat::new(move || {
            let played = played.clone();
            Opening::playback(wanted.clone(), move |_, _| (played.clone(), ()))
        });
        Self { seat, ring, last: None, lost: None, inaudible_errors: 0 }
    }

    /// Looks after the device. What the user should know goes to `note`.
    ///
    /// # Errors
    /// The device cannot be opened, or it is gone and does not come back.
    pub(crate) fn tend(&mut self, note: &mut dyn FnMut(&str)) -> Result<()> {
        match self.seat.poll() {
            Some(Change::Opened(())) => {
                if let Some(device) = self.seat.device() {
                    self.ring.follow_device(device.rate, device.period);
                    let (name, rate) = (&device.name, device.rate);
                    let is_back = self.lost.take().is_some();
                    note(&if is_back {
                        format!("{name} is back")
                    } else {
                        format!("Playing on {name} at {rate} Hz")
                    });
                    if let Some(text) = device.describe_period() {
                        note(&text);
                    }
                    self.last = Some((name.clone(), rate));
                }
            }
            Some(Change::Lost(reason)) => {
                self.lost = Some(Instant::now());
                let seconds = SEARCH.as_secs();
                note(&format!("{} is gone ({reason}); looking for it for {seconds} s", self.name()));
            }
            // Told once when it went; not at each try.
            Some(Change::Refused(error)) if self.lost.is_none() => return Err(error),
            _ => {}
        }
        if !self.ring.has_begun() {
            // PulseAudio reports one or two while it starts a stream.
            self.inaudible_errors = self.seat.recovered_errors();
        }
        if self.lost.is_some_and(|lost| lost.elapsed() > SEARCH) {
            bail!(
                "the sound device {} is gone and has not come back within {} s",
                self.name(),
                SEARCH.as_secs()
            );
        }
        Ok(())
    }

    /// Name of the last device, empty before the first is open.
    pub(crate) fn name(&self) -> &str {
        self.last.as_ref().map_or("", |(name, _)| name)
    }

    /// Rate of the last device in Hz, 0 before the first is open.
    pub(crate) fn rate(&self) -> u32 {
        self.last.as_ref().map_or(0, |(_, rate)| *rate)
    }

    /// For how long what the device has taken is still to be heard.
    pub(crate) fn delay(&self) -> Duration {
        // The delay is that of a callback's first sample; its last one follows a period later.
        let delay = |d: &Device| d.delay() + Duration::from_secs_f64(d.period);
        self.seat.device().map_or(Duration::ZERO, delay).min(MAX_DELAY)
    }

    /// Errors so far from which the device went on, while there was something to be heard.
    pub(crate) fn recovered_errors(&self) -> u64 {
        self.seat.recovered_errors() - self.inaudible_errors
    }

    /// Closes the device.
    pub(crate) fn close(self) {
        self.seat.close();
    }
}
