//! Comfort noise: noise of given powers per band, frame by frame.

use realfft::num_complex::Complex;

use crate::spectrum::{Plan, Powers};

/// Synthesizes noise frame by frame by inverse transforms of random spectra with overlap-add.
#[derive(Clone)]
pub(crate) struct NoiseSynthesis {
    plan: Plan,
    bins: Vec<Complex<f32>>,
    samples: Vec<f32>,
    scratch: Vec<Complex<f32>>,
    state: NoiseState,
}

/// The state of a [`NoiseSynthesis`] between frames.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NoiseState {
    /// The second, fading half of the last window.
    tail: Vec<f32>,
    random: u32,
}

impl NoiseState {
    /// Copies `other` without a new allocation.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.tail.clone_from(&other.tail);
        self.random = other.random;
    }
}

impl NoiseSynthesis {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            bins: plan.inverse.make_input_vec(),
            samples: plan.inverse.make_output_vec(),
            scratch: plan.inverse.make_scratch_vec(),
            // A fixed seed: the same packets decode to the same samples.
            state: NoiseState { tail: vec![0.0; plan.hop], random: 1 },
            plan: plan.clone(),
        }
    }

    /// Fills a frame of a hop with noise. Windows overlap by half, so a change of the powers fades over a frame.
    pub(crate) fn fill_frame(&mut self, powers: &Powers, frame: &mut [f32]) {
        for (band, power) in powers.iter().enumerate() {
            // A uniform value in -1..1 has a mean square of 1/3, and a bin has two of them.
            let amplitude = (1.5 * power.max(0.0)).sqrt();
            for bin in self.plan.band_bins(band) {
                let mut random = || {
                    // Numerical Recipes' linear congruential generator; its high bits are the good ones.
                    self.state.random = self.state.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (self.state.random >> 8) as f32 / 8_388_608.0 - 1.0
                };
                self.bins[bin] = Complex::new(amplitude * random(), amplitude * random());
            }
        }
        // DC and the Nyquist frequency have no phase: the transform refuses an imaginary part there.
        let last = self.bins.len() - 1;
        (self.bins[0], self.bins[last]) = (Complex::default(), Complex::default());
        let lengths_fit =
            self.plan.inverse.process_with_scratch(&mut self.bins, &mut self.samples, &mut self.scratch);
        debug_assert!(lengths_fit.is_ok(), "the vectors are the plan's own");
        // Noise is uncorrelated from frame to frame, so powers add in the overlap and not amplitudes: the squares
        // of the two halves of a sine window add up to one.
        self.samples.iter_mut().zip(&self.plan.window).for_each(|(x, w)| *x *= w);
        let (now, later) = self.samples.split_at(self.plan.hop);
        frame.iter_mut().zip(now.iter().zip(&self.state.tail)).for_each(|(to, (a, b))| *to = a + b);
        self.state.tail.copy_from_slice(later);
    }

    /// The state that the next frame depends on.
    pub(crate) fn noise_state(&self) -> &NoiseState {
        &self.state
    }

    /// Sets the state; ignored if it is of another hop.
    pub(crate) fn set_noise_state(&mut self, state: &NoiseState) {
        // A state of another bundle is refused by the network's states, which are restored first.
        if state.tail.len() == self.state.tail.len() {
            self.state.copy_from(state);
        }
    }

    /// Starts the next frame from silence; the random numbers go on.
    pub(crate) fn clear_tail(&mut self) {
        // The random numbers go on, or each gap would begin with the same noise.
        self.state.tail.fill(0.0);
    }

    /// Back to the state of a new one.
    pub(crate) fn reset(&mut self) {
        self.clear_tail();
        self.state.random = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::{Analysis, BANDS};

    const HOP: usize = 480;

    fn plan() -> Plan {
        Plan::new(HOP, 24_000)
    }

    #[test]
    fn noise_has_the_powers_asked_for() {
        let plan = plan();
        let asked: Powers = std::array::from_fn(|b| 1e-6 * 10f32.powf(-(b as f32) / 4.0));
        let (mut noise, mut analysis) = (NoiseSynthesis::new(&plan), Analysis::new(&plan));
        let (mut frame, mut sums, mut square) = (vec![0.0; HOP], [0.0; BANDS], 0.0);
        let frames = 400;
        for n in 0..frames + 2 {
            noise.fill_frame(&asked, &mut frame);
            let powers = analysis.measure_frame(&frame);
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
        let mut noise = NoiseSynthesis::new(&plan());
        let powers = [1e-6; BANDS];
        let (mut first, mut second) = (vec![0.0; HOP], vec![0.0; HOP]);
        noise.fill_frame(&powers, &mut first);
        noise.fill_frame(&powers, &mut second);
        let dot: f32 = first.iter().zip(&second).map(|(a, b)| a * b).sum();
        let energy: f32 = second.iter().map(|x| x * x).sum();
        assert!(dot.abs() < 0.3 * energy);
        assert!(first[0].abs() < 0.1 * (energy / HOP as f32).sqrt(), "it begins from nothing");
    }

    #[test]
    fn a_state_put_back_gives_the_same_noise() {
        let mut noise = NoiseSynthesis::new(&plan());
        let powers = [1e-6; BANDS];
        let (mut a, mut b) = (vec![0.0; HOP], vec![0.0; HOP]);
        noise.fill_frame(&powers, &mut a);
        let state = noise.noise_state().clone();
        noise.fill_frame(&powers, &mut a);
        noise.set_noise_state(&state);
        noise.fill_frame(&powers, &mut b);
        assert_eq!(a, b);
    }
}
