//! The real-time mode: a packet a frame, as soon as the frame is there.
//!
//! [`Encoder`] codes with the [block codec](crate::blocks), or with one trained network for all streams, which this module
//! holds: an encoder network gives integer latents of a frame; the decoder network makes the frame from them, conditioned on
//! the quality, on how long the chain of predicted frames is (scale and shift of its features, the temporal-aware affine
//! transform of Boosting-NeRV, Zhang et al., CVPR 2024) and, through a gate, on the frame before as it was decoded (the
//! causal context of TCNeRV). Block motion brings the frame before into place first; it is coded like the latents, by
//! adaptive decisions in integers, so that what is read never depends on a network's floating-point numbers.
//!
//! [`super::Decoder`] reads both; [`Decoder`] the packets of the network alone, [`crate::blocks::Decoder`] the others.
//!
//! ```
//! use siskin_bitstream::VideoHeader;
//! use siskin_video::{blocks, realtime};
//!
//! # fn main() -> siskin_video::Result<()> {
//! let header = VideoHeader {
//!     width: 64,
//!     height: 48,
//!     frame_rate: (30, 1),
//!     pixel_aspect: (1, 1),
//!     colorimetry: Default::default(),
//! };
//! let config = realtime::Config { target: realtime::Target::Bitrate(100_000), ..Default::default() };
//! let mut encoder = realtime::Encoder::new(header, &config)?;
//! let mut decoder = blocks::Decoder::new();
//! let gray = vec![128; realtime::i420_bytes(&header)];
//! let coded = encoder.encode(&gray, None)?;
//! assert!(coded.is_keyframe && coded.data.len() < 100);
//! decoder.decode(coded.data)?;
//! assert_eq!(decoder.frame()?.planes()[0].row(0), &gray[..64]);
//! # Ok(())
//! # }
//! ```

mod analysis_by_synthesis;
mod checker;
mod config;
mod contexts;
mod decoder;
mod either;
mod encoder;
mod latents;
mod motion;
mod motion_search;
mod packing;
pub(crate) mod rate;
mod rdoq;
mod reconstructor;
mod reference;
mod symbols;
#[cfg(test)]
mod tests;

pub(crate) use checker::Checker;
pub use config::{CodedFrame, Config, EFFORTS, MAX_LOOKAHEAD, MAX_THREADS, Target};
pub(crate) use config::{check_frame, check_refinements, frame_seconds};
pub use decoder::Decoder;
pub use either::Encoder;
pub use encoder::{NetworkEncoder, context_count};
pub use siskin_media::YuvMatrix;

use siskin_bitstream::VideoHeader;
use siskin_media::{PixelFormat, Size};

use crate::{Error, Limits, Result};

/// Side of a block: what the latents at one place describe.
const BLOCK: usize = 8;
/// Side of a macroblock: what a vector moves.
const MACRO: usize = 16;
/// Latents of a block, and values of a block of 4:2:0.
const CHANNELS: usize = 96;
/// Latents that are coded together.
// One flag for eight zeros is cheap, and eight latents of neighboring frequencies are often zero together.
const GROUP: usize = 8;
/// Groups of a block.
const GROUPS: usize = CHANNELS / GROUP;
/// Longest side of a frame.
// Part of the format. Displacements across such a frame, in quarters of a sample, fit into 16 bits.
const MAX_SIDE: u32 = 4096;

/// Qualities of the block codec that [`Target::Quality`] can name; 0 is the finest, and the step doubles every eight.
pub const QUALITIES: u8 = crate::blocks::TARGETS;

/// Most refinements of a frame's latents.
// Each after the first takes three more runs of networks, and goes half of the way that is left.
pub const MAX_REFINEMENTS: u32 = 16;

/// Bytes per pixel that a stream takes in memory, all networks and frames together, about.
const MEMORY_PER_PIXEL: u64 = 120;

/// Refuses sizes that are not coded, before anything of that size is allocated.
/// A stream takes `memory_per_pixel` bytes a pixel.
pub(crate) fn check_size(header: &VideoHeader, limits: &Limits, memory_per_pixel: u64) -> Result<Size> {
    for (name, side) in [("width", header.width), ("height", header.height)] {
        if !(1..=MAX_SIDE).contains(&side) {
            return Err(Error::parameter(name, side, format!("1 to {MAX_SIDE} in real-time mode")));
        }
    }
    let size = header.size()?;
    // In 64 bits, for machines whose `usize` has 32.
    let pixels = size.pixel_count() as u64;
    if pixels > limits.max_video_pixels || pixels * memory_per_pixel > limits.max_video_memory {
        let allowed = format!("up to {} pixels", limits.max_video_pixels);
        return Err(Error::parameter("size", size, allowed));
    }
    Ok(size)
}

/// Bytes of a frame of 4:2:0 without gaps: Y, then U and V of half the columns and rows, rounded up. None of a size that
/// is not coded.
pub fn i420_bytes(header: &VideoHeader) -> usize {
    header.size().map_or(0, |size| PixelFormat::I420.frame_bytes(size))
}
