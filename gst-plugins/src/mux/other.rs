//! Tracks of other codecs beside Siskin's: their caps, and what Matroska says of them in its registry of codec ids
//! (<https://www.matroska.org/technical/codec_specs.html>).

use siskin_core::container::{OtherCodec, Track, TrackKind};

use super::private;

/// Sound that Opus decoders need before the target of a seek (RFC 7845, section 4.6).
const OPUS_PREROLL_NS: u64 = 80_000_000;
/// Rate of the samples that Opus counts its pre-skip in.
const OPUS_RATE: u64 = 48_000;

/// Caps of sound that a track can hold.
pub(super) const AUDIO: &str = "audio/x-opus; audio/x-vorbis; audio/x-flac; audio/x-ac3; audio/x-eac3; \
    audio/mpeg, mpegversion=(int){2,4}, stream-format=raw; audio/mpeg, mpegversion=1, layer=[1,3]; \
    audio/x-raw, format={U8,S16LE,S24LE,S32LE,S16BE,S24BE,S32BE,F32LE,F64LE}, layout=interleaved";
/// Caps of video that a track can hold.
pub(super) const VIDEO: &str = "video/x-vp8; video/x-vp9; video/x-av1, stream-format=obu-stream, alignment=tu; \
    video/x-h264, stream-format={avc,avc3}, alignment=au; video/x-h265, stream-format={hvc1,hev1}, alignment=au; \
    video/x-theora; image/jpeg";
/// Caps of subtitles that a track can hold.
pub(super) const SUBTITLES: &str =
    "text/x-raw, format={utf8,pango-markup}; application/x-ass; application/x-ssa";

/// A track of another codec.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Other {
    pub(super) track: Track,
    /// Buffers marked as headers repeat what the track says.
    pub(super) drops_headers: bool,
    /// Keyframes say what has changed, so that a track may go on with other caps.
    repeats_headers: bool,
}

impl Other {
    /// The track of these caps; what is wrong with them comes back in words.
    pub(super) fn from_caps(caps: &gst::StructureRef) -> Result<Self, String> {
        let name = caps.name().as_str();
        let kind = match name.split_once('/') {
            Some(("audio", _)) => TrackKind::Audio,
            Some(("video" | "image", _)) => TrackKind::Video,
            _ => TrackKind::Text,
        };
        let (codec, private) = find_codec(name, caps)?;
        let mut track = Track::other(kind, codec, private);
        let positive =
            |name| caps.get::<i32>(name).ok().and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
        match kind {
            TrackKind::Audio => {
                // Opus sounds at 48 kHz whatever the rate of what was encoded.
                let own = if name == "audio/x-opus" { Some(OPUS_RATE as u32) } else { positive("rate") };
                track.sample_rate = own.ok_or_else(|| format!("no rate in {caps}"))?;
                let channels = positive("channels").and_then(|n| u8::try_from(n).ok());
                track.channels = channels.ok_or_else(|| format!("no channels up to 255 in {caps}"))?;
            }
            TrackKind::Video => {
                let size = positive("width").zip(positive("height"));
                let size = size.ok_or_else(|| format!("no width and height in {caps}"))?;
                let shape = fraction(caps, "pixel-aspect-ratio").filter(|(a, _)| *a > 0).unwrap_or((1, 1));
                track.picture = Some((size, shape));
                if let (Some((frames, seconds @ 1..)), Some(other)) =
                    (fraction(caps, "framerate"), &mut track.other)
                {
                    let duration = 1_000_000_000 * u64::from(seconds);
                    other.default_duration_ns = duration.checked_div(frames.into()).unwrap_or_default();
                }
            }
            _ => (),
        }
        let drops_headers =
            matches!(name, "audio/x-opus" | "audio/x-vorbis" | "audio/x-flac" | "video/x-theora");
        let format = caps.get::<&str>("stream-format").unwrap_or_default();
        let repeats_headers = matches!(name, "video/x-vp8" | "video/x-vp9" | "image/jpeg")
            || matches!(format, "avc3" | "hev1" | "obu-stream");
        Ok(Self { track, drops_headers, repeats_headers })
    }

    /// Whether the track may go on with another stream of these caps.
    pub(super) fn can_become(&self, next: &Self) -> bool {
        let id = |own: &Self| own.track.other.as_ref().map(|other| other.id.clone());
        self == next || self.repeats_headers && id(self) == id(next)
    }
}

/// Numerator and denominator of a field.
fn fraction(caps: &gst::StructureRef, field: &str) -> Option<(u32, u32)> {
    let value = caps.get::<gst::Fraction>(field).ok()?;
    Some((u32::try_from(value.numer()).ok()?, u32::try_from(value.denom()).ok()?))
}

