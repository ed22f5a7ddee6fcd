//! The block codec: the real-time mode without a network.
//!
//! A hybrid codec in integers with one result on every machine: blocks of 32x32 to 8x8, motion compensation from up to three
//! reference frames, intra prediction, cosine transforms, in-loop deblocking, and adaptive binary decisions.
//! `docs/video-bitstream.md` specifies it (coding 2).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod coefficients;
mod contexts;
mod copy;
mod costs;
mod deblock;
mod decide;
mod decoder;
mod detail;
mod distortion;
mod effort;
mod encoder;
mod grid;
mod interpolation;
mod intra;
#[cfg(test)]
mod learning;
mod motion;
mod overlap;
mod picture;
mod pyramid;
mod quant;
mod rdoq;
mod reconstruct;
mod repeats;
mod rows;
mod search;
mod starts;
mod state;
mod survey;
mod syntax;
#[cfg(test)]
mod tests;
mod transform;
mod vector;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub(crate) use encoder::TARGETS;

/// Bits of the byte that follows a packet's head: the quality, whether the frame is kept as a reference, and, in keyframes, whether
/// a byte of [`tools`] follows.
const QUALITY_MASK: u8 = 0x3f;
const KEPT: u8 = 0x40;
const HAS_TOOLS: u8 = 0x80;

/// What a stream has from a keyframe on that not every stream of the block codec has. A reader refuses what it does not know.
mod tools {
    /// Contexts begin where they were in clips, and are young.
    pub(super) const LEARNED: u8 = 1;
    /// Packets may hold several frames, and frames may be predicted from later ones.
    pub(super) const PYRAMID: u8 = 2;
    /// Blocks may repeat what is above or on the left in their frame.
    pub(super) const COPY: u8 = 4;
    /// In frames that are predicted from earlier ones alone blocks overlap.
    pub(super) const OVERLAP: u8 = 8;
    /// All that there are.
    pub(super) const ALL: u8 = LEARNED | PYRAMID | COPY | OVERLAP;
}
