//! The codes of a packet: of fixed width, or range coded; of one number of stages, or with one for each frame.

use crate::bytes::{BitReader, BitWriter};
use crate::code_coder::{CodeCoder, PacketShape};
use crate::frames::Frames;
use crate::header::StreamHeader;
use crate::{Error, Result};

/// How the codes of a packet are coded: bits of its first byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coding {
    /// Each code in the header's bits of a code.
    #[default]
    FixedWidth,
    /// Range coded with the bundle's tables.
    RangeCoded,
}

impl Coding {
    /// What a message calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FixedWidth => "fixed width",
            Self::RangeCoded => "range coded",
        }
    }
}

/// The codes' bytes in a packet, and what its head says of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    pub(super) coding: Coding,
    pub(super) frames: u32,
    /// Most stages of a frame.
    pub(super) stages: u8,
    /// Whether each frame has its own number of stages.
    pub(super) variable: bool,
    pub(super) data: &'a [u8],
    /// Where `data` begins in the packet.
    pub(super) offset: usize,
}

/// Bits of a frame's number of stages, of 1 to `stages`.
fn count_bits(stages: u8) -> u32 {
    // Counts are stored less one, so `stages - 1` is the largest value: 9 stages take 4 bits, 1 takes none.
    u8::BITS - stages.saturating_sub(1).leading_zeros()
}

impl Payload<'_> {
    fn codes_error(&self, at: usize, reason: String) -> Error {
        Error::bitstream("packet", "codes", self.offset + at, reason)
    }

    fn packet_shape(&self) -> PacketShape {
        PacketShape { frames: self.frames as usize, stages: self.stages.into(), variable: self.variable }
    }

    /// Reads the stages of all frames from the start of fixed-width codes.
    fn read_counts<'b>(&'b self, bits: &'b mut BitReader<'_>) -> impl Iterator<Item = u8> + 'b {
        let width = count_bits(self.stages);
        (0..self.frames)
            .map(move |_| if self.variable { bits.read_bits(width) as u8 + 1 } else { self.stages })
    }

    /// Checks the number of bytes, as far as can be told without decoding.
    pub(super) fn check_length(&self, header: &StreamHeader) -> Result<()> {
        if self.coding == Coding::RangeCoded {
            let Some((&stated, rest)) = self.data.split_first() else {
                return Err(self.codes_error(0, "1 byte needed, 0 left".into()));
            };
            // One byte modulo 256 finds nearly every cut; a full length would cost two bytes in each packet.
            if stated != rest.len() as u8 {
                let reason = format!("{} bytes, the packet says {stated} modulo 256", rest.len());
                return Err(self.codes_error(1, reason));
            }
            return Ok(());
        }
        // No overflow: frames are within the limits (500) and stages 64 at most.
        let count_bytes = self.frames as usize * count_bits(self.stages) as usize;
        let head = if self.variable { count_bytes } else { 0 };
        let mut bits = BitReader::new(self.data);
        let mut codes = 0;
        // Frame by frame also where all have the same stages: one way to count for both.
        for count in self.read_counts(&mut bits) {
            // The bits can hold more than the maximum that they count up to, for example 16 in the 4 bits of 9.
            if count > self.stages {
                return Err(
                    self.codes_error(0, format!("a frame of {count} stages, the packet has {}", self.stages))
                );
            }
            codes += header.codes_per_frame(count);
        }
        let needed = (head + codes * usize::from(header.code_bits)).div_ceil(8);
        if self.data.len() != needed {
            let (found, frames, stages) = (self.data.len(), self.frames, self.stages);
            return Err(self
                .codes_error(0, format!("{found} bytes, {frames} frames of {stages} stages need {needed}")));
        }
        Ok(())
    }

    /// Reads the codes; [`check_length`](Self::check_length) has passed.
    pub(super) fn read_codes(
        &self,
        header: &StreamHeader,
        coder: Option<&mut dyn CodeCoder>,
        out: &mut Frames,
    ) -> Result<()> {
        out.clear_for(header.groups);
        match self.coding {
            Coding::FixedWidth => {
                // The same bits twice: the stages of all frames come first.
                let (mut counts, mut bits) = (BitReader::new(self.data), BitReader::new(self.data));
                self.read_counts(&mut bits).for_each(drop);
                out.fill_stages(self.read_counts(&mut counts), || bits.read_bits(header.code_bits.into()));
                Ok(())
            }
            Coding::RangeCoded => {
                // Tables of another bundle would decode to plausible codes, so the coder has to say that it is for
                // this stream.
                let Some(coder) = coder.filter(|c| c.fits_stream(header)) else {
                    let reason = "range coded, which needs the bundle and its tables";
                    return Err(self.codes_error(0, reason.into()));
                };
                let decoded =
                    coder.decode_frames(self.packet_shape(), self.data.get(1..).unwrap_or_default(), out);
                decoded.map_err(|(at, reason)| self.codes_error(at + 1, reason))
            }
        }
    }
}

/// Appends the codes of frames with the coding that is smaller, `coder` being there, and returns which that is. All
/// codes must be below the codebook's size.
pub(super) fn write_codes(
    header: &StreamHeader,
    frames: &Frames,
    coder: Option<&mut dyn CodeCoder>,
    out: &mut Vec<u8>,
) -> Coding {
    let (stages, variable) = (frames.max_stages(), frames.is_variable());
    let start = out.len();
    let count_bytes = if variable { frames.len() * count_bits(stages) as usize } else { 0 };
    let fixed = (count_bytes + frames.codes().len() * usize::from(header.code_bits)).div_ceil(8);
    if let Some(coder) = coder.filter(|c| c.fits_stream(header)) {
        // Room for the length byte, which is known after the codes.
        out.push(0);
        let shape = PacketShape { frames: frames.len(), stages: stages.into(), variable };
        coder.encode_frames(shape, frames, out);
        let bytes = out.len() - start - 1;
        // Ties go to fixed width, which relays can cut without tables.
        if bytes < fixed {
            out[start] = bytes as u8;
            return Coding::RangeCoded;
        }
        out.truncate(start);
    }
    let mut bits = BitWriter::new(out);
    if variable {
        frames
            .stage_counts()
            .iter()
            .for_each(|&count| bits.write_bits(u16::from(count) - 1, count_bits(stages)));
    }
    // Stage-major, so that a relay can truncate the packet after a whole stage (`docs/bitstream.md`).
    for stage in 0..usize::from(stages) {
        let groups = usize::from(header.groups);
        for frame in frames.iter() {
            let codes = frame.get(stage * groups..(stage + 1) * groups).unwrap_or_default();
            codes.iter().for_each(|&code| bits.write_bits(code, header.code_bits.into()));
        }
    }
    bits.fill_byte();
    Coding::FixedWidth
}
