//! Sound devices through `cpal`: listed, found, opened for mono samples, watched, and looked for again when they are gone.
//!
//! A device may be a sound server's, and its client library waits for that server without end: nothing here calls one
//! from the thread that looks after the keyboard and the time. Opening and closing have threads of their own.

mod config;
mod health;
mod host;
mod opening;
mod pace;
mod seat;
mod stream;

pub(crate) use host::{check_device, list_devices};
#[cfg(test)]
pub(crate) use opening::FakeDevice;
pub(crate) use opening::{Device, Opening, Wanted};
pub(crate) use seat::{Change, Seat};
pub(crate) use stream::{Player, Recorder};

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
