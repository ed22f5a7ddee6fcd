//! Sample rates of devices and of the codec, and the small changes of speed that keep two clocks together.

use anyhow::{Result, anyhow};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

/// Taps of the filter: its delay is half of them, 1.3 ms at 24 kHz.
// Fewer taps pass more of what aliases: 64 keep speech clean and cost little delay.
const TAPS: usize = 64;
/// Most change of speed that may be asked for.
// Twice what the jitter buffer asks for.
const MAX_CHANGE: f64 = 1.02;

/// A stream of mono samples to another rate, in chunks of one size on one side.
pub(super) struct Rate {
    inner: Async<f32>,
    out: Vec<f32>,
}

impl Rate {
    /// Takes chunks of `chunk` samples at `from`.
    pub(super) fn with_fixed_input(from: u32, to: u32, chunk: usize) -> Result<Self> {
        Self::new(from, to, chunk, FixedAsync::Input)
    }

    /// Gives chunks of `chunk` samples at `to`.
    pub(super) fn with_fixed_output(from: u32, to: u32, chunk: usize) -> Result<Self> {
        Self::new(from, to, chunk, FixedAsync::Output)
    }

    fn new(from: u32, to: u32, chunk: usize, fixed: FixedAsync) -> Result<Self> {
        let filter = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(to) / f64::from(from.max(1));
        let inner = Async::new_sinc(ratio, MAX_CHANGE, &filter, chunk, 1, fixed)
            .map_err(|e| anyhow!("cannot resample {from} Hz to {to} Hz: {e}"))?;
        let out = vec![0.0; inner.output_frames_max()];
        Ok(Self { inner, out })
    }

    /// Samples that the next call takes.
    pub(super) fn needed_samples(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// Samples at the output's rate by which the output lags.
    #[cfg(test)]
    pub(super) fn delay(&self) -> usize {
        self.inner.output_delay()
    }

    /// Resamples [`needed_samples`](Rate::needed_samples) samples, `faster` than at the nominal rate by this share. Nothing is
    /// allocated.
    pub(super) fn convert(&mut self, samples: &[f32], faster: f64) -> Result<&[f32]> {
        let fail = |e: &dyn std::fmt::Display| anyhow!("samples cannot be resampled: {e}");
        if let Some(adjustable) = self.inner.as_adjustable() {
            // Ramped over the chunk: a step in speed would click.
            adjustable.set_resample_ratio_relative(1.0 / (1.0 + faster), true).map_err(|e| fail(&e))?;
        }
        let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| fail(&e))?;
        let room = self.out.len();
        let mut output = InterleavedSlice::new_mut(&mut self.out, 1, room).map_err(|e| fail(&e))?;
        let (_, given) = self.inner.process_into_buffer(&input, &mut output, None).map_err(|e| fail(&e))?;
        Ok(&self.out[..given])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stays_a_tone_at_every_rate() {
        for rate in [16_000u32, 44_100, 48_000, 96_000] {
            let mut converter = Rate::with_fixed_input(24_000, rate, 480).expect("a resampler");
            let tone = |i: usize, rate: u32| (i as f32 * 440.0 * std::f32::consts::TAU / rate as f32).sin();
            let mut out = Vec::new();
            for chunk in 0..50 {
                let samples: Vec<f32> = (chunk * 480..(chunk + 1) * 480).map(|i| tone(i, 24_000)).collect();
                out.extend_from_slice(converter.convert(&samples, 0.0).expect("samples"));
            }
            assert!(out.len().abs_diff(rate as usize) <= rate as usize / 50, "{} at {rate}", out.len());
            // The delay is told in whole samples; a sample of a 440 Hz tone is at most this much.
            let (lag, step) = (converter.delay(), 440.0 * std::f32::consts::TAU / rate as f32);
            let worst = (2000..out.len()).map(|i| (out[i] - tone(i - lag, rate)).abs()).fold(0.0, f32::max);
            assert!(worst < step + 0.01, "{worst} at {rate}");
        }
    }

    #[test]
    fn speed_changes_the_length() {
        let mut converter = Rate::with_fixed_input(24_000, 48_000, 480).expect("a resampler");
        let given: usize =
            (0..100).map(|_| converter.convert(&[0.1; 480], 0.01).expect("samples").len()).sum();
        assert!((94_800..95_400).contains(&given), "{given}");
    }

    #[test]
    fn a_device_gives_whole_frames() {
        let mut converter = Rate::with_fixed_output(44_100, 24_000, 480).expect("a resampler");
        let mut taken = 0;
        for _ in 0..50 {
            let needed = converter.needed_samples();
            taken += needed;
            assert_eq!(converter.convert(&vec![0.1; needed], 0.0).expect("samples").len(), 480);
        }
        assert!(taken.abs_diff(44_100) < 400, "{taken}");
    }
}
