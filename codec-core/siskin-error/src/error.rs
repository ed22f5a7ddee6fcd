use std::path::{Path, PathBuf};

use crate::offset::OffsetUnit;
use crate::token::TokenError;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of another library or of the system that lies behind one of ours.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong, with the value and the allowed range where there is one.
///
/// What an error prints leaves out the error that caused it, which
/// [`source`](std::error::Error::source) gives; [`Error::with_sources`] prints both.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what the bitstream allows.
    #[error("{what}: bad {field} at {unit} {offset}: {reason}")]
    Bitstream {
        /// The structure being parsed, for example `packet`.
        what: &'static str,
        /// The field's name in `docs/bitstream.md`.
        field: &'static str,
        /// Offset from the start of the structure, counted in `unit`.
        offset: usize,
        /// What the offset counts; bytes unless the structure has been decoded to something else.
        unit: OffsetUnit,
        /// What was found and what is allowed.
        reason: String,
    },
    /// A packet came before any stream header.
    #[error("no stream header yet: this packet cannot be decoded alone")]
    MissingHeader,
    /// A group of pictures that is coded against another one, which did not come before it.
    #[error("group of pictures {number} needs group {needed} before it, {}", .found.map_or("there is none".into(), |f| format!("found: {f}")))]
    MissingPredecessor {
        /// The group's number.
        number: u32,
        /// The number that it needs.
        needed: u32,
        /// The number that was decoded last, if any.
        found: Option<u32>,
    },
    /// A video network whose frames are no numbers.
    #[error("group of pictures {number}: its network gives values that are not finite")]
    NotFinite {
        /// The group's number.
        number: u32,
    },
    /// The caller ended long work before its end.
    #[error("stopped")]
    Stopped,
    /// A container that cannot be read.
    #[error("container: {reason}")]
    Container {
        /// What is wrong.
        reason: String,
        /// The error of the reader or writer behind it, if there is one.
        source: Option<Source>,
    },
    /// The stream needs another bundle than the one at hand.
    #[error(
        "this stream needs the model bundle {} (id {needed_id}), found instead: {found}",
        if .needed_name.is_empty() { "?" } else { .needed_name }
    )]
    WrongBundle {
        /// The bundle's name as the stream header gives it; may be empty.
        needed_name: String,
        /// The bundle's id in hexadecimal.
        needed_id: String,
        /// What the search found instead.
        found: String,
    },
    /// A bundle that cannot be found.
    #[error("model bundle {name} not found; searched: {searched}")]
    BundleNotFound {
        /// The name or path asked for.
        name: String,
        /// The folders that were searched.
        searched: String,
    },
    /// A bundle whose files are not as its manifest says.
    #[error("model bundle {}: {reason}", .path.display())]
    BadBundle {
        /// The bundle's folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// The error behind it, if there is one: of the file system, or of what parses a file.
        source: Option<Source>,
    },
    /// An execution provider that was asked for and cannot be had.
    #[error("execution provider {provider} cannot be used: {reason}")]
    Provider {
        /// The name of the provider asked for.
        provider: &'static str,
        /// What is missing.
        reason: String,
    },
    /// ONNX Runtime's shared library cannot be loaded.
    #[error("ONNX Runtime cannot be loaded: {reason}")]
    RuntimeLibrary {
        /// The file that was tried and what can be done.
        reason: String,
        /// What the loader said.
        source: Option<Source>,
    },
    /// A network failed to load or to run.
    #[error("network {graph}: {reason}")]
    Network {
        /// The graph's file name.
        graph: String,
        /// What the runtime said.
        reason: String,
    },
    /// The phonemes of a text cannot be had.
    #[error("phonemes cannot be had from {program}: {reason}")]
    Phonemes {
        /// The program that gives them.
        program: String,
        /// What it said.
        reason: String,
    },
    /// A parameter out of its range.
    #[error("{name} is {value}, allowed: {allowed}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// The value given.
        value: String,
        /// The allowed range.
        allowed: String,
    },
    /// Tokens that cannot be taken.
    #[error("tokens: {0}")]
    // Its text is the whole of it: as a source too it would be printed twice.
    Token(TokenError),
    /// A token file that cannot be read.
    #[error("token file: bad {field}: {reason}")]
    TokenFile {
        /// The tensor, key or line.
        field: String,
        /// What was found and what is allowed.
        reason: String,
    },
    /// A manifest, a shard or the state of a corpus that cannot be used.
    #[error("{}{}: bad {field}: {reason}", .path.display(), .line.map_or(String::new(), |n| format!(":{n}")))]
    Corpus {
        /// The file or folder.
        path: PathBuf,
        /// The line in it, from 1, where it has lines.
        line: Option<u64>,
        /// The key or part.
        field: String,
        /// What was found and what is allowed.
        reason: String,
    },
    /// Reading or writing a file failed.
    // Only the path: `source` says the rest, and `with_sources` puts a colon between them.
    #[error("{}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl Error {
    /// Bytes that are not what the format allows: `field` of `what`, which begins at the byte `offset`.
    ///
    /// ```
    /// let error = siskin_error::Error::bitstream("packet", "stages", 2, "65, allowed: 1 to 64");
    /// assert_eq!(error.to_string(), "packet: bad stages at byte 2: 65, allowed: 1 to 64");
    /// ```
    pub fn bitstream(what: &'static str, field: &'static str, offset: usize, reason: impl ToString) -> Self {
        // Bytes are what nearly every caller counts; the offsets of decoded symbols go through `bitstream_at`.
        Self::bitstream_at(OffsetUnit::Byte, what, field, offset, reason)
    }

    /// As [`Error::bitstream`] with an offset that counts something else than bytes.
    pub fn bitstream_at(
        unit: OffsetUnit,
        what: &'static str,
        field: &'static str,
        offset: usize,
        reason: impl ToString,
    ) -> Self {
        Self::Bitstream { what, field, offset, unit, reason: reason.to_string() }
    }

    /// A container that cannot be read, for a reason of its own.
    pub fn container(reason: impl ToString) -> Self {
        // The container is as often a pipe as a file, so these errors hold no path; callers that have one add it.
        Self::Container { reason: reason.to_string(), source: None }
    }

    /// A container that cannot be read or written because of another error; `reason` says what was being done.
    pub fn container_io(reason: &str, source: impl Into<Source>) -> Self {
        Self::Container { reason: reason.to_owned(), source: Some(source.into()) }
    }

    /// A bundle whose files are not as its manifest says.
    pub fn bad_bundle(path: &Path, reason: impl ToString) -> Self {
        Self::BadBundle { path: path.to_owned(), reason: reason.to_string(), source: None }
    }

    /// A part of a corpus that cannot be used: `field` in line `line` of the file at `path`.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// let error = siskin_error::Error::corpus(Path::new("a.jsonl"), Some(3), "duration", "-1, allowed: 0 and more");
    /// assert_eq!(error.to_string(), "a.jsonl:3: bad duration: -1, allowed: 0 and more");
    /// ```
    pub fn corpus(path: &Path, line: Option<u64>, field: &str, reason: impl ToString) -> Self {
        Self::Corpus { path: path.to_owned(), line, field: field.to_owned(), reason: reason.to_string() }
    }

    /// Whether a source had no data yet and may have some later, as [`WouldBlock`](std::io::ErrorKind::WouldBlock) says it: a
    /// file that is still arriving.
    ///
    /// ```
    /// use std::io;
    ///
    /// let later = siskin_error::Error::container_io("cannot be read", io::Error::from(io::ErrorKind::WouldBlock));
    /// assert!(later.is_would_block());
    /// assert!(!siskin_error::Error::container("damaged").is_would_block());
    /// ```
    pub fn is_would_block(&self) -> bool {
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            if cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
            {
                return true;
            }
            next = cause.source();
        }
        false
    }

    /// The error with all that lie behind it, in one line: `error: cause: cause of the cause`.
    ///
    /// ```
    /// let cause = std::io::Error::other("the disk is gone");
    /// let error = siskin_error::Error::container_io("cannot be read", cause);
    /// assert_eq!(error.to_string(), "container: cannot be read");
    /// assert_eq!(error.with_sources(), "container: cannot be read: the disk is gone");
    /// ```
    pub fn with_sources(&self) -> String {
        // Joined here and not in `Display`: a reporter that walks the chain itself would print each cause twice.
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Errors of other libraries may print their source as their own text.
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            next = cause.source();
        }
        text
    }

    /// A parameter `name` that is `value`, where `allowed` may be.
    ///
    /// ```
    /// let error = siskin_error::Error::parameter("stages", 19, "1 to 18");
    /// assert_eq!(error.to_string(), "stages is 19, allowed: 1 to 18");
    /// ```
    pub fn parameter(name: &'static str, value: impl ToString, allowed: impl ToString) -> Self {
        Self::Parameter { name, value: value.to_string(), allowed: allowed.to_string() }
    }

    /// A network that failed, with what the runtime said.
    pub fn network(graph: &str, reason: impl ToString) -> Self {
        Self::Network { graph: graph.to_owned(), reason: reason.to_string() }
    }
}
