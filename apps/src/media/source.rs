//! Opening what FFmpeg is to read.

use std::fs::{self, File};
use std::io::Seek;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use ffmpeg_next::Error as FfmpegError;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::{input, input_from_stream};

use super::riff;
use crate::target::is_dash;

/// An input, and what is known of it beside what FFmpeg knows.
pub(crate) struct Source {
    pub(crate) input: Input,
    /// The share of the stated samples that the file holds, if it was cut off.
    pub(super) share_left: Option<f64>,
}

/// Opens a file, `-` for stdin, or a URL.
pub(crate) fn open(path: &Path) -> Result<Source> {
    let whole = |input| Source { input, share_left: None };
    let name = path.to_str();
    if is_dash(path) {
        let io = StreamIo::from_read(std::io::stdin()).context("stdin")?;
        return input_from_stream(io, None, None).map(whole).map_err(|e| not_media("stdin", e));
    }
    if let Some(url) = name.filter(|n| n.contains("://")) {
        return input(url).map(whole).map_err(|e| anyhow!("{url}: {e}"));
    }
    let shown = path.display().to_string();
    let metadata = fs::metadata(path).with_context(|| shown.clone())?;
    if metadata.is_dir() {
        bail!("{shown} is a folder");
    }
    // Opened here rather than by FFmpeg, which takes a name with a colon for a protocol and no name that is not UTF-8.
    let mut file = File::open(path).with_context(|| shown.clone())?;
    if metadata.is_file() && metadata.len() == 0 {
        bail!("{shown} is empty");
    }
    let hint = name.filter(|n| !n.contains('\0'));
    let (io, share_left) = if metadata.is_file() {
        let share_left = riff::share_left(&mut file).with_context(|| shown.clone())?;
        file.rewind().with_context(|| shown.clone())?;
        (StreamIo::from_read_seek(file), share_left)
    } else {
        (StreamIo::from_read(file), None)
    };
    let input = input_from_stream(io.with_context(|| shown.clone())?, hint, None)
        .map_err(|e| not_media(&shown, e))?;
    Ok(Source { input, share_left })
}

fn not_media(name: &str, error: FfmpegError) -> anyhow::Error {
    match error {
        FfmpegError::Eof => anyhow!("{name}: no data"),
        FfmpegError::InvalidData => anyhow!("{name} is damaged or not in a format that FFmpeg reads"),
        other => anyhow!("{name}: {other}"),
    }
}
