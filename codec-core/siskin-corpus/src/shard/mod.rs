//! Shards: files of some hundred utterances, in formats that trainers read.

mod key;
mod parquet;
mod shar;
mod tar_file;
#[cfg(test)]
mod tests;
mod webdataset;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use siskin_audio::tokens::{CodeType, TokenFile};
use siskin_error::{Error, Result};
use tempfile::NamedTempFile;

use self::parquet::ParquetFile;
use self::shar::SharFile;
use self::webdataset::WebDatasetFile;
use crate::failure::Failure;
use crate::utterance::{Encoded, Sound, Utterance};

/// The folder of a corpus that holds the shards and nothing else: readers take every file in it for theirs.
pub(crate) const DATA: &str = "data";
/// The folder of the notes on finished shards.
pub(crate) const STATE: &str = "state";
/// The folder of files that are being written, on the same file system as what they become.
pub(crate) const TEMPORARY: &str = "state/tmp";

/// A format of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardFormat {
    /// Lhotse Shar: `cuts.NAME.jsonl.gz` and `target_codes.NAME.tar`.
    Shar,
    /// WebDataset: `shard-NAME.tar`.
    WebDataset,
    /// Parquet: `shard-NAME.parquet`.
    Parquet,
}

impl ShardFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Shar, Self::WebDataset, Self::Parquet];

    /// The format's name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shar => "shar",
            Self::WebDataset => "webdataset",
            Self::Parquet => "parquet",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }
}

/// The name of a shard: up to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardName(String);

impl ShardName {
    /// A name that a caller chose.
    ///
    /// # Errors
    /// [`Error::Parameter`] for other characters, none or more than 64, which would be no part of a file's name.
    pub fn new(name: &str) -> Result<Self> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if (1..=64).contains(&name.len()) && name.chars().all(is_allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::parameter("shard", format!("{name:?}"), "1 to 64 letters, digits, - and _"))
        }
    }

    /// The name of a shard by its number.
    pub fn numbered(number: usize) -> Self {
        // Six digits, as Lhotse's own writer has; names sort as numbers up to a million shards.
        Self(format!("{number:06}"))
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a finished shard holds. It is kept beside the shards, and a run that finds it does not make the shard again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// The shard's name.
    pub shard: String,
    /// Its files in the folder `data`; none where all of its utterances failed.
    pub files: Vec<String>,
    /// Utterances in it.
    pub utterances: u64,
    /// Codec frames in it.
    pub frames: u64,
    /// Seconds of sound in it.
    pub seconds: f64,
    /// Bytes of its files.
    pub bytes: u64,
    /// What is not in it.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

impl ShardSummary {
    /// Where the summary of a shard lies.
    pub(crate) fn path(folder: &Path, name: &ShardName) -> PathBuf {
        folder.join(STATE).join(format!("{name}.json"))
    }

    /// Reads the summary of a shard, if the shard is finished.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Corpus`] where it is damaged.
    pub fn read(folder: &Path, name: &ShardName) -> Result<Option<Self>> {
        let path = Self::path(folder, name);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|e| Error::corpus(&path, None, "summary", e))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }
}

enum Files {
    Shar(Box<SharFile>),
    WebDataset(Box<WebDatasetFile>),
    Parquet(Box<ParquetFile>),
}

/// Writes one shard. Its files get their names in [`finish`](Self::finish), when they are whole, and the note that the shard is
/// finished comes last: a writer that is dropped or killed before leaves nothing that a reader or a later run takes for a
/// shard. Two writers of the same shard, on two machines for instance, replace each other's files by the same ones.
pub struct ShardWriter {
    folder: PathBuf,
    name: ShardName,
    code_type: CodeType,
    files: Files,
    ids: HashSet<String>,
    summary: ShardSummary,
}

