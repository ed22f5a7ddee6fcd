//! Tracks: what they are, and the `TrackEntry` that says so (RFC 9559, section 5.1.4.1).

use super::{AUDIO_CODEC_ID, FEATURES_CODEC_ID, TEXT_CODEC_ID, TOKENS_CODEC_ID, VIDEO_CODEC_ID, ebml, id};
use crate::feature::FeatureHeader;
use crate::packet::Packet;
use crate::video_packet::inspect;
use crate::{Limits, StreamHeader, VideoHeader};

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
    /// The codec, where it is none of Siskin's.
    pub other: Option<OtherCodec>,
    /// Samples a second; 0 in video.
    pub sample_rate: u32,
    /// Channels; 0 in video.
    pub channels: u8,
    /// Columns and rows of the frames, and what pixels look like, width to height; none but in video.
    pub picture: Option<((u32, u32), (u32, u32))>,
    /// For `CodecPrivate`: of Siskin audio and video the stream header in its long form, of tokens what describes them, of other
    /// codecs what the registry of codec ids asks for; may be empty.
    pub codec_private: Vec<u8>,
    /// Title of the track.
    pub name: Option<String>,
    /// Language as an ISO 639-2 code; `und` if unknown.
    pub language: Option<String>,
    /// Tags of the track: Matroska tag names and values.
    pub tags: Vec<(String, String)>,
    /// How long a packet lasts in nanoseconds, if nearly all last as long; those that differ say so themselves.
    pub packet_ns: Option<u64>,
}

/// What a track says of a codec that is not Siskin's; its packets are written as they come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherCodec {
    /// Its id in the registry of codec ids, such as `A_OPUS`.
    pub id: String,
    /// Bits per sample of PCM; 0 where the codec has none.
    pub bit_depth: u32,
    /// How long a packet lasts, in nanoseconds, where all last equally long; else 0.
    pub default_duration_ns: u64,
    /// Sound to drop from the start, in nanoseconds.
    pub delay_ns: u64,
    /// Sound to decode before the target of a seek, in nanoseconds.
    pub seek_preroll_ns: u64,
}

impl Track {
    /// An audio track of a stream.
    pub fn audio(header: &StreamHeader) -> Self {
        Self {
            sample_rate: header.sample_rate,
            channels: header.channels,
            ..Self::without_media(TrackKind::Audio, header.to_bytes())
        }
    }

