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
mod track;
mod writer;

pub use chapters::Chapter;
pub use reader::{Block, Reader, TrackInfo};
pub use repair::{Repaired, repair, repair_with};
pub use track::{OtherCodec, Track, TrackKind};
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
