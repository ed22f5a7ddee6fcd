//! What is left out of the work on frames that would come too late: steps of refinement first, then frames.

/// After so many frames in time in a row one step more is tried.
// A second at 30 frames per second: quick to give way, slow to try again, so that quality does not swing.
const PATIENCE: u32 = 30;

/// How much work frames get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Steps of refinement that were asked for, and that are taken.
    wanted: u32,
    steps: u32,
    in_time: u32,
}

impl Load {
    /// With all steps that were asked for.
    pub(super) fn new(wanted: u32) -> Self {
        Self { wanted, steps: wanted, in_time: 0 }
    }

    /// Whether frames get fewer steps than asked for.
    pub(super) fn is_reduced(&self) -> bool {
        self.steps < self.wanted
    }

    /// The steps of the next frame, none if it is left out. `is_late` says that it is too late for it already, `is_needed`
    /// that it must not be left out.
    pub(super) fn next(&mut self, is_late: bool, is_needed: bool) -> Option<u32> {
        if is_late {
            self.in_time = 0;
            if self.steps == 0 {
                // A frame left out costs motion, one that is late costs the frame after it as well.
                return Some(0).filter(|_| is_needed);
            }
            // Halved, because one late frame is seldom the last.
            self.steps /= 2;
        } else {
            self.in_time += 1;
            if self.in_time >= PATIENCE && self.is_reduced() {
                (self.steps, self.in_time) = (self.steps + 1, 0);
            }
        }
        Some(self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refinement_goes_first_and_frames_go_then() {
        let mut load = Load::new(4);
        assert_eq!(load.next(false, false), Some(4));
        let late: Vec<_> = (0..5).map(|_| load.next(true, false)).collect();
        assert_eq!(late, [Some(2), Some(1), Some(0), None, None]);
        assert_eq!(load.next(true, true), Some(0), "a keyframe that was asked for comes whatever the time");
        // In time again, it comes back step by step.
        let back: Vec<_> = (0..4 * PATIENCE + 5).map(|_| load.next(false, false)).collect();
        assert_eq!(
            (back[0], back[PATIENCE as usize], back.last().copied().flatten()),
            (Some(0), Some(1), Some(4))
        );
        assert!(!load.is_reduced());
        let mut none = Load::new(0);
        assert_eq!((none.next(false, false), none.next(true, false)), (Some(0), None));
    }
}
