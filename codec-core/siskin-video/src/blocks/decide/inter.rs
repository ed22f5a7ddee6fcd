//! Motion compensation of a block: which motion, and whether with levels.

use std::sync::Arc;

use super::super::contexts;
use super::super::distortion::{sad, satd};
use super::super::motion::{MERGE_CANDIDATES, Motion, Vector, merge_candidates, predict_vector, scale};
use super::super::overlap;
use super::super::picture::Picture;
use super::super::reconstruct::{Samples, mean, predict_inter};
use super::super::search::{Wanted, average, vector_bits};
use super::super::syntax::{Block, MIN_LOG};
use super::{Decider, Hints};

/// A pair that costs up to so many times the best motion is worth another search.
const REFINED_COST: f32 = 1.1;

/// What a search by SATD found for a block.
pub(super) struct Motions {
    /// The best candidate for merging, and its cost.
    merged: Block,
    merged_cost: u32,
    /// The best motion of its own and its cost, unless merging is good enough.
    own: Option<(Block, u32)>,
}

impl Motions {
    pub(super) fn least(&self) -> u32 {
        self.own.map_or(self.merged_cost, |(_, cost)| cost.min(self.merged_cost))
    }

    pub(super) fn best(&self) -> Block {
        self.own.filter(|(_, cost)| *cost < self.merged_cost).map_or(self.merged, |(block, _)| block)
    }
}

impl Decider<'_, '_> {
    /// The best of merging and of a motion of its own; the least SATD found.
    pub(super) fn find_inter(&mut self, block: Block, hints: &mut Hints) -> u32 {
        let found = self.search_inter(block, hints);
        self.try_motions(&found);
        found.least()
    }

