//! RDOQ: rate-distortion optimized quantization of latents, as a trellis.
//!
//! With the contexts as they stand at a block, it minimizes squared error plus lambda times bits over all ways of making
//! each latent the nearest integer, the next one towards 0, or 0, by dynamic programming over the latents of a group and
//! the groups of a block. Blocks before are taken as chosen, blocks after are ignored.

use crate::Result;
use siskin_entropy::binary::{BitCounter, bit_cost};

use super::contexts::{Contexts, MAGNITUDES};
use super::latents::{self, MAX_LATENT, MEANS, Neighbors};
use super::{CHANNELS, GROUP, GROUPS};

/// A path through the trellis: its cost, and the latents on it.
#[derive(Debug, Clone, Copy)]
struct Path {
    cost: f32,
    values: [i16; GROUP],
}

// An infinite cost loses every comparison, so impossible states need no flag.
const NO_PATH: Path = Path { cost: f32::INFINITY, values: [0; GROUP] };

/// Quantizes latents, and counts their bits.
#[derive(Debug, Clone)]
pub(super) struct Rdoq {
    contexts: Contexts,
    neighbors: Neighbors,
    /// Bits of each block, from the last choice or count.
    block_bits: Vec<f32>,
}

impl Rdoq {
    /// For contexts and neighbors of this size.
    pub(super) fn new(contexts: &Contexts, neighbors: &Neighbors) -> Self {
        Self { contexts: contexts.clone(), neighbors: neighbors.clone(), block_bits: Vec::new() }
    }

    /// Which blocks have latents, after a choice or a count.
    pub(super) fn neighbors(&self) -> &Neighbors {
        &self.neighbors
    }

    /// Bits of each block, after a choice or a count.
    pub(super) fn block_bits(&self) -> &[f32] {
        &self.block_bits
    }

    /// Counts the bits of latents, 96 a block, in the state of `contexts` and `neighbors`.
    ///
    /// # Errors
    /// None that latents within bounds could cause.
    pub(super) fn count_bits(
        &mut self,
        state: (&Contexts, &Neighbors),
        is_keyframe: bool,
        latents: &[i16],
    ) -> Result<()> {
        self.start_frame(state, is_keyframe);
        for block in 0..latents.len() / CHANNELS {
            let means = self.predict_means(is_keyframe, latents, block);
            // Coding sets what it holds, and these latents belong to the caller.
            let mut own = [0; CHANNELS];
            own.copy_from_slice(&latents[block * CHANNELS..][..CHANNELS]);
            MEANS.iter().zip(means).for_each(|(&c, mean)| own[c] -= mean);
            self.count_block(is_keyframe, block, &mut own)?;
        }
        Ok(())
    }

    fn start_frame(&mut self, (contexts, neighbors): (&Contexts, &Neighbors), is_keyframe: bool) {
        self.contexts.clone_from(contexts);
        self.neighbors.clone_from(neighbors);
        // Copies, because a choice is tried before it is coded, and several times where a frame is refined.
        self.neighbors.start_frame(is_keyframe);
        self.block_bits.clear();
    }

    /// What the means of a block are coded as differences to.
    fn predict_means(&self, is_keyframe: bool, latents: &[i16], block: usize) -> [i16; 3] {
        if is_keyframe { latents::predict_means(latents, block, self.neighbors.columns()) } else { [0; 3] }
    }

    /// Counts the bits of a block, and adapts the contexts to it.
    fn count_block(&mut self, is_keyframe: bool, block: usize, own: &mut [i16]) -> Result<()> {
        let mut counter = BitCounter::default();
        latents::code_block(&mut counter, &mut self.contexts, &mut self.neighbors, is_keyframe, block, own)?;
        self.block_bits.push(counter.total_bits() as f32);
        Ok(())
    }

    /// Quantizes latents `wanted` `[96, blocks]` to integers, 96 per block; `lambda` is the price of a bit in squared qsteps.
    ///
    /// # Errors
    /// None that latents within bounds could cause.
    pub(super) fn quantize_frame(
        &mut self,
        state: (&Contexts, &Neighbors),
        is_keyframe: bool,
        wanted: &[f32],
        lambda: f32,
        out: &mut [i16],
    ) -> Result<()> {
        self.start_frame(state, is_keyframe);
        let blocks = out.len() / CHANNELS;
        for block in 0..blocks {
            let means = self.predict_means(is_keyframe, out, block);
            let mut own: [f32; CHANNELS] = std::array::from_fn(|c| wanted[c * blocks + block]);
            MEANS.iter().zip(means).for_each(|(&c, mean)| own[c] -= f32::from(mean));
            let mut chosen = self.quantize_block(is_keyframe, block, &own, lambda);
            // Adapts the contexts as coding will, so that the next block is chosen with the state it will be coded
            // in.
            self.count_block(is_keyframe, block, &mut chosen)?;
            // The prediction of later blocks reads whole means and not differences.
            MEANS.iter().zip(means).for_each(|(&c, mean)| chosen[c] = chosen[c].saturating_add(mean));
            out[block * CHANNELS..][..CHANNELS].copy_from_slice(&chosen);
        }
        Ok(())
    }

