//! Frames of any format to those that are coded, and those to others, by FFmpeg's `scale`.

use anyhow::{Result, bail};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::util::chroma;
use ffmpeg_next::{Rational, frame};
use siskin_core::bitstream::{Colorimetry, VideoHeader};
use siskin_core::media::{PixelFormat, Plane, PlaneMut, Size, VideoFrame};

use crate::media::graph::{Graph, Pulled, VideoShape};

/// Full resolution of chroma in between: what is cheaper averages chroma beyond the end of odd rows.
const FLAGS: &str = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";

/// The tag of Matroska that says where chroma lies, for streams where it is not [`Siting::Left`], as ITU-T H.273 names it.
pub(super) const SITING_TAG: &str = "CHROMA_SAMPLE_LOCATION";

/// Where the chroma of 4:2:0 lies in its square of four pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Siting {
    /// Between the two on the left, as MPEG-2 and most have it.
    #[default]
    Left,
    /// In the middle, as JPEG and MPEG-1 have it.
    Center,
    /// On the upper left one.
    TopLeft,
    /// Between the two above.
    Top,
    /// On the lower left one.
    BottomLeft,
    /// Between the two below.
    Bottom,
}

impl Siting {
    /// All but [`Siting::Left`], which needs no words.
    const OTHERS: [Self; 5] = [Self::Center, Self::TopLeft, Self::Top, Self::BottomLeft, Self::Bottom];

    /// FFmpeg's name, which is that of the tag too.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Center => "center",
            Self::TopLeft => "topleft",
            Self::Top => "top",
            Self::BottomLeft => "bottomleft",
            Self::Bottom => "bottom",
        }
    }

    /// Of a file's tags.
    pub(super) fn of_tags(tags: &[(String, String)]) -> Self {
        let value = tags.iter().find(|t| t.0 == SITING_TAG).map(|t| t.1.as_str());
        Self::OTHERS.into_iter().find(|s| value == Some(s.name())).unwrap_or_default()
    }

    /// Of a frame; only that of 4:2:0 is kept, others become [`Siting::Left`].
    pub(super) fn of_frame(frame: &frame::Video) -> Self {
        let is_half =
            frame.format().descriptor().is_some_and(|d| (d.log2_chroma_w(), d.log2_chroma_h()) == (1, 1));
        match frame.chroma_location() {
            chroma::Location::Center if is_half => Self::Center,
            chroma::Location::TopLeft if is_half => Self::TopLeft,
            chroma::Location::Top if is_half => Self::Top,
            chroma::Location::BottomLeft if is_half => Self::BottomLeft,
            chroma::Location::Bottom if is_half => Self::Bottom,
            _ => Self::Left,
        }
    }

    /// Its place in 256ths of a pixel, across and down.
    fn place(self) -> (u32, u32) {
        match self {
            Self::Left => (0, 128),
            Self::Center => (128, 128),
            Self::TopLeft => (0, 0),
            Self::Top => (128, 0),
            Self::BottomLeft => (0, 256),
            Self::Bottom => (128, 256),
        }
    }
}

/// What `scale` calls a matrix. BT.601 is as good as any where it does not know the matrix.
pub(super) fn matrix_name(colorimetry: &Colorimetry) -> &'static str {
    // The numbers are those of ITU-T H.273.
    match colorimetry.matrix {
        1 => "bt709",
        4 => "fcc",
        7 => "smpte240m",
        9 | 10 => "bt2020",
        _ => "bt601",
    }
}

fn range_name(colorimetry: &Colorimetry) -> &'static str {
    if colorimetry.full_range { "pc" } else { "tv" }
}

/// Whether a format holds red, green and blue.
pub(super) fn is_rgb(format: Pixel) -> bool {
    // FFmpeg names all of them so.
    let name = format.descriptor().map_or("", |d| d.name());
    // The binding gives no flags of pixel formats.
    // `pal8` is a table of RGB, and `scale` takes it for that.
    let starts = ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"];
    starts.iter().any(|s| name.starts_with(s))
}

