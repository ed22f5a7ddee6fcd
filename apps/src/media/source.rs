//! Opening what FFmpeg is to read.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use ffmpeg_next::Error as FfmpegError;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::{input, input_from_stream};

use crate::target::is_dash;

/// Opens a file, `-` for stdin, or a URL.
pub(super) fn open(path: &Path) -> Result<Input> {
    let name = path.to_str();
    if is_dash(path) {
        let io = StreamIo::from_read(std::io::stdin()).context("stdin")?;
        return input_from_stream(io, None, None).map_err(|e| not_media("stdin", e));
    }
    if let Some(url) = name.filter(|n| n.contains("://")) {
        return input(url).map_err(|e| anyhow!("{url}: {e}"));
    }
    let shown = path.display().to_string();
    let metadata = fs::metadata(path).with_context(|| shown.clone())?;
    if metadata.is_dir() {
        bail!("{shown} is a folder");
    }
    // Opened here rather than by FFmpeg, which takes a name with a colon for a protocol and no name that is not UTF-8.
    let file = File::open(path).with_context(|| shown.clone())?;
    if metadata.is_file() && metadata.len() == 0 {
        bail!("{shown} is empty");
    }
    let io =
        if metadata.is_file() { StreamIo::from_read_seek(file) } else { StreamIo::from_read(Fifo(file)) };
    let hint = name.filter(|n| !n.contains('\0'));
    input_from_stream(io.with_context(|| shown.clone())?, hint, None).map_err(|e| not_media(&shown, e))
}

/// A named pipe or device, which cannot seek.
struct Fifo(File);

impl Read for Fifo {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

fn not_media(name: &str, error: FfmpegError) -> anyhow::Error {
    match error {
        FfmpegError::Eof => anyhow!("{name}: no data"),
        FfmpegError::InvalidData => anyhow!("{name} is damaged or not in a format that FFmpeg reads"),
        other => anyhow!("{name}: {other}"),
    }
}
