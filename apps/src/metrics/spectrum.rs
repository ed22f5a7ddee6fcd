//! Short-time spectra.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Windowed power spectra of frames, zero-padded to the transform's size.
pub(super) struct Spectrum {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    input: Vec<f64>,
    bins: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Spectrum {
    pub(super) fn new(window: Vec<f64>, size: usize) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(size);
        let (input, bins, scratch) = (fft.make_input_vec(), fft.make_output_vec(), fft.make_scratch_vec());
        Self { fft, window, input, bins, scratch }
    }

    /// The power in each bin of the frame that `samples` begins with.
    pub(super) fn power(&mut self, samples: &[f64], out: &mut Vec<f64>) {
        self.input.fill(0.0);
        for ((to, from), w) in self.input.iter_mut().zip(samples).zip(&self.window) {
            *to = from * w;
        }
        // The buffers are the plan's own, so their sizes fit, which is all that can be wrong.
        self.fft.process_with_scratch(&mut self.input, &mut self.bins, &mut self.scratch).ok();
        out.clear();
        out.extend(self.bins.iter().map(|b| b.norm_sqr()));
    }
}

/// A Hann window without its zero ends, as Matlab's `hanning` and pystoi have it.
pub(super) fn hann_window(size: usize) -> Vec<f64> {
    (1..=size)
        .map(|i| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / (size + 1) as f64).cos())
        .collect()
}
