//! What a pad's caps say of its track.

use siskin_core::Limits;
use siskin_core::bitstream::{StreamHeader, VideoHeader};
use siskin_core::container::Track;
use siskin_core::features::FeatureHeader;

use super::other::Other;
use crate::video::caps as video;
use crate::{caps, features, tokens};

/// The stream of a pad.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stream {
    /// Siskin audio.
    Audio(StreamHeader),
    /// Siskin video.
    Video(VideoHeader),
    /// Features of video.
    Features(FeatureHeader),
    /// Words and when they are spoken.
    Text,
    /// Tokens, and what describes them.
    Tokens(Vec<u8>),
    /// Another codec.
    Other(Box<Other>),
}

impl Stream {
    /// Reads caps; what is wrong with them comes back in words.
    pub(super) fn from_caps(caps: &gst::CapsRef) -> Result<Self, String> {
        let structure = caps.structure(0).ok_or_else(|| "empty caps".to_owned())?;
        match structure.name().as_str() {
            "text/x-raw" => Ok(Self::Text),
            tokens::TOKENS => {
                tokens::description(caps).map(Self::Tokens).ok_or_else(|| format!("no tokens in {caps}"))
            }
            video::VIDEO => {
                let header = video::header(caps).map_err(|e| e.to_string())?;
                header.map(Self::Video).ok_or_else(|| format!("no stream header in {caps}"))
            }
            features::FEATURES => {
                let header = features::header(caps).map_err(|e| e.to_string())?;
                header.map(Self::Features).ok_or_else(|| format!("no stream header in {caps}"))
            }
            caps::AUDIO => {
                let header = caps::header(caps).map_err(|e| e.to_string())?;
                header.map(Self::Audio).ok_or_else(|| format!("no stream header in {caps}"))
            }
            _ => Other::from_caps(structure).map(Box::new).map(Self::Other),
        }
    }

    /// Whether a track of this stream may go on with another in the middle of a file. Siskin video may: its keyframes carry the
    /// header, of another size, frame rate or colour too. Sound may not: the track states its rate.
    pub(super) fn can_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Video(_), Self::Video(_)) => true,
            (Self::Other(own), Self::Other(next)) => own.can_become(next),
            _ => self == next,
        }
    }

    /// Whether buffers marked as headers are no packets.
    pub(super) fn drops_headers(&self) -> bool {
        matches!(self, Self::Other(other) if other.drops_headers)
    }

    /// What a track of another codec adds to its times, in nanoseconds; else 0.
    pub(super) fn delay_ns(&self) -> u64 {
        match self {
            Self::Other(other) => other.track.other.as_ref().map_or(0, |codec| codec.delay_ns),
            _ => 0,
        }
    }

    /// Samples a second of another codec's sound; else 0.
    pub(super) fn sample_rate(&self) -> u32 {
        match self {
            Self::Other(other) => other.track.sample_rate,
            _ => 0,
        }
    }

    /// The track that it becomes, whose packets last as long as the first says.
    pub(super) fn to_track(&self, first: Option<&gst::BufferRef>) -> Track {
        let track = match self {
            Self::Audio(header) => Track::audio(header),
            Self::Video(header) => Track::video(header),
            Self::Features(header) => Track::features(header),
            Self::Text => Track::text(),
            Self::Tokens(description) => Track::tokens(description.clone()),
            Self::Other(other) => other.track.clone(),
        };
        match first.and_then(|buffer| buffer.map_readable().ok()) {
            Some(data) => track.with_first_packet(&data, &Limits::default()),
            None => track,
        }
    }
}

/// Whether a pad's stream has holes by its nature, so that nobody waits for its next buffer: text and tokens.
pub(super) fn is_sparse(pad: &str) -> bool {
    // By the pad's name, since it may have to be known before caps come.
    !pad.starts_with("audio_") && !pad.starts_with("video_")
}