    /// Looks for motions by SATD.
    pub(super) fn search_inter(&mut self, block: Block, hints: &mut Hints) -> Motions {
        let place = block.place();
        let (x, y, side) = place;
        let source = &self.shared.source.planes[0];
        let own = source.at(x, y);
        let lambda = self.squared_lambda().sqrt();
        let candidates = merge_candidates(self.grid, place);
        let mut samples = Samples::new();
        let references = self.shared.references;
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
        // As good as a step allows without any search.
        if (merge.1 as f32) < self.shared.effort.merged_satd * self.luma_step() * (side * side) as f32 {
            return Motions { merged, merged_cost: merge.1, own: None };
        }
        let mut singles = [([0i16; 2], u32::MAX); 3];
        for (r, from) in references.iter().enumerate() {
            // Another frame seldom helps where the last one leaves little, or where it did not help the larger block.
            if r > 0
                && ((singles[0].1 as f32)
                    < self.shared.effort.last_frame_satd * self.luma_step() * (side * side) as f32
                    || (block.log < 5 && !hints.is_useful[r] && !self.shared.effort.is_thorough))
            {
                continue;
            }
            let predicted = predict_vector(self.grid, place, r as u8);
            let mut starts = [[0i16; 2]; MERGE_CANDIDATES + 6];
            let mut count = 1;
            let mut add = |v: Vector| {
                starts[count] = v;
                count += 1;
            };
            for motion in &candidates {
                // Also of pairs: what comes into view is seen in the later frame alone.
                motion.vector_of(r as u8).iter().for_each(|&v| add(v));
            }
            hints.vectors[r].iter().for_each(|&v| add(v));
            self.shared.surveys.get(r).and_then(|s| s.vector(x, y)).iter().for_each(|&v| add(v));
            if r > 0 {
                // What moved over some frames, over as many as this reference is away.
                add(scale(singles[0].0, self.grid.distance(0), self.grid.distance(r as u8)));
            }
            let has_hint = block.log == MIN_LOG && hints.vectors[r].is_some();
            let wanted = Wanted { own: (own, source.stride), place, predicted, lambda, is_near: has_hint };
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
                // 1 % of the rate of packets of several frames.
                if self.grid.is_between() && found as f32 <= REFINED_COST * cost as f32 {
                    let pair = Motion { references: [0, r as u8], vectors: [singles[0].0, single.0] };
                    let (motion, found) = self.refine_pair(pair, place, found);
                    if found < cost {
                        (best, cost) = (motion, found);
                        useful[r] = useful[r].min(found);
                    }
                }
            }
        }
        for (is_useful, &found) in hints.is_useful.iter_mut().zip(&useful) {
            *is_useful = found <= cost;
        }
        // One of the candidates may have been found again.
        let own = candidates.iter().position(|m| *m == best).map(|i| i as u8);
        Motions {
            merged,
            merged_cost: merge.1,
            own: Some((Block { merge: own, motion: best, ..block }, cost)),
        }
    }

    /// Looks for vectors that are better together: each of the two is sought once more beside what the other leaves.
    fn refine_pair(&self, mut motion: Motion, place: (usize, usize, usize), cost: u32) -> (Motion, u32) {
        let (x, y, side) = place;
        let source = &self.shared.source.planes[0];
        let own = source.at(x, y);
        let lambda = self.squared_lambda().sqrt();
        let mut best = (motion, cost);
        let [mut other, mut found] = [[0u8; 32 * 32]; 2];
        let mut target = [0u8; 32 * 32];
        for turned in [1, 0] {
            let still = 1 - turned;
            let from =
                |i: usize| self.shared.references.get(usize::from(motion.references[i])).map(Arc::as_ref);
            let (Some(kept), Some(sought)) = (from(still), from(turned)) else { break };
            average(kept, place, motion.vectors[still], &mut other);
            for row in 0..side {
                let (own, other) = (&own[row * source.stride..][..side], &other[row * 32..][..side]);
                for ((to, &own), &other) in target[row * 32..].iter_mut().zip(own).zip(other) {
                    *to = (2 * i16::from(own) - i16::from(other)).clamp(0, 255) as u8;
                }
            }
            let predicted = predict_vector(self.grid, place, motion.references[turned]);
            // The mean halves what a vector changes.
            let wanted = Wanted { own: (&target, 32), place, predicted, lambda: 2.0 * lambda, is_near: true };
            let (vector, _) = wanted.search(sought, &[motion.vectors[turned]], &mut found);
            motion.vectors[turned] = vector;
            mean(&mut found, &other, side, 32);
            let bits = 3.0
                + (0..2)
                    .map(|i| {
                        vector_bits(motion.vectors[i], predict_vector(self.grid, place, motion.references[i]))
                    })
                    .sum::<f32>();
            let cost = satd(side, own, source.stride, &found, 32) + (lambda * bits) as u32;
            if cost < best.1 {
                best = (motion, cost);
            }
        }
        best
    }

    /// Tries the motions that were found.
    pub(super) fn try_motions(&mut self, found: &Motions) {
        let Some((own, cost)) = found.own else { return self.try_inter(found.merged, true) };
        // Levels are tried where they are likelier to pay; taking over motion without any is always tried.
        let has_own = own.motion != found.merged.motion && cost < found.merged_cost;
        let with_levels =
            !has_own || found.merged_cost as f32 <= self.shared.effort.merged_levels * cost as f32;
        self.try_inter(found.merged, with_levels);
        if has_own {
            self.try_inter(own, true);
        }
        let best = self.best(own.log).block;
        if self.shared.effort.is_thorough && best.coded & 1 != 0 {
            self.try_inter(Block { is_split: true, ..best }, true);
        }
    }

    /// Tries a motion without levels and, if `with_levels`, with them.
    pub(super) fn try_inter(&mut self, mut block: Block, with_levels: bool) {
        let (log, place) = (block.log, block.place());
        let lambda = self.squared_lambda();
        let references = self.shared.references;
        let reference = |r: u8| references.get(usize::from(r)).map(Arc::as_ref);
        // Merging without levels is a skip; a motion of its own has a flag that says whether there are levels.
        let mut bits = self.prediction_bits(&block);
        let skip_bits = if block.merge.is_some() {
            self.prediction_bits(&Block { is_skipped: true, ..block })
        } else {
            let flag = contexts::CODED + usize::from(log - MIN_LOG);
            let without = bits + self.scratch.costs.of(flag, false);
            bits += self.scratch.costs.of(flag, true);
            without
        };
        let mut leaf = self.spare();
        if block.is_copied {
            self.predict_copy(&block, &mut leaf.samples);
        }
        let mut nothing = 0.0;
        for plane in 0..3 {
            if !block.is_copied {
                overlap::predict(reference, self.grid, &block, plane, &mut leaf.samples);
            }
            nothing += self.error(&leaf.samples, place, plane);
            if !with_levels && nothing + lambda * skip_bits >= self.best(log).cost {
                self.scratch.spare = Some(leaf);
                return;
            }
        }
        let skipped = nothing + lambda * skip_bits;
        block.coded = 0;
        bits +=
            self.scratch.costs.of(contexts::TRANSFORM_SPLIT + usize::from(log - MIN_LOG) * 2, block.is_split);
        let mut all = lambda * bits;
        if !with_levels {
            block.is_skipped = block.merge.is_some();
            (leaf.block, leaf.cost) = (block, skipped);
            return self.take_if_better(leaf);
        }
        let limit = skipped.min(self.limit(log));
        // Taken out while the rest of the scratch is in use.
        let mut predicted = self.scratch.predicted.take().unwrap_or_else(|| Box::new(Samples::new()));
        predicted.copy_from(&leaf.samples, place.2);
        let chroma = (place.0 / 2, place.1 / 2, place.2 / 2);
        let luma = block.luma_blocks().enumerate().map(|(i, place)| (i, 0, place));
        for (index, plane, square) in luma.chain([(4, 1, chroma), (5, 2, chroma)]) {
            let (from, stride) = predicted.plane(plane);
            let from = &from[block.offset_of(plane, square, stride)..];
            all += self.try_levels(&mut block, index, (plane, square), (from, stride), &mut leaf);
            // What is already dearer than doing without levels, or than what was tried before, gets no cheaper.
            if all >= limit {
                break;
            }
        }
        if block.coded == 0 || skipped <= all {
            leaf.samples.copy_from(&predicted, place.2);
            (block.coded, block.is_split) = (0, false);
            block.is_skipped = block.merge.is_some();
            all = skipped;
        }
        self.scratch.predicted = Some(predicted);
        (leaf.block, leaf.cost) = (block, all);
        self.take_if_better(leaf);
    }
}

/// Predicts luma about as motion compensation does, at a fraction of the work.
pub(super) fn approximate<'a>(
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
