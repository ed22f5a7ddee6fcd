//! Which blocks a tree of 32x32 gets: the cheapest by squared error and bits, from the largest to the smallest.

mod copy;
mod inter;
mod intra;
mod quick;

use siskin_entropy::binary::{AdaptiveBit, BitCoder, bit_cost};

use super::coefficients::Place;
use super::contexts::{self, Contexts};
use super::costs::Costs;
use super::distortion::{difference, ssd};
use super::grid::Grid;
use super::motion::Vector;
use super::picture::Canvas;
use super::quant::{chroma_quality, step};
use super::rdoq::{self, Quantized};
use super::reconstruct::{Samples, add_residual, store};
use super::rows::Shared;
use super::syntax::{Block, MAX_LEVELS, MAX_LOG, MIN_LOG, code_prediction};
use super::transform::forward;
use crate::Result;

/// Weight of a squared error in chroma.
// Over RGB it is 3.3 for V and 4.3 for U; 2 goes with the step of chroma, which is finer by a factor of sqrt(2).
pub(super) const CHROMA_WEIGHT: f32 = 2.0;

/// Mean squared error in squared steps that a quarter of a skipped block may have where smaller blocks are not tried.
const SKIPPED_ERROR: f32 = 0.1;
/// Root mean square in steps below which a residual is not transformed.
const MIN_RESIDUAL: f32 = 0.04;

/// Counts bits of decisions without learning from them.
#[derive(Debug, Default)]
struct Counter {
    bits: f32,
}

impl BitCoder for Counter {
    fn code_bit(&mut self, model: &mut AdaptiveBit, value: bool) -> Result<bool> {
        self.bits += bit_cost(*model, value);
        Ok(value)
    }

    fn code_raw_bits(&mut self, count: u32, value: u32) -> Result<u32> {
        self.bits += count as f32;
        Ok(value)
    }
}

/// A way to code a block, with what it gives.
#[derive(Debug, Clone)]
struct Leaf {
    block: Block,
    cost: f32,
    samples: Samples,
    levels: Box<[i16; MAX_LEVELS]>,
}

impl Leaf {
    fn new() -> Self {
        Self {
            block: Block::new(0, 0, MIN_LOG),
            cost: f32::INFINITY,
            samples: Samples::new(),
            levels: Box::new([0; MAX_LEVELS]),
        }
    }
}

/// Buffers that are used again and again.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The best leaf so far of each size.
    leaves: [Box<Leaf>; 3],
    /// What a leaf may cost at most to be of use.
    budget: f32,
    /// What the next try works on.
    spare: Option<Box<Leaf>>,
    entries: Vec<rdoq::Entry>,
    residual: Box<[i16; 32 * 32]>,
    /// A prediction before levels are added.
    predicted: Option<Box<Samples>>,
    /// What the decisions of the tree cost.
    pub(super) costs: Costs,
    /// Blocks in the order of coding, and their levels one after another.
    pub(super) blocks: Vec<Block>,
    pub(super) levels: Vec<i16>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            leaves: std::array::from_fn(|_| Box::new(Leaf::new())),
            budget: f32::INFINITY,
            spare: None,
            entries: Vec::new(),
            residual: Box::new([0; 32 * 32]),
            predicted: None,
            costs: Costs::new(),
            blocks: Vec::new(),
            levels: Vec::new(),
        }
    }
}

/// What the blocks of a row of trees are decided from.
pub(super) struct Decider<'a, 'b> {
    pub(super) shared: Shared<'a>,
    pub(super) canvas: &'a mut Canvas<'b>,
    pub(super) grid: &'a mut Grid,
    pub(super) contexts: &'a mut Contexts,
    pub(super) scratch: &'a mut Scratch,
}

/// Motions that were found for a square, for those within it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hints {
    vectors: [Option<Vector>; 3],
    /// Whether a reference frame was about as good as the best for the larger block.
    is_useful: [bool; 3],
}

impl Decider<'_, '_> {
    fn luma_step(&self) -> f32 {
        step(self.shared.quality) as f32 / 64.0
    }

    /// Cost of a bit as squared error.
    fn squared_lambda(&self) -> f32 {
        self.shared.lambda * self.luma_step().powi(2)
    }

