//! Which integers the latents of a picture become: those that are worth their bits.
//!
//! With the decisions as they stand at a block, the cheapest sum of squared error and weighted bits over all ways of
//! rounding to either side, by dynamic programming over the latents of a group and the groups of a block. The blocks before
//! are taken as chosen, those after are not looked at.

use crate::Result;
use siskin_entropy::binary::{BitCounter, bits};

use super::contexts::{Contexts, SIZES};
use super::latents::{self, LARGEST, MEANS, Neighbours};
use super::{CHANNELS, GROUP, GROUPS};

/// Cost of a choice, and the choice.
#[derive(Debug, Clone, Copy)]
struct Path {
    cost: f32,
    values: [i16; GROUP],
}

const NO_PATH: Path = Path { cost: f32::INFINITY, values: [0; GROUP] };

/// Chooses latents.
#[derive(Debug, Clone)]
pub(super) struct Chooser {
    contexts: Contexts,
    around: Neighbours,
    /// Bits of each block, as far as they were counted last.
    block_bits: Vec<f32>,
}

impl Chooser {
    /// With decisions and neighbours like these.
    pub(super) fn new(contexts: &Contexts, around: &Neighbours) -> Self {
        Self { contexts: contexts.clone(), around: around.clone(), block_bits: Vec::new() }
    }

    /// Which blocks have latents, after a choice or a count.
    pub(super) fn around(&self) -> &Neighbours {
        &self.around
    }

    /// Bits of each block, after a choice or a count.
    pub(super) fn block_bits(&self) -> &[f32] {
        &self.block_bits
    }

    /// Counts the bits of latents, 96 a block, where decisions stand as in `contexts` and `around`.
    ///
    /// # Errors
    /// None that latents within bounds could cause.
    pub(super) fn count(
        &mut self,
        state: (&Contexts, &Neighbours),
        key: bool,
        latents: &[i16],
    ) -> Result<()> {
        self.begin(state, key);
        for block in 0..latents.len() / CHANNELS {
            let means = self.means(key, latents, block);
            let mut own = [0; CHANNELS];
            own.copy_from_slice(&latents[block * CHANNELS..][..CHANNELS]);
            MEANS.iter().zip(means).for_each(|(&c, mean)| own[c] -= mean);
            self.take(key, block, &mut own)?;
        }
        Ok(())
    }

    fn begin(&mut self, (contexts, around): (&Contexts, &Neighbours), key: bool) {
        self.contexts.clone_from(contexts);
        self.around.clone_from(around);
        self.around.turn(key);
        self.block_bits.clear();
    }

    /// What the means of a block are coded as differences to.
    fn means(&self, key: bool, latents: &[i16], block: usize) -> [i16; 3] {
        if key { latents::predicted(latents, block, self.around.columns()) } else { [0; 3] }
    }

    /// Lets decisions learn from a block.
    fn take(&mut self, key: bool, block: usize, own: &mut [i16]) -> Result<()> {
        let mut counter = BitCounter::default();
        latents::one_block(&mut counter, &mut self.contexts, &mut self.around, key, block, own)?;
        self.block_bits.push(counter.bits() as f32);
        Ok(())
    }

    /// Chooses the integers, 96 a block, for latents `wanted` `[96, blocks]`, where a bit is worth `weight` squared steps
    /// and decisions stand as in `contexts` and `around`.
    ///
    /// # Errors
    /// None that latents within bounds could cause.
    pub(super) fn choose(
        &mut self,
        state: (&Contexts, &Neighbours),
        key: bool,
        wanted: &[f32],
        weight: f32,
        out: &mut [i16],
    ) -> Result<()> {
        self.begin(state, key);
        let blocks = out.len() / CHANNELS;
        for block in 0..blocks {
            let means = self.means(key, out, block);
            let mut own: [f32; CHANNELS] = std::array::from_fn(|c| wanted[c * blocks + block]);
            MEANS.iter().zip(means).for_each(|(&c, mean)| own[c] -= f32::from(mean));
            let mut chosen = self.block(key, block, &own, weight);
            self.take(key, block, &mut chosen)?;
            MEANS.iter().zip(means).for_each(|(&c, mean)| chosen[c] = chosen[c].saturating_add(mean));
            out[block * CHANNELS..][..CHANNELS].copy_from_slice(&chosen);
        }
        Ok(())
    }

