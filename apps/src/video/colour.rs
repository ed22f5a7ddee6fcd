//! Between FFmpeg's frames and interleaved RGB in the matrix and range of the source.
//!
//! `swscale` knows the range of a format by its name and the matrix not at all, unless asked in a way that safe code has
//! not: it takes everything for BT.601. So other matrices go by way of YUV at full resolution, which changes no matrix, and
//! are applied here.

use anyhow::{Context as _, Result};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling::{Context as Scaler, Flags};
use siskin_core::bitstream::Colour;
use siskin_core::video::realtime::YuvMatrix;

/// The matrix that is not that of `swscale`; none where its own is right or as good as any.
fn own_matrix(colour: &Colour) -> Option<YuvMatrix> {
    let matrix = YuvMatrix::of(colour);
    let usual = YuvMatrix::of(&Colour { full_range: colour.full_range, ..Default::default() });
    (matrix != usual).then_some(matrix)
}

/// `swscale` knows the range of a format only by the format's name.
pub(super) fn full_range(format: Pixel, full: bool) -> Pixel {
    match format {
        Pixel::YUV420P if full => Pixel::YUVJ420P,
        Pixel::YUV422P if full => Pixel::YUVJ422P,
        Pixel::YUV444P if full => Pixel::YUVJ444P,
        Pixel::YUV440P if full => Pixel::YUVJ440P,
        other => other,
    }
}

/// Whether a format holds red, green and blue.
pub(super) fn is_rgb(format: Pixel) -> bool {
    // FFmpeg names all of them so.
    let name = format.descriptor().map_or("", |d| d.name());
    ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr"]
        .iter()
        .any(|s| name.starts_with(s))
}

/// Makes interleaved RGB of frames of a format and size.
pub(super) struct ToRgb {
    scaler: Scaler,
    size: (usize, usize),
    matrix: Option<YuvMatrix>,
    picture: frame::Video,
}

impl ToRgb {
    /// From frames of `format` and `from` (columns, rows), whose values mean `colour`, to pictures of size `to`.
    pub(super) fn new(format: Pixel, from: (u32, u32), to: (u32, u32), colour: &Colour) -> Result<Self> {
        let matrix = own_matrix(colour).filter(|_| !is_rgb(format));
        let middle = match matrix {
            Some(_) => full_range(Pixel::YUV444P, colour.full_range),
            None => Pixel::RGB24,
        };
        let format = full_range(format, colour.full_range);
        let scaler = Scaler::get(format, from.0, from.1, middle, to.0, to.1, Flags::BICUBIC)
            .with_context(|| format!("no conversion from {format:?}"))?;
        Ok(Self { scaler, size: (to.0 as usize, to.1 as usize), matrix, picture: frame::Video::empty() })
    }

    /// Converts a frame, replacing `out`.
    pub(super) fn convert(&mut self, frame: &mut frame::Video, out: &mut Vec<u8>) -> Result<()> {
        frame.set_format(self.scaler.input().format);
        self.scaler.run(frame, &mut self.picture).context("conversion failed")?;
        out.clear();
        let (width, height) = self.size;
        let Some(matrix) = &self.matrix else {
            let stride = self.picture.stride(0);
            let rows = self.picture.data(0).chunks(stride).take(height);
            rows.for_each(|r| out.extend_from_slice(&r[..3 * width]));
            return Ok(());
        };
        let plane =
            |plane: usize, y: usize| &self.picture.data(plane)[y * self.picture.stride(plane)..][..width];
        for y in 0..height {
            let samples = plane(0, y).iter().zip(plane(1, y)).zip(plane(2, y));
            samples.for_each(|((&y, &u), &v)| out.extend(matrix.to_rgb([y, u, v])));
        }
        Ok(())
    }
}

/// Makes planes of 4:2:0 of interleaved RGB.
pub(super) struct FromRgb {
    scaler: Scaler,
    size: (usize, usize),
    matrix: Option<YuvMatrix>,
    source: frame::Video,
    picture: frame::Video,
}

impl FromRgb {
    /// For pictures of this size, to values that mean `colour`.
    pub(super) fn new((width, height): (u32, u32), colour: &Colour) -> Result<Self> {
        let matrix = own_matrix(colour);
        let from = match matrix {
            Some(_) => full_range(Pixel::YUV444P, colour.full_range),
            None => Pixel::RGB24,
        };
        let to = full_range(Pixel::YUV420P, colour.full_range);
        Ok(Self {
            scaler: Scaler::get(from, width, height, to, width, height, Flags::BICUBIC)?,
            size: (width as usize, height as usize),
            matrix,
            source: frame::Video::new(from, width, height),
            picture: frame::Video::empty(),
        })
    }

    /// Converts a picture.
    pub(super) fn convert(&mut self, rgb: &[u8]) -> Result<&frame::Video> {
        let (width, height) = self.size;
        for y in 0..height {
            let row = &rgb[3 * width * y..][..3 * width];
            let Some(matrix) = &self.matrix else {
                let start = y * self.source.stride(0);
                self.source.data_mut(0)[start..][..3 * width].copy_from_slice(row);
                continue;
            };
            for (x, &pixel) in row.as_chunks::<3>().0.iter().enumerate() {
                for (plane, value) in matrix.to_yuv(pixel).into_iter().enumerate() {
                    let place = y * self.source.stride(plane) + x;
                    self.source.data_mut(plane)[place] = value;
                }
            }
        }
        self.scaler.run(&self.source, &mut self.picture).context("conversion failed")?;
        Ok(&self.picture)
    }
}

/// Copies planes of 4:2:0 without gaps into a frame of the same size.
pub(super) fn fill_planar(picture: &[u8], frame: &mut frame::Video) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let half = (width.div_ceil(2), height.div_ceil(2));
    let mut rest = picture;
    for (plane, (columns, rows)) in [(width, height), half, half].into_iter().enumerate() {
        let stride = frame.stride(plane);
        let (own, after) = rest.split_at(columns * rows);
        for (from, to) in own.chunks_exact(columns).zip(frame.data_mut(plane).chunks_mut(stride)) {
            to[..columns].copy_from_slice(from);
        }
        rest = after;
    }
}

/// Appends the planes of a frame of 4:2:0 without gaps.
pub(super) fn take_planar(frame: &frame::Video, out: &mut Vec<u8>) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let half = (width.div_ceil(2), height.div_ceil(2));
    for (plane, (columns, rows)) in [(width, height), half, half].into_iter().enumerate() {
        let stride = frame.stride(plane);
        let all = frame.data(plane).chunks(stride).take(rows);
        all.for_each(|row| out.extend_from_slice(&row[..columns]));
    }
}
