//! Where output goes. A file is written under a temporary name beside the final one and renamed when it is whole, so
//! that neither a crash nor an error leaves half a file under the final name. Where a rename cannot be, the finished file is copied
//! into the one that is there: one that is mounted, has another name too, or lies in a folder that cannot be written.

use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use rustix::fs::OFlags;
use tempfile::TempPath;

use crate::failure::usage_error;
use crate::interrupt;

/// The longest name of a file on the usual file systems, in bytes.
const MAX_NAME: usize = 255;
/// Bits of a file's mode that are its own.
const MODE: u32 = 0o7777;
/// Tries to get a temporary file that another run has just put in place.
const TRIES: usize = 100;

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
    /// Never overwrite the output, and do not ask
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
    /// A device or named pipe, written as it comes, and its name.
    Stream(File, PathBuf),
    /// A regular file.
    File(FileTarget),
}

/// A regular file on its way.
pub(crate) struct FileTarget {
    /// None once the file has its final name.
    temporary: Option<TempPath>,
    file: File,
    path: PathBuf,
    /// What is there already, to be replaced.
    existing: Option<Existing>,
}

/// A file that is to be replaced.
struct Existing {
    mode: u32,
    owner: (u32, u32),
    /// The file itself, where it cannot be renamed over.
    in_place: Option<File>,
    /// Kept so that another run sees that this one is at work.
    _lock: Option<File>,
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
                return Err(usage_error("stdout is a terminal: name an output file or pipe the output"));
            }
            return Ok(Self::Stdout);
        }
        let existing = fs::metadata(path).ok();
        let (mut replace, mut path) = (false, path.to_owned());
        if let Some(existing) = existing {
            if existing.is_dir() {
                return Err(usage_error(format!("{} is a folder", path.display())));
            }
            if !existing.is_file() {
                // Neither truncated nor created: a device or FIFO is there already.
                let file = File::options().write(true).open(&path);
                let file = file.with_context(|| path.display().to_string())?;
                return Ok(Self::Stream(file, path));
            }
            // A rename onto a symbolic link would replace the link, not what it points to.
            path = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
            if fs::canonicalize(input).is_ok_and(|i| i == path) {
                return Err(usage_error(format!("{} is both input and output", path.display())));
            }
            if !may_replace(&path, overwrite, input)? {
                bail!("{} exists already (-y overwrites)", path.display());
            }
            replace = true;
        }
        // Before any work is done: a file that cannot be replaced in the end should be told of now.
        let existing = replace.then(|| Existing::open(&path)).transpose()?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name =
            path.file_name().ok_or_else(|| usage_error(format!("{} is no file name", path.display())))?;
        let part = folder.join(part_name(name));
        let cannot = || format!("cannot create {}", path.display());
        let (file, temporary) = match (create_part(&part, &path), &existing) {
            // The folder cannot be written, but the file in it can.
            // In the system's own folder for temporary files, from where it is copied.
            (Err(_), Some(Existing { in_place: Some(_), .. })) => {
                let temporary = tempfile::NamedTempFile::new().with_context(cannot)?;
                temporary.into_parts()
            }
            (part, _) => part?,
        };
        interrupt::guard_file(&temporary);
        Ok(Self::File(FileTarget { temporary: Some(temporary), file, path, existing }))
    }

    /// Whether the output can seek.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "stdout".into(),
            Self::Stream(_, path) | Self::File(FileTarget { path, .. }) => path.display().to_string(),
        }
    }

    /// Another handle to what is being written, for regular files and devices; none for standard output.
    pub(crate) fn handle(&self) -> Result<Option<File>> {
        Ok(match self {
            Self::Stdout => None,
            Self::Stream(file, _) => Some(file.try_clone()?),
            Self::File(target) => Some(target.file.try_clone()?),
        })
    }

    /// Puts the finished output under its final name.
    pub(crate) fn commit(mut self) -> Result<()> {
        match &mut self {
            Self::Stdout => std::io::stdout().flush().context("stdout"),
            Self::Stream(..) => Ok(()),
            Self::File(_) => self.reveal(),
        }
    }

    /// Puts a file under its final name while it is still being written: from here on what is whole survives whatever
    /// ends the program.
    pub(crate) fn reveal(&mut self) -> Result<()> {
        let Self::File(FileTarget { temporary, path, existing, .. }) = self else { return Ok(()) };
        let shown = path.display().to_string();
        if let Some(Existing { in_place: Some(file), .. }) = existing {
            // Once more each time: from here on the file is whole as far as it goes.
            let Some(temporary) = temporary else { return Ok(()) };
            return copy_over(temporary, file).with_context(|| shown);
        }
        let Some(temporary) = temporary.take() else { return Ok(()) };
        let guarded = temporary.to_path_buf();
        let named = interrupt::release_file(&guarded, || match existing {
            Some(existing) => {
                // Before the rename: the file never stands under its name with other rights.
                existing.lend_to(&temporary);
                temporary.persist(&*path)
            }
            // A file that came into being meanwhile was never asked about.
            None => temporary.persist_noclobber(&*path),
        });
        named.map_err(|e| e.error).with_context(|| shown)
    }
}

