//! What keeps levels where they belong: no constant component goes in, nothing beyond full scale comes out.

use std::f32::consts::TAU;

/// Corner of the high-pass, in Hz: below what a voice has, above what a microphone's offset drifts with.
const CORNER: f32 = 20.0;
/// Samples beyond this are no sound but a fault of the source: 12 dB above full scale.
const LARGEST: f32 = 4.0;
/// In how many seconds the limiter lets go of a peak by 8.7 dB.
const RELEASE_SECONDS: f32 = 0.05;

/// A first-order high-pass, which takes a constant component away before it is coded.
#[derive(Debug, Clone)]
pub(crate) struct HighPass {
    pole: f32,
    input: f32,
    output: f32,
}

impl HighPass {
    pub(crate) fn new(rate: u32) -> Self {
        Self { pole: (-TAU * CORNER / rate as f32).exp(), input: 0.0, output: 0.0 }
    }

    /// The next sample. What is not finite counts as silence, what is beyond 12 dB above full scale as just that.
    pub(crate) fn next(&mut self, sample: f32) -> f32 {
        let sample = if sample.is_finite() { sample.clamp(-LARGEST, LARGEST) } else { 0.0 };
        let output = self.pole * self.output + 0.5 * (1.0 + self.pole) * (sample - self.input);
        // Denormal numbers would be slow, and nobody hears them.
        self.output = if output.abs() < 1e-15 { 0.0 } else { output };
        self.input = sample;
        self.output
    }

    pub(crate) fn reset(&mut self) {
        (self.input, self.output) = (0.0, 0.0);
    }
}

/// Keeps samples within full scale: a peak beyond it turns the gain down at once, which then comes back slowly. What is
/// within stays what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limiter {
    release: f32,
    /// The peak, falling.
    peak: f32,
}

impl Limiter {
    pub(super) fn new(rate: u32) -> Self {
        Self { release: (-1.0 / (RELEASE_SECONDS * rate as f32)).exp(), peak: 0.0 }
    }

    pub(super) fn apply(&mut self, pcm: &mut [f32]) {
        for sample in pcm {
            if !sample.is_finite() {
                *sample = 0.0;
            }
            self.peak = sample.abs().max(self.peak * self.release);
            if self.peak > 1.0 {
                *sample /= self.peak;
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.peak = 0.0;
    }

    /// The falling peak, which is all of its state.
    pub(super) fn peak(&self) -> f32 {
        self.peak
    }

    pub(super) fn set_peak(&mut self, peak: f32) {
        self.peak = peak;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_goes_and_a_voice_stays() {
        let mut filter = HighPass::new(24_000);
        let last = (0..24_000).map(|_| filter.next(1.0)).last();
        assert!(last.is_some_and(|x| x.abs() < 1e-6));
        for frequency in [80.0f32, 200.0, 1000.0, 8000.0] {
            filter.reset();
            let tone = (0..24_000).map(|i| filter.next((TAU * frequency * i as f32 / 24_000.0).sin()));
            let power = tone.skip(12_000).map(|x| x * x).sum::<f32>() / 6000.0;
            assert!((10.0 * power.log10()).abs() < 0.5, "{frequency} Hz: {power}");
        }
    }

    #[test]
    fn what_is_no_number_leaves_no_trace() {
        let mut filter = HighPass::new(24_000);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
            assert!(filter.next(bad).abs() <= 2.0 * LARGEST);
        }
        let last = (0..24_000).map(|_| filter.next(0.0)).last();
        assert!(last.is_some_and(|x| x.abs() < 1e-6));
    }

    #[test]
    fn the_limiter_leaves_what_is_within_and_bounds_the_rest() {
        let mut limiter = Limiter::new(24_000);
        let within: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut out = within.clone();
        limiter.apply(&mut out);
        assert_eq!(out, within);
        let mut loud: Vec<f32> = within.iter().map(|x| 3.0 * x).chain(within.iter().copied()).collect();
        loud[10] = f32::NAN;
        limiter.apply(&mut loud);
        assert!(loud.iter().all(|x| x.abs() <= 1.0));
        let mut later = vec![0.9; 24_000];
        limiter.apply(&mut later);
        assert_eq!(later.last(), Some(&0.9), "it has let go");
    }
}
