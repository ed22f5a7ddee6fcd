//! The ends of the rings between a device's callback and a codec thread.
//!
//! The rings are wait-free, and the callbacks touch nothing else but a few counters: no allocation, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::audio_device::{Player, Recorder};

/// How much a ring holds, in seconds and in periods of the device.
// Far beyond the usual period. What fills it so far is a codec thread that stands still, and then samples are lost.
const RING: (f64, usize) = (0.5, 4);

/// What a callback counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Most samples a channel of one callback so far.
    period: AtomicU32,
    /// Callbacks that found too few samples or too little room.
    misses: AtomicU64,
}

impl Counters {
    /// Most samples of one callback so far.
    pub(super) fn period(&self) -> usize {
        self.period.load(Ordering::Relaxed) as usize
    }

    /// Callbacks that found too few samples or too little room.
    pub(super) fn missed_callbacks(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    fn count(&self, asked: usize, done: usize) {
        // The longest, because devices may ask for more than agreed, and the ring has to last for that.
        self.period.fetch_max(asked as u32, Ordering::Relaxed);
        self.misses.fetch_add(u64::from(done < asked), Ordering::Relaxed);
    }
}

/// The codec's end of a device's samples.
pub(super) struct Microphone {
    pub(super) rate: u32,
    pub(super) samples: Consumer<f32>,
    pub(super) counters: Arc<Counters>,
}

/// The codec's end of a device that plays.
pub(super) struct Speaker {
    pub(super) rate: u32,
    pub(super) samples: Producer<f32>,
    pub(super) counters: Arc<Counters>,
}

impl Speaker {
    /// Samples that wait in the ring.
    pub(super) fn queued_samples(&self) -> usize {
        self.samples.buffer().capacity() - self.samples.slots()
    }
}

/// The device's end when it records.
pub(super) struct Recording {
    samples: Producer<f32>,
    counters: Arc<Counters>,
}

/// The device's end when it plays.
pub(super) struct Playing {
    samples: Consumer<f32>,
    counters: Arc<Counters>,
    /// Whether the codec has begun to give samples: what is missing before is no fault.
    begun: bool,
}

/// Both ends of the ring of a recording device with a period of `period` samples.
pub(super) fn recording_ring(rate: u32, period: usize) -> (Recording, Microphone) {
    let (producer, consumer) = new_ring(rate, period);
    let counters = Arc::new(Counters::default());
    let microphone = Microphone { rate, samples: consumer, counters: counters.clone() };
    (Recording { samples: producer, counters }, microphone)
}

/// Both ends of the ring of a playing device with a period of `period` samples.
pub(super) fn playback_ring(rate: u32, period: usize) -> (Playing, Speaker) {
    let (producer, consumer) = new_ring(rate, period);
    let counters = Arc::new(Counters::default());
    let speaker = Speaker { rate, samples: producer, counters: counters.clone() };
    (Playing { samples: consumer, counters, begun: false }, speaker)
}

fn new_ring(rate: u32, period: usize) -> (Producer<f32>, Consumer<f32>) {
    RingBuffer::new(((f64::from(rate) * RING.0) as usize).max(period.saturating_mul(RING.1)) + 1)
}

impl Recorder for Recording {
    fn take<T: Copy>(&mut self, samples: &[T], channels: usize, convert: impl Fn(T) -> f32) {
        let channels = channels.max(1);
        // The mean of the channels cannot clip, unlike their sum.
        let scale = 1.0 / channels as f32;
        let mut taken = 0;
        for frame in samples.chunks_exact(channels) {
            let sum: f32 = frame.iter().map(|&s| convert(s)).sum();
            taken += usize::from(self.samples.push(sum * scale).is_ok());
        }
        self.counters.count(samples.len() / channels, taken);
    }
}

impl Player for Playing {
    fn fill<T: Copy>(&mut self, out: &mut [T], channels: usize, convert: impl Fn(f32) -> T) {
        let channels = channels.max(1);
        let mut taken = 0;
        for frame in out.chunks_mut(channels) {
            let sample = self.samples.pop();
            taken += usize::from(sample.is_ok());
            // Silence where there is nothing: what is in the buffer is the device's last period.
            frame.fill(convert(sample.unwrap_or(0.0)));
        }
        self.begun |= taken > 0;
        let asked = out.len() / channels;
        // The period counts from the first callback on, as the codec needs it before it begins.
        self.counters.count(asked, if self.begun { taken } else { asked });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_mixed_down_and_spread() {
        let (mut recording, mut microphone) = recording_ring(1000, 10);
        recording.take(&[100i16, 300, -50, 50], 2, f32::from);
        assert_eq!((microphone.samples.pop(), microphone.samples.pop()), (Ok(200.0), Ok(0.0)));
        let (mut playing, mut speaker) = playback_ring(1000, 10);
        let mut out = [9.0; 4];
        playing.fill(&mut out, 2, |s| s);
        assert_eq!((out, speaker.counters.missed_callbacks()), ([0.0; 4], 0), "nothing has been given yet");
        speaker.samples.push(0.5).expect("room");
        playing.fill(&mut out, 2, |s| s);
        assert_eq!((out, speaker.counters.missed_callbacks()), ([0.5, 0.5, 0.0, 0.0], 1));
        assert_eq!(speaker.counters.period(), 2);
    }

    #[test]
    fn a_codec_that_does_not_listen_costs_samples_and_nothing_else() {
        let (mut recording, microphone) = recording_ring(1000, 10);
        for _ in 0..10 {
            recording.take(&[0.1f32; 100], 1, |s| s);
        }
        assert_eq!(microphone.samples.slots(), 501);
        assert_eq!(microphone.counters.missed_callbacks(), 5);
    }
}
