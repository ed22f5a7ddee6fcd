//! Power of a signal in a few bands, frame by frame, and the same way back: noise of given powers.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use siskin_bitstream::ComfortNoise;

/// Bands of the spectrum.
pub(super) const BANDS: usize = ComfortNoise::BANDS;
/// Mean power of one bin of each band: over all bins twice the sum is the mean square of the signal.
pub(super) type Powers = [f32; BANDS];

/// The window, bands and transforms of two hops of signal.
#[derive(Clone)]
pub(super) struct Plan {
    hop: usize,
    /// Sine slopes: their squares at a distance of a hop add up to one.
    window: Vec<f32>,
    /// First bin of each band, and the end of the last.
    edges: [usize; BANDS + 1],
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Plan {
    /// Prepares for frames of `hop` samples at `rate` samples a second. Bands are equally wide on the Bark-like scale
    /// asinh(f / 600 Hz) between 0 and half the rate.
    pub(super) fn new(hop: usize, rate: u32) -> Self {
        let length = 2 * hop.max(1);
        let mut planner = RealFftPlanner::new();
        let nyquist = f64::from(rate) / 2.0;
        let edge = |band: usize| {
            let frequency = 600.0 * ((nyquist / 600.0).asinh() * band as f64 / BANDS as f64).sinh();
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

    /// The bins of a band; none where the bands are narrower than the bins.
    pub(super) fn bins(&self, band: usize) -> std::ops::Range<usize> {
        self.edges[band]..self.edges[band + 1]
    }

    /// Mean square of a signal of these powers.
    pub(super) fn mean_square(&self, powers: &Powers) -> f32 {
        2.0 * powers.iter().enumerate().map(|(b, p)| p * self.bins(b).len() as f32).sum::<f32>()
    }
}

/// Measures a signal frame by frame.
#[derive(Clone)]
pub(super) struct Analysis {
    plan: Plan,
    /// The last two hops.
    signal: Vec<f32>,
    windowed: Vec<f32>,
    bins: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl Analysis {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            signal: vec![0.0; plan.window.len()],
            windowed: plan.forward.make_input_vec(),
            bins: plan.forward.make_output_vec(),
            scratch: plan.forward.make_scratch_vec(),
            plan: plan.clone(),
        }
    }

    /// Takes a frame of a hop and gives the power of each band of it and the frame before.
    pub(super) fn measure(&mut self, frame: &[f32]) -> Powers {
        let hop = self.plan.hop;
        self.signal.copy_within(hop.., 0);
        let count = frame.len().min(hop);
        self.signal[hop..hop + count].copy_from_slice(&frame[..count]);
        let weighted = self.signal.iter().zip(&self.plan.window).map(|(x, w)| x * w);
        self.windowed.iter_mut().zip(weighted).for_each(|(to, x)| *to = x);
        let lengths_fit =
            self.plan.forward.process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.scratch);
        debug_assert!(lengths_fit.is_ok(), "the vectors are the plan's own");
        let scale = 1.0 / (2.0 * (hop * hop) as f32);
        std::array::from_fn(|band| {
            let bins = &self.bins[self.plan.bins(band)];
            let power: f32 = bins.iter().map(Complex::norm_sqr).sum();
            if bins.is_empty() { 0.0 } else { power * scale / bins.len() as f32 }
        })
    }

    /// Power of each bin of the last frame measured, on the scale of [`measure`](Self::measure).
    pub(super) fn bin_powers(&self) -> impl Iterator<Item = f32> + '_ {
        let scale = 1.0 / (2.0 * (self.plan.hop * self.plan.hop) as f32);
        self.bins.iter().map(move |bin| bin.norm_sqr() * scale)
    }

    /// Takes over the signal of another.
    pub(super) fn copy_from(&mut self, other: &[f32]) {
        if other.len() == self.signal.len() {
            self.signal.copy_from_slice(other);
        }
    }

    /// The last two hops, which are all that the next measurement depends on.
    pub(super) fn signal(&self) -> &[f32] {
        &self.signal
    }

    /// Forgets the signal.
    pub(super) fn reset(&mut self) {
        self.signal.fill(0.0);
    }
}

/// Makes noise frame by frame.
#[derive(Clone)]
pub(super) struct Synthesis {
    plan: Plan,
    bins: Vec<Complex<f32>>,
    samples: Vec<f32>,
    scratch: Vec<Complex<f32>>,
    state: NoiseState,
}

/// What the next frame of noise depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NoiseState {
    /// The fading half of the frame before.
    tail: Vec<f32>,
    random: u32,
}

impl NoiseState {
    /// Becomes what `other` is, in the memory that there is.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.tail.clone_from(&other.tail);
        self.random = other.random;
    }
}

