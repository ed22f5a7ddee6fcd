//! The caps of coded audio, written and read.

use siskin_core::bitstream::StreamHeader;

/// Media type of coded audio: one packet a buffer.
pub(crate) const AUDIO: &str = "audio/x-siskin";

/// The widest caps of coded audio that an element of ours hands out.
pub(crate) fn audio_template() -> gst::Caps {
    gst::Caps::builder(AUDIO)
        // As far as the stream header goes: 768 kHz is the highest rate of audio converters.
        .field("rate", gst::IntRange::new(1, 768_000))
        .field("channels", gst::IntRange::new(1, 255))
        .field("parsed", true)
        .build()
}

/// The caps of a stream. `streamheader` is what GStreamer's network sinks send to late clients first, `codec_data`
/// what muxers and applications look for; both hold the stream header in its long form.
pub(crate) fn audio(header: &StreamHeader) -> gst::Caps {
    let bytes = gst::Buffer::from_slice(header.to_bytes());
    gst::Caps::builder(AUDIO)
        .field("rate", header.sample_rate as i32)
        .field("channels", i32::from(header.channels))
        .field("parsed", true)
        .field("streamheader", gst::Array::new([&bytes]))
        .field("codec_data", &bytes)
        .build()
}

/// The bytes of the stream header in caps of audio, video or features; none if they carry none.
pub(crate) fn header_bytes(caps: &gst::CapsRef) -> Option<gst::MappedBuffer<gst::buffer::Readable>> {
    let structure = caps.structure(0)?;
    // The field that network sinks keep up to date wins over the other.
    let first = structure
        .get::<gst::ArrayRef>("streamheader")
        .ok()
        .and_then(|array| array.as_slice().first().and_then(|value| value.get::<gst::Buffer>().ok()));
    let buffer = first.or_else(|| structure.get::<gst::Buffer>("codec_data").ok());
    buffer.and_then(|b| b.into_mapped_buffer_readable().ok())
}

/// The stream header in caps; none if they carry none.
///
/// # Errors
/// What [`StreamHeader::parse`] returns for bytes that are no header.
pub(crate) fn header(caps: &gst::CapsRef) -> siskin_core::Result<Option<StreamHeader>> {
    header_bytes(caps).map(|bytes| StreamHeader::parse(&bytes).map(|(header, _)| header)).transpose()
}

/// Encoding name in `rtpmap` and in RTP caps. It is not registered.
pub(crate) const RTP_ENCODING: &str = "SISKIN";

/// The caps of audio in RTP packets.
pub(crate) fn rtp_template() -> gst::Caps {
    gst::Caps::builder("application/x-rtp")
        .field("media", "audio")
        .field("encoding-name", RTP_ENCODING)
        .field("clock-rate", gst::IntRange::new(1, 768_000))
        .build()
}

/// The parameters of a stream that stand in the `fmtp` line: the stream header in hexadecimal, and for people and
/// offers the bundle's id. The channels, if there are several, stand behind the clock rate in `rtpmap`.
pub(crate) fn rtp_parameters(header: &StreamHeader) -> gst::Structure {
    gst::Structure::builder("application/x-rtp")
        .field("bundle", header.bundle.to_string())
        // Hexadecimal as in the `fmtp` lines of AAC (RFC 3640) and others: SDP has no place for bytes.
        .field("config", hex::encode(header.to_bytes()))
        .field_if("encoding-params", header.channels.to_string(), header.channels > 1)
        .build()
}

/// The stream header in the caps of RTP packets; none if they carry none.
///
/// # Errors
/// What [`StreamHeader::parse`] returns for bytes that are no header.
pub(crate) fn rtp_header(caps: &gst::CapsRef) -> siskin_core::Result<Option<StreamHeader>> {
    let config = caps.structure(0).and_then(|s| s.get::<&str>("config").ok());
    // What is no hexadecimal is no header either.
    let bytes = config.map(|text| hex::decode(text).unwrap_or_default());
    bytes.map(|bytes| StreamHeader::parse(&bytes).map(|(header, _)| header)).transpose()
}

/// What people are shown as the codec's name.
pub(crate) fn codec_name(header: &StreamHeader) -> String {
    if header.bundle_name.is_empty() { "Siskin".into() } else { format!("Siskin ({})", header.bundle_name) }
}

/// A pad template that is always there.
pub(crate) fn always(name: &str, direction: gst::PadDirection, caps: &gst::Caps) -> gst::PadTemplate {
    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
        .expect("names and caps of pad templates are constants, and valid")
}

/// The caps of samples, whatever the bundle: 32-bit floats of one channel or two in the machine's byte order.
pub(crate) fn raw_template() -> gst::Caps {
    gst_audio::AudioCapsBuilder::new_interleaved()
        .format(gst_audio::AUDIO_FORMAT_F32)
        .rate_range(1..=768_000)
        .channels_range(1..=2)
        .build()
}

/// The caps of samples for a bundle's stream.
pub(crate) fn raw(header: &StreamHeader) -> gst::Caps {
    gst_audio::AudioCapsBuilder::new_interleaved()
        .format(gst_audio::AUDIO_FORMAT_F32)
        .rate(header.sample_rate as i32)
        .channels(header.channels.into())
        .build()
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::BundleId;

    use super::*;

    fn stream() -> StreamHeader {
        StreamHeader {
            bundle: BundleId([9; 8]),
            bundle_name: "toy".into(),
            sample_rate: 24_000,
            channels: 1,
            hop: 480,
            groups: 1,
            stages: 18,
            code_bits: 10,
            pre_skip: 240,
        }
    }

    #[test]
    fn a_header_comes_back_from_caps() {
        gst::init().expect("GStreamer");
        assert_eq!(header(&audio(&stream())).ok().flatten(), Some(stream()));
        assert!(audio(&stream()).is_subset(&audio_template()));
    }

    #[test]
    fn caps_without_a_header_and_with_a_broken_one() {
        gst::init().expect("GStreamer");
        assert_eq!(header(&gst::Caps::new_empty_simple(AUDIO)).ok(), Some(None));
        let broken = gst::Buffer::from_slice([1, 2, 3]);
        let caps = gst::Caps::builder(AUDIO).field("codec_data", broken).build();
        assert!(header(&caps).is_err());
    }
}
