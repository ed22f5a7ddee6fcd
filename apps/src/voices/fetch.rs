//! Downloads through the package clients that the user has set up.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// `pip download` of exact versions into `folder`.
pub(super) fn pip_download(packages: &[String], folder: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    // Wheels alone: a source package would run its own code to be unpacked.
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
    run_in(command.arg(folder).args(packages), folder)
}

/// `npm pack` of an exact version into `folder`.
pub(super) fn npm_pack(package: &str, folder: &Path) -> Result<()> {
    let mut command = Command::new("npm");
    run_in(command.args(["pack", "--silent", package]), folder)
}

fn run_in(command: &mut Command, folder: &Path) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    // Its chatter must not mix with the results on stdout.
    let output = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{line}: cannot be run"))?;
    if !output.status.success() {
        bail!("{line}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
