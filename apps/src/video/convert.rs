//! Pictures of any format to those that are coded, and those to others, by FFmpeg's `scale`.

use anyhow::{Result, bail};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::util::chroma;
use ffmpeg_next::{Rational, frame};
use siskin_core::bitstream::{Colorimetry, VideoHeader};

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
}

impl Siting {
    /// FFmpeg's name, which is that of the tag too.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Center => "center",
            Self::TopLeft => "topleft",
        }
    }

    /// Of a file's tags.
    pub(super) fn of_tags(tags: &[(String, String)]) -> Self {
        let value = tags.iter().find(|t| t.0 == SITING_TAG).map(|t| t.1.as_str());
        [Self::Center, Self::TopLeft].into_iter().find(|s| value == Some(s.name())).unwrap_or_default()
    }

    /// Of a frame; only that of 4:2:0 is kept, others become [`Siting::Left`].
    pub(super) fn of_frame(frame: &frame::Video) -> Self {
        let is_half =
            frame.format().descriptor().is_some_and(|d| (d.log2_chroma_w(), d.log2_chroma_h()) == (1, 1));
        match frame.chroma_location() {
            chroma::Location::Center if is_half => Self::Center,
            chroma::Location::TopLeft if is_half => Self::TopLeft,
            _ => Self::Left,
        }
    }

    /// Its place in 256ths of a pixel, across and down.
    fn place(self) -> (u32, u32) {
        match self {
            Self::Left => (0, 128),
            Self::Center => (128, 128),
            Self::TopLeft => (0, 0),
        }
    }
}

/// What `scale` calls a matrix. BT.601 is as good as any where it does not know the matrix.
fn matrix_name(colorimetry: &Colorimetry) -> &'static str {
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
    planar: bool,
) -> Option<String> {
    // Samples that are 4:2:0 already are coded as they are; matrix and siting go into the header and a tag.
    let is_there = matches!(format, Pixel::YUV420P | Pixel::YUVJ420P) && planar;
    if is_there && resize.is_none() && from.full_range == to.full_range {
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
    let output = match planar {
        true => format!(
            ":out_range={}:out_color_matrix={}:out_h_chr_pos={across}:out_v_chr_pos={down}",
            range_name(to),
            matrix_name(to)
        ),
        false => String::new(),
    };
    // What the codec takes: 4:2:0 in real time, RGB for a fit.
    let target = if planar { "yuv420p" } else { "rgb24" };
    Some(format!("scale={size}{FLAGS}{input}{output},format={target}"))
}

/// Frames of our own from one of the two formats to the other.
pub(super) struct Converter {
    graph: Graph,
    format: Pixel,
    size: (u32, u32),
    planar: bool,
    out: frame::Video,
}

impl Converter {
    /// From interleaved RGB to 4:2:0 of a stream.
    pub(super) fn to_planar(header: &VideoHeader, siting: Siting) -> Result<Self> {
        Self::new(header, Pixel::RGB24, siting, true)
    }

    /// From 4:2:0 of a stream to interleaved RGB.
    pub(super) fn to_rgb(header: &VideoHeader, siting: Siting) -> Result<Self> {
        Self::new(header, Pixel::YUV420P, siting, false)
    }

    fn new(header: &VideoHeader, format: Pixel, siting: Siting, planar: bool) -> Result<Self> {
        let VideoHeader { width, height, colorimetry, .. } = header;
        let shape =
            VideoShape { format, size: (*width, *height), pixel_aspect: (1, 1), time_base: Rational(1, 25) };
        let chain = conversion_filters(format, None, (colorimetry, colorimetry), siting, planar);
        Ok(Self {
            graph: Graph::video(&shape, &chain.unwrap_or_else(|| "null".into()))?,
            format,
            size: (*width, *height),
            planar,
            out: frame::Video::empty(),
        })
    }

    /// Converts a picture without gaps, replacing `out`.
    pub(super) fn convert(&mut self, picture: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut frame = frame::Video::new(self.format, self.size.0, self.size.1);
        fill_frame(picture, &mut frame, !self.planar);
        // One frame in, one out: times mean nothing here.
        frame.set_pts(Some(0));
        self.graph.push(&mut frame)?;
        if self.graph.pull_frame(&mut self.out)? != Pulled::Frame {
            bail!("FFmpeg's filters gave no picture");
        }
        out.clear();
        append_frame(&self.out, self.planar, out);
        Ok(())
    }
}

/// Bytes of a row and rows of each plane of a frame.
fn plane_sizes((width, height): (usize, usize), planar: bool) -> Vec<(usize, usize)> {
    let half = (width.div_ceil(2), height.div_ceil(2));
    if planar { vec![(width, height), half, half] } else { vec![(3 * width, height)] }
}

/// Copies packed planes, 4:2:0 or interleaved RGB, into a frame of their size.
pub(super) fn fill_frame(picture: &[u8], frame: &mut frame::Video, planar: bool) {
    let size = (frame.width() as usize, frame.height() as usize);
    let mut rest = picture;
    for (plane, (columns, rows)) in plane_sizes(size, planar).into_iter().enumerate() {
        let stride = frame.stride(plane);
        let (own, after) = rest.split_at(columns * rows);
        // FFmpeg pads rows for its vector instructions, so each is copied by itself.
        for (from, to) in own.chunks_exact(columns).zip(frame.data_mut(plane).chunks_mut(stride)) {
            to[..columns].copy_from_slice(from);
        }
        rest = after;
    }
}

/// Appends a frame's planes, packed.
pub(super) fn append_frame(frame: &frame::Video, planar: bool, out: &mut Vec<u8>) {
    let size = (frame.width() as usize, frame.height() as usize);
    for (plane, (columns, rows)) in plane_sizes(size, planar).into_iter().enumerate() {
        let stride = frame.stride(plane);
        frame.data(plane).chunks(stride).take(rows).for_each(|row| out.extend_from_slice(&row[..columns]));
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::media::YuvMatrix;

    use super::*;

    #[test]
    fn odd_pictures_have_the_chroma_of_their_own_edge() {
        crate::media::init_ffmpeg().expect("FFmpeg");
        for (matrix, full_range) in [(6, false), (1, false), (1, true), (9, false)] {
            let colorimetry = Colorimetry { matrix, full_range, ..Colorimetry::default() };
            let header =
                VideoHeader { width: 99, height: 33, frame_rate: (25, 1), pixel_aspect: (1, 1), colorimetry };
            let rgb = [200u8, 40, 90].repeat(99 * 33);
            let (mut planar, mut back) = (Vec::new(), Vec::new());
            let mut to_planar = Converter::to_planar(&header, Siting::Left).expect("a graph");
            to_planar.convert(&rgb, &mut planar).expect("a picture");
            let wanted = YuvMatrix::from_colorimetry(&colorimetry).to_yuv([200, 40, 90]);
            let chroma = 50 * 17;
            for (plane, found) in
                [&planar[..99 * 33], &planar[99 * 33..][..chroma], &planar[99 * 33 + chroma..]]
                    .iter()
                    .enumerate()
            {
                let off = found.iter().map(|v| v.abs_diff(wanted[plane])).max();
                assert!(off <= Some(1), "{matrix} {full_range} plane {plane}: {off:?}");
            }
            Converter::to_rgb(&header, Siting::Left)
                .expect("a graph")
                .convert(&planar, &mut back)
                .expect("a picture");
            let off = back.iter().zip(&rgb).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(3), "{matrix} {full_range}: {off:?}");
        }
    }
}