/// Bits of a sample, and whether some say how transparent a pixel is.
pub(super) fn depth_and_alpha(format: Pixel) -> (u32, bool) {
    let Some(descriptor) = format.descriptor() else { return (8, false) };
    let name = descriptor.name();
    // The binding gives neither depths nor flags, but names have both: `yuv420p10le`, `gbrap12le`, `rgb48be`, `p010le`.
    let plain = name.trim_end_matches("le").trim_end_matches("be");
    let depth = match plain {
        "rgb48" | "bgr48" | "rgba64" | "bgra64" | "ya16" | "ayuv64" | "p016" | "p216" | "p416" => 16,
        "xyz12" => 12,
        "x2rgb10" | "x2bgr10" | "p010" | "p210" | "p410" | "y210" => 10,
        "p012" | "p212" | "p412" | "y212" => 12,
        _ => ["16", "14", "12", "10", "9"]
            .into_iter()
            .find(|bits| {
                plain.strip_suffix(bits).is_some_and(|rest| rest.ends_with('p') || rest.ends_with("gray"))
            })
            .and_then(|bits| bits.parse().ok())
            .unwrap_or(8),
    };
    let starts = ["yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16", "ayuv"];
    (depth, starts.iter().any(|s| name.starts_with(s)))
}

/// Whether a format has no chroma.
pub(super) fn is_grey(format: Pixel) -> bool {
    let name = format.descriptor().map_or("", |d| d.name());
    ["gray", "ya8", "ya16", "mono"].iter().any(|s| name.starts_with(s))
}

/// Whether a format is one whose name says full range.
pub(super) fn is_full(format: Pixel) -> bool {
    format.descriptor().is_some_and(|d| d.name().starts_with("yuvj"))
}

/// The filters from frames of a format, whose values mean `from`, to 4:2:0 or interleaved RGB of a size, whose values mean `to`;
/// none where nothing is to be done.
pub(super) fn conversion_filters(
    format: Pixel,
    resize: Option<(u32, u32)>,
    (from, to): (&Colorimetry, &Colorimetry),
    siting: Siting,
    target: PixelFormat,
) -> Option<String> {
    // Samples that are 4:2:0 already are coded as they are; matrix and siting go into the header and a tag.
    let is_there = matches!(format, Pixel::YUV420P | Pixel::YUVJ420P) && target == PixelFormat::I420;
    let is_meant_so = (from.full_range, matrix_name(from)) == (to.full_range, matrix_name(to));
    if is_there && resize.is_none() && is_meant_so {
        return None;
    }
    let size = resize.map_or(String::new(), |(width, height)| format!("w={width}:h={height}:"));
    // Red, green and blue are always of full range.
    let input = match is_rgb(format) {
        true => String::new(),
        false => format!(":in_range={}:in_color_matrix={}", range_name(from), matrix_name(from)),
    };
    let descriptor = format.descriptor();
    let halved = descriptor.map_or((false, false), |d| (d.log2_chroma_w() == 1, d.log2_chroma_h() == 1));
    let (across, down) = siting.place();
    let input = match halved {
        (true, true) => format!("{input}:in_h_chr_pos={across}:in_v_chr_pos={down}"),
        // 4:2:2 has chroma in every row, so only its place across counts.
        (true, false) => format!("{input}:in_h_chr_pos={across}"),
        _ => input,
    };
    let output = match target {
        PixelFormat::I420 => format!(
            ":out_range={}:out_color_matrix={}:out_h_chr_pos={across}:out_v_chr_pos={down}",
            range_name(to),
            matrix_name(to)
        ),
        PixelFormat::Rgb => String::new(),
    };
    // What the codec takes: 4:2:0 in real time, RGB for a fit.
    let name = match target {
        PixelFormat::I420 => "yuv420p",
        PixelFormat::Rgb => "rgb24",
    };
    Some(format!("scale={size}{FLAGS}{input}{output},format={name}"))
}

