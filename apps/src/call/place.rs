//! What records or plays in a call: a file, a device, or silence while the device is gone.

use anyhow::Result;
use crossbeam::channel::Sender;

use super::port::Port;
use crate::audio_device::{Change, Opening, Seat};

/// A source's or target's place in the call; its samples' other end goes to a codec thread each time that it changes.
pub(super) struct Place<E> {
    /// What people call it.
    kind: &'static str,
    /// None while a device is opened for the first time.
    port: Option<Port>,
    ends: Sender<E>,
    /// None for a file.
    seat: Option<Seat<E>>,
}

impl<E: Send + 'static> Place<E> {
    /// The place of an open file.
    pub(super) fn of_file((port, end): (Port, E), ends: Sender<E>) -> Self {
        let mut place = Self { kind: "file", port: None, ends, seat: None };
        place.take(port, end);
        place
    }

    /// The place of a device that `open` begins to open; `kind` is what people call it.
    pub(super) fn of_device(
        kind: &'static str,
        open: impl Fn() -> Opening<E> + Send + 'static,
        ends: Sender<E>,
    ) -> Self {
        Self { kind, port: None, ends, seat: Some(Seat::new(open)) }
    }

    /// What is there now.
    pub(super) fn port(&self) -> Option<&Port> {
        self.port.as_ref()
    }

    /// Whether a file has come to its end; the silence in a device's place has none.
    pub(super) fn is_at_end(&self) -> bool {
        self.seat.is_none() && self.port.as_ref().is_some_and(Port::has_ended)
    }

    /// Errors so far from which the device went on.
    pub(super) fn recovered_errors(&self) -> u64 {
        self.seat.as_ref().map_or(0, Seat::recovered_errors)
    }

    /// Puts silence in the place of a device that is gone, and the device back once it is there again. Never waits.
    ///
    /// # Errors
    /// The device cannot be opened at the beginning of the call.
    pub(super) fn tend(
        &mut self,
        nothing: impl FnOnce() -> (Port, E),
        note: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let Some(seat) = &mut self.seat else { return Ok(()) };
        let kind = self.kind;
        match seat.poll() {
            Some(Change::Opened(end)) => {
                let Some(device) = seat.device() else { return Ok(()) };
                let (name, rate) = (device.name.clone(), device.rate);
                if self.port.is_some() {
                    note(&format!("the {kind} {name} is back"));
                }
                if let Some(text) = device.describe_period() {
                    note(&format!("{text}: the delay grows by the difference"));
                }
                self.take(Port::of_device(name, rate), end);
            }
            Some(Change::Lost(reason)) => {
                let name = self.port.as_ref().map_or("", |p| &p.name);
                note(&format!("the {kind} {name} is gone ({reason}); the call goes on without"));
                // Silence is sent in its place, and the peer stays in the call.
                let (port, end) = nothing();
                self.take(port, end);
            }
            Some(Change::Refused(error)) if self.port.is_none() => {
                if !seat.is_opening() {
                    return Err(error);
                }
                // It may still answer.
                note(&format!("no {kind}: {error}; the call goes on without"));
                let (port, end) = nothing();
                self.take(port, end);
            }
            // Said once when it went; not every second.
            Some(Change::Refused(_)) | None => {}
        }
        Ok(())
    }

    /// Closes what is there; a file is then whole.
    pub(super) fn close(self) -> Result<()> {
        if let Some(seat) = self.seat {
            seat.close();
        }
        self.port.map_or(Ok(()), Port::close)
    }

    fn take(&mut self, port: Port, end: E) {
        self.port = Some(port);
        // The thread holds the other end for as long as it lives.
        self.ends.send(end).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use anyhow::anyhow;
    use crossbeam::channel::unbounded;

    use super::super::ends::{self, Microphone};
    use super::super::port;
    use super::*;
    use crate::audio_device::FakeDevice;

    #[test]
    fn silence_takes_the_place_of_a_device_that_is_pulled_out_and_the_device_comes_back() {
        let stick = FakeDevice::default();
        let (ends, given) = unbounded::<Microphone>();
        let open = stick.opener(|| ends::recording_ring(24_000, 240).1);
        let mut place = Place::of_device("microphone", open, ends);
        let mut said = Vec::new();
        let mut tend_until = |place: &mut Place<Microphone>, name: &str| {
            let started = Instant::now();
            while place.port().is_none_or(|p| p.name != name) {
                place.tend(port::no_capture, &mut |text| said.push(text.to_owned())).expect("no error");
                assert!(started.elapsed() < Duration::from_secs(10));
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        tend_until(&mut place, "stick");
        assert_eq!(given.len(), 1);
        stick.pull_out();
        tend_until(&mut place, "nothing");
        assert_eq!(given.len(), 2, "silence at once");
        stick.put_back();
        tend_until(&mut place, "stick");
        assert_eq!(given.len(), 3);
        assert!(!place.is_at_end());
        assert!(said[0].contains("is gone") && said[1].contains("is back") && said.len() == 2, "{said:?}");
    }

    #[test]
    fn a_device_that_was_never_there_ends_the_call() {
        let (ends, _given) = unbounded::<Microphone>();
        let mut place =
            Place::of_device("microphone", || Opening::start(|| Err(anyhow!("no sound device"))), ends);
        let started = Instant::now();
        let error = loop {
            if let Err(error) = place.tend(port::no_capture, &mut |_| {}) {
                break error;
            }
            assert!(started.elapsed() < Duration::from_secs(10));
        };
        assert_eq!(error.to_string(), "no sound device");
    }
}
