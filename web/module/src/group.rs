//! The frames of a packet, of which there are several where the encoder could wait for them.

use siskin_core::bitstream::VideoHeader;
use siskin_core::bitstream::video_packet::GopInfo;
use siskin_core::container::Block;

/// Where in a packet the reader is.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// When each frame begins, and when the last one ends, in nanoseconds.
    times: Vec<u64>,
    at: usize,
    is_damaged: bool,
}

impl Group {
    /// The first frame of a packet. Its own durations come first, then that of its block, then the frame rate.
    pub(crate) fn new(block: &Block, info: &GopInfo, header: &VideoHeader) -> Self {
        let frames = u64::from(info.frames);
        let total = block.duration_ns.or_else(|| info.duration_ns(header)).unwrap_or(0);
        let mut times = vec![block.pts_ns];
        match &info.durations {
            Some(durations) => times.extend(durations.iter().scan(block.pts_ns, |end, &lasts| {
                *end = end.saturating_add(u64::from(lasts));
                Some(*end)
            })),
            // Together no longer than `total`.
            None => {
                times.extend((1..=frames).map(|i| block.pts_ns.saturating_add(total / frames.max(1) * i)))
            }
        }
        Self { times, at: 0, is_damaged: false }
    }

    /// A packet that says nothing of itself.
    pub(crate) fn empty(pts_ns: u64) -> Self {
        Self { times: vec![pts_ns], at: 0, is_damaged: true }
    }

    /// The same time without its frames.
    pub(crate) fn into_damaged(self) -> Self {
        Self { is_damaged: true, ..self }
    }

    /// Goes to the next frame; false where there is none.
    pub(crate) fn advance(&mut self) -> bool {
        let has_next = !self.is_damaged && self.at + 2 < self.times.len();
        self.at += usize::from(has_next);
        has_next
    }

    /// When the frame begins and ends; all of a damaged packet.
    pub(crate) fn times(&self) -> (u64, u64) {
        let last = self.times.last().copied().unwrap_or(0);
        let start = self.times.get(self.at).copied().unwrap_or(last);
        let end = self.times.get(self.at + 1).copied().filter(|_| !self.is_damaged);
        (start, end.unwrap_or(last))
    }

    /// The frame's number in its packet; none of a damaged one.
    pub(crate) fn index(&self) -> Option<usize> {
        (!self.is_damaged && self.at + 1 < self.times.len()).then_some(self.at)
    }
}