    /// Decides on a square; its cost, or infinity if that is not below `budget`: then what else there is for the larger square is
    /// cheaper. Blocks and levels are appended to the scratch's, samples and cells written.
    pub(super) fn decide(
        &mut self,
        (x, y, log): (usize, usize, u8),
        mut hints: Hints,
        mut budget: f32,
    ) -> f32 {
        let side = 1usize << log;
        let (width, bottom) = (self.grid.width(), self.grid.bottom());
        if x >= width || y >= bottom {
            return 0.0;
        }
        let is_inside = x + side <= width && y + side <= bottom;
        let lambda = self.squared_lambda();
        let mut split_bits = [0.0; 2];
        // Of the square as one block, once that is known to be below the budget.
        let mut own = f32::INFINITY;
        // Where both neighbors have the smallest blocks, the largest is not tried, and the other way round.
        let effort = self.shared.effort;
        let is_guided = !self.shared.references.is_empty() && !effort.is_thorough;
        let is_fine = is_guided && self.grid.count_beside((x, y), |c| c.log == MIN_LOG) == 2;
        let is_coarse = is_guided && self.grid.count_beside((x, y), |c| c.log == MAX_LOG) == 2;
        if is_inside && !(log == MAX_LOG && is_fine) {
            if log > MIN_LOG {
                let finer = self.grid.count_beside((x, y), |c| c.log < log);
                let split = contexts::SPLIT + usize::from(log - MIN_LOG - 1) * 3 + finer;
                split_bits = [false, true].map(|v| lambda * self.scratch.costs.of(split, v));
            }
            self.find_leaf((x, y, log), &mut hints, budget - split_bits[0]);
            let cost = self.best(log).cost + split_bits[0];
            let pays = cost < budget;
            if log == MIN_LOG
                || (is_coarse && log == MIN_LOG + 1)
                || cost < lambda * effort.min_split_bits[usize::from(log - MIN_LOG - 1)]
                || self.is_good_enough(log)
            {
                if !pays {
                    return f32::INFINITY;
                }
                self.keep_leaf(log);
                return cost;
            }
            if pays {
                (own, budget) = (cost, cost);
            }
        }
        let marks = (self.scratch.blocks.len(), self.scratch.levels.len());
        let (half, mut parts) = (side / 2, split_bits[1]);
        for (dx, dy) in [(0, 0), (half, 0), (0, half), (half, half)] {
            parts += self.decide((x + dx, y + dy, log - 1), hints, budget - parts);
            if parts >= budget {
                break;
            }
        }
        if parts < budget {
            return parts;
        }
        self.scratch.blocks.truncate(marks.0);
        self.scratch.levels.truncate(marks.1);
        if own.is_finite() {
            self.keep_leaf(log);
        }
        own
    }

    /// Forgets what was found for a square of the size.
    fn start_leaf(&mut self, log: u8, budget: f32) {
        let leaf = &mut self.scratch.leaves[usize::from(log - MIN_LOG)];
        // There may be nothing that is within the budget.
        (leaf.cost, leaf.block) = (f32::INFINITY, Block::new(0, 0, log));
        self.scratch.budget = budget;
    }

    /// A way to code a square that costs so much is not worth a closer look.
    fn limit(&self, log: u8) -> f32 {
        self.best(log).cost.min(self.scratch.budget)
    }

    fn best(&self, log: u8) -> &Leaf {
        &self.scratch.leaves[usize::from(log - MIN_LOG)]
    }

    /// Whether smaller blocks can hardly be cheaper: nothing is coded, and what is left is below what a step leaves.
    fn is_good_enough(&self, log: u8) -> bool {
        let leaf = self.best(log);
        if !leaf.block.is_skipped {
            return false;
        }
        let (x, y, side) = leaf.block.place();
        // As little in each quarter as rounding to steps leaves.
        let half = side / 2;
        let limit = self.luma_step().powi(2) * (half * half) as f32 * SKIPPED_ERROR;
        [(0, 0), (half, 0), (0, half), (half, half)].iter().all(|&(dx, dy)| {
            let own = &leaf.samples.luma[dy * 32 + dx..];
            self.square_error(own, 32, (x + dx, y + dy, half), 0) < limit
        })
    }

