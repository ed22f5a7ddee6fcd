//! How loud a concealed frame is: the last latent is held and the output faded, so that a loss never clicks.

/// Frames after which a loss has faded to silence (100 ms at 50 Hz).
const FADE_FRAMES: u32 = 5;
/// What the held latent is multiplied by for each lost frame.
pub(super) const LATENT_DECAY: f32 = 0.9;

/// Follows the gain through losses and recoveries.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Fade {
    lost: u32,
}

impl Fade {
    /// Applies the fade of one more lost frame to its samples.
    pub(super) fn lose(&mut self, pcm: &mut [f32]) {
        let from = self.gain();
        self.lost = (self.lost + 1).min(FADE_FRAMES);
        ramp(pcm, from, self.gain());
    }

    /// Whether nothing more is to be heard of a loss.
    pub(super) fn is_silent(&self) -> bool {
        self.lost >= FADE_FRAMES
    }

    /// Fades the first frame after a loss back in.
    pub(super) fn recover(&mut self, pcm: &mut [f32]) {
        if self.lost > 0 {
            ramp(pcm, self.gain(), 1.0);
            self.lost = 0;
        }
    }

    fn gain(&self) -> f32 {
        1.0 - self.lost as f32 / FADE_FRAMES as f32
    }
}

fn ramp(pcm: &mut [f32], from: f32, to: f32) {
    let step = (to - from) / pcm.len().max(1) as f32;
    for (i, sample) in pcm.iter_mut().enumerate() {
        *sample *= from + step * (i + 1) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_loss_fades_without_steps_and_comes_back() {
        let mut fade = Fade::default();
        let mut out = Vec::new();
        for _ in 0..7 {
            let mut frame = [1.0; 100];
            fade.lose(&mut frame);
            out.extend_from_slice(&frame);
        }
        assert!(fade.is_silent());
        assert!(out[500..].iter().all(|x| x.abs() < 1e-6));
        let mut frame = [1.0; 100];
        fade.recover(&mut frame);
        out.extend_from_slice(&frame);
        assert!(out.windows(2).all(|w| (w[1] - w[0]).abs() < 0.011));
        let mut next = [1.0; 100];
        fade.recover(&mut next);
        assert_eq!(next, [1.0; 100]);
    }
}
