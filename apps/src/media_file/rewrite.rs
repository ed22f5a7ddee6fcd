//! A coded file made whole again in its place.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Reader, Repaired, VIDEO_CODEC_ID, repair};

use crate::failure::usage_error;
use crate::interrupt;
use crate::target::is_dash;

/// Repairs the file at `path`; none if it is whole, and then it is left as it is. The new file is written beside it, brought to
/// the disk, and only then put in its place, so that a crash leaves the one or the other.
pub(crate) fn repair_in_place(path: &Path) -> Result<Option<Repaired>> {
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
    if is_whole(&source).with_context(|| shown.clone())? {
        return Ok(None);
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
        // Of a damaged file the tracks may be known only now.
        check_tracks(&Reader::open_file(BufReader::new(temporary.reopen()?), Limits::default())?)?;
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
        anyhow::Ok(Some(done))
    });
    named.with_context(|| shown)
}

/// Whether a file has an index and nothing in it is cut off or damaged. Fails if it is none of Siskin's.
fn is_whole(file: &File) -> Result<bool> {
    // What cannot be opened is for the repair to make something of, or to say why it cannot.
    let Ok(mut reader) = Reader::open_file(BufReader::new(file), Limits::default()) else {
        return Ok(false);
    };
    check_tracks(&reader)?;
    if !reader.has_index()? || reader.duration_ns().is_none() {
        return Ok(false);
    }
    let mut block = Block::default();
    loop {
        match reader.next_block(&mut block) {
            Ok(true) => {}
            Ok(false) => return Ok(!reader.is_truncated()),
            Err(_) => return Ok(false),
        }
    }
}

/// Refuses what is none of Siskin's: how other programs lay out their files is for them to mend.
fn check_tracks<R: Read>(reader: &Reader<R>) -> Result<()> {
    let ids: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
    if !ids.iter().any(|id| [AUDIO_CODEC_ID, VIDEO_CODEC_ID].contains(id)) {
        let found = ids.join(", ");
        bail!("no {AUDIO_CODEC_ID} or {VIDEO_CODEC_ID} track, found: {found}; the file is left as it is");
    }
    Ok(())
}

fn write_repaired(mut source: File, target: &File) -> Result<Repaired> {
    // It has been read to see whether it is whole.
    source.rewind()?;
    let mut out = BufWriter::new(target);
    let done = repair(BufReader::new(source), &mut out)?;
    // Sizes and times that stand before the data and are known after it.
    for patch in &done.patches {
        patch.write_to(&mut out)?;
    }
    out.flush()?;
    Ok(done)
}
