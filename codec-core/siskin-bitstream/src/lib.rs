//! The bytes of coded streams: see `docs/bitstream.md`, which this crate follows field by field.
//!
//! A [`StreamHeader`] says which bundle decodes the stream and in what shape; a [`packet`] carries one or more
//! codec frames and, at a random access point, the header in-band. [`video_packet`] is the head of a video packet, [`feature`] the
//! streams of split computing, [`rtp`]
//! and [`rtp_video`] are the payload formats, [`container`] is Matroska with private codec ids.
//!
//! Nothing here knows a codec: a [`CodeCoder`] unpacks range-coded packets, where there is one.

pub mod bytes;
mod code_coder;
mod comfort_noise;
pub mod container;
pub mod feature;
mod frames;
mod header;
pub mod packet;
mod packet_flags;
pub mod redundancy;
pub mod rtp;
pub mod rtp_video;
mod video;
pub mod video_packet;

pub use code_coder::{CodeCoder, PacketShape};
pub use comfort_noise::ComfortNoise;
pub use frames::Frames;
#[cfg(test)]
pub(crate) use header::sample;
pub use header::{BundleId, StreamHeader};
pub use siskin_error::{Error, Limits, Result};
pub use siskin_media::Colorimetry;
pub use video::VideoHeader;
