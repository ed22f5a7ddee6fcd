use siskin_bitstream::Frames;
use siskin_bitstream::packet::Segment;
use siskin_error::Error;
use siskin_model::bundle::SegmentSpec;
use siskin_model::runtime::Provider;

use super::{SegmentEncoder, SegmentGatherer};

/// Samples in, coded segments out: for packets and for tokens.
pub(crate) struct SegmentSource {
    segments: SegmentEncoder,
    gatherer: SegmentGatherer,
    codes: Frames,
    hop: usize,
    groups: u8,
}

/// A segment that has been coded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodedSegment<'a> {
    pub(crate) codes: &'a Frames,
    pub(crate) segment: Segment,
    /// Samples of each channel to be left out at the end.
    pub(crate) end_trim: u32,
    /// Samples of each channel from its start to that of the next segment, or to the end.
    pub(crate) samples: u64,
}

impl SegmentSource {
    pub(crate) fn new(segments: SegmentEncoder, channels: u8, hop: u16, groups: u8) -> Self {
        Self {
            gatherer: SegmentGatherer::new(segments.sizes(), channels.into()),
            segments,
            codes: Frames::new(groups),
            hop: hop.into(),
            groups,
        }
    }

    pub(crate) fn sizes(&self) -> SegmentSpec {
        self.segments.sizes()
    }

    pub(crate) fn provider(&self) -> Provider {
        self.segments.provider()
    }

    /// Encodes interleaved samples with `codes` codes a frame, and passes each segment that is whole to `emit`.
    pub(crate) fn push_samples<E: From<Error>>(
        &mut self,
        mut pcm: &[f32],
        codes: usize,
        emit: &mut impl FnMut(CodedSegment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !pcm.is_empty() {
            pcm = self.gatherer.take(pcm);
            if self.gatherer.is_whole() {
                self.encode_segment(codes, emit)?;
            }
        }
        Ok(())
    }

    /// Passes what is left to `emit`. The source is then to be [`reset`](Self::reset).
    pub(crate) fn finish_stream<E: From<Error>>(
        &mut self,
        codes: usize,
        emit: &mut impl FnMut(CodedSegment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.gatherer.end();
        while !self.gatherer.is_empty() {
            self.encode_segment(codes, emit)?;
        }
        Ok(())
    }

    pub(crate) fn reset(&mut self) {
        self.gatherer.reset();
    }

    fn encode_segment<E: From<Error>>(
        &mut self,
        codes: usize,
        emit: &mut impl FnMut(CodedSegment<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.codes.clear_for(self.groups);
        let scale = self.segments.encode(self.gatherer.segment(), codes, &mut self.codes)?;
        let (kept, is_last) = self.gatherer.next_segment();
        // What the next one begins with is mixed; the last ends where the samples do.
        let beyond = (self.codes.len() * self.hop - kept) as u32;
        let (overlap, end_trim) = if is_last { (0, beyond) } else { (beyond, 0) };
        let segment = Segment { overlap, scale };
        emit(CodedSegment { codes: &self.codes, segment, end_trim, samples: kept as u64 })
    }
}