    /// The cheapest integers of a block, means less what predicts them.
    fn block(&mut self, key: bool, block: usize, wanted: &[f32; CHANNELS], weight: f32) -> [i16; CHANNELS] {
        let mut out = [0; CHANNELS];
        if wanted.iter().all(|w| w.abs() < 0.5) {
            return out;
        }
        let (left, above, old) = self.around.flags(block);
        let near = usize::from(left != 0) + usize::from(above != 0);
        let any = *self.contexts.any(key, near, old != 0);
        // Of both states, whether the group before has any: the cost, and which groups have some.
        let mut states = [(weight * bits(any, true), 0u16), (f32::INFINITY, 0u16)];
        let mut nothing = weight * bits(any, false);
        for (group, own) in wanted.as_chunks::<GROUP>().0.iter().enumerate() {
            let empty: f32 = own.iter().map(|w| w * w).sum();
            nothing += empty;
            let path = self.group(key, block, group, own, weight);
            out[group * GROUP..][..GROUP].copy_from_slice(&path.values);
            let flag = |mask: u16| mask >> group & 1;
            let near = usize::from(flag(left) + flag(above));
            let mut next = [(f32::INFINITY, 0u16); 2];
            for (last, &(cost, mask)) in states.iter().enumerate() {
                let model = *self.contexts.group(key, group, near, flag(old) == 1, last == 1);
                let without = cost + empty + weight * bits(model, false);
                if without < next[0].0 {
                    next[0] = (without, mask);
                }
                let with = cost + path.cost + weight * bits(model, true);
                if with < next[1].0 {
                    next[1] = (with, mask | 1 << group);
                }
            }
            states = next;
        }
        let best = if states[0].0 < states[1].0 { states[0] } else { states[1] };
        let mask = if best.0 < nothing { best.1 } else { 0 };
        for (group, values) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            if mask >> group & 1 == 0 {
                values.fill(0);
            }
        }
        out
    }

    /// The cheapest integers of a group of which one is not zero, without the decision that says so.
    fn group(&mut self, key: bool, block: usize, group: usize, wanted: &[f32; GROUP], weight: f32) -> Path {
        if wanted.iter().all(|w| w.abs() < 0.5) {
            return NO_PATH;
        }
        // Of both states, whether one so far is not zero.
        let mut states = [Path { cost: 0.0, values: [0; GROUP] }, NO_PATH];
        for (i, &value) in wanted.iter().enumerate() {
            let channel = group * GROUP + i;
            let bucket = self.around.bucket(block, channel);
            // The cast saturates, and makes 0 of what is no number.
            let nearest = ((value.abs() + 0.5) as i16).min(LARGEST);
            let mut next = [NO_PATH; 2];
            for (some, path) in states.iter().enumerate().filter(|s| s.1.cost.is_finite()) {
                let model = *self.contexts.zero(key, channel, bucket, some == 1);
                let is_sure = i + 1 == GROUP && some == 0;
                if !is_sure {
                    let cost = path.cost + value * value + weight * bits(model, false);
                    if cost < next[some].cost {
                        next[some] = Path { cost, values: path.values };
                    }
                }
                for size in nearest.saturating_sub(1).max(1)..=nearest {
                    let error = value.abs() - f32::from(size);
                    let decision = if is_sure { 0.0 } else { bits(model, true) };
                    let all = decision + 1.0 + size_bits(self.contexts.more(key, group, bucket), size - 1);
                    let cost = path.cost + error * error + weight * all;
                    if cost < next[1].cost {
                        let mut values = path.values;
                        values[i] = if value < 0.0 { -size } else { size };
                        next[1] = Path { cost, values };
                    }
                }
            }
            states = next;
        }
        states[1]
    }
}

