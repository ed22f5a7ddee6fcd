//! Opening what FFmpeg is to read: a file, a pipe or FIFO, or a URL.

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use ffmpeg_next::Error as FfmpegError;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::{input, input_from_stream};
use sha2::{Digest, Sha256};

use super::stated::{self, Stated};
use crate::target::is_dash;

/// Pieces of a file that are looked at to know it again, and their bytes.
// A megabyte in all, of which some is read from everywhere: an edit that keeps the length changes most of a
// compressed file.
const PIECES: u64 = 64;
const PIECE: u64 = 1 << 14;

/// An opened input, and what is known of it beside what FFmpeg knows.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) input: Input,
    pub(super) length: Length,
}

/// How long an input is and says to be, in bytes.
#[derive(Debug, Default)]
pub(super) struct Length {
    stated: Option<Stated>,
    /// Bytes that are there; of a pipe, those that have come so far.
    bytes: Arc<AtomicU64>,
    is_index_behind: bool,
}

impl Length {
    /// Whether this is MP4 in a pipe that has its index behind what it leads to, which has passed by then.
    pub(super) fn is_index_behind(&self) -> bool {
        self.is_index_behind
    }

    /// The share of what is stated that is there; none if it is whole or nothing is stated. Known at the end.
    pub(super) fn share(&self) -> Option<f64> {
        self.stated.and_then(|stated| stated.share(self.bytes.load(Ordering::Relaxed)))
    }

    /// Whether the stated bytes are samples of one size.
    pub(super) fn is_exact(&self) -> bool {
        self.stated.is_some_and(|stated| stated.samples.is_some())
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens a file, `-` for stdin, or a URL.
pub(super) fn open_input(path: &Path) -> Result<Opened> {
    let name = path.to_str();
    if is_dash(path) {
        return open_pipe("stdin".into(), std::io::stdin(), None);
    }
    // FFmpeg has the protocols; files are opened here.
    if let Some(url) = name.filter(|n| n.contains("://")) {
        let input = input(url).map_err(|e| anyhow!("{url}: {e}"))?;
        return Ok(Opened { name: url.to_owned(), input, length: Length::default() });
    }
    let shown = path.display().to_string();
    let metadata = fs::metadata(path).with_context(|| shown.clone())?;
    if metadata.is_dir() {
        bail!("{shown} is a folder");
    }
    // Opened here rather than by FFmpeg, which takes a name with a colon for a protocol and no name that is not UTF-8.
    let mut file = File::open(path).with_context(|| shown.clone())?;
    let hint = name.filter(|n| !n.contains('\0'));
    if !metadata.is_file() {
        // FIFOs and devices cannot seek.
        return open_pipe(shown, file, hint);
    }
    if metadata.len() == 0 {
        bail!("{shown} is empty");
    }
    let length = stated_length(&mut file, metadata.len()).with_context(|| shown.clone())?;
    file.rewind().with_context(|| shown.clone())?;
    let io = StreamIo::from_read_seek(file).with_context(|| shown.clone())?;
    let input = input_from_stream(io, hint, None).map_err(|e| not_media(&shown, e))?;
    Ok(Opened { name: shown, input, length })
}

/// Opens what can be read only once.
fn open_pipe(name: String, mut source: impl Read + Send + 'static, hint: Option<&str>) -> Result<Opened> {
    let mut head = vec![0; stated::HEAD];
    let count = loop {
        match source.read(&mut head) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            count => break count.with_context(|| name.clone())?,
        }
    };
    head.truncate(count);
    let bytes = Arc::<AtomicU64>::default();
    let is_index_behind = stated::is_index_behind(&head);
    let length = Length { stated: stated::of_head(&head), bytes: bytes.clone(), is_index_behind };
    // What was read to look at it comes first again.
    let io = StreamIo::from_read(Counted { inner: Cursor::new(head).chain(source), bytes });
    let input =
        input_from_stream(io.with_context(|| name.clone())?, hint, None).map_err(|e| not_media(&name, e))?;
    Ok(Opened { name, input, length })
}

fn stated_length(file: &mut File, bytes: u64) -> std::io::Result<Length> {
    let mut head = Vec::new();
    Read::take(&mut *file, stated::HEAD as u64).read_to_end(&mut head)?;
    let stated = match stated::of_head(&head) {
        // MP4 needs a walk over the file, which a pipe does not allow.
        None => stated::of_boxes(file, bytes)?,
        stated => stated,
    };
    Ok(Length { stated, bytes: Arc::new(bytes.into()), is_index_behind: false })
}

/// A digest of a file's length and of pieces from its beginning to its end: a film is not read twice for it.
pub(super) fn fingerprint(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut digest = Sha256::new();
    digest.update(bytes.to_le_bytes());
    let mut piece = Vec::new();
    for i in 0..PIECES {
        let last = bytes.saturating_sub(PIECE);
        file.seek(SeekFrom::Start((u128::from(last) * u128::from(i) / u128::from(PIECES - 1)) as u64))?;
        piece.clear();
        Read::take(&mut file, PIECE).read_to_end(&mut piece)?;
        digest.update(&piece);
    }
    Ok(digest.finalize().to_vec())
}

fn not_media(name: &str, error: FfmpegError) -> anyhow::Error {
    match error {
        FfmpegError::Eof => anyhow!("{name}: no data"),
        FfmpegError::InvalidData => anyhow!("{name} is damaged or not in a format that FFmpeg reads"),
        other => anyhow!("{name}: {other}"),
    }
}
