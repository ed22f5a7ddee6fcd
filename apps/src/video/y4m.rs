//! Pictures to raw video: YUV4MPEG2 in 4:2:0, which every player and encoder reads, or bare RGB.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;

use anyhow::{Context as _, Result};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling::{Context as Scaler, Flags};
use siskin_core::bitstream::VideoHeader;

use crate::failure::usage;
use crate::target::is_dash;

/// What an output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawFormat {
    /// YUV4MPEG2, 4:2:0.
    Y4m,
    /// Interleaved RGB without a header.
    Rgb,
}

impl RawFormat {
    /// The format that the extension of `path` names; y4m for `-` and for devices.
    pub(super) fn of(path: &Path, is_stream: bool) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "y4m" => Ok(Self::Y4m),
            "rgb" => Ok(Self::Rgb),
            "" if is_dash(path) || is_stream => Ok(Self::Y4m),
            _ => Err(usage(format!("{}: video is decoded to .y4m or .rgb", path.display()))),
        }
    }
}

/// An output that is being written.
pub(super) struct RawOutput {
    out: BufWriter<Box<dyn Write>>,
    format: RawFormat,
    size: (u32, u32),
    scaler: Scaler,
    rgb: frame::Video,
    yuv: frame::Video,
    to_rgb: ToRgb,
}

/// Converts 4:2:0 to RGB as inputs are.
pub(super) struct ToRgb {
    size: (usize, usize),
    scaler: Scaler,
    yuv: frame::Video,
    rgb: frame::Video,
}

impl ToRgb {
    /// For pictures of this stream.
    pub(super) fn new(header: &VideoHeader) -> Result<Self> {
        let (width, height) = (header.width, header.height);
        let yuv = if header.colour.full_range { Pixel::YUVJ420P } else { Pixel::YUV420P };
        Ok(Self {
            size: (width as usize, height as usize),
            scaler: Scaler::get(yuv, width, height, Pixel::RGB24, width, height, Flags::BICUBIC)?,
            yuv: frame::Video::new(yuv, width, height),
            rgb: frame::Video::empty(),
        })
    }

    /// Converts a picture, planes without gaps, to interleaved RGB, replacing `out`.
    pub(super) fn convert(&mut self, picture: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (width, height) = self.size;
        let half = (width.div_ceil(2), height.div_ceil(2));
        let mut rest = picture;
        for (plane, (columns, rows)) in [(width, height), half, half].into_iter().enumerate() {
            let stride = self.yuv.stride(plane);
            let (own, after) = rest.split_at(columns * rows);
            for (from, to) in own.chunks_exact(columns).zip(self.yuv.data_mut(plane).chunks_mut(stride)) {
                to[..columns].copy_from_slice(from);
            }
            rest = after;
        }
        self.scaler.run(&self.yuv, &mut self.rgb).context("conversion failed")?;
        let stride = self.rgb.stride(0);
        out.clear();
        self.rgb.data(0).chunks(stride).take(height).for_each(|r| out.extend_from_slice(&r[..3 * width]));
        Ok(())
    }
}

impl RawOutput {
    /// Begins an output, to a file or else to stdout.
    pub(super) fn create(target: Option<File>, format: RawFormat, header: &VideoHeader) -> Result<Self> {
        let inner: Box<dyn Write> = match target {
            Some(file) => Box::new(file),
            None => Box::new(stdout()),
        };
        let mut out = BufWriter::with_capacity(1 << 20, inner);
        let VideoHeader { width, height, frame_rate, pixel_aspect, colour } = *header;
        if format == RawFormat::Y4m {
            // The format knows constant rates only; without one, 25 is as good as any.
            let (n, d) = if frame_rate.0 > 0 { frame_rate } else { (25, 1) };
            let range = if colour.full_range { "FULL" } else { "LIMITED" };
            writeln!(
                out,
                "YUV4MPEG2 W{width} H{height} F{n}:{d} Ip A{}:{} C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE={range}",
                pixel_aspect.0, pixel_aspect.1
            )
            .context("the output cannot be written")?;
        }
        let yuv = if colour.full_range { Pixel::YUVJ420P } else { Pixel::YUV420P };
        let scaler = Scaler::get(Pixel::RGB24, width, height, yuv, width, height, Flags::BICUBIC)?;
        Ok(Self {
            out,
            format,
            size: (width, height),
            scaler,
            rgb: frame::Video::new(Pixel::RGB24, width, height),
            yuv: frame::Video::empty(),
            to_rgb: ToRgb::new(header)?,
        })
    }

    /// Writes a picture of interleaved RGB.
    pub(super) fn write(&mut self, picture: &[u8]) -> Result<()> {
        let cannot = "the output cannot be written";
        if self.format == RawFormat::Rgb {
            return self.out.write_all(picture).context(cannot);
        }
        let (row, stride) = (3 * self.size.0 as usize, self.rgb.stride(0));
        for (from, to) in picture.chunks_exact(row).zip(self.rgb.data_mut(0).chunks_mut(stride)) {
            to[..row].copy_from_slice(from);
        }
        self.scaler.run(&self.rgb, &mut self.yuv).context("conversion failed")?;
        self.out.write_all(b"FRAME\n").context(cannot)?;
        let half = |side: u32| side.div_ceil(2) as usize;
        let chroma = (half(self.size.0), half(self.size.1));
        for (plane, (columns, rows)) in
            [(self.size.0 as usize, self.size.1 as usize), chroma, chroma].into_iter().enumerate()
        {
            let (data, stride) = (self.yuv.data(plane), self.yuv.stride(plane));
            for y in 0..rows {
                self.out.write_all(&data[y * stride..y * stride + columns]).context(cannot)?;
            }
        }
        Ok(())
    }

    /// Writes a picture of 4:2:0, planes without gaps.
    pub(super) fn write_planar(&mut self, picture: &[u8]) -> Result<()> {
        let cannot = "the output cannot be written";
        if self.format == RawFormat::Rgb {
            let mut rgb = Vec::new();
            self.to_rgb.convert(picture, &mut rgb)?;
            return self.out.write_all(&rgb).context(cannot);
        }
        self.out.write_all(b"FRAME\n").context(cannot)?;
        self.out.write_all(picture).context(cannot)
    }

    /// Ends the output.
    pub(super) fn finish(mut self) -> Result<()> {
        self.out.flush().context("the output cannot be written")
    }
}
