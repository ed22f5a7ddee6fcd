//! Which blocks a tree of 32x32 gets: the cheapest by squared error and bits, from the largest to the smallest.

mod intra;

use std::sync::Arc;

use siskin_entropy::binary::{AdaptiveBit, BitCoder, bit_cost};

use super::coefficients::{Extent, Place};
use super::contexts::{self, Contexts};
use super::distortion::{sad, satd, ssd};
use super::grid::Grid;
use super::motion::{MERGE_CANDIDATES, Motion, Vector, merge_candidates, predict_vector};
use super::picture::Picture;
use super::quant::{chroma_quality, step};
use super::rdoq::{self, Quantized};
use super::reconstruct::{Samples, add_residual, mean, predict_inter, store};
use super::search::{Survey, Wanted, average, vector_bits};
use super::syntax::{Block, MAX_LEVELS, MAX_LOG, MIN_LOG, code_prediction};
use super::transform::forward;
use crate::Result;

/// Weight of a squared error in chroma.
// Over RGB it is 3.3 for V and 4.3 for U; 2 goes with the step of chroma, which is finer by a factor of sqrt(2).
const CHROMA_WEIGHT: f32 = 2.0;

// What follows trades time for rate. The figures are means over clips of 480x270 at equal luma PSNR.

/// A block whose cost is less than that of so many bits is not cut up: 16x16, and 32x32. 0.5 % of rate, a fifth of the time.
const MIN_SPLIT_BITS: [f32; 2] = [60.0, 100.0];
/// Mean squared error in squared steps that a quarter of a skipped block may have where smaller blocks are not tried.
const SKIPPED_ERROR: f32 = 0.1;
/// SATD per sample in steps: below the first, merging is enough; below the second, only the last frame is searched; below the
/// third, intra prediction is not tried.
const MERGED_SATD: f32 = 0.1;
const LAST_FRAME_SATD: f32 = 0.3;
const INTER_SATD: f32 = 0.15;
/// Levels for merged motion are tried up to this part of the SATD of a block's own motion. 1 % of rate, a fifth of the time.
const MERGED_LEVELS: f32 = 1.05;
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
            cost: f32::MAX,
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
    /// What the next try works on.
    spare: Option<Box<Leaf>>,
    entries: Vec<rdoq::Entry>,
    /// Blocks of the tree in the order of coding, and their levels one after another.
    pub(super) blocks: Vec<Block>,
    pub(super) levels: Vec<i16>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            leaves: std::array::from_fn(|_| Box::new(Leaf::new())),
            spare: None,
            entries: Vec::new(),
            blocks: Vec::new(),
            levels: Vec::new(),
        }
    }
}

/// What a frame's blocks are decided from.
pub(super) struct Decider<'a> {
    pub(super) source: &'a Picture,
    pub(super) picture: &'a mut Picture,
    pub(super) grid: &'a mut Grid,
    pub(super) contexts: &'a mut Contexts,
    pub(super) references: &'a [Arc<Picture>],
    pub(super) survey: &'a Survey,
    pub(super) quality: u8,
    /// Cost of a bit in squared luma steps.
    pub(super) lambda: f32,
    /// No blocks of 8x8, and the last frame is the only reference.
    pub(super) is_quick: bool,
    pub(super) scratch: &'a mut Scratch,
}

/// Motions that were found for a square, for those within it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hints {
    vectors: [Option<Vector>; 3],
    /// Whether a reference frame was about as good as the best for the larger block.
    is_useful: [bool; 3],
}

