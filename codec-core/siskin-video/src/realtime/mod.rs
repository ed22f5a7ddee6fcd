//! The real-time mode: one trained conditional decoder for all streams, a packet a frame.
//!
//! An encoder network gives integer latents of a frame; the decoder network makes the frame from them, conditioned on
//! the quality, on how long the chain of predicted frames is (scale and shift of its features, the temporal-aware affine
//! transform of Boosting-NeRV, Zhang et al., CVPR 2024) and, through a gate, on the frame before as it was decoded (the
//! causal context of TCNeRV). Block motion brings the frame before into place first; it is coded like the latents, by
//! adaptive decisions in integers, so that what is read never depends on a network's floating-point numbers.
//!
//! [`Encoder`] makes packets; [`super::Decoder`] reads them, or [`Decoder`] where nothing else is expected.
//!
//! ```no_run
//! use siskin_bitstream::VideoHeader;
//! use siskin_model::bundle::VideoBundle;
//! use siskin_model::runtime::{Runtime, RuntimeOptions};
//! use siskin_video::{Decoder, realtime};
//!
//! # fn main() -> siskin_video::Result<()> {
//! let runtime = Runtime::load(&RuntimeOptions { threads: 2, ..Default::default() })?;
//! let bundle = VideoBundle::find(VideoBundle::DEFAULT)?;
//! let header = VideoHeader {
//!     width: 480,
//!     height: 270,
//!     frame_rate: (30, 1),
//!     pixel_aspect: (1, 1),
//!     colorimetry: Default::default(),
//! };
//! let config = realtime::Config { target: realtime::Target::Bitrate(500_000), ..Default::default() };
//! let mut encoder = realtime::Encoder::new(header, &runtime, &bundle, &config)?;
//! let mut decoder = Decoder::new(&runtime);
//! let grey = vec![128; realtime::i420_bytes(&header)];
//! let coded = encoder.encode(&grey, None)?;
//! let mut picture = Vec::new();
//! decoder.load(coded.data)?;
//! decoder.frame_i420(0, &mut picture)?;
//! # Ok(())
//! # }
//! ```

mod analysis_by_synthesis;
mod checker;
mod contexts;
mod decoder;
mod encoder;
mod latents;
mod motion;
mod motion_search;
mod packing;
mod rate;
mod rdoq;
mod reconstructor;
mod reference;
mod symbols;
#[cfg(test)]
mod tests;

pub(crate) use checker::Checker;
pub use decoder::Decoder;
pub use encoder::{CodedFrame, Config, Encoder, Target, context_count};
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

/// Most refinements of a frame's latents.
// Each after the first takes three more runs of networks, and goes half of the way that is left.
pub const MAX_REFINEMENTS: u32 = 16;

/// Bytes per pixel that a stream takes in memory, all networks and frames together, about.
const MEMORY_PER_PIXEL: u64 = 120;

/// Refuses sizes that are not coded, before anything of that size is allocated.
fn check_size(header: &VideoHeader, limits: &Limits) -> Result<Size> {
    for (name, side) in [("width", header.width), ("height", header.height)] {
        if !(1..=MAX_SIDE).contains(&side) {
            return Err(Error::parameter(name, side, format!("1 to {MAX_SIDE} in real-time mode")));
        }
    }
    let size = header.size()?;
    // In 64 bits, for machines whose `usize` has 32.
    let pixels = size.pixel_count() as u64;
    if pixels > limits.max_video_pixels || pixels * MEMORY_PER_PIXEL > limits.max_video_memory {
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
