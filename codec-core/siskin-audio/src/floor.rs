//! The level of background noise in each band, followed through speech.

use super::spectrum::{BANDS, Powers};

/// Frames of one of the two blocks whose least powers count: in 0.8 to 1.6 s at 50 Hz speech pauses in every band.
const BLOCK: u32 = 40;
/// How much of the smoothed power a new frame replaces, where it is above and where it is below.
const RISE: f32 = 0.2;
const FALL: f32 = 0.5;
/// What the least of smoothed powers is below their mean, for noise.
const BIAS: f32 = 2.0;
/// Frames before which the least is not taken for noise: half a second at 50 Hz.
const FEWEST: u32 = 25;

/// Minimum statistics (R. Martin, "Noise Power Spectral Density Estimation Based on Optimal Smoothing and Minimum
/// Statistics", 2001) in its plainest form: the least smoothed power of the last one to two blocks of frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NoiseFloor {
    smooth: Powers,
    least: Powers,
    least_before: Powers,
    /// Frames of the block so far.
    frames: u32,
    /// Frames followed in all.
    seen: u32,
}

impl NoiseFloor {
    /// A floor that nothing is known of: `initial` stands for it at most, for the first block.
    pub(super) fn new(initial: f32) -> Self {
        Self {
            smooth: [0.0; BANDS],
            least: [initial; BANDS],
            least_before: [initial; BANDS],
            frames: 0,
            seen: 0,
        }
    }

    /// Takes the powers of a frame.
    pub(super) fn follow(&mut self, powers: &Powers) {
        if self.frames == BLOCK {
            (self.least_before, self.least, self.frames) = (self.least, [f32::INFINITY; BANDS], 0);
        }
        self.frames += 1;
        for (b, &power) in powers.iter().enumerate() {
            let weight = match self.seen {
                0 => 1.0,
                _ if power > self.smooth[b] => RISE,
                _ => FALL,
            };
            self.smooth[b] += weight * (power - self.smooth[b]);
            self.least[b] = self.least[b].min(self.smooth[b]);
        }
        self.seen = self.seen.saturating_add(1);
    }

    /// Takes over powers that are known to be the noise's.
    pub(super) fn set(&mut self, powers: &Powers) {
        let least = powers.map(|p| p / BIAS);
        (self.least, self.least_before, self.smooth) = (least, least, *powers);
        (self.frames, self.seen) = (0, FEWEST);
    }

    /// The noise's powers; nothing before enough frames have been followed to tell.
    pub(super) fn powers(&self) -> Powers {
        std::array::from_fn(|b| {
            let least = self.least[b].min(self.least_before[b]);
            if self.seen >= FEWEST && least.is_finite() { BIAS * least } else { 0.0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::spectrum::{Analysis, Plan, Synthesis};
    use super::*;

    /// Noise at -50 dB with bursts that are 40 dB louder, `loud` of every 25 frames.
    fn floor_after(loud: usize) -> f32 {
        let plan = Plan::new(480, 24_000);
        let (mut noise, mut analysis) = (Synthesis::new(&plan), Analysis::new(&plan));
        let mut floor = NoiseFloor::new(f32::INFINITY);
        let mut frame = vec![0.0; 480];
        for n in 0..500 {
            let power = 1e-5 / 961.0;
            noise.fill(&[if n % 25 < loud { power * 1e4 } else { power }; BANDS], &mut frame);
            floor.follow(&analysis.measure(&frame));
        }
        10.0 * plan.mean_square(&floor.powers()).log10()
    }

    #[test]
    fn the_floor_is_found_beneath_speech() {
        assert!((floor_after(0) + 50.0).abs() < 2.0, "{}", floor_after(0));
        // The smoothed power has not come down all the way when the next burst begins.
        assert!((floor_after(5) + 49.0).abs() < 3.0, "{}", floor_after(5));
    }

    #[test]
    fn known_noise_is_taken_over() {
        let mut floor = NoiseFloor::new(f32::INFINITY);
        assert_eq!(floor.powers(), [0.0; BANDS]);
        floor.set(&[2.0; BANDS]);
        assert!(floor.powers().iter().all(|p| (p - 2.0).abs() < 1e-6));
    }
}
