//! Blocks that repeat what is above or on the left: from where.

use super::super::copy::{self, neighbors, predict_vector};
use super::super::grid::CELL;
use super::super::motion::Vector;
use super::super::reconstruct::Samples;
use super::super::repeats::looks_same;
use super::super::search::vector_bits;
use super::super::syntax::Block;
use super::Decider;

impl Decider<'_, '_> {
    /// Tries to repeat what looks the same, from where that costs least.
    pub(super) fn find_copy(&mut self, block: Block) {
        let Some(copies) = self.shared.copies else { return };
        let place = block.place();
        let (x, y, _) = place;
        let (source, width) = (&self.shared.source.planes[0], self.grid.width());
        // Padding need not look the same.
        let shown = self.shown(0, place);
        let is_good = |vector: Vector| {
            copy::source(width, place, vector).is_some_and(|from| looks_same(source, (x, y), from, shown))
        };
        let predicted = predict_vector(self.grid, place);
        // At the end of a frame, of the last square that is shown whole.
        let size = self.shared.size;
        let at = (x.min(size.width().saturating_sub(CELL)), y.min(size.height().saturating_sub(CELL)));
        let repeats = copies.repeats(source).of(at).map(|(from_x, from_y)| {
            [from_x as i32 - at.0 as i32, from_y as i32 - at.1 as i32].map(|v| v as i16)
        });
        // Whole samples are units here, as quarters are in motion.
        let bits = |v: &Vector| vector_bits(*v, predicted);
        let all = neighbors(self.grid, place).chain(repeats).filter(|&v| is_good(v));
        if let Some(vector) = all.min_by(|a, b| bits(a).total_cmp(&bits(b))) {
            self.try_inter(Block { is_copied: true, motion: copy::motion(vector), ..block }, true);
        }
    }

    /// Copies what a block repeats.
    pub(super) fn predict_copy(&self, block: &Block, out: &mut Samples) {
        let from = copy::source(self.grid.width(), block.place(), block.motion.vectors[0]);
        if let (Some(copies), Some(from)) = (self.shared.copies, from) {
            copies.tiles.copy_samples(from, block.place().2, out);
        }
    }
}