    /// The cheapest integers of a block, of the means their differences to the prediction.
    fn quantize_block(
        &mut self,
        is_keyframe: bool,
        block: usize,
        wanted: &[f32; CHANNELS],
        lambda: f32,
    ) -> [i16; CHANNELS] {
        let mut out = [0; CHANNELS];
        // Rounding gives zeros, and nothing is cheaper than an empty block.
        if wanted.iter().all(|w| w.abs() < 0.5) {
            return out;
        }
        let (left, above, old) = self.neighbors.group_masks(block);
        let near = usize::from(left != 0) + usize::from(above != 0);
        let any = *self.contexts.block_flag(is_keyframe, near, old != 0);
        // Of both states, whether the group before has any: the cost, and which groups have some.
        // Two states suffice: a group flag depends on what is coded before this block, on the previous frame and on
        // one earlier group.
        let mut states = [(lambda * bit_cost(any, true), 0u16), (f32::INFINITY, 0u16)];
        let mut nothing = lambda * bit_cost(any, false);
        for (group, own) in wanted.as_chunks::<GROUP>().0.iter().enumerate() {
            let empty: f32 = own.iter().map(|w| w * w).sum();
            nothing += empty;
            let path = self.quantize_group(is_keyframe, block, group, own, lambda);
            out[group * GROUP..][..GROUP].copy_from_slice(&path.values);
            let flag = |mask: u16| mask >> group & 1;
            let near = usize::from(flag(left) + flag(above));
            let mut next = [(f32::INFINITY, 0u16); 2];
            for (last, &(cost, mask)) in states.iter().enumerate() {
                let model = *self.contexts.group_flag(is_keyframe, group, near, flag(old) == 1, last == 1);
                let without = cost + empty + lambda * bit_cost(model, false);
                // Ties keep the path found first, the one whose last group is empty.
                if without < next[0].0 {
                    next[0] = (without, mask);
                }
                let with = cost + path.cost + lambda * bit_cost(model, true);
                if with < next[1].0 {
                    next[1] = (with, mask | 1 << group);
                }
            }
            states = next;
        }
        let best = if states[0].0 < states[1].0 { states[0] } else { states[1] };
        // An empty block costs one flag. The path without any group pays for thirteen, and no encoder writes it: a
        // block that has latents has a group with some.
        let mask = if best.0 < nothing { best.1 } else { 0 };
        for (group, values) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            // Each group was quantized as if it were kept; those that the best path leaves out become zero.
            if mask >> group & 1 == 0 {
                values.fill(0);
            }
        }
        out
    }

    /// The cheapest integers of a group of which one is not zero, without the flag that says so.
    fn quantize_group(
        &mut self,
        is_keyframe: bool,
        block: usize,
        group: usize,
        wanted: &[f32; GROUP],
        lambda: f32,
    ) -> Path {
        // All would round to zero, and a group flag without a latent behind it cannot be written.
        if wanted.iter().all(|w| w.abs() < 0.5) {
            return NO_PATH;
        }
        // Of both states, whether one so far is not zero.
        let mut states = [Path { cost: 0.0, values: [0; GROUP] }, NO_PATH];
        for (i, &value) in wanted.iter().enumerate() {
            let channel = group * GROUP + i;
            let class = self.neighbors.magnitude_class(block, channel);
            // The cast saturates, and makes 0 of NaN.
            let nearest = ((value.abs() + 0.5) as i16).min(MAX_LATENT);
            let mut next = [NO_PATH; 2];
            for (some, path) in states.iter().enumerate().filter(|s| s.1.cost.is_finite()) {
                let model = *self.contexts.significance(is_keyframe, channel, class, some == 1);
                let is_sure = i + 1 == GROUP && some == 0;
                if !is_sure {
                    let cost = path.cost + value * value + lambda * bit_cost(model, false);
                    if cost < next[some].cost {
                        next[some] = Path { cost, values: path.values };
                    }
                }
                // Away from zero both error and bits grow, so only nearer to zero is there anything to gain; two
                // steps nearer seldom pays, and 0 is tried above.
                for size in nearest.saturating_sub(1).max(1)..=nearest {
                    let error = value.abs() - f32::from(size);
                    let decision = if is_sure { 0.0 } else { bit_cost(model, true) };
                    let all = decision
                        // The sign is a bypass bit.
                        + 1.0
                        + estimate_magnitude_bits(
                            self.contexts.magnitude(is_keyframe, group, class),
                            size - 1,
                        );
                    let cost = path.cost + error * error + lambda * all;
                    if cost < next[1].cost {
                        let mut values = path.values;
                        values[i] = if value < 0.0 { -size } else { size };
                        next[1] = Path { cost, values };
                    }
                }
            }
            // The state is whether any latent of the group is nonzero, because the context of significance asks for
            // just that.
            states = next;
        }
        states[1]
    }
}