    /// A video track of a stream.
    pub fn video(header: &VideoHeader) -> Self {
        Self {
            picture: Some(((header.width, header.height), header.pixel_aspect)),
            ..Self::without_media(TrackKind::Video, header.to_bytes())
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

    /// A track of features of frames. A video track, so that demuxers that know no features hand out its packets all the same.
    pub fn features(header: &FeatureHeader) -> Self {
        let codec = OtherCodec {
            id: FEATURES_CODEC_ID.to_owned(),
            default_duration_ns: header.frame_duration_ns().unwrap_or_default(),
            ..OtherCodec::default()
        };
        let size = (header.size.width() as u32, header.size.height() as u32);
        Self { picture: Some((size, (1, 1))), ..Self::other(TrackKind::Video, codec, header.to_bytes()) }
    }

    /// A track of another codec. Sound needs `sample_rate` and `channels` as well, video `picture`.
    pub fn other(kind: TrackKind, codec: OtherCodec, codec_private: Vec<u8>) -> Self {
        Self { other: Some(codec), ..Self::without_media(kind, codec_private) }
    }

    fn without_media(kind: TrackKind, codec_private: Vec<u8>) -> Self {
        Self {
            kind,
            other: None,
            sample_rate: 0,
            channels: 0,
            picture: None,
            codec_private,
            name: None,
            language: None,
            tags: Vec::new(),
            packet_ns: None,
        }
    }

    /// The track with packets of so many codec frames each, but for a few; of an audio stream.
    pub fn with_frames_per_packet(self, header: &StreamHeader, frames: u32) -> Self {
        let samples = u64::from(frames) * u64::from(header.hop);
        self.with_packet_duration(samples * 1_000_000_000 / u64::from(header.sample_rate.max(1)))
    }

    /// The track with packets like its first one.
    pub fn with_first_packet(self, data: &[u8], limits: &Limits) -> Self {
        match self.kind {
            _ if self.other.is_some() => self,
            TrackKind::Audio => {
                let Ok((header, _)) = StreamHeader::parse(&self.codec_private) else { return self };
                let packet = Packet::parse(data, limits).and_then(|p| p.bind(&header));
                // One that describes noise stands for as long as the pause lasts.
                let frames =
                    packet.ok().filter(|p| p.comfort_noise().is_none()).map_or(0, |p| p.info().frames);
                self.with_frames_per_packet(&header, frames)
            }
            TrackKind::Video => {
                let Ok((header, _)) = VideoHeader::parse(&self.codec_private, limits) else { return self };
                // Fitted groups differ in length, as far as their cuts do.
                let single = inspect(data, limits).ok().filter(|info| info.frames == 1);
                let constant = header.frame_duration_ns().filter(|_| single.is_some());
                self.with_packet_duration(constant.unwrap_or(0))
            }
            _ => self,
        }
    }

    /// The track with packets that last so many nanoseconds each, but for a few. Readers that know it need no duration of each
    /// packet.
    pub fn with_packet_duration(self, nanoseconds: u64) -> Self {
        Self { packet_ns: Some(nanoseconds).filter(|&ns| ns > 0), ..self }
    }

    /// Whether several packets may share a block.
    pub(super) fn may_lace(&self) -> bool {
        self.kind == TrackKind::Audio && self.other.is_none() && self.packet_ns.is_some()
    }
}

/// The body of a `TrackEntry`. What equals the default of RFC 9559 is left out.
pub(super) fn track_entry(number: u64, track: &Track) -> Vec<u8> {
    // Track types of RFC 9559, section 5.1.4.1.3.
    let (kind, codec, name) = match track.kind {
        TrackKind::Audio => (id::AUDIO_TYPE, AUDIO_CODEC_ID, Some("Siskin neural audio")),
        TrackKind::Video => (id::VIDEO_TYPE, VIDEO_CODEC_ID, Some("Siskin neural video")),
        // 17 is subtitle, 33 metadata, which players leave alone.
        TrackKind::Text => (17, TEXT_CODEC_ID, None),
        TrackKind::Tokens => (33, TOKENS_CODEC_ID, Some("Siskin tokens")),
    };
    let (codec, name) = track.other.as_ref().map_or((codec, name), |other| (other.id.as_str(), None));
    let mut out = Vec::new();
    ebml::put_unsigned(id::TRACK_NUMBER, number, &mut out);
    // Unique within the file is all that RFC 9559 asks for.
    ebml::put_unsigned(id::TRACK_UID, number, &mut out);
    ebml::put_unsigned(id::TRACK_TYPE, kind, &mut out);
    // The default is 1.
    if !track.may_lace() {
        ebml::put_unsigned(id::FLAG_LACING, 0, &mut out);
    }
    track.packet_ns.iter().for_each(|&ns| ebml::put_unsigned(id::DEFAULT_DURATION, ns, &mut out));
    // Without the element a track is in English.
    ebml::put_element(id::LANGUAGE, track.language.as_deref().unwrap_or("und").as_bytes(), &mut out);
    ebml::put_element(id::CODEC_ID, codec.as_bytes(), &mut out);
    name.iter().for_each(|name| ebml::put_element(id::CODEC_NAME, name.as_bytes(), &mut out));
    if !track.codec_private.is_empty() {
        ebml::put_element(id::CODEC_PRIVATE, &track.codec_private, &mut out);
    }
    if let Some(other) = &track.other {
        for (id, value) in [
            (id::DEFAULT_DURATION, other.default_duration_ns),
            (id::CODEC_DELAY, other.delay_ns),
            (id::SEEK_PRE_ROLL, other.seek_preroll_ns),
        ] {
            if value > 0 {
                ebml::put_unsigned(id, value, &mut out);
            }
        }
    }
    track.name.iter().for_each(|name| ebml::put_element(id::NAME, name.as_bytes(), &mut out));
    if let Some(((width, height), (wide, high))) = track.picture {
        let mut video = Vec::new();
        ebml::put_unsigned(id::PIXEL_WIDTH, width.into(), &mut video);
        ebml::put_unsigned(id::PIXEL_HEIGHT, height.into(), &mut video);
        if wide != high {
            // The height stays and the width is stretched, since Matroska has no field for the aspect of a pixel.
            let shown = u64::from(width) * u64::from(wide) / u64::from(high.max(1));
            ebml::put_unsigned(id::DISPLAY_WIDTH, shown.max(1), &mut video);
            ebml::put_unsigned(id::DISPLAY_HEIGHT, height.into(), &mut video);
        }
        ebml::put_element(id::VIDEO, &video, &mut out);
    }
    if track.kind == TrackKind::Audio {
        let mut audio = Vec::new();
        ebml::put_float(id::SAMPLING_FREQUENCY, track.sample_rate.into(), &mut audio);
        ebml::put_unsigned(id::CHANNELS, track.channels.into(), &mut audio);
        if let Some(depth) = track.other.as_ref().map(|other| other.bit_depth).filter(|&depth| depth > 0) {
            ebml::put_unsigned(id::BIT_DEPTH, depth.into(), &mut audio);
        }
        ebml::put_element(id::AUDIO, &audio, &mut out);
    }
    out
}