impl ShardWriter {
    /// Begins the shard `name` of the corpus in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder or a file in it cannot be made.
    pub fn create(folder: &Path, name: ShardName, format: ShardFormat, code_type: CodeType) -> Result<Self> {
        let temporary = folder.join(TEMPORARY);
        for path in [&folder.join(DATA), &temporary] {
            fs::create_dir_all(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        }
        let files = match format {
            ShardFormat::Shar => Files::Shar(Box::new(SharFile::create(&temporary)?)),
            ShardFormat::WebDataset => Files::WebDataset(Box::new(WebDatasetFile::create(&temporary)?)),
            ShardFormat::Parquet => Files::Parquet(Box::new(ParquetFile::create(&temporary, code_type))),
        };
        let summary = ShardSummary { shard: name.to_string(), ..Default::default() };
        Ok(Self { folder: folder.to_owned(), name, code_type, files, ids: HashSet::new(), summary })
    }

    /// Adds the codes of an utterance. What the utterance says of its text and speaker goes before what `tokens` say.
    ///
    /// # Errors
    /// [`Error::Io`] where the shard cannot be written; the shard is then lost and has to be made again. [`Error::Parameter`] for an
    /// id that is empty or that the shard has already, at which readers fail or pass by; nothing is written then.
    pub fn push(&mut self, utterance: &Utterance, encoded: impl Into<Encoded>) -> Result<()> {
        if utterance.id.is_empty() || !self.ids.insert(utterance.id.clone()) {
            return Err(Error::parameter(
                "id",
                format!("{:?}", utterance.id),
                "one that the shard has not yet",
            ));
        }
        let mut encoded = encoded.into();
        encoded.tokens.meta = utterance.describe(encoded.tokens.meta);
        let tokens = &encoded.tokens;
        match &mut self.files {
            Files::Shar(file) => file.push(utterance, &encoded, self.code_type)?,
            Files::WebDataset(file) => file.push(utterance, tokens, self.code_type)?,
            Files::Parquet(file) => file.push(utterance, tokens)?,
        }
        self.summary.utterances += 1;
        self.summary.frames += tokens.frames as u64;
        self.summary.seconds += duration_of(tokens);
        Ok(())
    }

    /// Notes that an utterance is not in the shard; returns what is noted.
    pub fn push_failure(&mut self, utterance: &Utterance, error: impl Into<String>) -> &Failure {
        let input = match &utterance.sound {
            Sound::File(path) => Some(path.to_string_lossy().into_owned()),
            Sound::Refused(_) => None,
        };
        let (id, shard) = (Some(utterance.id.clone()), self.name.to_string());
        self.summary.failures.push(Failure { id, input, shard, error: error.into() });
        // Just pushed.
        &self.summary.failures[self.summary.failures.len() - 1]
    }

    /// Writes the rest, gives the files their names and notes that the shard is finished.
    ///
    /// # Errors
    /// [`Error::Io`] as [`ShardWriter::push`].
    pub fn finish(self) -> Result<ShardSummary> {
        let Self { folder, name, files, mut summary, .. } = self;
        let files = match (files, summary.utterances) {
            // No file at all: readers stumble over empty ones.
            (_, 0) => Vec::new(),
            (Files::Shar(file), _) => file.finish(&name)?,
            (Files::WebDataset(file), _) => file.finish(&name)?,
            (Files::Parquet(file), _) => file.finish(&name)?,
        };
        for (file, name) in files {
            let path = folder.join(DATA).join(&name);
            summary.bytes += persist(file, &path)?;
            summary.files.push(name);
        }
        // Sums of many lengths have 17 digits, which JSON does not give back to the last bit; the index shall be the same after
        // a run that went on.
        summary.seconds = (summary.seconds * 1e6).round() / 1e6;
        let mut note = temporary(&folder.join(TEMPORARY))?;
        let path = ShardSummary::path(&folder, &name);
        let text =
            serde_json::to_vec_pretty(&summary).map_err(|e| Error::corpus(&path, None, "summary", e))?;
        note.write_all(&text).map_err(|source| Error::Io { path: path.clone(), source })?;
        persist(note, &path)?;
        Ok(summary)
    }
}

/// A new file in the folder for files that are being written.
fn temporary(folder: &Path) -> Result<NamedTempFile> {
    NamedTempFile::new_in(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })
}

/// Gives a file its name once it is on the disk; returns its bytes.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<u64> {
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    // Without it a crash of the machine may leave a name without its contents.
    file.as_file().sync_all().map_err(io_error)?;
    let bytes = file.as_file().metadata().map_err(io_error)?.len();
    // Temporary files are for their owner alone; a corpus is for whoever may read its folder.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(io_error)?;
    }
    file.persist(path).map_err(|e| io_error(e.error))?;
    Ok(bytes)
}

/// The length of an utterance in seconds: its samples where they are known, else its frames.
fn duration_of(tokens: &TokenFile) -> f64 {
    let meta = &tokens.meta;
    match (meta.samples, meta.stream_header.as_ref().map(|h| h.sample_rate)) {
        (Some(samples), Some(rate)) if rate > 0 => samples as f64 / f64::from(rate),
        _ if meta.frame_rate > 0.0 => tokens.frames as f64 / meta.frame_rate,
        _ => 0.0,
    }
}
