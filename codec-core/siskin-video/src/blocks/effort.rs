//! What an encoder tries, and what it takes for granted: time for rate.
//!
//! The figures are means over clips of 480x270 at equal luma PSNR, of [`USUAL`] unless something else is said.

/// Limits of the search.
#[derive(Debug)]
pub(super) struct Effort {
    /// Sizes of blocks in predicted frames follow from what motion compensation leaves, and are not tried.
    pub(super) is_quick: bool,
    /// Everything that the format has is tried: transforms split in four in blocks with motion, and sizes that no neighbor has.
    pub(super) is_thorough: bool,
    /// A block whose cost is less than that of so many bits is not cut up: 16x16, and 32x32. 0.5 % of rate, a fifth of the time.
    pub(super) min_split_bits: [f32; 2],
    /// SATD per sample in steps: below the first, merging is enough; below the second, only the last frame is searched; below the
    /// third, intra prediction is not tried. Twice as much takes 4 % more rate, most in noise, and 5 % less time.
    pub(super) merged_satd: f32,
    pub(super) last_frame_satd: f32,
    pub(super) inter_satd: f32,
    /// Levels for merged motion are tried up to this part of the SATD of a block's own motion. 1 % of rate, a fifth of the time.
    pub(super) merged_levels: f32,
    /// Intra prediction is given up if its likely modes are worse than this part of motion compensation.
    pub(super) intra_satd: f32,
    /// In keyframes the second mode is tried if its SATD is at most this part of the best one's: 0.6 % of rate, a twelfth of the
    /// time of a keyframe.
    pub(super) second_mode: f32,
}

const USUAL: Effort = Effort {
    is_quick: false,
    is_thorough: false,
    min_split_bits: [60.0, 100.0],
    merged_satd: 0.05,
    last_frame_satd: 0.15,
    inter_satd: 0.08,
    merged_levels: 1.05,
    intra_satd: 1.6,
    second_mode: 1.1,
};

static QUICK: Effort = Effort {
    is_quick: true,
    merged_satd: 0.1,
    last_frame_satd: 0.3,
    inter_satd: 0.15,
    intra_satd: 1.3,
    second_mode: 0.0,
    ..USUAL
};

static THOROUGH: Effort = Effort {
    is_quick: false,
    is_thorough: true,
    min_split_bits: [20.0, 30.0],
    merged_satd: 0.02,
    last_frame_satd: 0.05,
    inter_satd: 0.03,
    merged_levels: 1.2,
    intra_satd: 2.0,
    second_mode: 1.3,
};

impl Effort {
    /// That of a number of refinements.
    pub(super) fn of(refinements: u32) -> &'static Self {
        match refinements {
            0 => &QUICK,
            1 => const { &USUAL },
            _ => &THOROUGH,
        }
    }
}