/// Bits of a magnitude less one, as [`latents::code_size`] codes it.
fn estimate_magnitude_bits(models: &[siskin_entropy::binary::AdaptiveBit], value: i16) -> f32 {
    let value = value.max(0) as usize;
    let decisions = models.iter().take(value).map(|&m| bit_cost(m, true)).sum::<f32>();
    match models.get(value) {
        Some(&last) => decisions + bit_cost(last, false),
        // Exp-Golomb of order 2: b low bits, b - 2 ones and a zero.
        None => decisions + (2 * ((value - MAGNITUDES + 4) as u32).ilog2() - 1) as f32,
    }
}

// Masks of groups are 16 bits wide.
const _: () = assert!(GROUPS <= 16);

#[cfg(test)]
mod tests {
    use super::super::contexts::COUNT;
    use super::*;

    /// Error and weighted bits of a block of latents.
    fn cost(
        rdoq: &mut Rdoq,
        state: (&Contexts, &Neighbors),
        wanted: &[f32],
        own: &[i16],
        lambda: f32,
    ) -> f32 {
        rdoq.count_bits(state, false, own).expect("latents");
        let error: f32 = wanted.iter().zip(own).map(|(w, &v)| (w - f32::from(v)).powi(2)).sum();
        error + lambda * rdoq.block_bits()[0]
    }

    #[test]
    fn no_other_rounding_of_a_few_latents_is_cheaper() {
        let start: Vec<u16> = (0..COUNT).map(|i| (3000 + i * 7919 % 50_000) as u16).collect();
        let (contexts, neighbors) = (Contexts::new(&start), Neighbors::new(1, 1));
        let mut rdoq = Rdoq::new(&contexts, &neighbors);
        let state = (&contexts, &neighbors);
        let places = [0, 3, 7, 8, 15, 40, 90];
        for (seed, lambda) in [(0.3f32, 0.05), (1.7, 0.12), (4.1, 0.2), (9.2, 0.5), (2.6, 2.0)] {
            let mut wanted = [0.2; CHANNELS];
            for (i, &place) in places.iter().enumerate() {
                wanted[place] = 2.6 * (seed * (i + 1) as f32).sin();
            }
            let mut chosen = [0; CHANNELS];
            rdoq.quantize_frame(state, false, &wanted, lambda, &mut chosen).expect("latents");
            let found = cost(&mut rdoq, state, &wanted, &chosen, lambda);
            for other in 0..3usize.pow(places.len() as u32) {
                let mut own = [0i16; CHANNELS];
                for (i, &place) in places.iter().enumerate() {
                    let size = wanted[place].abs().round() as i16 - (other / 3usize.pow(i as u32) % 3) as i16;
                    own[place] = size.max(0) * wanted[place].signum() as i16;
                }
                // Contexts that code several latents adapt between them, which the trellis ignores.
                let least = cost(&mut rdoq, state, &wanted, &own, lambda);
                assert!(
                    found < least + 0.02 * lambda * rdoq.block_bits()[0] + 1e-3,
                    "{found} {least} {lambda}"
                );
            }
        }
    }

    #[test]
    fn what_costs_nothing_is_rounded_and_what_costs_much_is_nothing() {
        let start = vec![1 << 14; COUNT];
        let (contexts, neighbors) = (Contexts::new(&start), Neighbors::new(1, 1));
        let mut rdoq = Rdoq::new(&contexts, &neighbors);
        let wanted: [f32; CHANNELS] = std::array::from_fn(|c| (c as f32 * 0.77).sin() * 30.0);
        let mut chosen = [0; CHANNELS];
        for is_keyframe in [false, true] {
            rdoq.quantize_frame((&contexts, &neighbors), is_keyframe, &wanted, 0.0, &mut chosen)
                .expect("latents");
            assert!(wanted.iter().zip(chosen).all(|(w, v)| (w - f32::from(v)).abs() <= 0.5));
            rdoq.quantize_frame((&contexts, &neighbors), is_keyframe, &wanted, 1e6, &mut chosen)
                .expect("latents");
            assert_eq!(chosen, [0; CHANNELS]);
        }
    }
}
