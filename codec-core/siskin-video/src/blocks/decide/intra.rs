//! Intra prediction of a block: which mode, and with which transforms.

use super::super::contexts;
use super::super::distortion::satd;
use super::super::intra::{ACROSS, DOWN, MEAN, MODES, PLANAR, Surroundings, is_turned, likely_modes};
use super::super::motion::Motion;
use super::super::reconstruct::store;
use super::super::syntax::{Block, MIN_LOG};
use super::Decider;

impl Decider<'_, '_> {
    /// Tries intra prediction, where `inter` is the least SATD of motion compensation.
    pub(super) fn find_intra(&mut self, block: Block, inter: u32) {
        let (x, y, side) = block.place();
        let source = &self.shared.source.planes[0];
        let own = source.at(x, y);
        let lambda = self.squared_lambda().sqrt();
        let likely = likely_modes(self.grid, (x, y));
        let around = Surroundings::new(self.grid, &self.canvas.planes[0], (x, y, side), 1);
        let mut costs = [u32::MAX; MODES as usize];
        let mut out = [0u8; 32 * 32];
        // A sum of absolute coefficients is the same for a square and for one turned over its diagonal.
        let mut turned = [0u8; 32 * 32];
        for (y, row) in own.chunks(source.stride).take(side).enumerate() {
            row[..side].iter().enumerate().for_each(|(x, &v)| turned[x * 32 + y] = v);
        }
        let mut try_mode = |mode: u8, costs: &mut [u32; MODES as usize]| {
            if costs[usize::from(mode)] == u32::MAX {
                around.predict_turned(mode, &mut out, 32);
                let bits = if likely.contains(&mode) { 2.0 } else { 6.0 };
                let (own, stride) = if is_turned(mode) { (&turned[..], 32) } else { (own, source.stride) };
                costs[usize::from(mode)] = satd(side, own, stride, &out, 32) + (lambda * bits) as u32;
            }
        };
        for mode in likely.into_iter().chain([PLANAR, MEAN, ACROSS, DOWN]) {
            try_mode(mode, &mut costs);
        }
        let least = costs.iter().copied().min().unwrap_or(u32::MAX);
        // Far from what motion compensation gives: no direction makes up for it.
        if inter != u32::MAX && least as f32 > self.shared.effort.intra_satd * inter as f32 {
            return;
        }
        (2..MODES).step_by(4).for_each(|mode| try_mode(mode, &mut costs));
        for reach in [2, 1] {
            let best = (2..MODES).min_by_key(|&m| costs[usize::from(m)]).unwrap_or(DOWN);
            for mode in [best.saturating_sub(reach).max(2), (best + reach).min(MODES - 1)] {
                try_mode(mode, &mut costs);
            }
        }
        let cost = |mode: u8| costs[usize::from(mode)];
        let first = (0..MODES).min_by_key(|&m| cost(m)).unwrap_or(MEAN);
        if inter != u32::MAX && cost(first) > inter {
            return;
        }
        let second = (0..MODES).filter(|&m| m != first).min_by_key(|&m| cost(m)).unwrap_or(MEAN);
        self.try_intra(Block { mode: first, motion: Motion::INTRA, ..block });
        let is_close = cost(second) as f32 <= self.shared.effort.second_mode * cost(first) as f32;
        if inter == u32::MAX && is_close {
            self.try_intra(Block { mode: second, motion: Motion::INTRA, ..block });
        }
        let best = self.best(block.log);
        if best.block.has_mode()
            && best.block.coded & 1 != 0
            && (!self.shared.effort.is_quick || block.log == MIN_LOG)
        {
            let mode = best.block.mode;
            self.try_intra(Block { mode, is_split: true, motion: Motion::INTRA, ..block });
        }
    }

    /// Tries an intra mode with the transforms that `block` says.
    fn try_intra(&mut self, mut block: Block) {
        let (log, place) = (block.log, block.place());
        let lambda = self.squared_lambda();
        let mut leaf = self.spare();
        block.coded = 0;
        let split = contexts::TRANSFORM_SPLIT + usize::from(log - MIN_LOG) * 2 + 1;
        let bits = self.prediction_bits(&block) + self.scratch.costs.of(split, block.is_split);
        let mut all = lambda * bits;
        let limit = self.limit(log);
        let chroma = (place.0 / 2, place.1 / 2, place.2 / 2);
        let luma = block.luma_blocks().enumerate().map(|(i, place)| (i, 0, place));
        for (index, plane, square) in luma.chain([(4, 1, chroma), (5, 2, chroma)]) {
            let ((x, y, side), part) = (square, if plane == 0 { 1 } else { 2 });
            let around = Surroundings::new(self.grid, &self.canvas.planes[plane], square, part);
            let (samples, stride) = leaf.samples.plane_mut(plane);
            let offset = block.offset_of(plane, square, stride);
            let samples = &mut samples[offset..];
            around.predict(block.mode, plane == 0, samples, stride);
            let mut predicted = [0u8; 32 * 32];
            for (to, from) in predicted.chunks_exact_mut(side).zip(samples.chunks(stride)).take(side) {
                to.copy_from_slice(&from[..side]);
            }
            all += self.try_levels(&mut block, index, (plane, square), (&predicted, side), &mut leaf);
            if all >= limit {
                self.scratch.spare = Some(leaf);
                return;
            }
            // The next transform block is predicted from this one.
            let (samples, _) = leaf.samples.plane(plane);
            store(&mut self.canvas.planes[plane], (x, y, side), &samples[offset..], stride);
        }
        (leaf.block, leaf.cost) = (block, all);
        self.take_if_better(leaf);
    }
}
