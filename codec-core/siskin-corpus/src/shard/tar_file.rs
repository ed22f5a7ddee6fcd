//! A tar whose bytes depend on its members alone.

use std::io::{BufWriter, Write};
use std::path::Path;

use siskin_error::{Error, Result};
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

/// A tar under a temporary name.
pub(super) struct TarFile {
    builder: Builder<BufWriter<NamedTempFile>>,
}

impl TarFile {
    /// An empty tar in the folder for temporary files.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let file = super::temporary(folder)?;
        Ok(Self { builder: Builder::new(BufWriter::new(file)) })
    }

    /// Adds a file.
    pub(super) fn add(&mut self, name: &str, data: &[u8]) -> std::io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(data.len() as u64);
        // No time and no owner of this run: the same members are the same bytes.
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        self.builder.append_data(&mut header, name, data)
    }

    /// Ends the tar.
    pub(super) fn finish(self) -> Result<NamedTempFile> {
        let io_error = |source| Error::Io { path: "tar".into(), source };
        let mut writer = self.builder.into_inner().map_err(io_error)?;
        writer.flush().map_err(io_error)?;
        writer.into_inner().map_err(|e| io_error(e.into_error()))
    }
}
