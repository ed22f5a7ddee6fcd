//! Where output goes. A file is written under a temporary name beside the final one and renamed when it is whole, so
//! that neither a crash nor an error leaves half a file under the final name.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempPath;

use crate::failure::usage;
use crate::interrupt;

/// What to do if the output exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// Ask on a terminal, else refuse.
    Ask,
    /// Replace it (`-y`).
    Always,
    /// Refuse (`-n`).
    Never,
}

/// The options that say what to do if the output exists.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OverwriteArgs {
    /// Overwrite the output if it exists
    #[arg(short = 'y', long, conflicts_with = "never")]
    yes: bool,
    /// Never overwrite, and do not ask
    #[arg(short = 'n', long)]
    never: bool,
}

impl OverwriteArgs {
    /// The choice made.
    pub(crate) fn choice(&self) -> Overwrite {
        match (self.yes, self.never) {
            (true, _) => Overwrite::Always,
            (_, true) => Overwrite::Never,
            _ => Overwrite::Ask,
        }
    }
}

/// An output that has been opened.
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A device or named pipe, written as it comes.
    Stream(File),
    /// A regular file.
    File(FileTarget),
}

/// A regular file on its way.
pub(crate) struct FileTarget {
    /// None once the file has its final name.
    temporary: Option<TempPath>,
    file: File,
    path: PathBuf,
    replace: bool,
}

/// Whether a path given by the user means standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Target {
    /// Opens the output, after asking what must be asked. `input` is what is being read, so that it is not the same.
    pub(crate) fn open(path: &Path, overwrite: Overwrite, input: &Path) -> Result<Self> {
        if is_dash(path) {
            if std::io::stdout().is_terminal() {
                return Err(usage("stdout is a terminal: name an output file or pipe the output"));
            }
            return Ok(Self::Stdout);
        }
        let existing = fs::metadata(path).ok();
        let (mut replace, mut path) = (false, path.to_owned());
        if let Some(existing) = existing {
            if existing.is_dir() {
                return Err(usage(format!("{} is a folder", path.display())));
            }
            if !existing.is_file() {
                let file = File::options().write(true).open(&path);
                return Ok(Self::Stream(file.with_context(|| path.display().to_string())?));
            }
            // A rename onto a symbolic link would replace the link, not what it points to.
            path = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
            if fs::canonicalize(input).is_ok_and(|i| i == path) {
                return Err(usage(format!("{} is both input and output", path.display())));
            }
            if !may_replace(&path, overwrite, input)? {
                bail!("{} exists already (-y overwrites)", path.display());
            }
            replace = true;
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| usage(format!("{} is no file name", path.display())))?;
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let temporary = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            // The umask takes from this what it takes from any new file.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| anyhow::Error::new(e).context(format!("cannot create {}", path.display())))?;
        let (file, temporary) = temporary.into_parts();
        interrupt::guard(&temporary);
        Ok(Self::File(FileTarget { temporary: Some(temporary), file, path, replace }))
    }

    /// Whether the output can be gone back to.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Another handle to what is being written, for regular files and devices; none for standard output.
    pub(crate) fn handle(&self) -> Result<Option<File>> {
        Ok(match self {
            Self::Stdout => None,
            Self::Stream(file) => Some(file.try_clone()?),
            Self::File(target) => Some(target.file.try_clone()?),
        })
    }

    /// Puts the finished output under its final name.
    pub(crate) fn commit(mut self) -> Result<()> {
        match &mut self {
            Self::Stdout => std::io::stdout().flush().context("stdout"),
            Self::Stream(_) => Ok(()),
            Self::File(_) => self.reveal(),
        }
    }

    /// Puts a file under its final name while it is still being written: from here on what is whole survives whatever
    /// ends the program.
    pub(crate) fn reveal(&mut self) -> Result<()> {
        let Self::File(FileTarget { temporary, path, replace, .. }) = self else { return Ok(()) };
        let Some(temporary) = temporary.take() else { return Ok(()) };
        let guarded = temporary.to_path_buf();
        let named = interrupt::release(&guarded, || {
            if *replace { temporary.persist(&*path) } else { temporary.persist_noclobber(&*path) }
        });
        named.map_err(|e| e.error).with_context(|| path.display().to_string())
    }
}

fn may_replace(path: &Path, overwrite: Overwrite, input: &Path) -> Result<bool> {
    let can_ask = !is_dash(input) && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match overwrite {
        Overwrite::Always => Ok(true),
        Overwrite::Ask if can_ask => {
            eprint!("File {} exists already. Overwrite? [y/N] ", path.display());
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).context("stdin")?;
            Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
        }
        Overwrite::Ask | Overwrite::Never => Ok(false),
    }
}
