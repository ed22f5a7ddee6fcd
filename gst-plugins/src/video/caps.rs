//! The caps of coded and of raw video, written and read.

use gst_video::{VideoCapsBuilder, VideoFlags, VideoFormat, VideoInfo, VideoInterlaceMode};
use siskin_core::Limits;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::PixelFormat;

use super::colorimetry;

/// Media type of coded video: one packet, that is one group of pictures, a buffer.
pub(crate) const VIDEO: &str = "video/x-siskin";

/// What is shown as the codec's name.
pub(crate) const CODEC_NAME: &str = "Siskin video";

/// Raw formats that are taken and given, the one that costs no conversion in real time first.
const FORMATS: [VideoFormat; 2] = [VideoFormat::I420, VideoFormat::Rgb];

/// Least and greatest side of a frame. The loss of the fit compares neighbourhoods, which smaller frames have not.
const SIDES: std::ops::RangeInclusive<i32> = 16..=8192;

/// The widest caps of coded video that an element of ours hands out.
pub(crate) fn coded_template() -> gst::Caps {
    gst::Caps::builder(VIDEO)
        .field("width", gst::IntRange::new(1, 16_384))
        .field("height", gst::IntRange::new(1, 16_384))
        .field("parsed", true)
        .build()
}

/// The caps of a stream that needs no bundle, or of which nobody has said which.
pub(crate) fn coded(header: &VideoHeader) -> gst::Caps {
    coded_with(header, None)
}

/// The caps of a stream, with the id of the bundle that its real-time frames need.
pub(crate) fn coded_with(header: &VideoHeader, bundle: Option<&str>) -> gst::Caps {
    let bytes = gst::Buffer::from_slice(header.to_bytes());
    // GStreamer's fractions are of `i32`; 0/1 is how it writes a variable rate.
    let fraction = |(n, d): (u32, u32)| match (i32::try_from(n), i32::try_from(d)) {
        (Ok(n), Ok(d)) => gst::Fraction::new(n, d),
        _ => gst::Fraction::new(0, 1),
    };
    gst::Caps::builder(VIDEO)
        .field("width", header.width as i32)
        .field("height", header.height as i32)
        .field("framerate", fraction(header.frame_rate))
        .field("pixel-aspect-ratio", fraction(header.pixel_aspect))
        .field("parsed", true)
        // Twice, as elements look for one or the other: network sinks for `streamheader`, muxers for `codec_data`.
        .field("streamheader", gst::Array::new([&bytes]))
        .field("codec_data", &bytes)
        .field_if_some("bundle", bundle)
        .build()
}

/// The id of the bundle that caps name.
pub(crate) fn bundle(caps: &gst::CapsRef) -> Option<String> {
    caps.structure(0).and_then(|s| s.get::<String>("bundle").ok())
}

/// The stream header in caps; none if they carry none.
///
/// # Errors
/// What [`VideoHeader::parse`] returns for bytes that are no header.
pub(crate) fn header(caps: &gst::CapsRef) -> siskin_core::Result<Option<VideoHeader>> {
    let bytes = crate::caps::header_bytes(caps);
    bytes.map(|bytes| VideoHeader::parse(&bytes, &Limits::default()).map(|(header, _)| header)).transpose()
}

/// The caps of frames that are taken.
pub(crate) fn raw_in() -> gst::Caps {
    raw_in_list(FORMATS)
}

/// The caps of frames that are taken, with the codec's own format first: that costs no conversion.
pub(crate) fn raw_in_order_of(format: PixelFormat) -> gst::Caps {
    let [yuv, rgb] = FORMATS;
    match format {
        PixelFormat::I420 => raw_in(),
        PixelFormat::Rgb => raw_in_list([rgb, yuv]),
    }
}

fn raw_in_list(formats: [VideoFormat; 2]) -> gst::Caps {
    VideoCapsBuilder::new()
        .format_list(formats)
        .width_range(SIDES)
        .height_range(SIDES)
        // Both fields of an interlaced frame, coded as one frame, would show combs.
        .field("interlace-mode", VideoInterlaceMode::Progressive.to_str())
        .build()
}

/// A format in words, for messages.
pub(crate) fn describe(info: &VideoInfo) -> String {
    info.to_caps().map_or_else(|_| info.name().to_string(), |caps| caps.to_string())
}