impl Existing {
    /// Looks at the file at `path`, and whether it can be replaced by a rename.
    fn open(path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let metadata = fs::metadata(path).with_context(shown)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        // A rename would part the names of a file with several, fail on a mount point, and need a folder that can be
        // written.
        let is_fixed = metadata.nlink() > 1
            || is_mounted(path)
            || rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err();
        let in_place = match is_fixed {
            true => Some(File::options().write(true).open(path).with_context(shown)?),
            false => None,
        };
        // Locks are advisory and are taken on a handle of their own, which reading rights suffice for.
        let lock = File::open(path).ok();
        if lock.as_ref().is_some_and(is_busy) {
            bail!("{} is being written by another run", path.display());
        }
        let owner = (metadata.uid(), metadata.gid());
        Ok(Self { mode: metadata.mode() & MODE, owner, in_place, _lock: lock })
    }

    /// Gives a new file the rights and, as far as the system lets it, the owner of this one.
    fn lend_to(&self, path: &Path) {
        let (user, group) = self.owner;
        let is_other = fs::metadata(path).is_ok_and(|m| (m.uid(), m.gid()) != self.owner);
        if is_other {
            std::os::unix::fs::chown(path, Some(user), Some(group)).ok();
        }
        // After it, since a new owner takes some of the bits away.
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode)).ok();
    }
}

/// The temporary name beside a final one, as long as names may be.
fn part_name(name: &std::ffi::OsStr) -> PathBuf {
    let (before, after) = (b".", b".part");
    let room = MAX_NAME - before.len() - after.len();
    let mut middle = name.as_bytes();
    if middle.len() > room {
        // Two long names that begin alike are still two.
        let digest = crc(middle);
        let mut cut = room - digest.len();
        // Not within a character of UTF-8.
        while cut > 0 && middle[cut] & 0xc0 == 0x80 {
            cut -= 1;
        }
        middle = &middle[..cut];
        let all = [before, middle, digest.as_bytes(), after].concat();
        return PathBuf::from(std::ffi::OsStr::from_bytes(&all));
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&[before, middle, after].concat()))
}

fn crc(name: &[u8]) -> String {
    // FNV-1a. Nobody attacks these names; two runs must only not meet.
    let hash =
        name.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!(".{hash:016x}")
}

/// Creates the temporary file, or takes over one that a run left that was killed; fails if a run is writing it.
fn create_part(part: &Path, path: &Path) -> Result<(File, TempPath)> {
    let cannot = || format!("cannot create {}", path.display());
    for _ in 0..TRIES {
        let file = File::options()
            .write(true)
            .read(true)
            .create(true)
            .truncate(false)
            // The umask takes from this what it takes from any new file.
            .mode(0o666)
            // The name can be guessed, and a link laid there would lead elsewhere.
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(part)
            .with_context(cannot)?;
        if is_busy(&file) {
            bail!("{} is being written by another run", path.display());
        }
        // The run that had it may have put it in place meanwhile: then this is its finished file.
        let (opened, named) = (file.metadata().with_context(cannot)?, fs::metadata(part));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
            // Only once it is sure to be ours.
            file.set_len(0).with_context(cannot)?;
            return Ok((file, TempPath::try_from_path(part).with_context(cannot)?));
        }
    }
    Err(anyhow!("cannot create {}: other runs write it again and again", path.display()))
}

/// Takes a file for this run; whether another one has it. Where the file system knows no locks none has.
fn is_busy(file: &File) -> bool {
    // The lock goes with the process, so a run that was killed leaves none behind.
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Whether a file is one that is mounted on its own.
fn is_mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The fifth field is the place, in which blanks and the like are written in octal.
    let escaped = |text: &str| {
        text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
    };
    path.to_str().is_some_and(|path| {
        let wanted = escaped(path);
        table.lines().any(|line| line.split(' ').nth(4) == Some(&wanted))
    })
}

/// Copies the file at `from` over what is in `to`.
fn copy_over(from: &Path, to: &File) -> std::io::Result<()> {
    let (mut source, mut to) = (File::open(from)?, to);
    std::io::Seek::rewind(&mut to)?;
    let count = std::io::copy(&mut source, &mut to)?;
    to.set_len(count)?;
    to.flush()
}

fn may_replace(path: &Path, overwrite: Overwrite, input: &Path) -> Result<bool> {
    // Stdin that carries the input cannot carry an answer.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_no_longer_than_names_may_be() {
        for name in
            ["a.mka".to_owned(), "b".repeat(255), "\u{3042}".repeat(85), format!("{}.mka", "x".repeat(245))]
        {
            let part = part_name(std::ffi::OsStr::new(&name));
            let length = part.as_os_str().len();
            assert!(length <= MAX_NAME && part.to_str().is_some(), "{name}: {length}");
        }
        let (a, b) = ("x".repeat(250) + "a", "x".repeat(250) + "b");
        assert_ne!(part_name(a.as_ref()), part_name(b.as_ref()));
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.mka");
        let open = || Target::open(&path, Overwrite::Always, Path::new("in.wav"));
        let first = open().expect("a target");
        assert!(open().is_err_and(|e| e.to_string().contains("another run")));
        first.commit().expect("a file");
        let mut second = open().expect("a target");
        second.reveal().expect("a name");
        // It is still written after it got its name.
        assert!(open().is_err());
        drop(second);
        open().expect("a target").commit().expect("a file");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
