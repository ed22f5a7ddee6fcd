//! The power of background noise in each band, tracked through speech.

use crate::spectrum::{BANDS, Powers};

/// Frames per block; the minima of the last two blocks count. In 0.8 to 1.6 s at 50 Hz speech pauses in every band.
const BLOCK_FRAMES: u32 = 40;
/// Share of the smoothed power that a new frame replaces, above it and below it. The fall is faster, so that the floor is
/// reached in the short pauses between words.
// The slow rise keeps syllables out of the smoothed power.
const RISE: f32 = 0.2;
const FALL: f32 = 0.5;
/// Mean over minimum of the smoothed powers of noise: 3 dB, which the test below holds to within 2 dB.
const BIAS: f32 = 2.0;
/// Frames before which the minimum is not trusted: half a second at 50 Hz, longer than most sounds of speech.
const MIN_FRAMES: u32 = 25;

/// Minimum statistics (R. Martin, "Noise Power Spectral Density Estimation Based on Optimal Smoothing and Minimum
/// Statistics", 2001) in its simplest form: the minimum of the smoothed power over the last one to two blocks of frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NoiseFloor {
    smooth: Powers,
    minimum: Powers,
    previous_minimum: Powers,
    /// Frames in the current block.
    frames: u32,
    /// Frames in total.
    total_frames: u32,
}

impl NoiseFloor {
    /// A floor without any frame; `initial` is its upper bound during the first block.
    pub(crate) fn new(initial: f32) -> Self {
        Self {
            smooth: [0.0; BANDS],
            minimum: [initial; BANDS],
            previous_minimum: [initial; BANDS],
            frames: 0,
            total_frames: 0,
        }
    }

    /// Updates the floor with the powers of a frame.
    pub(crate) fn push_frame(&mut self, powers: &Powers) {
        if self.frames == BLOCK_FRAMES {
            (self.previous_minimum, self.minimum, self.frames) = (self.minimum, [f32::INFINITY; BANDS], 0);
        }
        self.frames += 1;
        for (b, &power) in powers.iter().enumerate() {
            // The first frame initializes the smoothed power.
            let weight = match self.total_frames {
                0 => 1.0,
                _ if power > self.smooth[b] => RISE,
                _ => FALL,
            };
            self.smooth[b] += weight * (power - self.smooth[b]);
            self.minimum[b] = self.minimum[b].min(self.smooth[b]);
        }
        self.total_frames = self.total_frames.saturating_add(1);
    }

    /// Sets the floor to the powers of known noise, such as a SID frame's.
    pub(crate) fn set_powers(&mut self, powers: &Powers) {
        // `noise_powers` multiplies by the bias again.
        let minimum = powers.map(|p| p / BIAS);
        (self.minimum, self.previous_minimum, self.smooth) = (minimum, minimum, *powers);
        // Trusted at once: the sender has measured it.
        (self.frames, self.total_frames) = (0, MIN_FRAMES);
    }

    /// The noise's powers; zero before `MIN_FRAMES` frames.
    pub(crate) fn noise_powers(&self) -> Powers {
        std::array::from_fn(|b| {
            // Two blocks, so that the minimum always looks back over at least one whole block.
            let minimum = self.minimum[b].min(self.previous_minimum[b]);
            if self.total_frames >= MIN_FRAMES && minimum.is_finite() { BIAS * minimum } else { 0.0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comfort_noise::NoiseSynthesis;
    use crate::spectrum::{Analysis, Plan};

    /// Noise at -50 dB with bursts that are 40 dB louder, `loud` of every 25 frames.
    fn floor_after(loud: usize) -> f32 {
        let plan = Plan::new(480, 24_000);
        let (mut noise, mut analysis) = (NoiseSynthesis::new(&plan), Analysis::new(&plan));
        let mut floor = NoiseFloor::new(f32::INFINITY);
        let mut frame = vec![0.0; 480];
        for n in 0..500 {
            let power = 1e-5 / 961.0;
            noise.fill_frame(&[if n % 25 < loud { power * 1e4 } else { power }; BANDS], &mut frame);
            floor.push_frame(&analysis.measure_frame(&frame));
        }
        10.0 * plan.mean_square(&floor.noise_powers()).log10()
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
        assert_eq!(floor.noise_powers(), [0.0; BANDS]);
        floor.set_powers(&[2.0; BANDS]);
        assert!(floor.noise_powers().iter().all(|p| (p - 2.0).abs() < 1e-6));
    }
}