impl Decider<'_> {
    fn luma_step(&self) -> f32 {
        step(self.quality) as f32 / 64.0
    }

    /// Cost of a bit as squared error.
    fn squared_lambda(&self) -> f32 {
        self.lambda * self.luma_step().powi(2)
    }

    /// Decides on a square; its cost. Blocks and levels are appended to the scratch's, samples and cells written.
    pub(super) fn decide(&mut self, (x, y, log): (usize, usize, u8), mut hints: Hints) -> f32 {
        let side = 1usize << log;
        let (width, height) = (self.picture.planes[0].width, self.picture.planes[0].height);
        if x >= width || y >= height {
            return 0.0;
        }
        let is_inside = x + side <= width && y + side <= height;
        let lambda = self.squared_lambda();
        let mut split_bits = [0.0; 2];
        let mut cost = f32::MAX;
        // Where both neighbors have the smallest blocks, the largest is not tried, and the other way round.
        let is_fine =
            !self.references.is_empty() && self.grid.count_beside((x, y), |c| c.log == MIN_LOG) == 2;
        let is_coarse =
            !self.references.is_empty() && self.grid.count_beside((x, y), |c| c.log == MAX_LOG) == 2;
        if is_inside && !(log == MAX_LOG && is_fine) {
            if log > MIN_LOG {
                let finer = self.grid.count_beside((x, y), |c| c.log < log);
                let context = self.contexts.0[contexts::SPLIT + usize::from(log - MIN_LOG - 1) * 3 + finer];
                split_bits = [false, true].map(|v| lambda * bit_cost(context, v));
            }
            self.find_leaf((x, y, log), &mut hints);
            cost = self.best(log).cost + split_bits[0];
            if log == MIN_LOG
                || ((self.is_quick || is_coarse) && log == MIN_LOG + 1)
                || cost < lambda * MIN_SPLIT_BITS[usize::from(log - MIN_LOG - 1)]
                || self.is_good_enough(log)
            {
                self.keep_leaf(log);
                return cost;
            }
        }
        let marks = (self.scratch.blocks.len(), self.scratch.levels.len());
        let (half, mut parts) = (side / 2, split_bits[1]);
        for (dx, dy) in [(0, 0), (half, 0), (0, half), (half, half)] {
            parts += self.decide((x + dx, y + dy, log - 1), hints);
            if parts >= cost {
                break;
            }
        }
        if parts < cost {
            return parts;
        }
        self.scratch.blocks.truncate(marks.0);
        self.scratch.levels.truncate(marks.1);
        self.keep_leaf(log);
        cost
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
        let source = &self.source.planes[0];
        // As little in each quarter as rounding to steps leaves.
        let half = side / 2;
        let limit = self.luma_step().powi(2) * (half * half) as f32 * SKIPPED_ERROR;
        [(0, 0), (half, 0), (0, half), (half, half)].iter().all(|&(dx, dy)| {
            let own = &leaf.samples.luma[dy * 32 + dx..];
            (ssd(half, source.at(x + dx, y + dy), source.stride, own, 32) as f32) < limit
        })
    }

    /// Writes the best leaf to the frame and to the tree.
    fn keep_leaf(&mut self, log: u8) {
        let leaf = &self.scratch.leaves[usize::from(log - MIN_LOG)];
        let block = leaf.block;
        let (x, y, side) = block.place();
        store(&mut self.picture.planes[0], (x, y, side), &leaf.samples.luma, 32);
        for (plane, samples) in self.picture.planes[1..].iter_mut().zip(&leaf.samples.chroma) {
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

    /// Finds the cheapest way to code a square as one block.
    fn find_leaf(&mut self, (x, y, log): (usize, usize, u8), hints: &mut Hints) {
        self.scratch.leaves[usize::from(log - MIN_LOG)].cost = f32::MAX;
        let block = Block::new(x, y, log);
        let mut inter = u32::MAX;
        if !self.references.is_empty() {
            inter = self.find_inter(block, hints);
            let best = self.best(log);
            // Intra prediction seldom helps where motion compensation leaves less than a step a sample.
            let side = 1u32 << log;
            if best.block.is_skipped || (inter as f32) < INTER_SATD * self.luma_step() * (side * side) as f32
            {
                return;
            }
        }
        self.find_intra(block, inter);
    }

    /// The best of merging and of a motion of its own; the least SATD found.
    fn find_inter(&mut self, block: Block, hints: &mut Hints) -> u32 {
        let place = block.place();
        let (x, y, side) = place;
        let source = &self.source.planes[0];
        let own = source.at(x, y);
        let lambda = self.squared_lambda().sqrt();
        let candidates = merge_candidates(self.grid, place);
        let mut samples = Samples::new();
        let references = self.references;
        let reference = |r: u8| references.get(usize::from(r)).map(Arc::as_ref);
        let mut merge = (0u8, u32::MAX);
        for (i, motion) in candidates.iter().enumerate() {
            if candidates[..i].contains(motion) {
                continue;
            }
            approximate(reference, motion, place, &mut samples.luma);
            let sad = sad(side, own, source.stride, &samples.luma, 32, u32::MAX);
            let cost = sad + (lambda * (1 + i) as f32) as u32;
            if cost < merge.1 {
                merge = (i as u8, cost);
            }
        }
        predict_inter(reference, &candidates[usize::from(merge.0)], place, 0, &mut samples);
        let best_samples = &samples.luma;
        merge.1 = satd(side, own, source.stride, best_samples, 32) + (lambda * f32::from(1 + merge.0)) as u32;
        let merged = Block { merge: Some(merge.0), motion: candidates[usize::from(merge.0)], ..block };
        let mut least = merge.1;
        // As good as a step allows without any search.
        if (merge.1 as f32) < MERGED_SATD * self.luma_step() * (side * side) as f32 {
            self.try_inter(merged, true);
            return least;
        }
        let mut singles = [([0i16; 2], u32::MAX); 3];
        for (r, from) in references.iter().enumerate() {
            // Another frame seldom helps where the last one leaves little, or where it did not help the larger block.
            if r > 0
                && (self.is_quick
                    || (singles[0].1 as f32) < LAST_FRAME_SATD * self.luma_step() * (side * side) as f32
                    || (block.log < 5 && !hints.is_useful[r]))
            {
                continue;
            }
            let predicted = predict_vector(self.grid, place, r as u8);
            let mut starts = [[0i16; 2]; MERGE_CANDIDATES + 5];
            let mut count = 1;
            let mut add = |v: Vector| {
                starts[count] = v;
                count += 1;
            };
            for motion in &candidates {
                if motion.references[0] == r as u8 {
                    add(motion.vectors[0]);
                }
            }
            hints.vectors[r].iter().for_each(|&v| add(v));
            if r == 0 {
                self.survey.vector(x, y).iter().for_each(|&v| add(v));
            } else {
                // What moved over one frame, over as many as this reference is away.
                let far = self.grid.distance(r as u8).min(16) as i16;
                add(singles[0].0.map(|c| c.saturating_mul(far)));
            }
            let has_hint = block.log == MIN_LOG && hints.vectors[r].is_some();
            let wanted = Wanted { source, place, predicted, lambda, is_near: has_hint };
            let (vector, cost) = wanted.search(from, &starts[..count], &mut samples.luma);
            let bits = if references.len() > 1 { 2 + r as u32 } else { 1 };
            singles[r] = (vector, cost.saturating_add((lambda * bits as f32) as u32));
            hints.vectors[r] = Some(vector);
        }
        let (mut best, mut cost) = (Motion::single(0, singles[0].0), singles[0].1);
        for (r, single) in singles.iter().enumerate().skip(1) {
            if single.1 < cost {
                (best, cost) = (Motion::single(r as u8, single.0), single.1);
            }
        }
        let mut useful = [cost, singles[1].1, singles[2].1];
        if references.len() > 1 && singles[1..].iter().any(|s| s.1 != u32::MAX) {
            let mut first = Samples::new();
            approximate(reference, &Motion::single(0, singles[0].0), place, &mut first.luma);
            for (r, single) in singles.iter().enumerate().take(references.len()).skip(1) {
                if single.1 == u32::MAX {
                    continue;
                }
                approximate(reference, &Motion::single(r as u8, single.0), place, &mut samples.luma);
                mean(&mut samples.luma, &first.luma, side, 32);
                let bits = 3.0
                    + vector_bits(singles[0].0, predict_vector(self.grid, place, 0))
                    + vector_bits(single.0, predict_vector(self.grid, place, r as u8));
                let found = satd(side, own, source.stride, &samples.luma, 32) + (lambda * bits) as u32;
                useful[r] = useful[r].min(found);
                if found < cost {
                    let motion = Motion { references: [0, r as u8], vectors: [singles[0].0, single.0] };
                    (best, cost) = (motion, found);
                }
            }
        }
        least = least.min(cost);
        for (is_useful, &found) in hints.is_useful.iter_mut().zip(&useful) {
            *is_useful = found <= cost;
        }
        // Levels are tried where they are likelier to pay; taking over motion without any is always tried.
        let has_own = best != merged.motion && cost < merge.1;
        self.try_inter(merged, !has_own || merge.1 as f32 <= MERGED_LEVELS * cost as f32);
        if has_own {
            let own = candidates.iter().position(|m| *m == best).map(|i| i as u8);
            self.try_inter(Block { merge: own, motion: best, ..block }, true);
        }
        least
    }

    /// Tries a motion without levels and, if `with_levels`, with them.
    fn try_inter(&mut self, mut block: Block, with_levels: bool) {
        let (log, place) = (block.log, block.place());
        let lambda = self.squared_lambda();
        let references = self.references;
        let reference = |r: u8| references.get(usize::from(r)).map(Arc::as_ref);
        let mut leaf = self.spare();
        for plane in 0..3 {
            predict_inter(reference, &block.motion, place, plane, &mut leaf.samples);
        }
        let mut errors = [0.0; 3];
        for (plane, error) in errors.iter_mut().enumerate() {
            *error = self.error(&leaf.samples, place, plane);
        }
        let nothing = errors.iter().sum::<f32>();
        // Merging without levels is a skip; a motion of its own has a flag that says whether there are levels.
        let mut bits = self.prediction_bits(&block);
        let skip_bits = if block.merge.is_some() {
            self.prediction_bits(&Block { is_skipped: true, ..block })
        } else {
            let flag = self.contexts.0[contexts::CODED + usize::from(log - MIN_LOG)];
            let without = bits + bit_cost(flag, false);
            bits += bit_cost(flag, true);
            without
        };
        let skipped = nothing + lambda * skip_bits;
        block.coded = 0;
        bits += bit_cost(self.contexts.0[contexts::TRANSFORM_SPLIT + usize::from(log - MIN_LOG) * 2], false);
        let mut all = lambda * bits;
        if !with_levels {
            block.is_skipped = block.merge.is_some();
            (leaf.block, leaf.cost) = (block, skipped);
            return self.take_if_better(leaf);
        }
        let predicted = leaf.samples.clone();
        for plane in 0..3 {
            let index = [0, 4, 5][plane];
            let range = block.levels_at(index);
            let (x, y, side) = place;
            let part = if plane == 0 { 1 } else { 2 };
            let square = (x / part, y / part, side / part);
            let flags = self.coded_flags(&block, index);
            let (from, stride) = predicted.plane(plane);
            let (quantized, extent) =
                self.quantize(plane, square, (from, stride), &mut leaf.levels[range.clone()]);
            let mut cost = errors[plane] + lambda * flags[0];
            if quantized.is_coded {
                let (samples, stride) = leaf.samples.plane_mut(plane);
                let step = self.plane_step(plane);
                add_residual(samples, stride, &leaf.levels[range], square.2.trailing_zeros(), step, extent);
                let coded = self.error(&leaf.samples, place, plane) + lambda * (flags[1] + quantized.bits);
                if coded < cost {
                    cost = coded;
                    block.coded |= 1 << index;
                } else {
                    let (samples, _) = leaf.samples.plane_mut(plane);
                    samples.copy_from_slice(from);
                }
            }
            all += cost;
        }
        if block.coded == 0 || skipped <= all {
            leaf.samples = predicted;
            block.coded = 0;
            block.is_skipped = block.merge.is_some();
            all = skipped;
        }
        (leaf.block, leaf.cost) = (block, all);
        self.take_if_better(leaf);
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
        [false, true].map(|v| bit_cost(self.contexts.0[context], v))
    }

    fn plane_step(&self, plane: usize) -> i32 {
        step(if plane == 0 { self.quality } else { chroma_quality(self.quality) })
    }

    /// Weighted squared error of a block's plane.
    fn error(&self, samples: &Samples, (x, y, side): (usize, usize, usize), plane: usize) -> f32 {
        let source = &self.source.planes[plane];
        let (own, stride) = samples.plane(plane);
        if plane == 0 {
            ssd(side, source.at(x, y), source.stride, own, stride) as f32
        } else {
            CHROMA_WEIGHT * ssd(side / 2, source.at(x / 2, y / 2), source.stride, own, stride) as f32
        }
    }

    /// Transforms and quantizes what a prediction leaves of a square of a plane.
    fn quantize(
        &mut self,
        plane: usize,
        (x, y, side): (usize, usize, usize),
        (predicted, stride): (&[u8], usize),
        levels: &mut [i16],
    ) -> (Quantized, Extent) {
        let source = &self.source.planes[plane];
        let mut block = [0i16; 32 * 32];
        let block = &mut block[..side * side];
        let mut sum = 0i32;
        for ((out, own), other) in block
            .chunks_exact_mut(side)
            .zip(source.at(x, y).chunks(source.stride))
            .zip(predicted.chunks(stride))
        {
            for ((out, &a), &b) in out.iter_mut().zip(&own[..side]).zip(&other[..side]) {
                *out = i16::from(a) - i16::from(b);
                sum += i32::from(*out) * i32::from(*out);
            }
        }
        let step = self.plane_step(plane);
        // As much as this is less than what a coarser step would leave anyway.
        if (sum as f32) < (MIN_RESIDUAL * step as f32 / 64.0).powi(2) * (side * side) as f32 {
            return (Quantized::default(), Extent::default());
        }
        forward(side, block);
        let place = Place { chroma: usize::from(plane > 0), log: side.trailing_zeros() };
        let weight = if plane == 0 { 1.0 } else { CHROMA_WEIGHT };
        let ratio = self.luma_step() * 64.0 / step as f32;
        let lambda = self.lambda * ratio * ratio / weight;
        let quantized =
            rdoq::quantize(self.contexts, place, block, (step, lambda), levels, &mut self.scratch.entries);
        let mut extent = Extent::default();
        if quantized.is_coded {
            for (y, row) in levels.chunks_exact(side).enumerate() {
                if let Some(x) = row.iter().rposition(|&v| v != 0) {
                    extent = Extent { columns: extent.columns.max(x + 1), rows: y + 1 };
                }
            }
        }
        (quantized, extent)
    }
}

/// Predicts luma about as motion compensation does, at a fraction of the work.
fn approximate<'a>(
    reference: impl Fn(u8) -> Option<&'a Picture>,
    motion: &Motion,
    place: (usize, usize, usize),
    out: &mut [u8],
) {
    if let Some(from) = reference(motion.references[0]) {
        average(from, place, motion.vectors[0], out);
    }
    if let Some(from) = reference(motion.references[1]) {
        let mut other = [0u8; 32 * 32];
        average(from, place, motion.vectors[1], &mut other);
        mean(out, &other, place.2, 32);
    }
}
