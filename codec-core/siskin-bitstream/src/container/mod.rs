//! Matroska with private codec ids: written by [`Writer`], read by [`Reader`].
//!
//! Stock muxers refuse codec ids that they do not know, so the writer is ours; it does no input or output itself
//! and hands out bytes, so a file, a pipe and a GStreamer pad use the same one.

mod chapters;
mod cluster;
mod cues;
mod ebml;
mod head;
mod head_search;
mod id;
mod lacing;
mod reader;
mod repair;
#[cfg(test)]
mod seek_tests;
#[cfg(test)]
mod tests;
mod track;
mod track_info;
mod writer;

pub use chapters::Chapter;
pub use reader::{Block, Place, Reader};
pub use repair::{Repaired, repair, repair_with};
pub use track::{OtherCodec, Track, TrackKind};
pub use track_info::TrackInfo;
pub use writer::{Mode, Patch, Writer, WriterOptions};

/// One tick of the time stamps of files that are written, in nanoseconds.
// Matroska's default. With finer ticks a block's 16-bit relative time would reach less than the 32 s that it does here.
const TICK_NS: u64 = 1_000_000;

/// Matroska codec id of a Siskin audio track. It is private, not registered.
// The letter before the underscore is that of the track type, as in all of Matroska's codec ids.
pub const AUDIO_CODEC_ID: &str = "A_SISKIN";

/// Matroska codec id of a Siskin video track. It is private, not registered.
pub const VIDEO_CODEC_ID: &str = "V_SISKIN";

/// Matroska codec id of a text track: UTF-8 with the time of each piece (RFC 9559's registry of codec ids).
pub const TEXT_CODEC_ID: &str = "S_TEXT/UTF8";

/// Matroska codec id of a track of tokens. It is private, not registered.
pub const TOKENS_CODEC_ID: &str = "D_SISKIN/TOKENS";

/// Matroska codec id of a track of features, which is a video track. It is private, not registered.
pub const FEATURES_CODEC_ID: &str = "V_SISKIN/FEATURES";