impl Synthesis {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            bins: plan.inverse.make_input_vec(),
            samples: plan.inverse.make_output_vec(),
            scratch: plan.inverse.make_scratch_vec(),
            state: NoiseState { tail: vec![0.0; plan.hop], random: 1 },
            plan: plan.clone(),
        }
    }

    /// Fills a frame of a hop with noise. Each frame overlaps the next by half, so a change of the powers fades.
    pub(super) fn fill(&mut self, powers: &Powers, frame: &mut [f32]) {
        for (band, power) in powers.iter().enumerate() {
            // Uniform in -1..1 has a mean square of a third, and there are two of them a bin.
            let amplitude = (1.5 * power.max(0.0)).sqrt();
            for bin in self.plan.bins(band) {
                let mut random = || {
                    // Numerical Recipes' linear congruential generator; its high bits are the good ones.
                    self.state.random = self.state.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (self.state.random >> 8) as f32 / 8_388_608.0 - 1.0
                };
                self.bins[bin] = Complex::new(amplitude * random(), amplitude * random());
            }
        }
        // The mean and the highest frequency have no phase, and nobody hears them.
        let last = self.bins.len() - 1;
        (self.bins[0], self.bins[last]) = (Complex::default(), Complex::default());
        let lengths_fit =
            self.plan.inverse.process_with_scratch(&mut self.bins, &mut self.samples, &mut self.scratch);
        debug_assert!(lengths_fit.is_ok(), "the vectors are the plan's own");
        self.samples.iter_mut().zip(&self.plan.window).for_each(|(x, w)| *x *= w);
        let (now, later) = self.samples.split_at(self.plan.hop);
        frame.iter_mut().zip(now.iter().zip(&self.state.tail)).for_each(|(to, (a, b))| *to = a + b);
        self.state.tail.copy_from_slice(later);
    }

    /// What the next frame depends on.
    pub(super) fn state(&self) -> &NoiseState {
        &self.state
    }

    /// Takes over the state of another of the same plan.
    pub(super) fn set_state(&mut self, state: &NoiseState) {
        if state.tail.len() == self.state.tail.len() {
            self.state.copy_from(state);
        }
    }

    /// Begins the next noise from nothing; it is other noise than before.
    pub(super) fn rest(&mut self) {
        self.state.tail.fill(0.0);
    }

    /// Back to the state of a new one.
    pub(super) fn reset(&mut self) {
        self.rest();
        self.state.random = 1;
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
            assert_eq!((plan.bins(0).start, plan.bins(BANDS - 1).end), (0, hop + 1), "{hop} at {rate}");
        }
        assert!((0..BANDS).all(|b| plan().bins(b).len() >= 4));
    }

    #[test]
    fn noise_has_the_powers_asked_for() {
        let plan = plan();
        let asked: Powers = std::array::from_fn(|b| 1e-6 * 10f32.powf(-(b as f32) / 4.0));
        let (mut noise, mut analysis) = (Synthesis::new(&plan), Analysis::new(&plan));
        let (mut frame, mut sums, mut square) = (vec![0.0; HOP], [0.0; BANDS], 0.0);
        let frames = 400;
        for n in 0..frames + 2 {
            noise.fill(&asked, &mut frame);
            let powers = analysis.measure(&frame);
            if n >= 2 {
                sums.iter_mut().zip(powers).for_each(|(s, p)| *s += p / frames as f32);
                square += frame.iter().map(|x| x * x).sum::<f32>() / (frames * HOP) as f32;
            }
        }
        for (band, (found, asked)) in sums.iter().zip(asked).enumerate() {
            let off = 10.0 * (found / asked).log10();
            assert!(off.abs() < 1.0, "band {band} off by {off} dB");
        }
        let off = 10.0 * (square / plan.mean_square(&asked)).log10();
        assert!(off.abs() < 0.5, "off by {off} dB");
    }

    #[test]
    fn noise_neither_repeats_nor_jumps() {
        let mut noise = Synthesis::new(&plan());
        let powers = [1e-6; BANDS];
        let (mut first, mut second) = (vec![0.0; HOP], vec![0.0; HOP]);
        noise.fill(&powers, &mut first);
        noise.fill(&powers, &mut second);
        let dot: f32 = first.iter().zip(&second).map(|(a, b)| a * b).sum();
        let energy: f32 = second.iter().map(|x| x * x).sum();
        assert!(dot.abs() < 0.3 * energy);
        assert!(first[0].abs() < 0.1 * (energy / HOP as f32).sqrt(), "it begins from nothing");
    }

    #[test]
    fn a_state_put_back_gives_the_same_noise() {
        let mut noise = Synthesis::new(&plan());
        let powers = [1e-6; BANDS];
        let (mut a, mut b) = (vec![0.0; HOP], vec![0.0; HOP]);
        noise.fill(&powers, &mut a);
        let state = noise.state().clone();
        noise.fill(&powers, &mut a);
        noise.set_state(&state);
        noise.fill(&powers, &mut b);
        assert_eq!(a, b);
    }
}
