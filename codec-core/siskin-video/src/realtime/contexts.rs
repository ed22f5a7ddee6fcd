//! The adaptive decisions of a chain of frames, in one row, so that a bundle can say where they begin.

use siskin_entropy::binary::AdaptiveBit;

use super::GROUPS;

/// Kinds of frames with decisions of their own: such as stand alone, and such as are predicted.
const KINDS: usize = 2;
/// Classes of the sizes around a latent.
pub(super) const BUCKETS: usize = 6;
/// Decisions about a latent's size before it is coded in plain bits.
pub(super) const SIZES: usize = 14;
/// Decisions about a vector component's size.
pub(super) const LENGTHS: usize = 9;

const ANY: usize = 0;
const GROUP: usize = ANY + KINDS * 6;
const ZERO: usize = GROUP + KINDS * GROUPS * 12;
const MORE: usize = ZERO + KINDS * super::CHANNELS * BUCKETS * 2;
const SKIP: usize = MORE + KINDS * GROUPS * BUCKETS * SIZES;
const SPLIT: usize = SKIP + 3;
const VECTOR: usize = SPLIT + 1;
/// How many there are.
pub(super) const COUNT: usize = VECTOR + 2 * (LENGTHS + 2);

/// Where all decisions of a chain stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contexts(Vec<AdaptiveBit>);

impl Contexts {
    /// Probabilities of 65,536, one a decision.
    pub(super) fn new(start: &[u16]) -> Self {
        Self(start.iter().map(|&p| AdaptiveBit::new(p)).collect())
    }

    /// Begins again.
    pub(super) fn reset(&mut self, start: &[u16]) {
        self.0.iter_mut().zip(start).for_each(|(own, &p)| *own = AdaptiveBit::new(p));
    }

    /// Where the decisions stand, as [`Contexts::new`] takes it.
    pub(super) fn probabilities(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|b| b.probability())
    }

    /// Whether a block has any latents: by how many of its two neighbours and whether the same block before has.
    pub(super) fn any(&mut self, key: bool, near: usize, old: bool) -> &mut AdaptiveBit {
        &mut self.0[ANY + usize::from(key) * 6 + near * 2 + usize::from(old)]
    }

    /// Whether a group of a block has any: by neighbours, the same before, and the group coded before it.
    pub(super) fn group(
        &mut self,
        key: bool,
        group: usize,
        near: usize,
        old: bool,
        last: bool,
    ) -> &mut AdaptiveBit {
        let place = (near * 2 + usize::from(old)) * 2 + usize::from(last);
        &mut self.0[GROUP + (usize::from(key) * GROUPS + group) * 12 + place]
    }

    /// Whether a latent is not zero: by the sizes around, and whether one before it in its group is not.
    pub(super) fn zero(&mut self, key: bool, channel: usize, bucket: usize, some: bool) -> &mut AdaptiveBit {
        let place = usize::from(key) * super::CHANNELS + channel;
        &mut self.0[ZERO + (place * BUCKETS + bucket) * 2 + usize::from(some)]
    }

    /// Whether a latent's size is more than one, two, and so on.
    pub(super) fn more(&mut self, key: bool, group: usize, bucket: usize) -> &mut [AdaptiveBit] {
        let start = MORE + ((usize::from(key) * GROUPS + group) * BUCKETS + bucket) * SIZES;
        &mut self.0[start..start + SIZES]
    }

    /// Whether a macroblock moves as predicted: by how many of its neighbours do.
    pub(super) fn skip(&mut self, near: usize) -> &mut AdaptiveBit {
        &mut self.0[SKIP + near]
    }

    /// Whether a macroblock has four vectors.
    pub(super) fn split(&mut self) -> &mut AdaptiveBit {
        &mut self.0[SPLIT]
    }

    /// A vector component: whether it is not zero, its sign, its size.
    pub(super) fn vector(&mut self, axis: usize) -> &mut [AdaptiveBit] {
        let start = VECTOR + axis * (LENGTHS + 2);
        &mut self.0[start..start + LENGTHS + 2]
    }
}
