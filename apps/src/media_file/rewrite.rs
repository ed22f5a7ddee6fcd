//! A coded file made whole again in its place.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use siskin_core::container::{Repaired, repair};

use crate::failure::usage_error;
use crate::interrupt;
use crate::target::is_dash;

/// Repairs the file at `path`. The new file is written beside it, brought to the disk, and only then put in its place,
/// so that a crash leaves the one or the other.
pub(crate) fn repair_in_place(path: &Path) -> Result<Repaired> {
    if is_dash(path) {
        return Err(usage_error("--repair works on a file, not on stdin"));
    }
    let shown = path.display().to_string();
    // The file that a link points to is repaired, and the link stays.
    let path = fs::canonicalize(path).with_context(|| shown.clone())?;
    let source = File::open(&path).with_context(|| shown.clone())?;
    let metadata = source.metadata().with_context(|| shown.clone())?;
    if !metadata.is_file() {
        return Err(usage_error(format!("{shown} is not a regular file")));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    // In the same folder, so that the rename is one step.
    let temporary = tempfile::Builder::new()
        .prefix(".repair.")
        .suffix(".part")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write beside {shown}"))?;
    interrupt::guard_file(temporary.path());
    let written = write_repaired(source, temporary.as_file()).and_then(|done| {
        // Temporary files are for their owner alone; the repaired file keeps its rights.
        fs::set_permissions(temporary.path(), metadata.permissions())?;
        temporary.as_file().sync_all()?;
        Ok(done)
    });
    let guarded = temporary.path().to_owned();
    let named = interrupt::release_file(&guarded, || {
        let done = written?;
        temporary.persist(&path).map_err(|e| e.error)?;
        // The name, too, is to be on the disk.
        File::open(folder).and_then(|f| f.sync_all()).ok();
        anyhow::Ok(done)
    });
    named.with_context(|| shown)
}

fn write_repaired(source: File, target: &File) -> Result<Repaired> {
    let mut out = BufWriter::new(target);
    let done = repair(BufReader::new(source), &mut out)?;
    // Sizes and times that stand before the data and are known after it.
    for patch in &done.patches {
        patch.write_to(&mut out)?;
    }
    out.flush()?;
    Ok(done)
}
