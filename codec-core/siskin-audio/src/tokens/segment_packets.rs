use siskin_bitstream::packet::{self, PacketInfo};
use siskin_bitstream::{Frames, StreamHeader};
use siskin_error::Error;

use crate::tokens::packets::PackedCodes;
use crate::tokens::segment_plan::{Planned, SegmentPlan};

/// Frames of codes in, a packet for each segment out.
pub(super) struct SegmentPackets {
    pub(super) plan: SegmentPlan,
    frames: Frames,
    groups: u8,
    /// Codes of the last frame.
    last: Vec<u16>,
    packet: Vec<u8>,
    /// Where the next packet begins.
    position: u64,
    /// Frames of the packets so far, and when the stream header is due again.
    frames_before: u64,
    header_due: u64,
}

impl SegmentPackets {
    pub(super) fn new(plan: SegmentPlan, groups: u8) -> Self {
        Self {
            plan,
            frames: Frames::new(groups),
            groups,
            last: Vec::new(),
            packet: Vec::new(),
            position: 0,
            frames_before: 0,
            header_due: 0,
        }
    }

    pub(super) fn push_frame<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        header_interval: u64,
        codes: &[u16],
        emit: &mut impl FnMut(PackedCodes<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Where the length is not known, only now is the segment known not to be the last.
        if self.frames.len() >= self.plan.frames() && !self.frames.is_empty() {
            self.emit_packet(header, header_interval, self.plan.is_last(), emit)?;
        }
        if self.plan.frames() == 0 {
            return Err(Error::parameter("frames", "more", "as many as the stream's samples fill").into());
        }
        self.frames.push_frame(codes);
        self.last.clear();
        self.last.extend_from_slice(codes);
        if self.plan.is_complete(self.frames.len()) {
            return self.emit_packet(header, header_interval, self.plan.is_last(), emit);
        }
        Ok(())
    }

    /// A lost frame: a segment cannot lack one, so the one before takes its place.
    pub(super) fn skip_frame<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        header_interval: u64,
        codes: usize,
        emit: &mut impl FnMut(PackedCodes<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = std::mem::take(&mut self.last);
        last.resize(codes, 0);
        self.push_frame(header, header_interval, &last, emit)
    }

    pub(super) fn finish_stream<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        header_interval: u64,
        samples: Option<u64>,
        emit: &mut impl FnMut(PackedCodes<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if samples.is_some() {
            self.plan.set_samples(samples);
        }
        let found = self.frames.len();
        // A length has to be that of the frames: the last segment whole, and none missing after it.
        let is_last = found == 0 || self.plan.is_last();
        let fits = samples.is_none() || found == self.plan.frames() && is_last;
        let ended = if !fits {
            let allowed = "as many as the frames of whole segments and the last one have";
            Err(Error::parameter("samples", samples.unwrap_or_default(), allowed).into())
        } else if found > 0 {
            self.emit_packet(header, header_interval, true, emit)
        } else {
            Ok(())
        };
        self.reset();
        ended
    }

    pub(super) fn reset(&mut self) {
        self.frames.clear_for(self.groups);
        self.last.clear();
        self.plan.reset();
        (self.position, self.frames_before, self.header_due) = (0, 0, 0);
    }

    fn emit_packet<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        header_interval: u64,
        is_last: bool,
        emit: &mut impl FnMut(PackedCodes<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = self.frames.len();
        let Planned { segment, end_trim, is_first } = self.plan.end_segment(count, is_last);
        let is_random_access = is_first || self.frames_before >= self.header_due;
        let (frames, stages, overlap) = (count as u32, self.frames.max_stages(), segment.overlap);
        let info = PacketInfo { starts_stream: is_first, end_trim, frames, stages, overlap };
        self.packet.clear();
        packet::write_segment(header, &info, is_random_access, segment, &self.frames, &mut self.packet)?;
        if is_random_access {
            self.header_due = self.frames_before + header_interval;
        }
        self.frames_before += u64::from(frames);
        let (position, samples) = (self.position, info.sample_count(header));
        self.position += samples;
        self.frames.clear_for(self.groups);
        emit(PackedCodes { data: &self.packet, position, samples, is_random_access })
    }
}