    /// Writes the best leaf to the frame and to the tree.
    fn keep_leaf(&mut self, log: u8) {
        let leaf = &self.scratch.leaves[usize::from(log - MIN_LOG)];
        let block = leaf.block;
        let (x, y, side) = block.place();
        store(&mut self.canvas.planes[0], (x, y, side), &leaf.samples.luma, 32);
        for (plane, samples) in self.canvas.planes[1..].iter_mut().zip(&leaf.samples.chroma) {
            store(plane, (x / 2, y / 2, side / 2), samples, 16);
        }
        block.record(self.grid);
        self.scratch.blocks.push(block);
        if block.coded != 0 {
            self.scratch.levels.extend_from_slice(&leaf.levels[..block.level_count()]);
        }
    }

    /// A leaf to try something with.
    fn spare(&mut self) -> Box<Leaf> {
        self.scratch.spare.take().unwrap_or_else(|| Box::new(Leaf::new()))
    }

    /// Takes a leaf that was tried, if it is cheaper.
    fn take_if_better(&mut self, mut leaf: Box<Leaf>) {
        let best = &mut self.scratch.leaves[usize::from(leaf.block.log - MIN_LOG)];
        if leaf.cost < best.cost {
            std::mem::swap(best, &mut leaf);
        }
        self.scratch.spare = Some(leaf);
    }

    /// Bits of how a block is predicted.
    fn prediction_bits(&mut self, block: &Block) -> f32 {
        let (mut counter, mut block) = (Counter::default(), *block);
        // A counter accepts everything.
        let _ = code_prediction(&mut counter, self.contexts, self.grid, &mut block);
        counter.bits
    }

    /// Finds the cheapest way to code a square as one block. What costs `budget` or more need not be known exactly.
    fn find_leaf(&mut self, (x, y, log): (usize, usize, u8), hints: &mut Hints, budget: f32) {
        self.start_leaf(log, budget);
        let block = Block::new(x, y, log);
        let mut inter = u32::MAX;
        if !self.shared.references.is_empty() {
            inter = self.find_inter(block, hints);
            let best = self.best(log);
            // Intra prediction seldom helps where motion compensation leaves less than a step a sample.
            let side = 1u32 << log;
            if best.block.is_skipped
                || (inter as f32) < self.shared.effort.inter_satd * self.luma_step() * (side * side) as f32
            {
                return;
            }
        }
        self.find_copy(block);
        self.find_intra(block, inter);
    }

    /// Bits that say whether a transform block has levels: no, yes.
    fn coded_flags(&self, block: &Block, index: usize) -> [f32; 2] {
        let context = if index >= 4 {
            let state = if index == 4 { 0 } else { 1 + usize::from(block.coded >> 4 & 1) };
            contexts::CODED_CHROMA + state * 3 + usize::from(block.log - 3)
        } else {
            let log = block.log - u8::from(block.is_split);
            contexts::CODED_LUMA + usize::from(block.is_split) * 4 + usize::from(log - 2)
        };
        [false, true].map(|v| self.scratch.costs.of(context, v))
    }

    fn plane_step(&self, plane: usize) -> i32 {
        step(if plane == 0 { self.shared.quality } else { chroma_quality(self.shared.quality) })
    }

    /// Weighted squared error of a block's plane.
    fn error(&self, samples: &Samples, (x, y, side): (usize, usize, usize), plane: usize) -> f32 {
        let (own, stride) = samples.plane(plane);
        let part = if plane == 0 { 1 } else { 2 };
        self.square_error(own, stride, (x / part, y / part, side / part), plane)
    }

    /// The same of a square of a plane.
    fn square_error(
        &self,
        own: &[u8],
        stride: usize,
        (x, y, side): (usize, usize, usize),
        plane: usize,
    ) -> f32 {
        let source = &self.shared.source.planes[plane];
        let weight = if plane == 0 { 1.0 } else { CHROMA_WEIGHT };
        let wanted = source.at(x, y);
        weight
            * match self.shown(plane, (x, y, side)) {
                (columns, rows) if columns == side && rows == side => {
                    ssd(side, wanted, source.stride, own, stride) as f32
                }
                (columns, rows) => {
                    let rows = wanted.chunks(source.stride).zip(own.chunks(stride)).take(rows);
                    let pairs = rows.flat_map(|(a, b)| a.iter().zip(b).take(columns));
                    pairs.map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum::<u32>() as f32
                }
            }
    }

