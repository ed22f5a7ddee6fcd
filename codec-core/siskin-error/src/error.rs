use std::path::PathBuf;

use crate::TokenError;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, with the value and the allowed range where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what the bitstream allows.
    #[error("{what}: bad {field} at byte {offset}: {reason}")]
    Bitstream {
        /// The structure being parsed, for example `packet`.
        what: &'static str,
        /// The field's name in `docs/bitstream.md`.
        field: &'static str,
        /// Offset from the start of the structure, in bytes.
        offset: usize,
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
    /// A video network whose pictures are no numbers.
    #[error("group of pictures {number}: its network gives values that are not finite")]
    NotFinite {
        /// The group's number.
        number: u32,
    },
    /// The caller ended long work before its end.
    #[error("stopped")]
    Stopped,
    /// A container that cannot be read.
    #[error("container: {0}")]
    Container(String),
    /// The stream needs another bundle than the one at hand.
    #[error(
        "this stream needs the model bundle {} (id {needed_id}), which is not here; found: {found}",
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
    #[error("ONNX Runtime cannot be loaded: {0}")]
    RuntimeLibrary(String),
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
    Token(#[from] TokenError),
    /// A token file that cannot be read.
    #[error("token file: bad {field}: {reason}")]
    TokenFile {
        /// The tensor, key or line.
        field: String,
        /// What was found and what is allowed.
        reason: String,
    },
    /// Reading or writing a file failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// A parameter `name` that is `value`, where `allowed` may be.
    pub fn parameter(name: &'static str, value: impl ToString, allowed: impl ToString) -> Self {
        Self::Parameter { name, value: value.to_string(), allowed: allowed.to_string() }
    }

    /// A network that failed, with what the runtime said.
    pub fn network(graph: &str, reason: impl ToString) -> Self {
        Self::Network { graph: graph.to_owned(), reason: reason.to_string() }
    }
}
