//! The high-pass before the encoder and the limiter after the decoder.

use std::f32::consts::TAU;

use siskin_model::bundle::Conventions;

/// Corner of the high-pass: below the lowest voices (80 Hz), above the drift of a microphone's DC offset.
const CORNER_HZ: f32 = 20.0;
/// Clip of input samples, 12 dB above full scale: louder ones are a fault of the source, and the network must not see
/// values far outside its training.
const MAX_SAMPLE: f32 = 4.0;
/// Time constant of the limiter's release: the gain comes back by 8.7 dB in this time, slower than a pitch period of the
/// lowest voices, so that it does not follow the waveform.
const RELEASE_SECONDS: f32 = 0.05;

/// A first-order high-pass that removes the DC component before coding; it takes the samples of all channels in turn.
#[derive(Debug, Clone)]
pub(crate) struct HighPass {
    /// None where samples pass as they are.
    pole: Option<f32>,
    /// Last input and output of each channel.
    last: Vec<[f32; 2]>,
    /// Channel of the next sample.
    channel: usize,
}

impl HighPass {
    /// That of a codec's conventions.
    pub(crate) fn of(conventions: Conventions, rate: u32, channels: usize) -> Self {
        let pole = match conventions {
            Conventions::Siskin => Some((-TAU * CORNER_HZ / rate as f32).exp()),
            Conventions::Published => None,
        };
        Self { pole, last: vec![[0.0; 2]; channels.max(1)], channel: 0 }
    }

    /// Filters the next sample. NaN and infinite samples count as silence; louder ones are clipped at 12 dB above full
    /// scale.
    pub(crate) fn filter_sample(&mut self, sample: f32) -> f32 {
        let sample = if sample.is_finite() { sample.clamp(-MAX_SAMPLE, MAX_SAMPLE) } else { 0.0 };
        let Some(pole) = self.pole else { return sample };
        let channels = self.last.len();
        let [input, output] = &mut self.last[self.channel];
        self.channel = (self.channel + 1) % channels;
        // Scaled to a gain of exactly 1 at the Nyquist frequency.
        let next = pole * *output + 0.5 * (1.0 + pole) * (sample - *input);
        // Denormal numbers would be slow, and -300 dB is inaudible.
        *output = if next.abs() < 1e-15 { 0.0 } else { next };
        *input = sample;
        *output
    }

    pub(crate) fn reset(&mut self) {
        self.last.fill([0.0; 2]);
        self.channel = 0;
    }
}

/// Keeps samples within full scale: a peak beyond it turns the gain of all channels down at once, and the gain then comes back
/// slowly. Samples within full scale are not changed otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limiter {
    /// None where samples beyond full scale pass as they are.
    release: Option<f32>,
    /// The decaying peak.
    peak: f32,
}

impl Limiter {
    pub(crate) fn new(rate: u32) -> Self {
        Self { release: Some((-1.0 / (RELEASE_SECONDS * rate as f32)).exp()), peak: 0.0 }
    }

    /// That of a codec's conventions; `rate` counts the samples of all channels.
    pub(crate) fn of(conventions: Conventions, rate: u32) -> Self {
        match conventions {
            Conventions::Siskin => Self::new(rate),
            Conventions::Published => Self { release: None, peak: 0.0 },
        }
    }

    pub(crate) fn limit_samples(&mut self, pcm: &mut [f32]) {
        for sample in pcm {
            // The network's failure is one silent sample, not a peak that keeps the gain down.
            if !sample.is_finite() {
                *sample = 0.0;
            }
            let Some(release) = self.release else { continue };
            // Instant attack: the very sample that exceeds full scale is scaled already.
            self.peak = sample.abs().max(self.peak * release);
            if self.peak > 1.0 {
                *sample /= self.peak;
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        self.peak = 0.0;
    }

    /// The decaying peak, which is the limiter's whole state.
    pub(crate) fn peak(&self) -> f32 {
        self.peak
    }

    pub(crate) fn set_peak(&mut self, peak: f32) {
        self.peak = peak;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_a_filter_of_its_own() {
        let mut stereo = HighPass::of(Conventions::Siskin, 24_000, 2);
        let mut mono = HighPass::of(Conventions::Siskin, 24_000, 1);
        let left: Vec<f32> = (0..500).map(|i| (i as f32 * 0.1).sin() + 0.5).collect();
        let expected: Vec<f32> = left.iter().map(|&x| mono.filter_sample(x)).collect();
        for (&x, expected) in left.iter().zip(expected) {
            assert_eq!((stereo.filter_sample(x), stereo.filter_sample(0.0)), (expected, 0.0));
        }
    }

    #[test]
    fn a_constant_goes_and_a_voice_stays() {
        let mut filter = HighPass::of(Conventions::Siskin, 24_000, 1);
        let last = (0..24_000).map(|_| filter.filter_sample(1.0)).last();
        assert!(last.is_some_and(|x| x.abs() < 1e-6));
        for frequency in [80.0f32, 200.0, 1000.0, 8000.0] {
            filter.reset();
            let tone =
                (0..24_000).map(|i| filter.filter_sample((TAU * frequency * i as f32 / 24_000.0).sin()));
            let power = tone.skip(12_000).map(|x| x * x).sum::<f32>() / 6000.0;
            assert!((10.0 * power.log10()).abs() < 0.5, "{frequency} Hz: {power}");
        }
    }

    #[test]
    fn what_is_no_number_leaves_no_trace() {
        let mut filter = HighPass::of(Conventions::Siskin, 24_000, 1);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
            assert!(filter.filter_sample(bad).abs() <= 2.0 * MAX_SAMPLE);
        }
        let last = (0..24_000).map(|_| filter.filter_sample(0.0)).last();
        assert!(last.is_some_and(|x| x.abs() < 1e-6));
    }

    #[test]
    fn the_limiter_leaves_what_is_within_and_bounds_the_rest() {
        let mut limiter = Limiter::new(24_000);
        let within: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut out = within.clone();
        limiter.limit_samples(&mut out);
        assert_eq!(out, within);
        let mut loud: Vec<f32> = within.iter().map(|x| 3.0 * x).chain(within.iter().copied()).collect();
        loud[10] = f32::NAN;
        limiter.limit_samples(&mut loud);
        assert!(loud.iter().all(|x| x.abs() <= 1.0));
        let mut later = vec![0.9; 24_000];
        limiter.limit_samples(&mut later);
        assert_eq!(later.last(), Some(&0.9), "it has let go");
    }
}
