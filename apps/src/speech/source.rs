//! Text from an argument, a file or stdin.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::usage_error;
use crate::target::is_dash;

/// Bytes taken at a time.
// A pipe gives less at a time, so speech begins with the first sentence that comes.
const PIECE: usize = 16 << 10;

/// A text that may be longer than memory.
pub(crate) struct TextSource {
    reader: Box<dyn Read>,
    name: PathBuf,
    buffer: Vec<u8>,
}

impl TextSource {
    /// The text given, else the file, else stdin.
    pub(crate) fn open(text: Option<&str>, file: Option<&Path>) -> Result<Self> {
        let (reader, name): (Box<dyn Read>, _) = match (text, file) {
            (Some(text), _) => {
                (Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), PathBuf::from("the text"))
            }
            (None, Some(path)) if !is_dash(path) => {
                let file = File::open(path).with_context(|| path.display().to_string())?;
                (Box::new(file), path.to_owned())
            }
            (None, given) => {
                // Waiting for a keyboard would look like a hang; `--file -` asks for it.
                if given.is_none() && std::io::stdin().is_terminal() {
                    return Err(usage_error(
                        "there is no text: give it as an argument, with --file, or on stdin",
                    ));
                }
                (Box::new(std::io::stdin()), PathBuf::from("-"))
            }
        };
        Ok(Self { reader, name, buffer: vec![0; PIECE] })
    }

    /// What errors call the text; `-` for stdin.
    pub(crate) fn name(&self) -> &Path {
        &self.name
    }

    /// The next bytes, none at the end.
    pub(crate) fn next(&mut self) -> Result<&[u8]> {
        let count = self.reader.read(&mut self.buffer).with_context(|| self.name.display().to_string())?;
        Ok(&self.buffer[..count])
    }
}
