//! The adaptive contexts of a stream in one row, so that a bundle can give their initial probabilities.

use siskin_entropy::binary::AdaptiveBit;

use super::GROUPS;

/// Kinds of frames with contexts of their own: predicted frames and keyframes.
const KINDS: usize = 2;
/// Classes of the magnitudes around a latent.
pub(super) const MAGNITUDE_CLASSES: usize = 6;
/// Contexts of a latent's magnitude in unary; what is larger is coded in raw bits.
pub(super) const MAGNITUDES: usize = 14;
/// Contexts of the magnitude of a motion vector difference.
pub(super) const LENGTHS: usize = 9;

// The order is part of the format (docs/video-bitstream.md, Binary decisions), since a bundle stores one probability
// per context.
const ANY: usize = 0;
// Six: none, one or both of left and above, times the previous frame.
const GROUP: usize = ANY + KINDS * 6;
// Twelve: the same six, times the previous group.
const SIGNIFICANCE: usize = GROUP + KINDS * GROUPS * 12;
const MAGNITUDE: usize = SIGNIFICANCE + KINDS * super::CHANNELS * MAGNITUDE_CLASSES * 2;
// Motion has no kinds: keyframes have no motion.
const SKIP: usize = MAGNITUDE + KINDS * GROUPS * MAGNITUDE_CLASSES * MAGNITUDES;
const SPLIT: usize = SKIP + 3;
const VECTOR: usize = SPLIT + 1;
/// How many there are.
pub(super) const COUNT: usize = VECTOR + 2 * (LENGTHS + 2);

/// The adaptive probabilities of all contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contexts(Vec<AdaptiveBit>);

impl Contexts {
    /// Begins at probabilities of 65,536, one per context.
    pub(super) fn new(start: &[u16]) -> Self {
        Self(start.iter().map(|&p| AdaptiveBit::new(p)).collect())
    }

    /// Begins again, as at a keyframe.
    pub(super) fn reset(&mut self, start: &[u16]) {
        self.0.iter_mut().zip(start).for_each(|(own, &p)| *own = AdaptiveBit::new(p));
    }

    /// The current probabilities, as [`Contexts::new`] takes them.
    pub(super) fn probabilities(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|b| b.probability())
    }

    /// Whether a block has any latents: by how many of its two neighbors and whether the same block before has.
    pub(super) fn block_flag(&mut self, is_keyframe: bool, near: usize, old: bool) -> &mut AdaptiveBit {
        &mut self.0[ANY + usize::from(is_keyframe) * 6 + near * 2 + usize::from(old)]
    }

    /// Whether a group of a block has any: by neighbors, the same before, and the group coded before it.
    pub(super) fn group_flag(
        &mut self,
        is_keyframe: bool,
        group: usize,
        near: usize,
        old: bool,
        last: bool,
    ) -> &mut AdaptiveBit {
        let place = (near * 2 + usize::from(old)) * 2 + usize::from(last);
        &mut self.0[GROUP + (usize::from(is_keyframe) * GROUPS + group) * 12 + place]
    }

    /// Whether a latent is not zero: by the magnitudes around, and whether one before it in its group is not.
    pub(super) fn significance(
        &mut self,
        is_keyframe: bool,
        channel: usize,
        class: usize,
        some: bool,
    ) -> &mut AdaptiveBit {
        let place = usize::from(is_keyframe) * super::CHANNELS + channel;
        &mut self.0[SIGNIFICANCE + (place * MAGNITUDE_CLASSES + class) * 2 + usize::from(some)]
    }

    /// Whether a latent's magnitude is more than one, two, and so on.
    pub(super) fn magnitude(&mut self, is_keyframe: bool, group: usize, class: usize) -> &mut [AdaptiveBit] {
        let start = MAGNITUDE
            + ((usize::from(is_keyframe) * GROUPS + group) * MAGNITUDE_CLASSES + class) * MAGNITUDES;
        &mut self.0[start..start + MAGNITUDES]
    }

    /// Whether a macroblock moves as predicted: by how many of its neighbors do.
    pub(super) fn skip_flag(&mut self, near: usize) -> &mut AdaptiveBit {
        &mut self.0[SKIP + near]
    }

    /// Whether a macroblock has four vectors.
    pub(super) fn split_flag(&mut self) -> &mut AdaptiveBit {
        &mut self.0[SPLIT]
    }

    /// A vector component: whether it is not zero, its sign, its size.
    pub(super) fn vector_component(&mut self, axis: usize) -> &mut [AdaptiveBit] {
        let start = VECTOR + axis * (LENGTHS + 2);
        &mut self.0[start..start + LENGTHS + 2]
    }
}