/// Bits of a size less one, as [`latents::unary_then_golomb`] codes it.
fn size_bits(models: &[siskin_entropy::binary::AdaptiveBit], value: i16) -> f32 {
    let value = value.max(0) as usize;
    let decisions = models.iter().take(value).map(|&m| bits(m, true)).sum::<f32>();
    match models.get(value) {
        Some(&last) => decisions + bits(last, false),
        None => decisions + (2 * ((value - SIZES + 4) as u32).ilog2() - 1) as f32,
    }
}

const _: () = assert!(GROUPS <= 16);

#[cfg(test)]
mod tests {
    use super::super::contexts::COUNT;
    use super::*;

    /// Error and weighted bits of a block of latents.
    fn cost(
        chooser: &mut Chooser,
        state: (&Contexts, &Neighbours),
        wanted: &[f32],
        own: &[i16],
        weight: f32,
    ) -> f32 {
        chooser.count(state, false, own).expect("latents");
        let error: f32 = wanted.iter().zip(own).map(|(w, &v)| (w - f32::from(v)).powi(2)).sum();
        error + weight * chooser.block_bits()[0]
    }

    #[test]
    fn no_other_rounding_of_a_few_latents_is_cheaper() {
        let start: Vec<u16> = (0..COUNT).map(|i| (3000 + i * 7919 % 50_000) as u16).collect();
        let (contexts, around) = (Contexts::new(&start), Neighbours::new(1, 1));
        let mut chooser = Chooser::new(&contexts, &around);
        let state = (&contexts, &around);
        let places = [0, 3, 7, 8, 15, 40, 90];
        for (seed, weight) in [(0.3f32, 0.05), (1.7, 0.12), (4.1, 0.2), (9.2, 0.5), (2.6, 2.0)] {
            let mut wanted = [0.2; CHANNELS];
            for (i, &place) in places.iter().enumerate() {
                wanted[place] = 2.6 * (seed * (i + 1) as f32).sin();
            }
            let mut chosen = [0; CHANNELS];
            chooser.choose(state, false, &wanted, weight, &mut chosen).expect("latents");
            let found = cost(&mut chooser, state, &wanted, &chosen, weight);
            for other in 0..3usize.pow(places.len() as u32) {
                let mut own = [0i16; CHANNELS];
                for (i, &place) in places.iter().enumerate() {
                    let size = wanted[place].abs().round() as i16 - (other / 3usize.pow(i as u32) % 3) as i16;
                    own[place] = size.max(0) * wanted[place].signum() as i16;
                }
                // Decisions that code several latents learn between them, which the choice does not look at.
                let least = cost(&mut chooser, state, &wanted, &own, weight);
                assert!(
                    found < least + 0.02 * weight * chooser.block_bits()[0] + 1e-3,
                    "{found} {least} {weight}"
                );
            }
        }
    }

    #[test]
    fn what_costs_nothing_is_rounded_and_what_costs_much_is_nothing() {
        let start = vec![1 << 14; COUNT];
        let (contexts, around) = (Contexts::new(&start), Neighbours::new(1, 1));
        let mut chooser = Chooser::new(&contexts, &around);
        let wanted: [f32; CHANNELS] = std::array::from_fn(|c| (c as f32 * 0.77).sin() * 30.0);
        let mut chosen = [0; CHANNELS];
        for key in [false, true] {
            chooser.choose((&contexts, &around), key, &wanted, 0.0, &mut chosen).expect("latents");
            assert!(wanted.iter().zip(chosen).all(|(w, v)| (w - f32::from(v)).abs() <= 0.5));
            chooser.choose((&contexts, &around), key, &wanted, 1e6, &mut chosen).expect("latents");
            assert_eq!(chosen, [0; CHANNELS]);
        }
    }
}
