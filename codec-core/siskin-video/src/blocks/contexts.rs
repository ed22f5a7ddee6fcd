//! The adaptive decisions of the block codec and where each of them lies in one table.

use siskin_entropy::binary::AdaptiveBit;

use super::starts;

// Where the contexts of a decision begin; `docs/video-bitstream.md` says what each is indexed by.
pub(super) const SPLIT: usize = 0;
pub(super) const SKIP: usize = SPLIT + 2 * 3;
pub(super) const INTRA: usize = SKIP + 3;
pub(super) const MERGE: usize = INTRA + 3;
pub(super) const MERGE_INDEX: usize = MERGE + 1;
pub(super) const PAIR: usize = MERGE_INDEX + 5;
pub(super) const REFERENCE: usize = PAIR + 3;
pub(super) const VECTOR_ZERO: usize = REFERENCE + 2;
pub(super) const VECTOR_SIZE: usize = VECTOR_ZERO + 4;
/// Decisions of a vector difference's magnitude at most.
pub(super) const VECTOR_DECISIONS: usize = 15;
pub(super) const LIKELY_MODE: usize = VECTOR_SIZE + 2 * VECTOR_DECISIONS;
pub(super) const LIKELY_INDEX: usize = LIKELY_MODE + 1;
pub(super) const MODE_BITS: usize = LIKELY_INDEX + 2;
pub(super) const CODED: usize = MODE_BITS + 32;
pub(super) const TRANSFORM_SPLIT: usize = CODED + 3;
pub(super) const CODED_LUMA: usize = TRANSFORM_SPLIT + 2 * 3;
pub(super) const CODED_CHROMA: usize = CODED_LUMA + 2 * 4;
// Of the four two are not used.
pub(super) const HALVES: usize = CODED_CHROMA + 4 * 3;
pub(super) const LAST: usize = HALVES + 4;
/// Classes of a last coordinate.
pub(super) const LAST_CLASSES: usize = 10;
pub(super) const GROUP: usize = LAST + 2 * 2 * 4 * LAST_CLASSES;
pub(super) const NONZERO: usize = GROUP + 2 * 2;
pub(super) const ABOVE_ONE: usize = NONZERO + 2 * 3 * 12;
pub(super) const ABOVE_TWO: usize = ABOVE_ONE + 2 * 20;
pub(super) const COPY: usize = ABOVE_TWO + 2 * 20;
pub(super) const COPY_ZERO: usize = COPY + 3;
pub(super) const COPY_SIZE: usize = COPY_ZERO + 4;
/// Number of contexts.
pub(super) const COUNT: usize = COPY_SIZE + 2 * VECTOR_DECISIONS;

/// All adaptive decisions of a stream.
#[derive(Debug, Clone)]
pub(super) struct Contexts(pub(super) [AdaptiveBit; COUNT]);

impl Contexts {
    /// Even chances.
    pub(super) fn new() -> Self {
        Self([AdaptiveBit::new(1 << 15); COUNT])
    }

    /// As they were in clips at a quality, in keyframes or in the first frame behind one.
    // 0.2 to 0.5 % of the rate of 60 frames at usual qualities, 3 % at low ones.
    pub(super) fn learned(is_keyframe: bool, quality: u8) -> Self {
        Self(std::array::from_fn(|i| AdaptiveBit::young(starts::start(is_keyframe, i, quality))))
    }

    #[inline]
    pub(super) fn at(&mut self, index: usize) -> &mut AdaptiveBit {
        &mut self.0[index]
    }
}
