//! The folder of a corpus.

use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use siskin_error::{Error, Result};
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::overview::{SPEC, list};
use crate::shard::{DATA, STATE, ShardSummary, TEMPORARY, persist};
use crate::spec::Spec;

const INDEX: &str = "index.json";
const FAILURES: &str = "failures.jsonl";
const LOCK: &str = "state/lock";
const RESERVE: &str = "state/reserve";
/// Bytes that are kept free for the index: a disk that a shard has filled has no room for the list of what failed. 64 KiB are
/// 500 failures; a run that has more of them and a full disk ends without its list.
const RESERVED: usize = 64 << 10;

/// A corpus that this run alone works on.
pub(super) struct Folder {
    path: PathBuf,
    /// Held until the run ends, in whatever way.
    _lock: File,
}

/// `index.json`.
#[derive(Serialize)]
struct Index<'a> {
    #[serde(flatten)]
    spec: &'a Spec,
    totals: Sums,
    shards: Vec<ShardLine<'a>>,
}

#[derive(Default, Serialize)]
struct Sums {
    utterances: u64,
    failed: u64,
    frames: u64,
    seconds: f64,
    bytes: u64,
}

/// A shard in the index: its summary without the failures, which have a file of their own.
#[derive(Serialize)]
struct ShardLine<'a> {
    shard: &'a str,
    files: &'a [String],
    utterances: u64,
    failed: usize,
    seconds: f64,
    bytes: u64,
}

impl Folder {
    /// Makes or opens the folder, checks that it is of the same corpus, and removes what a killed run has left.
    pub(super) fn open(path: &Path, spec: &Spec, anew: bool) -> Result<Self> {
        for part in [DATA, STATE, TEMPORARY] {
            make_folder(&path.join(part))?;
        }
        let lock_path = path.join(LOCK);
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let lock = File::create(&lock_path).map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::corpus(path, None, "lock", "another run is at work here"));
            }
            // Not every file system locks; without a lock two runs write the same files twice, which costs time alone.
            Err(TryLockError::Error(_)) => {}
        }
        let spec_path = path.join(SPEC);
        if anew {
            clear(path)?;
        } else if spec_path.exists() {
            let text = fs::read(&spec_path).map_err(io_error(&spec_path))?;
            let found: Spec =
                serde_json::from_slice(&text).map_err(|e| Error::corpus(&spec_path, None, "export", e))?;
            spec.check_same(&found, &spec_path)?;
        } else if fs::read_dir(path.join(DATA)).map_err(io_error(path))?.next().is_some() {
            // Somebody else's files: they would be taken for shards.
            return Err(Error::corpus(
                &path.join(DATA),
                None,
                "folder",
                "holds files, and there is no export.json",
            ));
        }
        // After the lock: another run's temporary files are not ours to remove.
        empty(&path.join(TEMPORARY))?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        let reserve = folder.path.join(RESERVE);
        // Written and not only sized: a hole takes no room.
        fs::write(&reserve, vec![0xff; RESERVED]).map_err(io_error(&reserve))?;
        folder.write(SPEC, |out| {
            serde_json::to_writer_pretty(&mut *out, spec)?;
            out.write_all(b"\n")
        })?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the index and the list of failures.
    pub(super) fn write_index(
        &self,
        spec: &Spec,
        shards: &[ShardSummary],
        failures: &[&Failure],
    ) -> Result<()> {
        // It may be gone, where another run has had the same folder; then there is as much room as there is.
        fs::remove_file(self.path.join(RESERVE)).ok();
        // The failures first: they are what a full disk must not take.
        self.write(FAILURES, |out| {
            for failure in failures {
                serde_json::to_writer(&mut *out, failure)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })?;
        let mut totals = Sums { failed: failures.len() as u64, ..Default::default() };
        for shard in shards {
            totals.utterances += shard.utterances;
            totals.frames += shard.frames;
            totals.seconds += shard.seconds;
            totals.bytes += shard.bytes;
        }
        let shards = shards
            .iter()
            .map(|s| ShardLine {
                shard: &s.shard,
                files: &s.files,
                utterances: s.utterances,
                failed: s.failures.len(),
                seconds: s.seconds,
                bytes: s.bytes,
            })
            .collect();
        self.write(INDEX, |out| {
            serde_json::to_writer_pretty(&mut *out, &Index { spec, totals, shards })?;
            out.write_all(b"\n")
        })
    }

    fn write(&self, name: &str, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let path = self.path.join(name);
        let io_error = |source| Error::Io { path: path.clone(), source };
        let mut file = BufWriter::new(NamedTempFile::new_in(self.path.join(TEMPORARY)).map_err(io_error)?);
        fill(&mut file).and_then(|()| file.flush()).map_err(io_error)?;
        persist(file.into_inner().map_err(|e| io_error(e.into_error()))?, &path)?;
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Removes the corpus in a folder, and nothing that is not part of one.
fn clear(path: &Path) -> Result<()> {
    if !path.join(SPEC).exists() {
        let is_empty = fs::read_dir(path.join(DATA)).map_or(true, |mut d| d.next().is_none());
        return if is_empty {
            Ok(())
        } else {
            Err(Error::corpus(&path.join(DATA), None, "folder", "holds files, and there is no export.json"))
        };
    }
    empty(&path.join(DATA))?;
    for entry in list(&path.join(STATE))? {
        if entry.extension().is_some_and(|e| e == "json") {
            fs::remove_file(&entry).map_err(|source| Error::Io { path: entry.clone(), source })?;
        }
    }
    for name in [INDEX, FAILURES, SPEC] {
        match fs::remove_file(path.join(name)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Io { path: path.join(name), source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the files of a folder.
fn empty(path: &Path) -> Result<()> {
    for entry in list(path)? {
        if entry.is_file() {
            fs::remove_file(&entry).map_err(|source| Error::Io { path: entry.clone(), source })?;
        }
    }
    Ok(())
}
