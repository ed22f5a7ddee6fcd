use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use siskin_audio::tokens::CodeType;
use siskin_error::{Error, Result};

use crate::shard::ShardFormat;
use crate::utterance::Utterance;

/// What a corpus is: the same specification gives the same bytes. It lies in the corpus as `export.json`, and a run with another
/// one does not go on there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Version of the layout of the folder, 1.
    pub version: u32,
    /// Format of the shards.
    pub format: ShardFormat,
    /// Utterances of a shard.
    pub shard_size: usize,
    /// Type of the codes: `uint16`, `int32` or `int64`.
    pub dtype: String,
    /// The bundle's name and id.
    pub model: String,
    /// Residual stages.
    pub stages: u8,
    /// Width of the codebook search.
    pub search_width: usize,
    /// Whether recordings of digital silence are kept.
    pub keep_silence: bool,
    /// Utterances of the input.
    pub utterances: usize,
    /// SHA-256 of all that the input says of them.
    pub input: String,
}

impl Spec {
    /// A specification with the utterances of an input.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a shard size of 0.
    pub fn new(
        format: ShardFormat,
        shard_size: usize,
        code_type: CodeType,
        utterances: &[Utterance],
    ) -> Result<Self> {
        if shard_size == 0 {
            return Err(Error::parameter("shard_size", 0, "1 and more"));
        }
        Ok(Self {
            version: 1,
            format,
            shard_size,
            dtype: code_type.name().into(),
            model: String::new(),
            stages: 0,
            search_width: 0,
            keep_silence: false,
            utterances: utterances.len(),
            input: fingerprint(utterances),
        })
    }

    /// The type of the codes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that is none.
    pub fn code_type(&self) -> Result<CodeType> {
        CodeType::from_name(&self.dtype)
            .ok_or_else(|| Error::parameter("dtype", &self.dtype, "uint16, int32, int64"))
    }

    /// Shards of the corpus.
    pub fn shards(&self) -> usize {
        self.utterances.div_ceil(self.shard_size)
    }

    /// Checks that a run with this specification may go on where one with `found` stopped.
    pub(crate) fn check_same(&self, found: &Self, path: &Path) -> Result<()> {
        let (ours, theirs) = (self.fields(), found.fields());
        match ours.iter().zip(&theirs).find(|(a, b)| a.1 != b.1) {
            None => Ok(()),
            Some(((name, ours), (_, theirs))) => {
                let reason =
                    format!("the corpus has {theirs}, this run {ours}: name another folder, or make it anew");
                Err(Error::corpus(path, None, name, reason))
            }
        }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("version", self.version.to_string()),
            ("format", self.format.name().into()),
            ("shard_size", self.shard_size.to_string()),
            ("dtype", self.dtype.clone()),
            ("model", self.model.clone()),
            ("stages", self.stages.to_string()),
            ("search_width", self.search_width.to_string()),
            ("keep_silence", self.keep_silence.to_string()),
            ("utterances", self.utterances.to_string()),
            ("input", self.input.clone()),
        ]
    }
}

/// SHA-256 of the utterances, which tells a changed input from the one that shards were made of.
fn fingerprint(utterances: &[Utterance]) -> String {
    let mut hash = Sha256::new();
    let mut line = String::new();
    for utterance in utterances {
        line.clear();
        // The derived text names every field; one that is added later changes the hash, as it should.
        let _ = writeln!(line, "{utterance:?}");
        hash.update(line.as_bytes());
    }
    hex::encode(hash.finalize())
}