/// The filter from a packed format to planes of as much chroma, for filters that know only those, and the format that it gives. In
/// 4:2:0 the chroma of both fields of an interlaced picture would be mixed.
pub(super) fn planes_filter(format: Pixel, colorimetry: &Colorimetry) -> (String, Pixel) {
    let descriptor = format.descriptor();
    let halved = descriptor.map_or((0, 0), |d| (d.log2_chroma_w(), d.log2_chroma_h()));
    let (name, planes) = match halved {
        _ if is_rgb(format) => ("gbrp", Pixel::GBRP),
        (1, 1) => ("yuv420p", Pixel::YUV420P),
        (1, _) => ("yuv422p", Pixel::YUV422P),
        (2, _) => ("yuv411p", Pixel::YUV411P),
        _ => ("yuv444p", Pixel::YUV444P),
    };
    if is_rgb(format) {
        return (format!("scale={FLAGS},format={name}"), planes);
    }
    let (range, matrix) = (range_name(colorimetry), matrix_name(colorimetry));
    let same =
        format!("in_range={range}:out_range={range}:in_color_matrix={matrix}:out_color_matrix={matrix}");
    (format!("scale={FLAGS}:{same},format={name}"), planes)
}

/// FFmpeg's name of a format of ours.
fn pixel_of(format: PixelFormat) -> Pixel {
    match format {
        PixelFormat::I420 => Pixel::YUV420P,
        PixelFormat::Rgb => Pixel::RGB24,
    }
}

/// Frames of our own to one of the two formats.
pub(super) struct Converter {
    graph: Graph,
    /// What it takes; others are left as they are.
    source: PixelFormat,
    target: PixelFormat,
    size: (u32, u32),
    out: frame::Video,
}

impl Converter {
    /// From the other format to `target`, of the stream's size and colorimetry.
    pub(super) fn new(header: &VideoHeader, siting: Siting, target: PixelFormat) -> Result<Self> {
        let source = other_format(target);
        Self::between((header, source), (header, target), siting)
    }

    /// From frames of one stream to those of another, which differ in size or colorimetry, in a format.
    pub(super) fn scaling(
        from: &VideoHeader,
        to: &VideoHeader,
        siting: Siting,
        format: PixelFormat,
    ) -> Result<Self> {
        Self::between((from, format), (to, format), siting)
    }

    fn between(
        (from, source): (&VideoHeader, PixelFormat),
        (to, target): (&VideoHeader, PixelFormat),
        siting: Siting,
    ) -> Result<Self> {
        let VideoHeader { width, height, colorimetry, .. } = from;
        let resize = Some((to.width, to.height)).filter(|size| *size != (*width, *height));
        let shape = VideoShape {
            format: pixel_of(source),
            size: (*width, *height),
            pixel_aspect: (1, 1),
            time_base: Rational(1, 25),
        };
        let chain = conversion_filters(shape.format, resize, (colorimetry, &to.colorimetry), siting, target);
        Ok(Self {
            source,
            graph: Graph::video(&shape, &chain.unwrap_or_else(|| "null".into()))?,
            target,
            size: (*width, *height),
            out: frame::Video::empty(),
        })
    }

    /// The frame in the converter's format: itself where it has that already, else written to `room`.
    pub(super) fn convert<'a>(
        &mut self,
        frame: &'a VideoFrame,
        room: &'a mut VideoFrame,
    ) -> Result<&'a VideoFrame> {
        if frame.format() != self.source {
            return Ok(frame);
        }
        let mut source = frame::Video::new(pixel_of(frame.format()), self.size.0, self.size.1);
        fill_frame(frame, &mut source)?;
        // One frame in, one out: times mean nothing here.
        source.set_pts(Some(0));
        self.graph.push(&mut source)?;
        if self.graph.pull_frame(&mut self.out)? != Pulled::Frame {
            bail!("FFmpeg's filters gave no frame");
        }
        copy_frame(&self.out, self.target, room)?;
        Ok(room)
    }
}

