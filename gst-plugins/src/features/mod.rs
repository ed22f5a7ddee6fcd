//! The caps of features, written and read.

use siskin_core::Limits;
use siskin_core::bundle::FeatureBundle;
use siskin_core::container::FEATURES_CODEC_ID;
use siskin_core::features::FeatureHeader;

/// Media type of features: the packet of one frame a buffer.
pub(crate) const FEATURES: &str = "application/x-siskin-features";

/// What is shown as the codec's name.
pub(crate) const CODEC_NAME: &str = "Siskin features";

/// The widest caps of features.
pub(crate) fn template() -> gst::Caps {
    gst::Caps::builder(FEATURES)
        .field("width", gst::IntRange::new(1, 16_384))
        .field("height", gst::IntRange::new(1, 16_384))
        .build()
}

/// What a decoder takes: features, and what stock demuxers make of a track of them.
pub(crate) fn decodable() -> gst::Caps {
    let mut caps = template();
    let unknown = gst::Caps::builder("video/x-unknown").field("codec-id", FEATURES_CODEC_ID).build();
    caps.merge(unknown);
    caps
}

/// The caps of a stream. The header stands in them twice, as elements look for one or the other: network sinks for
/// `streamheader`, muxers for `codec_data`.
pub(crate) fn caps(header: &FeatureHeader) -> gst::Caps {
    let bytes = gst::Buffer::from_slice(header.to_bytes());
    let (n, d) = header.frame_rate;
    let rate = match (i32::try_from(n), i32::try_from(d)) {
        (Ok(n), Ok(d)) => gst::Fraction::new(n, d),
        // GStreamer's fractions are of `i32`; 0/1 is how it writes a variable rate.
        _ => gst::Fraction::new(0, 1),
    };
    gst::Caps::builder(FEATURES)
        .field("width", header.size.width() as i32)
        .field("height", header.size.height() as i32)
        .field("framerate", rate)
        .field("streamheader", gst::Array::new([&bytes]))
        .field("codec_data", &bytes)
        .build()
}

/// The stream header in caps; none if they carry none.
///
/// # Errors
/// What [`FeatureHeader::parse`] returns for bytes that are no header.
pub(crate) fn header(caps: &gst::CapsRef) -> siskin_core::Result<Option<FeatureHeader>> {
    let bytes = crate::caps::header_bytes(caps);
    bytes.map(|bytes| FeatureHeader::parse(&bytes, &Limits::default()).map(|(header, _)| header)).transpose()
}

/// The bundle of a stream: the one that was asked for, which has to be the stream's, else the one that its header names, else
/// the default.
///
/// # Errors
/// [`siskin_core::Error::WrongBundle`] for another one, or what opening it returns.
pub(crate) fn bundle_for(
    header: Option<&FeatureHeader>,
    asked: Option<&str>,
) -> siskin_core::Result<FeatureBundle> {
    let (Some(header), Some(name)) = (header, asked) else {
        return match header {
            Some(header) => FeatureBundle::for_stream(header.bundle, &header.bundle_name),
            None => FeatureBundle::find(asked.unwrap_or(FeatureBundle::DEFAULT)),
        };
    };
    let bundle = FeatureBundle::find(name)?;
    let id = bundle.manifest().id();
    if id == header.bundle {
        return Ok(bundle);
    }
    Err(siskin_core::Error::WrongBundle {
        needed_name: header.bundle_name.clone(),
        needed_id: header.bundle.to_string(),
        found: format!("{name} ({id})"),
    })
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::BundleId;
    use siskin_core::media::Size;

    use super::*;

    #[test]
    fn a_header_comes_back_from_caps() {
        gst::init().expect("GStreamer");
        let size = Size::new(640, 480).expect("a size");
        let own =
            FeatureHeader { bundle: BundleId([3; 8]), bundle_name: "a".into(), size, frame_rate: (30, 1) };
        assert_eq!(header(&caps(&own)).ok().flatten(), Some(own.clone()));
        assert!(caps(&own).is_subset(&template()) && template().is_subset(&decodable()));
        assert_eq!(header(&gst::Caps::new_empty_simple(FEATURES)).ok(), Some(None));
        let broken =
            gst::Caps::builder(FEATURES).field("codec_data", gst::Buffer::from_slice([1, 2])).build();
        assert!(header(&broken).is_err());
    }
}
