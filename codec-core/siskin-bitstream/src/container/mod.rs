//! Matroska with private codec ids: written by [`Writer`], read by [`Reader`].
//!
//! Stock muxers refuse codec ids that they do not know, so the writer is ours; it does no input or output itself
//! and hands out bytes, so a file, a pipe and a GStreamer pad use the same one.

mod chapters;
mod ebml;
mod id;
mod lacing;
mod reader;
mod repair;
#[cfg(test)]
mod tests;
mod writer;

use crate::{StreamHeader, VideoHeader};

pub use chapters::Chapter;
pub use reader::{Block, Reader, TrackInfo};
pub use repair::{Repaired, repair, repair_with};
pub use writer::{Mode, Patch, Writer, WriterOptions};

/// Matroska codec id of a Siskin audio track. It is private, not registered.
// The letter before the underscore is that of the track type, as in all of Matroska's codec ids.
pub const AUDIO_CODEC_ID: &str = "A_SISKIN";

/// Matroska codec id of a Siskin video track. It is private, not registered.
pub const VIDEO_CODEC_ID: &str = "V_SISKIN";

/// Matroska codec id of a text track: UTF-8 with the time of each piece (RFC 9559's registry of codec ids).
pub const TEXT_CODEC_ID: &str = "S_TEXT/UTF8";

/// Matroska codec id of a track of tokens. It is private, not registered.
pub const TOKENS_CODEC_ID: &str = "D_SISKIN/TOKENS";

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackKind {
    /// Coded audio.
    Audio,
    /// Coded video.
    Video,
    /// Words or longer pieces of text, each with its duration. Readers show it as subtitles.
    Text,
    /// Tokens of a speech model in its layout. Players leave it alone: it is a metadata track.
    Tokens,
}

/// What a track is, as the writer needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// What it carries.
    pub kind: TrackKind,
    /// Samples a second; 0 in video.
    pub sample_rate: u32,
    /// Channels; 0 in video.
    pub channels: u8,
    /// Columns and rows of the pictures, and what pixels look like, width to height; none but in video.
    pub picture: Option<((u32, u32), (u32, u32))>,
    /// For `CodecPrivate`: of audio and video the stream header in its long form, of tokens what describes them; may be empty.
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
            kind: TrackKind::Audio,
            sample_rate: header.sample_rate,
            channels: header.channels,
            picture: None,
            codec_private: header.to_bytes(),
            name: None,
            language: None,
        }
    }

    /// A video track of a stream.
    pub fn video(header: &VideoHeader) -> Self {
        Self {
            kind: TrackKind::Video,
            sample_rate: 0,
            channels: 0,
            picture: Some(((header.width, header.height), header.pixel_aspect)),
            codec_private: header.to_bytes(),
            name: None,
            language: None,
        }
    }

    /// A text track.
    pub fn text() -> Self {
        Self::without_media(TrackKind::Text, Vec::new())
    }

    /// A track of tokens; `description` is the JSON that `docs/tokens.md` defines.
    pub fn tokens(description: Vec<u8>) -> Self {
        Self::without_media(TrackKind::Tokens, description)
    }

    fn without_media(kind: TrackKind, codec_private: Vec<u8>) -> Self {
        Self { kind, sample_rate: 0, channels: 0, picture: None, codec_private, name: None, language: None }
    }
}
