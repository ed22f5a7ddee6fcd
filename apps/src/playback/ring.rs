//! The way from a decoding thread to a sound device's callback.
//!
//! A lock-free ring stands between them: ONNX Runtime allocates in every run, which a callback must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use crossbeam::queue::ArrayQueue;

use crate::audio_device::Player;
use crate::media::Resampler;
use crate::media_file::Decoding;

/// What the ring holds, in samples per channel.
// 2.5 s at 48 kHz: two of the longest periods that a device may have, at the rate that most have. A seek empties it at
// once.
const RING_SAMPLES: usize = 120_000;
/// What the ring has to hold before anything is played, in seconds and in periods of the device.
// Long enough for a slow disk or a busy core. A device takes two periods at once when it starts.
const PRIMED: (f64, f64) = (0.5, 2.5);
/// How long the worker sleeps while the ring is full.
const NAP: Duration = Duration::from_millis(50);

/// No seek is wanted.
const NO_SEEK: u64 = u64::MAX;

/// What is played: samples in order, from anywhere.
pub(crate) trait Source {
    /// Samples a second.
    fn rate(&self) -> u32;
    /// Channels, which lie interleaved: one or two.
    fn channels(&self) -> u8;
    /// Appends some samples; false at the end.
    fn next(&mut self, out: &mut Vec<f32>) -> Result<bool>;
    /// Goes on at a time in seconds.
    fn seek(&mut self, seconds: f64) -> Result<()>;
}

impl Source for Decoding {
    fn rate(&self) -> u32 {
        Self::rate(self)
    }

    fn channels(&self) -> u8 {
        Self::channels(self)
    }

    fn next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        Self::next(self, out)
    }

    fn seek(&mut self, seconds: f64) -> Result<()> {
        Self::seek(self, seconds)
    }
}

/// What the worker, the callback and the main thread share.
pub(crate) struct Ring {
    /// The samples of both channels at a time, of one channel twice. Whole, so that a channel never takes the other's place: the
    /// worker empties the ring for a seek while the callback takes from it.
    samples: ArrayQueue<[f32; 2]>,
    /// Channels of the source, interleaved.
    channels: usize,
    /// The device's rate in Hz.
    rate: AtomicU32,
    /// Samples that have to be there before anything is played.
    primed: AtomicUsize,
    /// They have been there since the beginning or the last seek.
    begun: AtomicBool,
    /// The worker has pushed everything.
    ended: AtomicBool,
    /// Nobody listens any more.
    stopped: AtomicBool,
    paused: AtomicBool,
    /// Samples that the device took.
    played: AtomicU64,
    /// Milliseconds to go on at, or [`NO_SEEK`].
    seek: AtomicU64,
    /// Where the last seek went, in milliseconds, and how many samples had been played then.
    origin: (AtomicU64, AtomicU64),
    /// Callbacks that found too few samples.
    underruns: AtomicU64,
}

impl Ring {
    /// A ring for samples of `rate` Hz in one channel or two; what is played begins at `start` seconds.
    pub(crate) fn new(rate: u32, channels: u8, start: f64) -> Arc<Self> {
        Arc::new(Self {
            samples: ArrayQueue::new(RING_SAMPLES),
            channels: channels.clamp(1, 2).into(),
            rate: AtomicU32::new(rate),
            primed: AtomicUsize::new((f64::from(rate) * PRIMED.0) as usize),
            begun: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            played: AtomicU64::new(0),
            seek: AtomicU64::new(NO_SEEK),
            origin: (AtomicU64::new((start * 1000.0) as u64), AtomicU64::new(0)),
            underruns: AtomicU64::new(0),
        })
    }

    /// Follows a device that was opened: its rate in Hz, its period in seconds.
    pub(crate) fn follow_device(&self, rate: u32, period: f64) {
        let primed = f64::from(rate) * PRIMED.0.max(PRIMED.1 * period);
        self.primed.store((primed as usize).min(RING_SAMPLES), Ordering::Relaxed);
        let position = self.position();
        if self.rate.swap(rate, Ordering::Relaxed) != rate && self.begun.load(Ordering::Relaxed) {
            // What waits has the rate of another device.
            self.seek(position);
        }
    }

