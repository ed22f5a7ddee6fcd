use siskin_model::bundle::SegmentSpec;

/// Cuts samples into segments that overlap.
pub(super) struct SegmentGatherer {
    /// Samples of a segment and from one to the next, of all channels.
    length: usize,
    stride: usize,
    channels: usize,
    /// Interleaved samples from the start of the segment on.
    pending: Vec<f32>,
    has_ended: bool,
}

impl SegmentGatherer {
    pub(super) fn new(sizes: SegmentSpec, channels: usize) -> Self {
        let (length, stride) = (sizes.samples * channels, sizes.stride * channels);
        Self { length, stride, channels, pending: Vec::with_capacity(length), has_ended: false }
    }

    /// Takes samples up to the segment's end, and gives back the others. What is not finite counts as silence.
    pub(super) fn take<'a>(&mut self, pcm: &'a [f32]) -> &'a [f32] {
        let (now, later) = pcm.split_at(pcm.len().min(self.length - self.pending.len()));
        self.pending.extend(now.iter().map(|&x| if x.is_finite() { x } else { 0.0 }));
        later
    }

    /// Whether a whole segment is there.
    pub(super) fn is_whole(&self) -> bool {
        self.pending.len() == self.length
    }

    /// Whether nothing is there.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// No samples follow.
    pub(super) fn end(&mut self) {
        // A sample that lacks channels has those silent.
        self.pending.resize(self.pending.len().next_multiple_of(self.channels), 0.0);
        self.has_ended = true;
    }

    /// The samples of the segment.
    pub(super) fn segment(&self) -> &[f32] {
        &self.pending
    }

    /// Goes on to the next segment. Returns the samples of each channel from the start of this one to that of the next, or to the
    /// end if there is none, and whether there is none.
    pub(super) fn next_segment(&mut self) -> (usize, bool) {
        // A stream that goes on beyond the stride has another segment, however short.
        let is_last = self.has_ended && self.pending.len() <= self.stride;
        let kept = self.pending.len().min(self.stride);
        self.pending.drain(..kept);
        (kept / self.channels, is_last)
    }

    pub(super) fn reset(&mut self) {
        self.pending.clear();
        self.has_ended = false;
    }
}