    /// How many columns and rows of a square of a plane are shown. The others are padding, whose errors do not count: what moves in
    /// from there was otherwise coded once more in every frame.
    fn shown(&self, plane: usize, (x, y, side): (usize, usize, usize)) -> (usize, usize) {
        let size = if plane == 0 { self.shared.size } else { self.shared.size.chroma() };
        (size.width().saturating_sub(x).min(side), size.height().saturating_sub(y).min(side))
    }

    /// Tries levels for transform block `index` of a block, a square of a plane whose samples are predicted, and keeps them if they
    /// pay; the cost of what is kept.
    fn try_levels(
        &mut self,
        block: &mut Block,
        index: usize,
        (plane, square): (usize, (usize, usize, usize)),
        (predicted, from_stride): (&[u8], usize),
        leaf: &mut Leaf,
    ) -> f32 {
        let (lambda, side) = (self.squared_lambda(), square.2);
        let flags = self.coded_flags(block, index);
        let without = self.square_error(predicted, from_stride, square, plane) + lambda * flags[0];
        let levels = &mut leaf.levels[block.levels_at(index)];
        let quantized = self.quantize(plane, square, (predicted, from_stride), levels);
        if !quantized.is_coded {
            return without;
        }
        let (samples, stride) = leaf.samples.plane_mut(plane);
        let samples = &mut samples[block.offset_of(plane, square, stride)..];
        let step = self.plane_step(plane);
        add_residual(samples, stride, levels, side.trailing_zeros(), step, quantized.extent);
        let left = self.square_error(samples, stride, square, plane);
        let with = left + lambda * (flags[1] + quantized.bits);
        if with < without {
            block.coded |= 1 << index;
            return with;
        }
        for (to, from) in samples.chunks_mut(stride).zip(predicted.chunks(from_stride)).take(side) {
            to[..side].copy_from_slice(&from[..side]);
        }
        levels.fill(0);
        without
    }

    /// Transforms and quantizes what a prediction leaves of a square of a plane.
    fn quantize(
        &mut self,
        plane: usize,
        (x, y, side): (usize, usize, usize),
        (predicted, stride): (&[u8], usize),
        levels: &mut [i16],
    ) -> Quantized {
        let source = &self.shared.source.planes[plane];
        let step = self.plane_step(plane);
        let (columns, rows) = self.shown(plane, (x, y, side));
        let (ratio, lambda) = (self.luma_step() * 64.0 / step as f32, self.shared.lambda);
        let Scratch { costs, entries, residual, .. } = &mut *self.scratch;
        let block = &mut residual[..side * side];
        let mut sum = difference(side, (source.at(x, y), source.stride), (predicted, stride), block);
        if columns < side || rows < side {
            sum = extend_shown(side, (columns, rows), block);
        }
        // As much as this is less than what a coarser step would leave anyway.
        if (sum as f32) < (MIN_RESIDUAL * step as f32 / 64.0).powi(2) * (side * side) as f32 {
            levels.fill(0);
            return Quantized::default();
        }
        forward(side, block);
        let place = Place { chroma: usize::from(plane > 0), log: side.trailing_zeros() };
        let weight = if plane == 0 { 1.0 } else { CHROMA_WEIGHT };
        let lambda = lambda * ratio * ratio / weight;
        rdoq::quantize(costs, place, block, (step, lambda), levels, entries)
    }
}

/// Repeats what is shown of a residual over the rest of its block, which costs the fewest levels; the sum of squares.
fn extend_shown(side: usize, (columns, rows): (usize, usize), block: &mut [i16]) -> u32 {
    if columns == 0 || rows == 0 {
        block.fill(0);
        return 0;
    }
    for row in block.chunks_exact_mut(side).take(rows) {
        let last = row[columns - 1];
        row[columns..].fill(last);
    }
    for row in rows..side {
        block.copy_within((rows - 1) * side..rows * side, row * side);
    }
    block.iter().map(|&v| i32::from(v).pow(2) as u32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_follows_what_is() {
        let mut block = [0i16; 16];
        block.iter_mut().zip(1..).for_each(|(v, i)| *v = i);
        assert_eq!(extend_shown(4, (2, 3), &mut block), 1 + 3 * 4 + 25 + 3 * 36 + 2 * (81 + 3 * 100));
        assert_eq!(block, [1, 2, 2, 2, 5, 6, 6, 6, 9, 10, 10, 10, 9, 10, 10, 10]);
        assert_eq!((extend_shown(4, (0, 3), &mut block), block), (0, [0; 16]));
    }
}
