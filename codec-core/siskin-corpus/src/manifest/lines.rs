//! The lines of a text file, compressed or not, each within a limit.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use siskin_error::{Error, Result};

/// The longest line: a cut with an hour's alignment of words has about 1 MiB.
const MAX_LINE: u64 = 16 << 20;

/// Calls `each` with every line that is not empty and its number from 1.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Corpus`] for a line beyond 16 MiB, and what `each` returns.
pub(super) fn for_each_line(path: &Path, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(io_error)?);
    // By the first bytes: manifests are renamed more often than they are packed anew.
    let is_packed = file.fill_buf().map_err(io_error)?.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn BufRead> =
        if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        number += 1;
        line.clear();
        // One more than allowed, so that a line of just the limit is told from a longer one; bounds what a packed file of
        // one endless line takes.
        let read = (&mut reader).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(io_error)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 > MAX_LINE {
            let reason = format!("more than {} MiB", MAX_LINE >> 20);
            return Err(Error::corpus(path, Some(number), "line", reason));
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            each(number, text)?;
        }
    }
}
