//! WebDataset: `NAME.tar` with `KEY.npy`, the codes, and `KEY.json`, the metadata, for each utterance.

use std::path::Path;

use siskin_audio::tokens::{CodeType, FileFormat, TokenFile};
use siskin_error::{Error, Result};
use tempfile::NamedTempFile;

use super::ShardName;
use super::key::member_key;
use super::tar_file::TarFile;
use crate::utterance::Utterance;

pub(super) struct WebDatasetFile {
    tar: TarFile,
}

impl WebDatasetFile {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        Ok(Self { tar: TarFile::create(folder)? })
    }

    pub(super) fn push(
        &mut self,
        utterance: &Utterance,
        tokens: &TokenFile,
        code_type: CodeType,
    ) -> Result<()> {
        let io_error = |source| Error::Io { path: "tar".into(), source };
        // A key ends at the first dot of its last part.
        let key = member_key(&utterance.id, false);
        let mut meta =
            serde_json::to_value(&tokens.meta).map_err(|e| Error::parameter("metadata", e, "JSON"))?;
        meta["duration"] = super::duration_of(tokens).into();
        self.tar
            .add(&format!("{key}.npy"), &tokens.to_bytes_as(FileFormat::Npy, code_type)?)
            .and_then(|()| self.tar.add(&format!("{key}.json"), meta.to_string().as_bytes()))
            .map_err(io_error)
    }

    pub(super) fn finish(self, name: &ShardName) -> Result<Vec<(NamedTempFile, String)>> {
        Ok(vec![(self.tar.finish()?, format!("shard-{name}.tar"))])
    }
}
