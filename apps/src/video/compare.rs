//! How far one video is from another: PSNR and MS-SSIM over RGB, frame by frame, and real bits on disk.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use siskin_core::media::{PixelFormat, VideoFrame};
use siskin_core::runtime::Runtime;
use siskin_core::video::frame_psnr;

use super::VideoFile;
use super::convert::{Converter, Siting};
use super::frame_reader::FrameReader;
use super::input::VideoInput;
use crate::events;
use crate::interrupt;
use crate::metrics::ms_ssim;
use crate::report;
use crate::units;

/// Frames of a coded file, or of anything that FFmpeg reads.
enum Source {
    Coded(Box<FrameReader>, Box<Converter>),
    Other(Box<VideoInput>),
}

impl Source {
    fn open(path: &Path, runtime: &dyn Fn() -> Result<Runtime>) -> Result<Self> {
        Ok(if VideoFile::is_video(path) {
            let file = VideoFile::open(path)?;
            // RGB for both: what a viewer sees, and what papers on learned codecs report.
            let to_rgb = Converter::new(file.header(), Siting::of_tags(file.tags()), PixelFormat::Rgb)?;
            Self::Coded(Box::new(FrameReader::new(file, &runtime()?)), Box::new(to_rgb))
        } else {
            Self::Other(Box::new(VideoInput::open(path, PixelFormat::Rgb)?))
        })
    }

    fn size(&self) -> (u32, u32) {
        let header = match self {
            Self::Coded(reader, _) => reader.file().header(),
            Self::Other(input) => input.header(),
        };
        (header.width, header.height)
    }

    /// The next frame, in RGB.
    fn next(&mut self) -> Result<Option<VideoFrame>> {
        match self {
            Self::Coded(reader, to_rgb) => {
                let Some(frame) = reader.next_frame()? else { return Ok(None) };
                let mut room = VideoFrame::default();
                Ok(Some(to_rgb.convert(frame, &mut room)?.clone()))
            }
            Self::Other(input) => Ok(input.next()?.map(|timed| timed.frame)),
        }
    }
}

/// Whether `path` is to be compared as video.
pub(crate) fn is_video(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    // Not what FFmpeg reads besides: a film against a coded sound track is compared by its sound.
    VideoFile::is_video(path) || extension == "y4m"
}

/// Compares two videos.
pub(crate) fn run(
    reference: &Path,
    output: &Path,
    runtime: &dyn Fn() -> Result<Runtime>,
    as_json: bool,
) -> Result<ExitCode> {
    let (mut a, mut b) = (Source::open(reference, runtime)?, Source::open(output, runtime)?);
    let (size, other) = (a.size(), b.size());
    if size != other {
        bail!("{}x{} and {}x{} cannot be compared", size.0, size.1, other.0, other.1);
    }
    let (mut frames, mut decibels, mut similarity) = (0u64, 0.0, 0.0);
    let mut same_length = true;
    loop {
        interrupt::check_interrupt()?;
        match (a.next()?, b.next()?) {
            (Some(x), Some(y)) => {
                frames += 1;
                // A mean over frames of decibels, as is usual for video.
                decibels += frame_psnr(&x.view(), &y.view());
                // Frames too small for a window of 11 have none, and the mean of all is then not told.
                similarity += ms_ssim(x.data(), y.data(), size.0 as usize).unwrap_or(f64::NAN);
            }
            (None, None) => break,
            _ => {
                // What both have is compared, and the difference is shown and no error.
                same_length = false;
                break;
            }
        }
    }
    for (path, source) in [(reference, &a), (output, &b)] {
        if let Source::Coded(reader, _) = source {
            let warn = |what: &str| eprintln!("siskin: warning: {}: {what}", path.display());
            reader.notices().iter().for_each(|what| warn(what));
        }
    }
    if frames == 0 {
        bail!("there are no frames to compare");
    }
    let (decibels, similarity) = (decibels / frames as f64, similarity / frames as f64);
    let similarity = Some(similarity).filter(|s| s.is_finite());
    // The file as it is, container included: rates that leave it out cannot be had.
    let bytes = std::fs::metadata(output).map_or(0, |m| m.len());
    let bpp = bytes as f64 * 8.0 / (f64::from(size.0) * f64::from(size.1) * frames as f64);
    if as_json {
        report::write_json_line(&events::VideoCompare {
            reference: reference.to_string_lossy(),
            output: output.to_string_lossy(),
            width: size.0,
            height: size.1,
            frames,
            same_length,
            psnr: decibels,
            ms_ssim: similarity,
            bytes,
            bits_per_pixel: bpp,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "{name:<14} {value}");
    row("compared", format!("{frames} frames of {}x{}", size.0, size.1))?;
    if !same_length {
        row("length", "one of them is longer".into())?;
    }
    row("PSNR", format!("{decibels:.2} dB (RGB)"))?;
    row("MS-SSIM", similarity.map_or("not defined".into(), |s| format!("{s:.4}")))?;
    row("on disk", format!("{}, {bpp:.4} bpp", units::format_size(bytes)))?;
    report::print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}
