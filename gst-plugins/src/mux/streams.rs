//! What a pad's caps say of its track.

use siskin_core::bitstream::{StreamHeader, VideoHeader};
use siskin_core::container::Track;

use crate::video::caps as video;
use crate::{caps, tokens};

/// The stream of a pad.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stream {
    /// Coded audio.
    Audio(StreamHeader),
    /// Coded video.
    Video(VideoHeader),
    /// Words and when they are spoken.
    Text,
    /// Tokens, and what describes them.
    Tokens(Vec<u8>),
}

impl Stream {
    /// Reads caps; what is wrong with them comes back in words.
    pub(super) fn from_caps(caps: &gst::CapsRef) -> Result<Self, String> {
        match caps.structure(0).map(|s| s.name().as_str()) {
            Some("text/x-raw") => Ok(Self::Text),
            Some(tokens::TOKENS) => {
                tokens::description(caps).map(Self::Tokens).ok_or_else(|| format!("no tokens in {caps:?}"))
            }
            Some(video::VIDEO) => {
                let header = video::header(caps).map_err(|e| e.to_string())?;
                header.map(Self::Video).ok_or_else(|| format!("no stream header in {caps:?}"))
            }
            _ => {
                let header = caps::header(caps).map_err(|e| e.to_string())?;
                header.map(Self::Audio).ok_or_else(|| format!("no stream header in {caps:?}"))
            }
        }
    }

    /// The track that it becomes.
    pub(super) fn to_track(&self) -> Track {
        match self {
            Self::Audio(header) => Track::audio(header),
            Self::Video(header) => Track::video(header),
            Self::Text => Track::text(),
            Self::Tokens(description) => Track::tokens(description.clone()),
        }
    }
}

/// Whether a pad's stream has holes by its nature, so that nobody waits for its next buffer: text and tokens.
pub(super) fn is_sparse(pad: &str) -> bool {
    // By the pad's name, since it may have to be known before caps come.
    !pad.starts_with("audio_") && !pad.starts_with("video_")
}
