//! Pictures to raw video: YUV4MPEG2 in 4:2:0, which every player and encoder reads, or bare RGB.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;

use anyhow::{Context as _, Result};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use siskin_core::bitstream::VideoHeader;

use super::colour::{FromRgb, ToRgb, fill_planar, full_range, take_planar};
use crate::target::is_dash;

/// What an output holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawFormat {
    /// YUV4MPEG2, 4:2:0.
    Y4m,
    /// Interleaved RGB without a header.
    Rgb,
}

impl RawFormat {
    /// The format that the extension of `path` names; y4m for `-` and for devices.
    pub(super) fn of(path: &Path, is_stream: bool) -> Option<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "y4m" => Some(Self::Y4m),
            "rgb" => Some(Self::Rgb),
            "" if is_dash(path) || is_stream => Some(Self::Y4m),
            _ => None,
        }
    }
}

/// What stands before each picture of YUV4MPEG2.
pub(super) const FRAME: &[u8] = b"FRAME\n";

/// The first line of YUV4MPEG2.
pub(super) fn head(header: &VideoHeader) -> String {
    let VideoHeader { width, height, frame_rate, pixel_aspect, colour } = *header;
    // The format knows constant rates only; without one, 25 is as good as any.
    let (n, d) = if frame_rate.0 > 0 { frame_rate } else { (25, 1) };
    let range = if colour.full_range { "FULL" } else { "LIMITED" };
    let aspect = format!("A{}:{}", pixel_aspect.0, pixel_aspect.1);
    format!(
        "YUV4MPEG2 W{width} H{height} F{n}:{d} Ip {aspect} C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE={range}\n"
    )
}

/// An output that is being written.
pub(super) struct RawOutput {
    out: BufWriter<Box<dyn Write>>,
    format: RawFormat,
    from_rgb: FromRgb,
    to_rgb: PlanarToRgb,
    planes: Vec<u8>,
}

/// Converts 4:2:0 to RGB as inputs are.
pub(super) struct PlanarToRgb {
    to_rgb: ToRgb,
    frame: frame::Video,
}

impl PlanarToRgb {
    /// For pictures of this stream.
    pub(super) fn new(header: &VideoHeader) -> Result<Self> {
        let (size, format) =
            ((header.width, header.height), full_range(Pixel::YUV420P, header.colour.full_range));
        let to_rgb = ToRgb::new(format, size, size, &header.colour)?;
        Ok(Self { to_rgb, frame: frame::Video::new(format, size.0, size.1) })
    }

    /// Converts a picture, planes without gaps, to interleaved RGB, replacing `out`.
    pub(super) fn convert(&mut self, picture: &[u8], out: &mut Vec<u8>) -> Result<()> {
        fill_planar(picture, &mut self.frame);
        self.to_rgb.convert(&mut self.frame, out)
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
        let VideoHeader { width, height, colour, .. } = *header;
        if format == RawFormat::Y4m {
            out.write_all(head(header).as_bytes()).context("the output cannot be written")?;
        }
        Ok(Self {
            out,
            format,
            from_rgb: FromRgb::new((width, height), &colour)?,
            to_rgb: PlanarToRgb::new(header)?,
            planes: Vec::new(),
        })
    }

    /// Writes a picture of interleaved RGB.
    pub(super) fn write(&mut self, picture: &[u8]) -> Result<()> {
        let cannot = "the output cannot be written";
        if self.format == RawFormat::Rgb {
            return self.out.write_all(picture).context(cannot);
        }
        self.planes.clear();
        take_planar(self.from_rgb.convert(picture)?, &mut self.planes);
        self.out.write_all(FRAME).context(cannot)?;
        self.out.write_all(&self.planes).context(cannot)
    }

    /// Writes a picture of 4:2:0, planes without gaps.
    pub(super) fn write_planar(&mut self, picture: &[u8]) -> Result<()> {
        let cannot = "the output cannot be written";
        if self.format == RawFormat::Rgb {
            self.to_rgb.convert(picture, &mut self.planes)?;
            return self.out.write_all(&self.planes).context(cannot);
        }
        self.out.write_all(FRAME).context(cannot)?;
        self.out.write_all(picture).context(cannot)
    }

    /// Ends the output.
    pub(super) fn finish(mut self) -> Result<()> {
        self.out.flush().context("the output cannot be written")
    }
}
