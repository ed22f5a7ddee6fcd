//! Where coded files are read from: files, and pipes, which are taken into memory.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::container::Reader;

use crate::media::TrackLabels;
use crate::target::is_dash;

/// Most bytes of a coded stream taken from a pipe: 90 hours of sound at 6 kb/s, 36 minutes of a film at 1 Mb/s.
const MAX_FROM_PIPE: u64 = 256 << 20;

/// Pipes that have been read: a file with video and sound is opened once for each.
static PIPES: Mutex<Vec<(PathBuf, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());

// A trait object has one trait besides the likes of `Send`, so this one stands for all three.
pub(crate) trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// Bytes that someone else holds too. `Arc<Vec<u8>>` itself is no `AsRef<[u8]>`, and `Arc<[u8]>` would be a copy of a vector.
pub(super) struct Shared(pub(super) Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What messages call an input.
fn name_of(path: &Path) -> String {
    if is_dash(path) { "stdin".to_owned() } else { path.display().to_string() }
}

/// Opens a file, stdin for `-`, or a named pipe: its name for messages, its bytes, and how many they are.
pub(crate) fn open_source(path: &Path) -> Result<(String, Box<dyn Source>, u64)> {
    let name = name_of(path);
    if let Some(data) = read_pipe(path)? {
        let bytes = data.len() as u64;
        return Ok((name, Box::new(Cursor::new(Shared(data))), bytes));
    }
    let file = File::open(path).with_context(|| name.clone())?;
    let bytes = file.metadata().with_context(|| name.clone())?.len();
    Ok((name, Box::new(BufReader::new(file)), bytes))
}

/// Takes a pipe into memory, since containers are read with seeking; none if it is a file. What was read stays, so that the same pipe
/// can be opened again.
pub(crate) fn read_pipe(path: &Path) -> Result<Option<Arc<Vec<u8>>>> {
    if let Some(data) = known_pipe(path) {
        return Ok(Some(data));
    }
    let name = name_of(path);
    let data = if is_dash(path) {
        read_all(&name, std::io::stdin().lock())?
    } else {
        let metadata = fs::metadata(path).with_context(|| name.clone())?;
        if metadata.is_dir() {
            bail!("{name} is a folder");
        }
        if metadata.is_file() {
            return Ok(None);
        }
        read_all(&name, File::open(path).with_context(|| name.clone())?)?
    };
    let data = Arc::new(data);
    PIPES.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), Arc::clone(&data)));
    Ok(Some(data))
}

fn known_pipe(path: &Path) -> Option<Arc<Vec<u8>>> {
    let pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    pipes.iter().find(|(known, _)| known == path).map(|(_, data)| Arc::clone(data))
}

fn read_all(name: &str, source: impl Read) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    // One byte more than allowed tells what is too large from what just fits.
    source.take(MAX_FROM_PIPE + 1).read_to_end(&mut data).with_context(|| name.to_owned())?;
    if data.len() as u64 > MAX_FROM_PIPE {
        bail!("{name}: more than {} MiB in a pipe, name a file instead", MAX_FROM_PIPE >> 20);
    }
    Ok(data)
}

/// What the first track of a codec in the Matroska file at `path` says of itself.
pub(crate) fn track_labels(path: &Path, codec_id: &str) -> Result<TrackLabels> {
    let (name, source, _) = open_source(path)?;
    let reader = Reader::open_file(source, Limits::default()).with_context(|| name)?;
    Ok(TrackLabels::of_codec(reader.tracks(), codec_id))
}

/// Whether the input at `path` is Matroska with a track of a codec. Pipes are asked only once [`read_pipe`] has taken their data.
pub(crate) fn has_track(path: &Path, codec_id: &str) -> bool {
    // In this order: to open a named pipe waits for whoever writes to it.
    // A file may have the name that stands for stdin.
    if known_pipe(path).is_none() && (is_dash(path) || !path.is_file()) {
        return false;
    }
    let open = || -> Option<bool> {
        let (_, source, _) = open_source(path).ok()?;
        let reader = Reader::open_file(source, Limits::default()).ok()?;
        Some(reader.tracks().iter().any(|t| t.codec_id == codec_id))
    };
    open().unwrap_or(false)
}
