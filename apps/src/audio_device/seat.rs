//! A device's place: it is opened, watched, and looked for again when it is gone.

use std::time::{Duration, Instant};

use anyhow::{Error, anyhow};

use super::host::PATIENCE;
use super::opening::{Device, Opening};

/// How often a device that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// What has become of a device.
pub(crate) enum Change<E> {
    /// It is open; this is the other end of its samples.
    Opened(E),
    /// It cannot be opened, or does not answer. It is tried again.
    Refused(Error),
    /// It is gone, for this reason. It is looked for.
    Lost(String),
}

enum State<E> {
    Opening(Opening<E>),
    Open(Device),
    Waiting(Instant),
}

/// A device's place.
pub(crate) struct Seat<E> {
    open: Box<dyn Fn() -> Opening<E> + Send>,
    state: State<E>,
    /// That it does not answer has been told.
    told: bool,
    /// Errors of the devices that sat here before.
    recovered: u64,
}

impl<E: Send + 'static> Seat<E> {
    /// Begins to open the device by `open`, which is called again each time it is looked for.
    pub(crate) fn new(open: impl Fn() -> Opening<E> + Send + 'static) -> Self {
        Self { state: State::Opening(open()), open: Box::new(open), told: false, recovered: 0 }
    }

    /// What has changed since the last call, if anything has. Never waits.
    pub(crate) fn poll(&mut self) -> Option<Change<E>> {
        match &mut self.state {
            State::Opening(opening) => match opening.poll() {
                Some(Ok((device, end))) => {
                    (self.state, self.told) = (State::Open(device), false);
                    Some(Change::Opened(end))
                }
                Some(Err(error)) => {
                    self.state = State::Waiting(Instant::now() + RETRY);
                    Some(Change::Refused(error))
                }
                // Waited for all the same: another try would wait in the same place.
                None if !self.told && opening.since.elapsed() > PATIENCE => {
                    self.told = true;
                    let seconds = PATIENCE.as_secs();
                    Some(Change::Refused(anyhow!(
                        "the sound server does not answer within {seconds} seconds"
                    )))
                }
                None => None,
            },
            State::Open(device) => {
                let reason = device.find_failure()?;
                self.recovered += device.recovered_errors();
                // At once: a stream may have failed where the device has not. The old one is closed meanwhile.
                self.state = State::Waiting(Instant::now());
                Some(Change::Lost(reason))
            }
            State::Waiting(until) => {
                if *until <= Instant::now() {
                    self.state = State::Opening((self.open)());
                }
                None
            }
        }
    }

    /// Whether the device is being opened, and may still be.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    /// The device, while it is open.
    pub(crate) fn device(&self) -> Option<&Device> {
        match &self.state {
            State::Open(device) => Some(device),
            _ => None,
        }
    }

    /// Errors so far from which the device went on, most of them xruns.
    pub(crate) fn recovered_errors(&self) -> u64 {
        self.recovered + self.device().map_or(0, Device::recovered_errors)
    }

    /// Closes the device and waits for that, unless it is stuck.
    pub(crate) fn close(self) {
        if let State::Open(device) = self.state {
            device.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use cpal::ErrorKind;

    use super::super::opening::FakeDevice;
    use super::*;

    /// Polls until something has changed.
    fn next(seat: &mut Seat<u32>) -> Change<u32> {
        let started = Instant::now();
        loop {
            if let Some(change) = seat.poll() {
                return change;
            }
            assert!(started.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_device_that_is_pulled_out_is_looked_for_and_comes_back() {
        let stick = FakeDevice::default();
        let mut seat = Seat::new(stick.opener(|| 7));
        assert!(matches!(next(&mut seat), Change::Opened(7)));
        assert!(seat.poll().is_none(), "nothing has failed");
        stick.health().note_error(cpal::Error::new(ErrorKind::Xrun));
        stick.health().note_call(Duration::ZERO);
        assert!(seat.poll().is_none() && seat.recovered_errors() == 1, "an xrun is no failure");
        stick.pull_out();
        assert!(matches!(next(&mut seat), Change::Lost(_)) && seat.device().is_none());
        assert!(matches!(next(&mut seat), Change::Refused(_)), "looked for at once");
        stick.put_back();
        let asked = Instant::now();
        assert!(matches!(next(&mut seat), Change::Opened(7)) && seat.device().is_some());
        assert!(asked.elapsed() > RETRY / 2, "and then once a second");
        assert_eq!(seat.recovered_errors(), 1);
    }
}
