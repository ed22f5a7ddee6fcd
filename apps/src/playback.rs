//! The way from a decoding thread to a sound device's callback.
//!
//! A lock-free ring stands between them: ONNX Runtime allocates in every run, which a callback must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use crossbeam::queue::ArrayQueue;

use crate::coded::Decoding;
use crate::media::Resampler;

/// How long the ring lasts, in seconds.
const RING_SECONDS: f64 = 0.5;
/// How long the worker sleeps while the ring is full: a tenth of it.
const NAP: Duration = Duration::from_millis(50);

/// What the worker, the callback and the main thread share.
pub(crate) struct Ring {
    samples: ArrayQueue<f32>,
    /// The worker has pushed everything.
    ended: AtomicBool,
    /// Nobody listens any more.
    stopped: AtomicBool,
    /// Samples that the device took.
    played: AtomicU64,
    /// Callbacks that found too few samples.
    underruns: AtomicU64,
}

impl Ring {
    /// A ring for samples of `rate`.
    pub(crate) fn new(rate: u32) -> Arc<Self> {
        Arc::new(Self {
            samples: ArrayQueue::new((f64::from(rate) * RING_SECONDS) as usize + 1),
            ended: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            played: AtomicU64::new(0),
            underruns: AtomicU64::new(0),
        })
    }

    /// Gives the device what it asks for: each sample to all channels. Called in its callback: no allocation, no lock.
    pub(crate) fn fill<T: Copy>(&self, out: &mut [T], channels: usize, convert: impl Fn(f32) -> T) {
        let mut taken = 0;
        for frame in out.chunks_mut(channels.max(1)) {
            let sample = self.samples.pop();
            taken += u64::from(sample.is_some());
            frame.fill(convert(sample.unwrap_or(0.0)));
        }
        let asked = (out.len() / channels.max(1)) as u64;
        self.played.fetch_add(taken, Ordering::Relaxed);
        if taken < asked && !self.ended.load(Ordering::Acquire) {
            self.underruns.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Decodes until the end or until nobody listens: the worker's whole life.
    pub(crate) fn feed(&self, decoding: &mut Decoding, device_rate: u32) -> Result<()> {
        let result = self.feed_all(decoding, device_rate);
        self.ended.store(true, Ordering::Release);
        result
    }

    fn feed_all(&self, decoding: &mut Decoding, device_rate: u32) -> Result<()> {
        let mut resampler = Resampler::new(decoding.rate(), device_rate)?;
        let (mut pcm, mut ready) = (Vec::new(), Vec::new());
        let mut more = true;
        while more && !self.stopped.load(Ordering::Relaxed) {
            more = decoding.next(&mut pcm)?;
            resampler.push(&pcm, &mut ready)?;
            pcm.clear();
            if !more {
                resampler.finish(&mut ready)?;
            }
            for sample in ready.drain(..) {
                while self.samples.push(sample).is_err() {
                    if self.stopped.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    std::thread::sleep(NAP);
                }
            }
        }
        Ok(())
    }

    /// Whether playing may begin: the ring is full or holds all there is.
    pub(crate) fn is_primed(&self) -> bool {
        self.samples.is_full() || self.ended.load(Ordering::Acquire)
    }

    /// Whether the device has taken everything.
    pub(crate) fn is_drained(&self) -> bool {
        self.ended.load(Ordering::Acquire) && self.samples.is_empty()
    }

    /// Lets the worker end.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Samples that the device took so far.
    pub(crate) fn played(&self) -> u64 {
        self.played.load(Ordering::Relaxed)
    }

    /// Callbacks so far that found too few samples.
    pub(crate) fn underruns(&self) -> u64 {
        self.underruns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_goes_to_all_channels_and_silence_follows() {
        let ring = Ring::new(100);
        ring.samples.push(0.5).expect("room");
        let mut out = [9i16; 4];
        ring.fill(&mut out, 2, |s| (s * 100.0) as i16);
        assert_eq!(out, [50, 50, 0, 0]);
        assert_eq!((ring.played(), ring.underruns()), (1, 1));
        ring.ended.store(true, Ordering::Release);
        ring.fill(&mut out, 2, |s| (s * 100.0) as i16);
        assert_eq!((ring.played(), ring.underruns(), ring.is_drained()), (1, 1, true));
    }
}
