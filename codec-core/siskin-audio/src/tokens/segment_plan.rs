use std::sync::Arc;

use siskin_bitstream::packet::Segment;
use siskin_error::{Error, Result};
use siskin_model::bundle::SegmentSpec;

/// Which frames of a stream of codes make its segments, and their scales.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SegmentPlan {
    sizes: SegmentSpec,
    hop: usize,
    /// In their order; a segment without one has 1.
    /// Shared, as they stay the same while copies of the state are made.
    scales: Arc<[f32]>,
    /// The stream's length. Without it all segments but the last are whole.
    samples: Option<u64>,
    /// Segments so far.
    count: u64,
}

/// A segment of which the frames are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Planned {
    pub(super) segment: Segment,
    /// Samples to be left out at the end.
    pub(super) end_trim: u32,
    pub(super) is_first: bool,
}

impl SegmentPlan {
    pub(super) fn new(sizes: SegmentSpec, hop: u16) -> Self {
        Self { sizes, hop: usize::from(hop).max(1), scales: Arc::default(), samples: None, count: 0 }
    }

    /// # Errors
    /// [`Error::Parameter`] for a scale that no packet can have.
    pub(super) fn set_scales(&mut self, scales: Vec<f32>) -> Result<()> {
        if let Some(bad) = scales.iter().find(|&&s| !Segment::is_scale(s)) {
            return Err(Error::parameter("scale", bad, "finite values from 0 on"));
        }
        self.scales = scales.into();
        Ok(())
    }

    pub(super) fn set_samples(&mut self, samples: Option<u64>) {
        self.samples = samples;
    }

    /// Where the segment at hand begins.
    fn start(&self) -> u64 {
        self.count.saturating_mul(self.sizes.stride as u64)
    }

    /// Samples from the start of the segment at hand to the stream's end, if that is known.
    fn rest(&self) -> Option<u64> {
        self.samples.map(|samples| samples.saturating_sub(self.start()))
    }

    /// Frames of the segment at hand; none if the stream has ended before it.
    pub(super) fn frames(&self) -> usize {
        let length =
            self.rest().map_or(self.sizes.samples as u64, |rest| rest.min(self.sizes.samples as u64));
        length.div_ceil(self.hop as u64) as usize
    }

    /// Whether a segment of so many frames is complete, and known to be or not to be the last.
    pub(super) fn is_complete(&self, frames: usize) -> bool {
        self.samples.is_some() && frames > 0 && frames == self.frames()
    }

    /// Whether the segment at hand is known to be the last.
    pub(super) fn is_last(&self) -> bool {
        self.rest().is_some_and(|rest| rest <= self.sizes.stride as u64)
    }

    /// Ends the segment at hand, which has `frames` frames; `is_last` says that none follows.
    pub(super) fn end_segment(&mut self, frames: usize, is_last: bool) -> Planned {
        let scale = usize::try_from(self.count).ok().and_then(|n| self.scales.get(n)).copied().unwrap_or(1.0);
        let decoded = (frames * self.hop) as u64;
        let end_trim = self.rest().filter(|_| is_last).map_or(0, |rest| decoded.saturating_sub(rest));
        let overlap = if is_last { 0 } else { decoded.saturating_sub(self.sizes.stride as u64) };
        let is_first = self.count == 0;
        self.count += 1;
        let segment = Segment { overlap: overlap as u32, scale };
        Planned { segment, end_trim: end_trim as u32, is_first }
    }

    /// Back to the start of a stream, with scales and length.
    pub(super) fn reset(&mut self) {
        self.count = 0;
    }
}
