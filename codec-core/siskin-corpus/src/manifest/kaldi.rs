//! Kaldi: a data directory whose files are tables of a key and the rest of the line.

use std::collections::HashMap;
use std::path::Path;

use siskin_error::{Error, Result};

use super::json_fields::{Parsed, check_seconds};
use super::lines::for_each_line;
use super::{broken_line, resolve, sound_of};
use crate::utterance::{Sound, Utterance};

pub(super) fn read(folder: &Path) -> Result<Vec<Utterance>> {
    let text = table(&folder.join("text"))?;
    let speakers = table(&folder.join("utt2spk"))?;
    let describe = |utterance: Utterance| Utterance {
        text: text.get(&utterance.id).cloned(),
        speaker: speakers.get(&utterance.id).cloned(),
        ..utterance
    };
    let segments = folder.join("segments");
    let mut utterances = Vec::new();
    if !segments.is_file() {
        for_each_line(&folder.join("wav.scp"), |number, line| {
            utterances.push(match key_and_rest(line) {
                Ok((id, source)) => {
                    describe(Utterance { sound: sound(folder, source), ..Utterance::refused(id, "") })
                }
                Err((field, reason)) => broken_line(number, field, reason),
            });
            Ok(())
        })?;
        return Ok(utterances);
    }
    let recordings = table(&folder.join("wav.scp"))?;
    if recordings.is_empty() {
        return Err(Error::corpus(&folder.join("wav.scp"), None, "wav.scp", "no lines, segments needs them"));
    }
    for_each_line(&segments, |number, line| {
        let segment = parse_segment(line, |recording| recordings.get(recording).map(|s| sound(folder, s)));
        utterances.push(match segment {
            Ok(utterance) => describe(utterance),
            Err((field, reason)) => broken_line(number, field, reason),
        });
        Ok(())
    })?;
    Ok(utterances)
}

/// `UTTERANCE RECORDING START END`, in seconds; an end of -1 is the recording's.
fn parse_segment(line: &[u8], find: impl Fn(&str) -> Option<Sound>) -> Parsed<Utterance> {
    let (id, rest) = key_and_rest(line)?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let [recording, start, end] = fields[..] else {
        return Err(("segment", format!("{} fields after the id, allowed: 3", fields.len())));
    };
    let number = |text: &str, key| text.parse::<f64>().map_err(|e| (key, format!("{text:?}: {e}")));
    let start = check_seconds(number(start, "start")?, "start")?;
    let end = number(end, "end")?;
    if end < start && end != -1.0 {
        return Err(("end", format!("{end} s, before the start at {start} s")));
    }
    let duration = if end == -1.0 { None } else { Some(check_seconds(end - start, "end")?) };
    let sound =
        find(recording).unwrap_or_else(|| Sound::Refused(format!("wav.scp has no recording {recording:?}")));
    Ok(Utterance { sound, start, duration, ..Utterance::refused(id, "") })
}

/// What an entry of `wav.scp` names.
fn sound(folder: &Path, source: &str) -> Sound {
    // A manifest comes from elsewhere as often as not: what it says is never run.
    if source.ends_with('|') {
        return Sound::Refused(format!(
            "{source:?} is a command, which is not run: write its output to a file"
        ));
    }
    if source == "-" {
        return Sound::Refused("- is stdin, which has no place in a corpus".into());
    }
    // `file.ark:1234`, a place in an archive; the number of a drive has no such colon.
    let archive = source.rsplit_once(':').filter(|(_, place)| place.parse::<u64>().is_ok());
    if archive.is_some() && !resolve(folder, source).exists() {
        return Sound::Refused(format!("{source:?} is a place in an archive, which is not read"));
    }
    sound_of(folder, source)
}

/// A table by key; a file that is not there has no entries.
fn table(path: &Path) -> Result<HashMap<String, String>> {
    let mut entries = HashMap::new();
    if path.is_file() {
        for_each_line(path, |number, line| {
            let (key, rest) = key_and_rest(line)
                .map_err(|(field, reason)| Error::corpus(path, Some(number), field, reason))?;
            entries.insert(key.to_owned(), rest.to_owned());
            Ok(())
        })?;
    }
    Ok(entries)
}

fn key_and_rest(line: &[u8]) -> Parsed<(&str, &str)> {
    let line = std::str::from_utf8(line).map_err(|e| ("line", format!("no UTF-8: {e}")))?;
    // An utterance may have no words.
    Ok(line.split_once(char::is_whitespace).map_or((line, ""), |(key, rest)| (key, rest.trim())))
}
