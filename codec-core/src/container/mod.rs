//! Matroska with private codec ids: written by [`Writer`], read by [`Reader`].
//!
//! Stock muxers refuse codec ids that they do not know, so the writer is ours; it does no input or output itself
//! and hands out bytes, so a file, a pipe and a GStreamer pad use the same one.

mod ebml;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use crate::bitstream::StreamHeader;

pub use reader::{Block, Reader, TrackInfo};
pub use writer::{Mode, Patch, Writer, WriterOptions};

/// Matroska codec id of a Siskin audio track. It is private, not registered.
pub const AUDIO_CODEC_ID: &str = "A_SISKIN";

/// What a track is, as the writer needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// The stream header in its long form, for `CodecPrivate`.
    pub codec_private: Vec<u8>,
    /// Title of the track.
    pub name: Option<String>,
    /// Language as an ISO 639-2 code; `und` if unknown.
    pub language: Option<String>,
}

impl Track {
    /// An audio track of a stream.
    pub fn audio(header: &StreamHeader) -> Self {
        Self {
            sample_rate: header.sample_rate,
            channels: header.channels,
            codec_private: header.to_bytes(),
            name: None,
            language: None,
        }
    }
}
