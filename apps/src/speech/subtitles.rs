//! The times of words as a file beside the sound.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::events;
use crate::failure::usage_error;

/// How words are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordFormat {
    /// SubRip, one cue a word.
    Srt,
    /// WebVTT, one cue a word.
    Vtt,
    /// One JSON object a line.
    JsonLines,
}

impl WordFormat {
    /// The format that the extension names.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("srt") => Ok(Self::Srt),
            Some("vtt") => Ok(Self::Vtt),
            Some("jsonl") => Ok(Self::JsonLines),
            _ => Err(usage_error(format!("--words {}: name it .srt, .vtt or .jsonl", path.display()))),
        }
    }
}

/// A file of words that is being written.
pub(crate) struct WordFile {
    out: BufWriter<File>,
    format: WordFormat,
    count: u64,
}

impl WordFile {
    /// Begins the file; one that exists is replaced only if `replace`.
    pub(crate) fn create(path: &Path, replace: bool) -> Result<Self> {
        let format = WordFormat::of(path)?;
        let mut options = File::options();
        options.write(true).truncate(true);
        if replace {
            options.create(true)
        } else {
            // The check and the creation are one step: no file that appears in between is lost.
            options.create_new(true)
        };
        let file = options.open(path).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => anyhow!("{} exists already (-y overwrites)", path.display()),
            _ => anyhow::Error::new(e).context(path.display().to_string()),
        })?;
        let mut out = BufWriter::new(file);
        if format == WordFormat::Vtt {
            // The signature that the format begins with; SubRip has none.
            out.write_all(b"WEBVTT\n\n")?;
        }
        Ok(Self { out, format, count: 0 })
    }

    /// Adds a word and its times in seconds.
    pub(crate) fn word(&mut self, text: &str, start: f64, end: f64) -> Result<()> {
        self.count += 1;
        match self.format {
            // SubRip numbers its cues from 1, and has a comma before the milliseconds.
            WordFormat::Srt => {
                writeln!(
                    self.out,
                    "{}\n{} --> {}\n{text}\n",
                    self.count,
                    format_time(start, ','),
                    format_time(end, ',')
                )
            }
            WordFormat::Vtt => {
                // An arrow or an ampersand would be read as syntax.
                let safe = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                writeln!(self.out, "{} --> {}\n{safe}\n", format_time(start, '.'), format_time(end, '.'))
            }
            WordFormat::JsonLines => {
                writeln!(self.out, "{}", serde_json::to_string(&events::Word { text, start, end })?)
            }
        }
        .context("the words cannot be written")
    }

    /// Writes out what waits, so that a reader has the words of every finished sentence.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.out.flush().context("the words cannot be written")
    }
}

fn format_time(seconds: f64, mark: char) -> String {
    // Rounded once, before it is taken apart: 59.9996 s is one minute and not 0:60.
    let ms = (seconds * 1000.0).round() as u64;
    format!("{:02}:{:02}:{:02}{mark}{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_its_own_look() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            let mut file = WordFile::create(&path, false).expect("a file");
            file.word("Rock&Roll", 1.5, 3661.25).expect("written");
            file.flush().expect("flushed");
            std::fs::read_to_string(path).expect("text")
        };
        assert_eq!(write("a.srt"), "1\n00:00:01,500 --> 01:01:01,250\nRock&Roll\n\n");
        assert_eq!(write("a.vtt"), "WEBVTT\n\n00:00:01.500 --> 01:01:01.250\nRock&amp;Roll\n\n");
        assert_eq!(write("a.jsonl"), "{\"text\":\"Rock&Roll\",\"start\":1.5,\"end\":3661.25}\n");
        assert!(WordFile::create(&folder.path().join("a.srt"), false).is_err(), "it exists");
        assert!(WordFormat::of(Path::new("a.txt")).is_err());
    }
}
