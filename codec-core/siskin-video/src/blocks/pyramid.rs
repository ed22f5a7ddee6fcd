//! Packets of several frames: the last one is coded first, then the frame in the middle, and so on, each between two that are there
//! already. Nothing is reordered outside of a packet.

use siskin_bitstream::video_packet::MAX_BLOCK_FRAMES;
use siskin_entropy::binary::BitCoder;

use super::quant::QUALITIES;
use crate::Result;

/// Frames of a packet at most.
pub(super) const MAX_FRAMES: usize = MAX_BLOCK_FRAMES as usize;
/// Kinds of frames that have contexts of their own: those that are predicted from earlier frames alone, those between two frames that
/// others are predicted from, and those that none is predicted from.
pub(super) const KINDS: usize = 3;

/// How much coarser the frames of each level are than the last frame.
const COARSER: [u8; 4] = [0, 5, 8, 9];

/// A frame of a packet, in the order of coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Its place in the order of showing.
    pub(super) index: usize,
    /// 0 for the last frame, 1 for the one in the middle before it, and so on.
    pub(super) level: u8,
    /// Whether frames of the packet that come after it are predicted from it.
    pub(super) is_reference: bool,
}

impl Step {
    /// The only frame of a packet.
    pub(super) const ALONE: Self = Self { index: 0, level: 0, is_reference: true };

    /// Which contexts it has.
    pub(super) fn kind(&self) -> usize {
        match (self.level, self.is_reference) {
            (0, _) => 0,
            (_, true) => 1,
            _ => 2,
        }
    }
}

/// Codes the quality of a frame at a level above 0; `anchor` is that of the packet's last frame.
///
/// # Errors
/// Those of the coder.
pub(super) fn code_quality<C: BitCoder>(coder: &mut C, (anchor, level): (u8, u8), wanted: u8) -> Result<u8> {
    let usual = usual_quality(anchor, level);
    if coder.code_raw_bits(1, u32::from(wanted != usual))? == 0 {
        return Ok(usual);
    }
    Ok(coder.code_raw_bits(6, wanted.into())? as u8)
}

/// The quality that frames at a level have without a word.
pub(super) fn usual_quality(anchor: u8, level: u8) -> u8 {
    (anchor + COARSER[usize::from(level).min(COARSER.len() - 1)]).min(QUALITIES - 1)
}

/// The frames of a packet of `count` in the order of coding.
pub(super) fn order(count: usize) -> Vec<Step> {
    let mut steps = Vec::with_capacity(count);
    // Intervals whose ends are known, without the ends; level by level, so that as many frames as possible are known to the finest.
    let mut open = std::collections::VecDeque::new();
    if let Some(last) = count.checked_sub(1) {
        steps.push(Step { index: last, level: 0, is_reference: true });
        open.push_back((0, last, 1));
    }
    while let Some((start, end, level)) = open.pop_front() {
        if start == end {
            continue;
        }
        let middle = start + (end - start) / 2;
        steps.push(Step { index: middle, level, is_reference: end - start > 1 });
        open.push_back((start, middle, level + 1));
        open.push_back((middle + 1, end, level + 1));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_coded_from_the_outside_in() {
        let indices = |count| order(count).iter().map(|s| s.index).collect::<Vec<_>>();
        assert!(order(0).is_empty());
        assert_eq!(indices(1), [0]);
        assert_eq!(indices(2), [1, 0]);
        assert_eq!(indices(8), [7, 3, 1, 5, 0, 2, 4, 6]);
        let kinds: Vec<_> = order(4).iter().map(Step::kind).collect();
        assert_eq!(kinds, [0, 1, 2, 2]);
        for count in 1..=MAX_FRAMES {
            let mut all = indices(count);
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }
}