/// Whether YUV made from the frames of two streams has the same samples: sizes, rates, shapes of pixels, matrix and range are
/// equal. Conversions leave the samples of other primaries and transfer functions as they are.
pub(crate) fn is_same_yuv(a: &VideoHeader, b: &VideoHeader) -> bool {
    let (x, y) = (colorimetry::of_yuv(&a.colorimetry), colorimetry::of_yuv(&b.colorimetry));
    let shape = |h: &VideoHeader| (h.width, h.height, h.frame_rate, h.pixel_aspect);
    shape(a) == shape(b) && (x.matrix(), x.range()) == (y.matrix(), y.range())
}

/// The caps of frames that are given.
pub(crate) fn raw_out() -> gst::Caps {
    // Of any size: another encoder's stream may be smaller than what the fit takes.
    VideoCapsBuilder::new().format_list(FORMATS).build()
}

/// As a header has it: 0 where frames come as they will. There `GstVideoInfo` has the highest rate in place of it.
fn frame_rate_of(info: &VideoInfo) -> (u32, u32) {
    match info.flags().contains(VideoFlags::VARIABLE_FPS) {
        true => (0, 1),
        false => pair(info.fps()),
    }
}

fn pair(fraction: gst::Fraction) -> (u32, u32) {
    (fraction.numer().max(0) as u32, fraction.denom().max(1) as u32)
}

/// The header of a stream of such frames.
pub(crate) fn header_of(info: &VideoInfo) -> VideoHeader {
    let pixel_aspect = match pair(info.par()) {
        // The bounds are the bitstream's; what is beyond is a mistake of whoever made the caps.
        (a @ 1..=0x10_0000, b @ 1..=0x10_0000) => (a, b),
        _ => (1, 1),
    };
    VideoHeader {
        width: info.width(),
        height: info.height(),
        frame_rate: frame_rate_of(info),
        pixel_aspect,
        colorimetry: colorimetry::to_codes(&info.colorimetry()),
    }
}

/// What a stream's frames are in a raw format.
pub(crate) fn info_of(header: &VideoHeader, format: VideoFormat) -> Result<VideoInfo, gst::glib::BoolError> {
    let fraction = |(n, d): (u32, u32)| match (i32::try_from(n), i32::try_from(d)) {
        (Ok(n), Ok(d)) => gst::Fraction::new(n, d),
        _ => gst::Fraction::new(0, 1),
    };
    let yuv = (format == VideoFormat::I420).then(|| colorimetry::of_yuv(&header.colorimetry));
    VideoInfo::builder(format, header.width, header.height)
        .fps(fraction(header.frame_rate))
        .par(fraction(header.pixel_aspect))
        .colorimetry_if_some(yuv.as_ref())
        .build()
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::Colorimetry;

    use super::*;

    fn stream() -> VideoHeader {
        VideoHeader {
            width: 1280,
            height: 720,
            frame_rate: (30_000, 1001),
            pixel_aspect: (4, 3),
            colorimetry: Colorimetry { primaries: 1, transfer: 1, matrix: 1, full_range: false },
        }
    }

    #[test]
    fn a_header_comes_back_from_coded_and_raw_caps() {
        gst::init().expect("GStreamer");
        assert_eq!(header(&coded(&stream())).ok().flatten(), Some(stream()));
        assert!(coded(&stream()).is_subset(&coded_template()));
        let info = info_of(&stream(), VideoFormat::I420).expect("a format");
        let again = VideoInfo::from_caps(&info.to_caps().expect("caps")).expect("a format");
        assert_eq!(header_of(&again), stream());
        assert!(info.to_caps().expect("caps").is_subset(&raw_in()));
    }

    #[test]
    fn the_highest_rate_of_a_source_that_varies_is_not_its_rate() {
        gst::init().expect("GStreamer");
        let caps = VideoCapsBuilder::new()
            .format(VideoFormat::I420)
            .width(64)
            .height(48)
            .framerate(gst::Fraction::new(0, 1))
            .field("max-framerate", gst::Fraction::new(60, 1))
            .build();
        let info = VideoInfo::from_caps(&caps).expect("a format");
        assert_eq!(header_of(&info).frame_rate, (0, 1));
    }

    #[test]
    fn broken_headers_are_told_from_none() {
        gst::init().expect("GStreamer");
        assert_eq!(header(&gst::Caps::new_empty_simple(VIDEO)).ok(), Some(None));
        let caps = gst::Caps::builder(VIDEO).field("codec_data", gst::Buffer::from_slice(*b"SKV!")).build();
        assert!(header(&caps).is_err());
    }
}