fn other_format(format: PixelFormat) -> PixelFormat {
    match format {
        PixelFormat::I420 => PixelFormat::Rgb,
        PixelFormat::Rgb => PixelFormat::I420,
    }
}

/// Copies a frame into one of FFmpeg's, of its size and format. FFmpeg pads rows for its vector instructions.
pub(super) fn fill_frame(from: &VideoFrame, to: &mut frame::Video) -> Result<()> {
    for (index, plane) in from.planes().enumerate() {
        let stride = to.stride(index);
        PlaneMut::new(to.data_mut(index), plane.row_bytes(), plane.row_count(), stride)?.copy_from(plane)?;
    }
    Ok(())
}

/// Copies a frame of FFmpeg's, whose format is `format`, to `out`.
pub(super) fn copy_frame(from: &frame::Video, format: PixelFormat, out: &mut VideoFrame) -> Result<()> {
    out.reshape(format, Size::new(from.width(), from.height())?);
    for (index, mut plane) in out.planes_mut().enumerate() {
        let (row_bytes, rows) = (plane.as_plane().row_bytes(), plane.as_plane().row_count());
        plane.copy_from(Plane::new(from.data(index), row_bytes, rows, from.stride(index))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use siskin_core::media::YuvMatrix;

    use super::*;

    #[test]
    fn names_tell_depth_and_transparency() {
        for (format, depth, alpha) in [
            (Pixel::YUV420P, 8, false),
            (Pixel::YUV420P10LE, 10, false),
            (Pixel::YUVA444P10LE, 10, true),
            (Pixel::GRAY16LE, 16, false),
            (Pixel::GBRP12LE, 12, false),
            (Pixel::RGBA, 8, true),
            (Pixel::RGB48LE, 16, false),
            (Pixel::P010LE, 10, false),
            (Pixel::NV12, 8, false),
            (Pixel::YUV411P, 8, false),
            (Pixel::UYVY422, 8, false),
        ] {
            assert_eq!(depth_and_alpha(format), (depth, alpha), "{format:?}");
        }
    }

    #[test]
    fn odd_frames_have_the_chroma_of_their_own_edge() {
        crate::media::init_ffmpeg().expect("FFmpeg");
        for (matrix, full_range) in [(6, false), (1, false), (1, true), (9, false)] {
            let colorimetry = Colorimetry { matrix, full_range, ..Colorimetry::default() };
            let header =
                VideoHeader { width: 99, height: 33, frame_rate: (25, 1), pixel_aspect: (1, 1), colorimetry };
            let size = header.size().expect("a size");
            let data = [200u8, 40, 90].repeat(99 * 33);
            let rgb = VideoFrame::from_data(PixelFormat::Rgb, size, data).expect("a frame");
            let (mut planes, mut back) = (VideoFrame::default(), VideoFrame::default());
            let mut to_i420 = Converter::new(&header, Siting::Left, PixelFormat::I420).expect("a graph");
            to_i420.convert(&rgb, &mut planes).expect("a frame");
            let wanted = YuvMatrix::from_colorimetry(&colorimetry).to_yuv([200, 40, 90]);
            for (index, plane) in planes.planes().enumerate() {
                let off = plane.data().iter().map(|v| v.abs_diff(wanted[index])).max();
                assert!(off <= Some(1), "{matrix} {full_range} plane {index}: {off:?}");
            }
            let mut to_rgb = Converter::new(&header, Siting::Left, PixelFormat::Rgb).expect("a graph");
            to_rgb.convert(&planes, &mut back).expect("a frame");
            let off = back.data().iter().zip(rgb.data()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(3), "{matrix} {full_range}: {off:?}");
            // What is in the format already is not copied.
            let same = to_rgb.convert(&rgb, &mut back).expect("a frame");
            assert!(std::ptr::eq(same, &rgb));
        }
    }
}
