use siskin_bitstream::Frames;
use siskin_error::{Error, Result};
use siskin_model::bundle::SegmentSpec;

use crate::tokens::segment_plan::{Planned, SegmentPlan};

/// Frames of codes in, whole segments out: for packets of codes and for the decoder of tokens, so that both make the same segments
/// of the same frames.
#[derive(Debug)]
pub(super) struct SegmentAssembler {
    plan: SegmentPlan,
    /// Frames of the segment at hand.
    frames: Frames,
    groups: u8,
    /// Codes of the stream's last frame.
    last: Vec<u16>,
}

/// A segment whose frames are there.
#[derive(Debug, Clone, Copy)]
pub(super) struct AssembledSegment<'a> {
    pub(super) codes: &'a Frames,
    pub(super) planned: Planned,
}

impl Clone for SegmentAssembler {
    fn clone(&self) -> Self {
        let Self { plan, frames, groups, last } = self;
        Self { plan: plan.clone(), frames: frames.clone(), groups: *groups, last: last.clone() }
    }

    // By hand: the derived one would allocate each time that slots of streams take turns.
    fn clone_from(&mut self, from: &Self) {
        let Self { plan, frames, groups, last } = from;
        self.plan.clone_from(plan);
        self.frames.clone_from(frames);
        self.groups = *groups;
        self.last.clone_from(last);
    }
}

impl SegmentAssembler {
    pub(super) fn new(sizes: SegmentSpec, hop: u16, groups: u8) -> Self {
        let plan = SegmentPlan::new(sizes, hop);
        Self { plan, frames: Frames::new(groups), groups, last: Vec::new() }
    }

    /// # Errors
    /// [`Error::Parameter`] for a scale that no packet can have.
    pub(super) fn set_scales(&mut self, scales: Vec<f32>) -> Result<()> {
        self.plan.set_scales(scales)
    }

    pub(super) fn set_samples(&mut self, samples: Option<u64>) {
        self.plan.set_samples(samples);
    }

    /// Takes a frame, and passes a segment to `emit` with the frame that shows that it is whole: its last where the stream's length
    /// is known, else the one after that. False for a frame beyond the stream's length, which is left out.
    ///
    /// # Errors
    /// What `emit` returns.
    pub(super) fn push_frame<E: From<Error>>(
        &mut self,
        codes: &[u16],
        emit: impl FnMut(AssembledSegment<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        self.last.clear();
        self.last.extend_from_slice(codes);
        self.push_last(emit)
    }

    /// Takes a lost frame: a segment cannot lack one, so the one before takes its place, at the start of a stream one of `codes`
    /// codes 0.
    ///
    /// # Errors
    /// What `emit` returns.
    pub(super) fn push_lost<E: From<Error>>(
        &mut self,
        codes: usize,
        emit: impl FnMut(AssembledSegment<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        if self.last.is_empty() {
            self.last.resize(codes, 0);
        }
        self.push_last(emit)
    }

    fn push_last<E: From<Error>>(
        &mut self,
        mut emit: impl FnMut(AssembledSegment<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        // Where the length is not known, only now is the segment known not to be the last.
        if self.frames.len() >= self.plan.frames() && !self.frames.is_empty() {
            self.end_segment(self.plan.is_last(), &mut emit)?;
        }
        if self.plan.frames() == 0 {
            return Ok(false);
        }
        self.frames.push_frame(&self.last);
        if self.plan.is_complete(self.frames.len()) {
            self.end_segment(self.plan.is_last(), &mut emit)?;
        }
        Ok(true)
    }

    /// Whether a stream of `samples` samples can end here: its last segment whole, and none missing after it.
    pub(super) fn can_end(&self) -> bool {
        let found = self.frames.len();
        found == self.plan.frames() && (found == 0 || self.plan.is_last())
    }

    /// Passes the last segment to `emit`, if frames of it are there.
    ///
    /// # Errors
    /// What `emit` returns.
    pub(super) fn finish_stream<E: From<Error>>(
        &mut self,
        mut emit: impl FnMut(AssembledSegment<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if self.frames.is_empty() { Ok(()) } else { self.end_segment(true, &mut emit) }
    }

    /// Back to the start of a stream, with scales and length.
    pub(super) fn reset(&mut self) {
        self.frames.clear_for(self.groups);
        self.last.clear();
        self.plan.reset();
    }

    fn end_segment<E: From<Error>>(
        &mut self,
        is_last: bool,
        emit: &mut impl FnMut(AssembledSegment<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let planned = self.plan.end_segment(self.frames.len(), is_last);
        let ended = emit(AssembledSegment { codes: &self.frames, planned });
        self.frames.clear_for(self.groups);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 4 frames of 10 samples, every 30 samples.
    const SIZES: SegmentSpec = SegmentSpec { samples: 40, stride: 30, normalized: true };

    /// First codes of the frames of each segment, its overlap and its trim. 0 in `frames` is a lost one.
    fn assembled(frames: &[u16], samples: Option<u64>) -> (Vec<(Vec<u16>, u32, u32)>, usize) {
        let mut assembler = SegmentAssembler::new(SIZES, 10, 1);
        assembler.set_samples(samples);
        let (mut segments, mut left_out) = (Vec::new(), 0);
        let mut emit = |found: AssembledSegment<'_>| -> Result<()> {
            assert!(found.codes.iter().all(|codes| codes.len() == 2), "all frames have all codes");
            let codes = found.codes.iter().map(|codes| codes[0]).collect();
            segments.push((codes, found.planned.segment.overlap, found.planned.end_trim));
            Ok(())
        };
        for &frame in frames {
            let is_taken = match frame {
                0 => assembler.push_lost(2, &mut emit),
                code => assembler.push_frame(&[code, code], &mut emit),
            };
            left_out += usize::from(!is_taken.expect("no error"));
        }
        assembler.finish_stream(&mut emit).expect("no error");
        (segments, left_out)
    }

    #[test]
    fn a_lost_frame_is_the_one_before_it_also_of_another_segment() {
        let (segments, left_out) = assembled(&[0, 1, 0, 2, 0, 3, 0], Some(60));
        assert_eq!(segments, [(vec![0, 1, 1, 2], 10, 0), (vec![2, 3, 3], 0, 0)]);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn frames_beyond_the_length_are_left_out() {
        let (segments, left_out) = assembled(&[1, 2, 3, 4, 5, 0, 6], Some(25));
        assert_eq!((segments, left_out), (vec![(vec![1, 2, 3], 0, 5)], 4));
        // Without a length all belong to the stream.
        let (segments, left_out) = assembled(&[1, 2, 3, 4, 5, 0, 6], None);
        assert_eq!((segments, left_out), (vec![(vec![1, 2, 3, 4], 10, 0), (vec![5, 5, 6], 0, 0)], 0));
    }
}
