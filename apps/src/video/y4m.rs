//! Frames to raw video: YUV4MPEG2 in 4:2:0, which every player and encoder reads, or bare RGB.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;

use anyhow::{Context as _, Result};
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{PixelFormat, VideoFrame};

use super::convert::{Converter, Siting};
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

/// What stands before each frame of YUV4MPEG2.
const FRAME: &[u8] = b"FRAME\n";

/// The first line of YUV4MPEG2.
fn header_line(header: &VideoHeader, siting: Siting) -> String {
    let VideoHeader { width, height, frame_rate, pixel_aspect, colorimetry } = *header;
    // The format knows constant rates only; without one, 25 is as good as any.
    let (n, d) = if frame_rate.0 > 0 { frame_rate } else { (25, 1) };
    let range = if colorimetry.full_range { "FULL" } else { "LIMITED" };
    let aspect = format!("A{}:{}", pixel_aspect.0, pixel_aspect.1);
    let chroma = match siting {
        // As FFmpeg writes them: the standard's field, and an older one beside it.
        Siting::Left => "C420mpeg2 XYSCSS=420MPEG2",
        // The format has no word for these; of those that it has this is the one for what is not said.
        Siting::Top | Siting::BottomLeft | Siting::Bottom => "C420mpeg2 XYSCSS=420MPEG2",
        Siting::Center => "C420jpeg XYSCSS=420JPEG",
        Siting::TopLeft => "C420paldv XYSCSS=420PALDV",
    };
    format!("YUV4MPEG2 W{width} H{height} F{n}:{d} Ip {aspect} {chroma} XCOLORRANGE={range}\n")
}

/// An output that is being written.
pub(super) struct RawOutput {
    out: BufWriter<Box<dyn Write>>,
    format: RawFormat,
    /// To what the format holds.
    converter: Converter,
    converted: VideoFrame,
}

impl RawOutput {
    /// Begins an output, to a file or else to stdout.
    pub(super) fn create(
        target: Option<File>,
        format: RawFormat,
        header: &VideoHeader,
        siting: Siting,
    ) -> Result<Self> {
        let inner: Box<dyn Write> = match target {
            Some(file) => Box::new(file),
            None => Box::new(stdout()),
        };
        // A frame or so at a time: pipes to encoders are faster with few large writes.
        let mut out = BufWriter::with_capacity(1 << 20, inner);
        if format == RawFormat::Y4m {
            out.write_all(header_line(header, siting).as_bytes()).context("the output cannot be written")?;
        }
        let samples = match format {
            RawFormat::Y4m => PixelFormat::I420,
            RawFormat::Rgb => PixelFormat::Rgb,
        };
        let converter = Converter::new(header, siting, samples)?;
        Ok(Self { out, format, converter, converted: VideoFrame::default() })
    }

    /// Writes a frame, converted to what the format holds.
    pub(super) fn write_frame(&mut self, frame: &VideoFrame) -> Result<()> {
        let cannot = "the output cannot be written";
        let frame = self.converter.convert(frame, &mut self.converted)?;
        if self.format == RawFormat::Y4m {
            self.out.write_all(FRAME).context(cannot)?;
        }
        self.out.write_all(frame.data()).context(cannot)
    }

    /// Ends the output.
    pub(super) fn finish(mut self) -> Result<()> {
        self.out.flush().context("the output cannot be written")
    }
}
