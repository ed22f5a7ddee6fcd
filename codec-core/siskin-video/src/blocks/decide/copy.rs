//! Blocks that repeat what is above or on the left: from where.

use super::super::copy::{self, Halves, Part, neighbors, predict_vector, split};
use super::super::grid::CELL;
use super::super::motion::Vector;
use super::super::reconstruct::Samples;
use super::super::repeats::looks_same;
use super::super::rows::Copies;
use super::super::search::vector_bits;
use super::super::syntax::{Block, MIN_LOG};
use super::Decider;

impl Decider<'_, '_> {
    /// Tries to repeat what looks the same, from where that costs least.
    pub(super) fn find_copy(&mut self, block: Block) {
        let Some(copies) = self.shared.copies else { return };
        let predicted = predict_vector(self.grid, block.place());
        // Halves only of the smallest blocks, and where the whole does not repeat: a quarter of a page's keyframe.
        let count = if block.log == MIN_LOG { 3 } else { 1 };
        for halves in [Halves::Whole, Halves::Rows, Halves::Columns].into_iter().take(count) {
            let mut vectors = [predicted; 2];
            let mut parts = split(block.place(), halves).enumerate();
            let is_found = parts.all(|(i, part)| {
                // The second is predicted from the first.
                let predicted = if i == 0 { predicted } else { vectors[0] };
                let found = self.find_part(copies, block, (part, halves), predicted);
                found.inspect(|&vector| vectors[i..].fill(vector)).is_some()
            });
            if is_found {
                let motion = copy::motion(vectors);
                self.try_inter(Block { is_copied: true, halves, motion, ..block }, true);
                if halves == Halves::Whole {
                    return;
                }
            }
        }
    }

    /// The cheapest vector to what looks the same as a part of a block.
    fn find_part(
        &self,
        copies: Copies<'_>,
        block: Block,
        (part, halves): (Part, Halves),
        predicted: Vector,
    ) -> Option<Vector> {
        let source = &self.shared.source.planes[0];
        let size = self.shared.size;
        // Padding need not look the same.
        let (columns, rows) = self.shown(0, (part.x, part.y, part.columns.max(part.rows)));
        let shown = (columns.min(part.columns), rows.min(part.rows));
        let is_good = |vector: &Vector| {
            copy::source(self.grid.size(), part, *vector)
                .is_some_and(|from| looks_same(source, (part.x, part.y), from, shown))
        };
        // By the upper left square or half square; at the end of a frame by the last one that is shown whole.
        let at = (
            part.x.min(size.width().saturating_sub(part.columns.min(CELL))),
            part.y.min(size.height().saturating_sub(part.rows.min(CELL))),
        );
        let repeats = copies.repeats(source, size, halves).of(at);
        // Whole samples are units here, as quarters are in motion.
        let bits = |v: &Vector| vector_bits(*v, predicted);
        let all = std::iter::once(predicted).chain(neighbors(self.grid, block.place())).chain(repeats);
        all.filter(is_good).min_by(|a, b| bits(a).total_cmp(&bits(b)))
    }

    /// Copies what a block repeats.
    pub(super) fn predict_copy(&self, block: &Block, out: &mut Samples) {
        if let Some(copies) = self.shared.copies {
            copy::predict(self.grid.size(), block, copies.tiles, out);
        }
    }
}
