//! One file of JSON lines for a whole folder, which a later run goes on with.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use siskin_core::tokens::{FileFormat, TokenFile};

use crate::target::is_dash;

/// The part of a line that tells what it is of.
#[derive(Deserialize)]
struct Id {
    id: Option<String>,
}

/// The lines that are there, and where the next goes.
pub(super) struct Lines {
    path: PathBuf,
    /// None for stdout.
    file: Option<File>,
    ids: HashSet<String>,
    /// What the first line holds.
    first: Option<TokenFile>,
}

impl Lines {
    /// Opens the file; what a run that was cut off has left of its last line is cut off, and with `again` everything.
    pub(super) fn open(path: &Path, again: bool) -> Result<Self> {
        let name = || path.display().to_string();
        if is_dash(path) {
            return Ok(Self { path: path.to_owned(), file: None, ids: HashSet::new(), first: None });
        }
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mut options = File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(again).open(path).with_context(name)?;
        let (mut ids, mut whole, mut first) = (HashSet::new(), 0, None);
        let (mut reader, mut line) = (BufReader::new(&mut file), Vec::new());
        while reader.read_until(b'\n', &mut line).with_context(name)? > 0 {
            // Without its end a line was cut off in the middle, and its recording is done again.
            if line.ends_with(b"\n") {
                // A file of something else must not be overwritten by mistake.
                let Ok(found) = serde_json::from_slice::<Id>(&line) else {
                    bail!(
                        "{}: line {} is none of ours (-y writes the file anew)",
                        path.display(),
                        ids.len() + 1
                    );
                };
                ids.extend(found.id);
                if first.is_none() {
                    first = TokenFile::from_bytes(FileFormat::Jsonl, &line).ok();
                }
                whole += line.len() as u64;
            }
            line.clear();
        }
        file.set_len(whole).with_context(name)?;
        file.seek(SeekFrom::Start(whole)).with_context(name)?;
        Ok(Self { path: path.to_owned(), file: Some(file), ids, first })
    }

    /// What the first line of an earlier run holds.
    pub(super) fn first(&self) -> Option<&TokenFile> {
        self.first.as_ref()
    }

    /// Whether a recording is there already.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Adds a recording in one write; returns its bytes.
    pub(super) fn add(&mut self, tokens: &TokenFile) -> Result<u64> {
        let line = tokens.to_bytes(FileFormat::Jsonl)?;
        match &mut self.file {
            // One write for a line, so that a kill leaves at most the last one incomplete.
            Some(file) => file.write_all(&line),
            None => std::io::stdout().lock().write_all(&line),
        }
        .with_context(|| self.path.display().to_string())?;
        Ok(line.len() as u64)
    }
}
