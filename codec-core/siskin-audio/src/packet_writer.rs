use siskin_bitstream::packet::{self, PacketInfo, Segment};
use siskin_bitstream::{CodeCoder, ComfortNoise, Frames, StreamHeader};
use siskin_entropy::Coder;
use siskin_error::Result;

use crate::config::EncoderConfig;
use crate::history::History;

/// Factor of the header interval during DTX: at the usual interval the header would take more than the SID frames.
const DTX_HEADER_FACTOR: u64 = 10;

/// A packet of an [`Encoder`](crate::Encoder).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodedPacket<'a> {
    /// The packet's bytes.
    pub data: &'a [u8],
    /// Position of its first decoded sample in the input, in samples per channel.
    pub position: u64,
    /// Samples per channel that it decodes to.
    pub samples: u64,
    /// Whether it is a random access point: it carries the stream header.
    pub is_random_access: bool,
    /// Bytes of `data` that repeat earlier frames.
    pub redundant_bytes: usize,
    /// Frames that it covers.
    pub frames: u32,
    /// Codes of them, copies of earlier frames not counted.
    pub codes: usize,
    /// Whether it is a SID frame. The next packet may then start later than this one ends.
    pub is_sid: bool,
}

/// Writes packets and keeps their place in the stream.
pub(crate) struct PacketWriter {
    header_interval: u64,
    /// Frame from which on the next packet carries the header.
    header_due: u64,
    /// Frames that packets and the gaps of DTX cover so far.
    frames_out: u64,
    /// Samples per channel that they decode to.
    samples_out: u64,
    history: History,
    packet: Vec<u8>,
}

impl PacketWriter {
    /// # Errors
    /// What [`History::new`] returns.
    pub(crate) fn new(header: &StreamHeader, config: &EncoderConfig) -> Result<Self> {
        let codes = config.frames_per_packet as usize * header.codes_per_frame(header.stages);
        Ok(Self {
            header_interval: config.header_interval.max(1).into(),
            header_due: 0,
            frames_out: 0,
            samples_out: 0,
            history: History::new(header, config.redundancy, config.redundancy_stages)?,
            // Codes have at most 16 bits; the rest is room for the head and the stream header.
            packet: Vec::with_capacity(2 * codes + 128),
        })
    }

    /// Sets after how many frames, at least 1, a packet carries the stream header again.
    pub(crate) fn set_header_interval(&mut self, frames: u64) {
        self.header_interval = frames.max(1);
    }

    /// Frames that packets and the gaps of DTX cover so far.
    pub(crate) fn frames_out(&self) -> u64 {
        self.frames_out
    }

    /// Samples per channel that they decode to.
    pub(crate) fn samples_out(&self) -> u64 {
        self.samples_out
    }

    /// Writes a packet of coded frames, with the redundancy for those before it.
    pub(crate) fn write_frames(
        &mut self,
        header: &StreamHeader,
        codes: &Frames,
        coder: Option<&mut Coder>,
        end_trim: u32,
    ) -> Result<EncodedPacket<'_>> {
        let info = self.packet_info(codes.len() as u32, codes.max_stages(), end_trim);
        // Counted in frames, not packets, so that readers wait the same time at any packet size.
        let has_header = self.frames_out >= self.header_due;
        self.packet.clear();
        let coder = coder.map(|c| c as &mut dyn CodeCoder);
        packet::write_frames(header, &info, has_header, codes, coder, &mut self.packet)?;
        let redundant_bytes = self.history.append_redundancy(header, &mut self.packet)?;
        // Only after the packet is written: a packet does not repeat its own frames.
        codes.iter().for_each(|frame| self.history.push_frame(frame));
        Ok(self.finish_packet(header, &info, has_header, (codes.codes().len(), redundant_bytes)))
    }

    /// Writes a segment.
    pub(crate) fn write_segment(
        &mut self,
        header: &StreamHeader,
        codes: &Frames,
        segment: Segment,
        end_trim: u32,
    ) -> Result<EncodedPacket<'_>> {
        let overlap = segment.overlap;
        let info = self.packet_info(codes.len() as u32, codes.max_stages(), end_trim);
        let info = PacketInfo { overlap, ..info };
        let has_header = self.frames_out >= self.header_due;
        self.packet.clear();
        packet::write_segment(header, &info, has_header, segment, codes, &mut self.packet)?;
        Ok(self.finish_packet(header, &info, has_header, (codes.codes().len(), 0)))
    }

    /// Writes a SID frame that covers `frames` frames.
    pub(crate) fn write_sid(
        &mut self,
        header: &StreamHeader,
        sid: &ComfortNoise,
        frames: u32,
        end_trim: u32,
    ) -> Result<EncodedPacket<'_>> {
        let info = self.packet_info(frames, 0, end_trim);
        let overdue = self.header_due + (DTX_HEADER_FACTOR - 1) * self.header_interval;
        let has_header = info.starts_stream || self.frames_out >= overdue;
        self.packet.clear();
        packet::write_sid(header, &info, has_header, sid, &mut self.packet)?;
        // Redundancy counts frames back from its packet, and those before the silence are long past.
        self.history.clear_frames();
        Ok(self.finish_packet(header, &info, has_header, (0, 0)))
    }

    /// Leaves out a frame that the last SID frame covers.
    pub(crate) fn skip_frame(&mut self, header: &StreamHeader) {
        self.frames_out += 1;
        self.samples_out += u64::from(header.hop);
    }

    /// Back to the start of a stream.
    pub(crate) fn reset(&mut self) {
        self.history.clear_frames();
        (self.samples_out, self.frames_out, self.header_due) = (0, 0, 0);
    }

    fn packet_info(&self, frames: u32, stages: u8, end_trim: u32) -> PacketInfo {
        PacketInfo { starts_stream: self.frames_out == 0, end_trim, frames, stages, overlap: 0 }
    }

    /// Moves on past the packet that has been written, of so many codes and bytes of copies.
    fn finish_packet(
        &mut self,
        header: &StreamHeader,
        info: &PacketInfo,
        has_header: bool,
        (codes, redundant_bytes): (usize, usize),
    ) -> EncodedPacket<'_> {
        if has_header {
            self.header_due = self.frames_out + self.header_interval;
        }
        let (position, samples) = (self.samples_out, info.sample_count(header));
        self.frames_out += u64::from(info.frames);
        self.samples_out += samples;
        EncodedPacket {
            data: &self.packet,
            position,
            samples,
            is_random_access: has_header,
            redundant_bytes,
            frames: info.frames,
            codes,
            is_sid: info.stages == 0,
        }
    }
}
