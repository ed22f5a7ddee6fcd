//! Power of a signal in a few bands, frame by frame.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use siskin_bitstream::ComfortNoise;

/// Bands of the spectrum, as many as a SID frame describes.
pub(crate) const BANDS: usize = ComfortNoise::BANDS;
/// Mean power per bin of each band. Twice the sum over all bins is the mean square of the signal.
pub(crate) type Powers = [f32; BANDS];

/// The window, bands and transforms of two hops of signal.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) hop: usize,
    /// A sine window: its squares at a distance of a hop add up to one.
    pub(crate) window: Vec<f32>,
    /// First bin of each band, and the end of the last.
    edges: [usize; BANDS + 1],
    forward: Arc<dyn RealToComplex<f32>>,
    pub(crate) inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Plan {
    /// A plan for frames of `hop` samples at `rate` samples per second. Bands are equally wide on the Bark-like scale
    /// asinh(f / 600 Hz) between 0 and half the rate.
    pub(crate) fn new(hop: usize, rate: u32) -> Self {
        // A hop of 0 is refused by the bundle; the transforms must not panic before.
        let length = 2 * hop.max(1);
        let mut planner = RealFftPlanner::new();
        let nyquist = f64::from(rate) / 2.0;
        let edge = |band: usize| {
            let frequency = 600.0 * ((nyquist / 600.0).asinh() * band as f64 / BANDS as f64).sinh();
            // A transform of two hops has `hop + 1` bins.
            ((frequency / nyquist * (hop + 1) as f64).round() as usize).min(hop + 1)
        };
        Self {
            hop,
            window: (0..length)
                .map(|i| ((i as f32 + 0.5) * std::f32::consts::PI / length as f32).sin())
                .collect(),
            edges: std::array::from_fn(edge),
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
        }
    }

    /// The bins of a band; empty where a band is narrower than a bin.
    pub(crate) fn band_bins(&self, band: usize) -> std::ops::Range<usize> {
        self.edges[band]..self.edges[band + 1]
    }

    /// Mean square of a signal of these powers.
    pub(crate) fn mean_square(&self, powers: &Powers) -> f32 {
        // Twice, for the bins of negative frequency that a real transform leaves out.
        2.0 * powers.iter().enumerate().map(|(b, p)| p * self.band_bins(b).len() as f32).sum::<f32>()
    }
}

/// Measures a signal frame by frame.
#[derive(Clone)]
pub(crate) struct Analysis {
    plan: Plan,
    /// The last two hops.
    signal: Vec<f32>,
    windowed: Vec<f32>,
    bins: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl Analysis {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            signal: vec![0.0; plan.window.len()],
            windowed: plan.forward.make_input_vec(),
            bins: plan.forward.make_output_vec(),
            scratch: plan.forward.make_scratch_vec(),
            plan: plan.clone(),
        }
    }

    /// Powers of the bands over a frame of a hop and the frame before it.
    pub(crate) fn measure_frame(&mut self, frame: &[f32]) -> Powers {
        let hop = self.plan.hop;
        self.signal.copy_within(hop.., 0);
        // A shorter frame leaves old samples in place rather than panicking; callers pass whole hops.
        let count = frame.len().min(hop);
        self.signal[hop..hop + count].copy_from_slice(&frame[..count]);
        let weighted = self.signal.iter().zip(&self.plan.window).map(|(x, w)| x * w);
        self.windowed.iter_mut().zip(weighted).for_each(|(to, x)| *to = x);
        let lengths_fit =
            self.plan.forward.process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.scratch);
        debug_assert!(lengths_fit.is_ok(), "the vectors are the plan's own");
        // Parseval's theorem, with a window whose squares average 1/2.
        let scale = 1.0 / (2.0 * (hop * hop) as f32);
        std::array::from_fn(|band| {
            let bins = &self.bins[self.plan.band_bins(band)];
            let power: f32 = bins.iter().map(Complex::norm_sqr).sum();
            if bins.is_empty() { 0.0 } else { power * scale / bins.len() as f32 }
        })
    }

    /// Power of each bin of the last frame measured, on the scale of [`measure_frame`](Self::measure_frame).
    pub(crate) fn bin_powers(&self) -> impl Iterator<Item = f32> + '_ {
        let scale = 1.0 / (2.0 * (self.plan.hop * self.plan.hop) as f32);
        self.bins.iter().map(move |bin| bin.norm_sqr() * scale)
    }

    /// Sets the last two hops, as [`signal_history`](Self::signal_history) gave them.
    pub(crate) fn set_signal_history(&mut self, signal: &[f32]) {
        if signal.len() == self.signal.len() {
            self.signal.copy_from_slice(signal);
        }
    }

    /// The last two hops, the whole state of the analysis.
    pub(crate) fn signal_history(&self) -> &[f32] {
        &self.signal
    }

    /// Back to silence.
    pub(crate) fn reset(&mut self) {
        self.signal.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: usize = 480;

    fn plan() -> Plan {
        Plan::new(HOP, 24_000)
    }

    #[test]
    fn bands_cover_all_bins() {
        for (hop, rate) in [(480, 24_000), (8, 400), (320, 16_000), (1, 1)] {
            let plan = Plan::new(hop, rate);
            assert_eq!(
                (plan.band_bins(0).start, plan.band_bins(BANDS - 1).end),
                (0, hop + 1),
                "{hop} at {rate}"
            );
        }
        assert!((0..BANDS).all(|b| plan().band_bins(b).len() >= 4));
    }
}
