//! The bytes of a coded stream: see `docs/bitstream.md`, which this module follows field by field.
//!
//! A [`StreamHeader`] says which bundle decodes the stream and in what shape; a [`packet`] carries one or more
//! codec frames and, where a reader may join, the header in-band.

mod bits;
pub(crate) mod cursor;
mod frames;
mod header;
pub mod packet;
mod payload;
pub mod redundancy;
pub mod rtp;
pub mod rtp_video;
mod silence;
mod video;

pub use frames::Frames;
#[cfg(test)]
pub(crate) use header::sample;
pub use header::{BundleId, StreamHeader};
pub use silence::NoiseShape;
pub use video::{Colour, VideoHeader};
