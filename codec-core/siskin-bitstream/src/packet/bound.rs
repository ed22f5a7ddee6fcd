use crate::Result;
use crate::code_coder::CodeCoder;
use crate::comfort_noise::ComfortNoise;
use crate::frames::Frames;
use crate::header::StreamHeader;
use crate::packet::info::PacketInfo;
use crate::packet::payload::{Coding, Payload};
use crate::packet::segment::Segment;
use crate::packet::write::{write_frames, write_segment};
use crate::redundancy::RedundantFrames;

/// A packet that has been checked against the header of its stream; made by [`Packet::bind`](super::Packet::bind).
///
/// The counts, the length and the copies are known to be valid; only range-coded codes may still turn out not to
/// decode, in [`read_codes`](Self::read_codes).
#[derive(Debug, Clone)]
pub struct BoundPacket<'a> {
    pub(super) data: &'a [u8],
    // A copy without the name, which takes no heap: a bound packet outlives the borrow of the decoder that it came
    // from.
    pub(super) stream: StreamHeader,
    pub(super) header: Option<StreamHeader>,
    pub(super) info: PacketInfo,
    pub(super) payload: Payload<'a>,
    pub(super) noise: Option<ComfortNoise>,
    pub(super) segment: Option<Segment>,
    pub(super) copies: Option<RedundantFrames<'a>>,
}

impl<'a> BoundPacket<'a> {
    /// The packet's head.
    pub fn info(&self) -> PacketInfo {
        self.info
    }

    /// The packet's bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The stream that it is bound to, without the bundle's name.
    pub fn stream(&self) -> &StreamHeader {
        &self.stream
    }

    /// The stream header that the packet carries, if it does.
    pub fn header(&self) -> Option<&StreamHeader> {
        self.header.as_ref()
    }

    /// Samples per channel that it decodes to.
    pub fn sample_count(&self) -> u64 {
        self.info.sample_count(&self.stream)
    }

    /// How the codes are coded.
    pub fn coding(&self) -> Coding {
        self.payload.coding
    }

    /// Whether each frame has its own number of stages.
    pub fn is_variable(&self) -> bool {
        self.payload.variable
    }

    /// The comfort noise that a SID packet describes.
    pub fn comfort_noise(&self) -> Option<&ComfortNoise> {
        self.noise.as_ref()
    }

    /// What makes the packet a segment, if it is one.
    pub fn segment(&self) -> Option<Segment> {
        self.segment
    }

    /// The coarse copies of frames before the packet's first, if it carries some.
    pub fn redundant_frames(&self) -> Option<RedundantFrames<'a>> {
        self.copies
    }

    /// Unpacks the codes into `out`; a SID packet has none. Those of fixed width may exceed the codebook's size if that
    /// is no power of two; the quantizer refuses them.
    ///
    /// # Errors
    /// [`Error::Bitstream`](crate::Error::Bitstream) if the codes are range coded and do not decode, or there is no
    /// `coder` for the stream.
    pub fn read_codes(&self, coder: Option<&mut dyn CodeCoder>, out: &mut Frames) -> Result<()> {
        // `out` is cleared all the same, or codes of the packet before would pass for this one's.
        if self.noise.is_some() {
            out.clear_for(self.stream.groups);
            return Ok(());
        }
        self.payload.read_codes(&self.stream, coder, out)
    }

    /// Appends to `out` the packet of a lower rate that this one holds: the first `stages` stages of each frame. A packet
    /// that has no more is copied; one that is cut loses its copies of earlier frames. `coder` is needed for
    /// range-coded packets; `frames` holds the codes in between, so that its buffers are reused.
    ///
    /// # Errors
    /// As for [`read_codes`](Self::read_codes).
    pub fn write_prefix(
        &self,
        stages: u8,
        mut coder: Option<&mut dyn CodeCoder>,
        frames: &mut Frames,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        // Byte by byte, so that a relay at full rate changes nothing, not even the choice of coding.
        if self.info.stages <= stages {
            out.extend_from_slice(self.data);
            return Ok(());
        }
        self.read_codes(reborrow_coder(&mut coder), frames)?;
        frames.truncate_stages(stages);
        // The header in-band stays as it is: its stages are those of the bundle, not of this packet.
        let (header, in_band) = (self.header.as_ref().unwrap_or(&self.stream), self.header.is_some());
        match self.segment {
            Some(segment) => write_segment(header, &self.info, in_band, segment, frames, out),
            None => write_frames(header, &self.info, in_band, frames, coder, out),
        }
    }
}

/// Lends a coder that is needed again: `as_deref_mut` would borrow for as long as the trait object lives.
fn reborrow_coder<'a>(coder: &'a mut Option<&mut dyn CodeCoder>) -> Option<&'a mut dyn CodeCoder> {
    match coder {
        Some(coder) => Some(&mut **coder),
        None => None,
    }
}