/// The codec of caps and its `CodecPrivate`.
fn find_codec(name: &str, caps: &gst::StructureRef) -> Result<(OtherCodec, Vec<u8>), String> {
    let plain = |id: &str| OtherCodec { id: id.to_owned(), ..Default::default() };
    let bare = |id| Ok((plain(id), Vec::new()));
    let with_data = |id| private::codec_data(caps).map(|data| (plain(id), data));
    match name {
        "audio/x-opus" => {
            let head = private::opus_head(caps)?;
            let skip = private::opus_pre_skip(&head);
            let delay_ns = (u64::from(skip) * 1_000_000_000).div_ceil(OPUS_RATE);
            Ok((OtherCodec { delay_ns, seek_preroll_ns: OPUS_PREROLL_NS, ..plain("A_OPUS") }, head))
        }
        "audio/x-vorbis" => Ok((plain("A_VORBIS"), private::xiph_headers(caps)?)),
        "video/x-theora" => Ok((plain("V_THEORA"), private::xiph_headers(caps)?)),
        "audio/x-flac" => Ok((plain("A_FLAC"), private::flac_metadata(caps)?)),
        "audio/x-ac3" => bare("A_AC3"),
        "audio/x-eac3" => bare("A_EAC3"),
        "audio/mpeg" if caps.get::<i32>("mpegversion") == Ok(1) => {
            let layer = caps.get::<i32>("layer").map_err(|_| format!("no layer in {caps}"))?;
            bare(&format!("A_MPEG/L{layer}"))
        }
        "audio/mpeg" => with_data("A_AAC"),
        "audio/x-raw" => find_pcm(caps).map(|codec| (codec, Vec::new())),
        "video/x-vp8" => bare("V_VP8"),
        "video/x-vp9" => bare("V_VP9"),
        "video/x-av1" => Ok((plain("V_AV1"), private::codec_data(caps).unwrap_or_default())),
        "video/x-h264" => with_data("V_MPEG4/ISO/AVC"),
        "video/x-h265" => with_data("V_MPEGH/ISO/HEVC"),
        "image/jpeg" => bare("V_MJPEG"),
        "application/x-ass" => with_data("S_TEXT/ASS"),
        "application/x-ssa" => with_data("S_TEXT/SSA"),
        _ => Err(format!("a track cannot hold {caps}")),
    }
}

/// PCM of the format in caps.
fn find_pcm(caps: &gst::StructureRef) -> Result<OtherCodec, String> {
    let format = caps.get::<&str>("format").unwrap_or_default();
    let (id, bit_depth) = match format {
        "U8" => ("A_PCM/INT/LIT", 8),
        "S16LE" => ("A_PCM/INT/LIT", 16),
        "S24LE" => ("A_PCM/INT/LIT", 24),
        "S32LE" => ("A_PCM/INT/LIT", 32),
        "S16BE" => ("A_PCM/INT/BIG", 16),
        "S24BE" => ("A_PCM/INT/BIG", 24),
        "S32BE" => ("A_PCM/INT/BIG", 32),
        "F32LE" => ("A_PCM/FLOAT/IEEE", 32),
        "F64LE" => ("A_PCM/FLOAT/IEEE", 64),
        _ => return Err(format!("Matroska has no PCM of {caps}")),
    };
    Ok(OtherCodec { id: id.to_owned(), bit_depth, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(caps: &str) -> Result<Other, String> {
        gst::init().expect("GStreamer");
        let caps: gst::Caps = caps.parse().expect("caps");
        Other::from_caps(caps.structure(0).expect("a structure"))
    }

    #[test]
    fn caps_become_tracks() {
        let pcm = read("audio/x-raw,format=S24LE,rate=48000,channels=2,layout=interleaved").expect("a track");
        let codec = pcm.track.other.clone().expect("another codec");
        assert_eq!((codec.id.as_str(), codec.bit_depth), ("A_PCM/INT/LIT", 24));
        assert_eq!((pcm.track.sample_rate, pcm.track.channels), (48_000, 2));
        let avc = "video/x-h264,stream-format=avc,alignment=au,width=64,height=48,framerate=30000/1001";
        let video = read(&format!("{avc},codec_data=(buffer)0164,pixel-aspect-ratio=4/3")).expect("a track");
        assert_eq!(video.track.picture, Some(((64, 48), (4, 3))));
        assert_eq!(video.track.codec_private, [1, 0x64]);
        assert_eq!(video.track.other.map(|c| c.default_duration_ns), Some(33_366_666));
        assert_eq!(read(avc).expect_err("no codec_data").lines().count(), 1);
        assert!(read("audio/x-raw,format=F32BE,rate=8000,channels=1").is_err());
        assert!(read("video/x-vp8,width=16").is_err() && read("audio/x-opus,channels=300").is_err());
    }

    #[test]
    fn a_track_goes_on_where_keyframes_say_what_is_new() {
        let vp8 = |width| read(&format!("video/x-vp8,width={width},height=32")).expect("a track");
        assert!(vp8(32).can_become(&vp8(64)));
        let avc = |data| {
            let caps = format!("video/x-h264,stream-format=avc,width=32,height=32,codec_data=(buffer){data}");
            read(&caps).expect("a track")
        };
        assert!(avc("01").can_become(&avc("01")) && !avc("01").can_become(&avc("02")));
        assert!(!vp8(32).can_become(&avc("01")));
    }

    #[test]
    fn all_that_is_offered_is_known() {
        gst::init().expect("GStreamer");
        for caps in [AUDIO, VIDEO, SUBTITLES] {
            let caps: gst::Caps = caps.parse().expect("caps");
            for structure in caps.iter().filter(|s| s.name() != "text/x-raw") {
                // Of those that need more than their name the error says what.
                let refused = find_codec(structure.name(), structure).err().unwrap_or_default();
                assert!(!refused.contains("cannot hold"), "{refused}");
            }
        }
    }
}
