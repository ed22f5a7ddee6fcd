//! What a file says of a track.

use super::ebml::{child_elements, read_float, read_string, read_unsigned};
use super::id;

/// A track as the file describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackInfo {
    /// The number that blocks carry.
    pub number: u64,
    /// Matroska codec id.
    pub codec_id: String,
    /// `CodecPrivate`, empty if there is none.
    pub codec_private: Vec<u8>,
    /// Samples a second; 0 for other tracks than audio.
    pub sample_rate: f64,
    /// Channels; 0 for other tracks than audio.
    pub channels: u64,
    /// Whether the track is audio.
    pub is_audio: bool,
    /// Whether the track is video.
    pub is_video: bool,
    /// How long a packet lasts that does not say so itself, in nanoseconds, if the file states it.
    pub packet_ns: Option<u64>,
    /// Title of the track, if the file states one.
    pub name: Option<String>,
    /// Language as an ISO 639-2 code, if the file states one.
    pub language: Option<String>,
}

impl TrackInfo {
    /// Of the body of a `TrackEntry`.
    pub(super) fn read(entry: &[u8]) -> Self {
        let mut track = Self::default();
        for (id, body) in child_elements(entry) {
            match id {
                id::TRACK_NUMBER => track.number = read_unsigned(body),
                id::TRACK_TYPE => {
                    track.is_audio = read_unsigned(body) == id::AUDIO_TYPE;
                    track.is_video = read_unsigned(body) == id::VIDEO_TYPE;
                }
                id::DEFAULT_DURATION => track.packet_ns = Some(read_unsigned(body)).filter(|&ns| ns > 0),
                id::CODEC_ID => track.codec_id = read_string(body),
                id::CODEC_PRIVATE => track.codec_private = body.to_vec(),
                id::NAME => track.name = Some(read_string(body)).filter(|name| !name.is_empty()),
                id::LANGUAGE => {
                    track.language = Some(read_string(body)).filter(|l| !["", "und"].contains(&l.as_str()))
                }
                id::AUDIO => track.read_audio(body),
                _ => {}
            }
        }
        track
    }

    fn read_audio(&mut self, body: &[u8]) {
        // Defaults of RFC 9559, sections 5.1.4.1.29.1 and 5.1.4.1.29.3.
        (self.sample_rate, self.channels) = (8000.0, 1);
        for (id, body) in child_elements(body) {
            match id {
                id::SAMPLING_FREQUENCY => self.sample_rate = read_float(body),
                id::CHANNELS => self.channels = read_unsigned(body),
                _ => {}
            }
        }
    }
}
