//! Deciding at once: what motion compensation leaves of a block says whether smaller ones are needed, and each place is coded
//! once.

use std::sync::Arc;

use super::super::distortion::satd;
use super::super::reconstruct::Samples;
use super::super::syntax::{Block, MIN_LOG};
use super::inter::{Motions, approximate};
use super::{Decider, Hints};

/// SATD per sample in steps below which a block is not cut up.
const GOOD_SATD: f32 = 0.2;
/// The same from which it is, and the part of it that a quarter may have.
const BAD_SATD: f32 = 0.42;
const UNEVEN_PART: f32 = 0.36;

impl Decider<'_, '_> {
    /// Decides on a square of a predicted frame. Blocks and levels are appended to the scratch's, samples and cells written.
    pub(in super::super) fn decide_quickly(&mut self, (x, y, log): (usize, usize, u8), mut hints: Hints) {
        let side = 1usize << log;
        let (width, bottom) = (self.grid.width(), self.grid.bottom());
        if x >= width || y >= bottom {
            return;
        }
        if x + side <= width && y + side <= bottom {
            let block = Block::new(x, y, log);
            let found = self.search_inter(block, &mut hints);
            if log == MIN_LOG || !self.is_uneven(&found) {
                self.start_leaf(log, f32::INFINITY);
                self.try_motions(&found);
                let least = found.least();
                let is_bad =
                    least as f32 >= self.shared.effort.inter_satd * self.luma_step() * (side * side) as f32;
                if is_bad && !self.best(log).block.is_skipped {
                    self.find_copy(block);
                    self.find_intra(block, least);
                }
                return self.keep_leaf(log);
            }
        }
        let half = side / 2;
        for (dx, dy) in [(0, 0), (half, 0), (0, half), (half, half)] {
            self.decide_quickly((x + dx, y + dy, log - 1), hints);
        }
    }

    /// Whether smaller blocks will be predicted better.
    fn is_uneven(&self, found: &Motions) -> bool {
        let block = found.best();
        let (x, y, side) = block.place();
        let area = self.luma_step() * (side * side) as f32;
        if (found.least() as f32) < GOOD_SATD * area {
            return false;
        }
        let references = self.shared.references;
        let reference = |r: u8| references.get(usize::from(r)).map(Arc::as_ref);
        let mut samples = Samples::new();
        approximate(reference, &block.motion, (x, y, side), &mut samples.luma);
        let (source, half) = (&self.shared.source.planes[0], side / 2);
        let parts = [(0, 0), (half, 0), (0, half), (half, half)].map(|(dx, dy)| {
            satd(half, source.at(x + dx, y + dy), source.stride, &samples.luma[dy * 32 + dx..], 32)
        });
        let (sum, most) = (parts.iter().sum::<u32>(), parts.iter().copied().max().unwrap_or(0));
        most as f32 > UNEVEN_PART * sum as f32 || sum as f32 > BAD_SATD * area
    }
}
