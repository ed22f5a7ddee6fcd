//! The caps of video in RTP packets.

use siskin_core::Limits;
use siskin_core::bitstream::{VideoHeader, rtp_video};

use crate::caps::RTP_ENCODING;

/// The caps of video in RTP packets.
pub(crate) fn template() -> gst::Caps {
    gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("encoding-name", RTP_ENCODING)
        .field("clock-rate", rtp_video::CLOCK_RATE as i32)
        .build()
}

/// The parameters of a stream that stand in the `fmtp` line: the stream header in hexadecimal, and the id of the bundle that
/// real-time frames need.
pub(crate) fn parameters(header: &VideoHeader, bundle: Option<String>) -> gst::Structure {
    gst::Structure::builder("application/x-rtp")
        .field("config", hex::encode(header.to_bytes()))
        .field_if_some("bundle", bundle)
        .build()
}

/// The stream header in the caps of RTP packets; none if they carry none.
///
/// # Errors
/// What [`VideoHeader::parse`] returns for bytes that are no header.
pub(crate) fn header(caps: &gst::CapsRef) -> siskin_core::Result<Option<VideoHeader>> {
    let config = caps.structure(0).and_then(|s| s.get::<&str>("config").ok());
    // What is no hexadecimal is no header either.
    let bytes = config.map(|text| hex::decode(text).unwrap_or_default());
    bytes.map(|bytes| VideoHeader::parse(&bytes, &Limits::default()).map(|(header, _)| header)).transpose()
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::Colorimetry;

    use super::*;

    #[test]
    fn a_header_comes_back_from_parameters() {
        gst::init().expect("GStreamer");
        let stream = VideoHeader {
            width: 33,
            height: 44,
            frame_rate: (25, 1),
            pixel_aspect: (1, 1),
            colorimetry: Colorimetry::default(),
        };
        let mut caps = template();
        let parameters = parameters(&stream, Some("0123456789abcdef".into()));
        let structure = caps.make_mut().structure_mut(0).expect("a structure");
        parameters.iter().for_each(|(name, value)| structure.set_value(name, value.clone()));
        assert_eq!(header(&caps).ok().flatten(), Some(stream));
        assert_eq!(crate::video::caps::bundle(&caps).as_deref(), Some("0123456789abcdef"));
        let broken = gst::Caps::builder("application/x-rtp").field("config", "xyz").build();
        assert!(header(&broken).is_err() && matches!(header(&template()), Ok(None)));
    }
}
