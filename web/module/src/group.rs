//! The frames of a packet, of which there are several where the encoder could wait for them.

use siskin_core::bitstream::VideoHeader;
use siskin_core::bitstream::video_packet::GopInfo;
use siskin_core::container::Block;

/// Where in a packet the reader is.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// When each frame begins, and when the last one ends, in nanoseconds; of a damaged packet when all of it does.
    times: Vec<u64>,
    at: usize,
    /// Whether its frames were decoded.
    is_whole: bool,
}

impl Group {
    /// The first frame of a packet. How long its block lasts counts where neither the packet nor the stream's rate tells: a block
    /// without a duration of its own has its track's default, which is that of one frame.
    pub(crate) fn new(block: &Block, info: &GopInfo, header: &VideoHeader) -> Self {
        let share = block.duration_ns.unwrap_or(0) / u64::from(info.frames.max(1));
        let offset = |frame: u32| info.frame_offset_ns(header, frame).unwrap_or(share * u64::from(frame));
        let times = (0..=info.frames).map(|frame| block.pts_ns.saturating_add(offset(frame))).collect();
        Self { times, at: 0, is_whole: true }
    }

    /// A packet without its frames, which lasts from one time to another.
    pub(crate) fn damaged(start_ns: u64, end_ns: u64) -> Self {
        Self { times: vec![start_ns, end_ns], at: 0, is_whole: false }
    }

    /// Goes to the next frame; false where there is none.
    pub(crate) fn advance(&mut self) -> bool {
        let has_next = self.at + 2 < self.times.len();
        self.at += usize::from(has_next);
        has_next
    }

    /// When the frame begins and ends; all of a damaged packet.
    pub(crate) fn times(&self) -> (u64, u64) {
        let time = |index: usize| self.times.get(index).copied().unwrap_or(0);
        (time(self.at), time(self.at + 1))
    }

    /// The frame's number in its packet; none of a damaged one.
    pub(crate) fn index(&self) -> Option<usize> {
        self.is_whole.then_some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::video_packet::Coding;

    use super::*;

    const MS: u64 = 1_000_000;

    /// When the frames of a packet begin that begins at a second, and when the last one ends, in milliseconds.
    fn times(duration_ns: Option<u64>, durations: Option<Vec<u32>>, frame_rate: (u32, u32)) -> Vec<u64> {
        let header = VideoHeader {
            width: 64,
            height: 48,
            frame_rate,
            pixel_aspect: (1, 1),
            colorimetry: Default::default(),
        };
        let info = GopInfo {
            coding: Coding::Blocks,
            header: None,
            number: 1,
            is_keyframe: false,
            frames: 4,
            durations,
        };
        let block = Block { pts_ns: 1000 * MS, duration_ns, ..Default::default() };
        let mut group = Group::new(&block, &info, &header);
        let mut times = vec![group.times().0 / MS];
        loop {
            times.push(group.times().1 / MS);
            if !group.advance() {
                return times;
            }
        }
    }

    #[test]
    fn frames_last_as_long_as_the_packet_says_else_by_the_rate_else_by_the_block() {
        let by_rate = vec![1000, 1040, 1080, 1120, 1160];
        assert_eq!(times(Some(160 * MS), None, (25, 1)), by_rate);
        // The track's default, which is that of one frame, and nothing at all.
        assert_eq!(times(Some(40 * MS), None, (25, 1)), by_rate);
        assert_eq!(times(None, None, (25, 1)), by_rate);
        let own = [10, 20, 30, 40].map(|ms| ms * MS as u32).to_vec();
        assert_eq!(times(Some(160 * MS), Some(own), (25, 1)), [1000, 1010, 1030, 1060, 1100]);
        assert_eq!(times(Some(200 * MS), None, (0, 1)), [1000, 1050, 1100, 1150, 1200]);
        assert_eq!(times(None, None, (0, 1)), [1000; 5]);
    }
}