    /// Gives the device what it asks for: one channel to all of its channels; of two the first to its first and the second to its
    /// second, or both together to its only one.
    fn fill_device<T: Copy>(&self, out: &mut [T], channels: usize, convert: impl Fn(f32) -> T) {
        if self.is_paused() {
            // The ring stays as it is: going on after a pause loses nothing.
            out.fill(convert(0.0));
            return;
        }
        if !self.begun.load(Ordering::Relaxed) {
            if !self.is_primed() {
                // Neither played nor an underrun: nothing has begun.
                out.fill(convert(0.0));
                return;
            }
            self.begun.store(true, Ordering::Relaxed);
        }
        let mut taken = 0;
        for frame in out.chunks_mut(channels.max(1)) {
            // One by one: this needs no unsafe code of ours, and a pop takes nanoseconds where a sample lasts 20 µs.
            let Some([left, right]) = self.samples.pop() else {
                frame.fill(convert(0.0));
                continue;
            };
            taken += 1;
            if self.channels == 1 {
                frame.fill(convert(left));
            } else {
                match frame {
                    [one] => *one = convert(0.5 * (left + right)),
                    [first, second, others @ ..] => {
                        (*first, *second) = (convert(left), convert(right));
                        others.fill(convert(0.0));
                    }
                    [] => {}
                }
            }
        }
        let asked = (out.len() / channels.max(1)) as u64;
        self.played.fetch_add(taken, Ordering::Relaxed);
        // The end and a seek empty the ring as they should.
        if taken < asked && !self.ended.load(Ordering::Acquire) && !self.wants_seek() {
            self.underruns.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Decodes until everything has been played or nobody listens: the worker's whole life.
    pub(crate) fn feed(&self, source: &mut impl Source) -> Result<()> {
        let result = self.feed_all(source);
        // Also after an error, or the main thread would wait for ever.
        self.ended.store(true, Ordering::Release);
        result
    }

    fn feed_all(&self, source: &mut impl Source) -> Result<()> {
        let resampler = |source: &dyn Source| {
            Resampler::new(source.rate(), self.rate.load(Ordering::Relaxed), source.channels())
        };
        let mut converter = resampler(source)?;
        let (mut pcm, mut ready, mut more) = (Vec::new(), Vec::new(), true);
        while !self.stopped.load(Ordering::Relaxed) {
            let target = self.seek.load(Ordering::Acquire);
            if target != NO_SEEK {
                source.seek(target as f64 / 1000.0)?;
                // A resampler holds samples of before the seek.
                converter = resampler(source)?;
                self.ended.store(false, Ordering::Release);
                // Before the new position is told, so that nothing old is counted to it.
                while self.samples.pop().is_some() {}
                self.begun.store(false, Ordering::Relaxed);
                self.origin.0.store(target, Ordering::Relaxed);
                self.origin.1.store(self.played_samples(), Ordering::Relaxed);
                // Another seek may have come meanwhile, which is then the one that counts.
                let _ = self.seek.compare_exchange(target, NO_SEEK, Ordering::AcqRel, Ordering::Relaxed);
                more = true;
                continue;
            }
            if !more {
                // The end may still be gone back from.
                if self.samples.is_empty() {
                    return Ok(());
                }
                std::thread::sleep(NAP);
                continue;
            }
            more = source.next(&mut pcm)?;
            converter.push(&pcm, &mut ready)?;
            pcm.clear();
            if !more {
                converter.finish(&mut ready)?;
            }
            self.push(&mut ready);
            if !more {
                self.ended.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Hands samples over, unless they are no longer wanted.
    fn push(&self, ready: &mut Vec<f32>) {
        for sample in ready.chunks_exact(self.channels) {
            let both = [sample[0], sample[self.channels - 1]];
            while self.samples.push(both).is_err() {
                if self.stopped.load(Ordering::Relaxed) || self.wants_seek() {
                    ready.clear();
                    return;
                }
                std::thread::sleep(NAP);
            }
        }
        ready.clear();
    }

    /// Whether playing may begin: there is enough in the ring, or all there is.
    fn is_primed(&self) -> bool {
        self.samples.len() >= self.primed.load(Ordering::Relaxed) || self.ended.load(Ordering::Acquire)
    }

    /// Whether the device has taken everything.
    pub(crate) fn is_drained(&self) -> bool {
        let done = self.ended.load(Ordering::Acquire) && self.samples.is_empty() && !self.wants_seek();
        done || self.stopped.load(Ordering::Relaxed)
    }

    /// Whether samples have been played since the beginning or the last seek.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether nothing waits to be played.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Lets the worker end.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Ends playing now.
    pub(crate) fn quit(&self) {
        // First, so that the worker does not fill the ring again.
        self.stop();
        while self.samples.pop().is_some() {}
        self.ended.store(true, Ordering::Release);
    }

    /// Pauses, or goes on.
    pub(crate) fn toggle_pause(&self) {
        self.paused.fetch_xor(true, Ordering::Relaxed);
    }

    /// Whether nothing is played for now.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Goes on at a time in seconds.
    pub(crate) fn seek(&self, seconds: f64) {
        self.seek.store((seconds.max(0.0) * 1000.0) as u64, Ordering::Release);
    }

    fn wants_seek(&self) -> bool {
        self.seek.load(Ordering::Acquire) != NO_SEEK
    }

    /// Where in the file playing is, in seconds.
    pub(crate) fn position(&self) -> f64 {
        let wanted = self.seek.load(Ordering::Acquire);
        if wanted != NO_SEEK {
            return wanted as f64 / 1000.0;
        }
        let since = self.played_samples().saturating_sub(self.origin.1.load(Ordering::Relaxed));
        let rate = f64::from(self.rate.load(Ordering::Relaxed).max(1));
        self.origin.0.load(Ordering::Relaxed) as f64 / 1000.0 + since as f64 / rate
    }

    /// Samples that the device took so far.
    pub(crate) fn played_samples(&self) -> u64 {
        self.played.load(Ordering::Relaxed)
    }

    /// Whether playing was ended before the end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Callbacks so far that found too few samples.
    pub(crate) fn underruns(&self) -> u64 {
        self.underruns.load(Ordering::Relaxed)
    }
}

impl Player for Arc<Ring> {
    fn fill<T: Copy>(&mut self, out: &mut [T], channels: usize, convert: impl Fn(f32) -> T) {
        self.fill_device(out, channels, convert);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_channels_go_to_their_places() {
        let ring = Ring::new(100, 2, 0.0);
        ring.primed.store(1, Ordering::Relaxed);
        // Numbers whose means are exact.
        ring.push(&mut vec![0.125, 0.25, 0.25, 0.5]);
        let (mut quad, mut one) = ([9.0f32; 4], [9.0f32; 1]);
        ring.fill_device(&mut quad, 4, |s| s);
        ring.fill_device(&mut one, 1, |s| s);
        assert_eq!((quad, one), ([0.125, 0.25, 0.0, 0.0], [0.375]));
        ring.fill_device(&mut one, 1, |s| s);
        assert_eq!((one, ring.played_samples()), ([0.0], 2));
    }

    /// Two channels without an end, of which the second is the negative of the first.
    struct Opposites;

    impl Source for Opposites {
        fn rate(&self) -> u32 {
            100
        }

        fn channels(&self) -> u8 {
            2
        }

        fn next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
            out.extend([0.25, -0.25].repeat(37));
            Ok(true)
        }

        fn seek(&mut self, _: f64) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn channels_keep_their_places_while_the_ring_is_emptied() {
        let ring = Ring::new(100, 2, 0.0);
        ring.primed.store(1, Ordering::Relaxed);
        let worker = std::thread::spawn({
            let ring = ring.clone();
            move || ring.feed(&mut Opposites)
        });
        let (mut out, mut heard) = ([0.0f32; 2], 0);
        for seek in 0..100 {
            ring.seek(f64::from(seek));
            // The worker empties the ring meanwhile, and then fills it anew.
            let mut left = 100;
            while left > 0 {
                left -= usize::from(!ring.wants_seek());
                ring.fill_device(&mut out, 2, |s| s);
                assert!(out == [0.0; 2] || out == [0.25, -0.25], "{out:?} at seek {seek}");
                heard += usize::from(out != [0.0; 2]);
            }
        }
        assert!(heard > 0);
        ring.quit();
        worker.join().expect("no panic").expect("no error");
    }

    #[test]
    fn a_sample_goes_to_all_channels_and_silence_follows() {
        let ring = Ring::new(100, 1, 0.0);
        ring.push(&mut vec![0.5]);
        let mut out = [9i16; 4];
        ring.fill_device(&mut out, 2, |s| (s * 100.0) as i16);
        assert_eq!(
            (out, ring.played_samples(), ring.underruns()),
            ([0; 4], 0, 0),
            "half a second is waited for"
        );
        ring.primed.store(1, Ordering::Relaxed);
        ring.fill_device(&mut out, 2, |s| (s * 100.0) as i16);
        assert_eq!(out, [50, 50, 0, 0]);
        assert_eq!((ring.played_samples(), ring.underruns()), (1, 1));
        ring.ended.store(true, Ordering::Release);
        ring.fill_device(&mut out, 2, |s| (s * 100.0) as i16);
        assert_eq!((ring.played_samples(), ring.underruns(), ring.is_drained()), (1, 1, true));
    }

    /// Counts up, a thousand samples in all.
    struct Numbers(u32);

    impl Source for Numbers {
        fn rate(&self) -> u32 {
            100
        }

        fn channels(&self) -> u8 {
            1
        }

        fn next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
            let end = (self.0 + 30).min(1000);
            out.extend((self.0..end).map(|n| n as f32));
            let more = self.0 < end;
            self.0 = end;
            Ok(more)
        }

        fn seek(&mut self, seconds: f64) -> Result<()> {
            self.0 = (seconds * 100.0).round() as u32;
            Ok(())
        }
    }

    #[test]
    fn another_device_goes_on_where_the_one_before_was() {
        let ring = Ring::new(100, 1, 0.0);
        let worker = std::thread::spawn({
            let ring = ring.clone();
            move || ring.feed(&mut Numbers(0))
        });
        let take = || {
            let mut out = [0.0f32; 100];
            ring.fill_device(&mut out, 1, |s| s);
            std::thread::sleep(Duration::from_millis(1));
        };
        while ring.position() < 2.0 {
            take();
        }
        // One with the same rate loses nothing.
        ring.follow_device(100, 0.1);
        assert!(!ring.wants_seek());
        let before = ring.position();
        ring.follow_device(200, 0.1);
        while ring.wants_seek() {
            take();
        }
        assert!((ring.position() - before).abs() < 0.01, "{} after {before}", ring.position());
        let played = ring.played_samples();
        while !ring.is_drained() {
            take();
        }
        // The rest of ten seconds at the new rate, give or take what the filter of the resampler adds at its end.
        let rest = (ring.played_samples() - played) as f64 / 200.0;
        assert!((rest - (10.0 - before)).abs() < 0.3, "{rest} s after {before}");
        worker.join().expect("no panic").expect("no error");
    }

    #[test]
    fn seeking_pausing_and_the_end() {
        let ring = Ring::new(100, 1, 0.0);
        let worker = std::thread::spawn({
            let ring = ring.clone();
            move || ring.feed(&mut Numbers(0))
        });
        let hear = |count: usize| {
            let mut heard = Vec::new();
            while heard.len() < count && !ring.is_drained() {
                let mut out = [-1.0f32; 10];
                ring.fill_device(&mut out, 1, |s| s);
                heard.extend(out.iter().filter(|s| **s > 0.0));
                std::thread::sleep(Duration::from_millis(1));
            }
            heard
        };
        assert!(hear(100).is_sorted());
        ring.toggle_pause();
        let (before, mut out) = (ring.played_samples(), [1.0; 4]);
        ring.fill_device(&mut out, 1, |s| s);
        assert_eq!((out, ring.played_samples()), ([0.0; 4], before));
        ring.toggle_pause();
        ring.seek(8.0);
        assert_eq!(ring.position(), 8.0);
        while ring.wants_seek() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let rest = hear(1000);
        assert_eq!((rest.first(), rest.last(), rest.len()), (Some(&800.0), Some(&999.0), 200));
        assert!((ring.position() - 10.0).abs() < 0.01, "{}", ring.position());
        worker.join().expect("no panic").expect("no error");
    }
}
