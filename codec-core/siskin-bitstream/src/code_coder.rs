use crate::frames::Frames;
use crate::header::StreamHeader;

/// How many frames a packet has, of how many stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketShape {
    /// Frames.
    pub frames: usize,
    /// Stages of the frame that has most, 1 to 64.
    pub stages: usize,
    /// Whether frames may have fewer stages, which are then coded too.
    pub variable: bool,
}

/// Entropy coding of a packet's codes, for packets that are not of fixed width.
///
/// The range coder with a bundle's tables implements it (`siskin_entropy::Coder`); the packets know no more of it than
/// this, so that a demuxer or a relay needs no entropy coding.
pub trait CodeCoder {
    /// Whether this coder is for codes of this stream.
    fn fits_stream(&self, header: &StreamHeader) -> bool;

    /// Entries of a codebook: codes are below it.
    fn codebook_size(&self) -> usize;

    /// Appends the codes of `frames` to `out`. Codes must be below [`codebook_size`](Self::codebook_size); frames have 1
    /// to `shape.stages` stages, all the same if not `shape.variable`.
    // Infallible: the caller has checked codes and stages, and the packet's size is compared afterwards.
    fn encode_frames(&mut self, shape: PacketShape, frames: &Frames, out: &mut Vec<u8>);

    /// Replaces the codes in `frames` by those in `data`, which holds nothing else; its groups stay.
    ///
    /// # Errors
    /// Where (byte of `data`) and why these are no such frames. Bytes that were changed may decode to other codes;
    /// what was cut or added is found.
    // A pair and not `Error`: only the packet knows where in it `data` begins, and names the field.
    fn decode_frames(
        &mut self,
        shape: PacketShape,
        data: &[u8],
        frames: &mut Frames,
    ) -> Result<(), (usize, String)>;
}
