//! NeMo: a line is `{"audio_filepath": ..., "duration": ..., "offset": ..., "text": ..., "speaker": ...}`.

use std::path::Path;

use siskin_error::Result;

use super::json_fields::{Parsed, object, optional_text, seconds, text};
use super::lines::for_each_line;
use super::{broken_line, folder_of, name_of, sound_of};
use crate::utterance::Utterance;

pub(super) fn read(path: &Path) -> Result<Vec<Utterance>> {
    let mut utterances = Vec::new();
    for_each_line(path, |number, line| {
        let parsed = parse_line(line, folder_of(path));
        utterances.push(parsed.unwrap_or_else(|(field, reason)| broken_line(number, field, reason)));
        Ok(())
    })?;
    Ok(utterances)
}

fn parse_line(line: &[u8], folder: &Path) -> Parsed<Utterance> {
    let object = object(line)?;
    let file = text(&object, "audio_filepath")?;
    let (offset, duration) = (seconds(&object, "offset")?, seconds(&object, "duration")?);
    // NeMo has no name of its own; several segments of a file differ in their offset.
    let id = optional_text(&object, "id").or_else(|| optional_text(&object, "utt_id")).unwrap_or_else(|| {
        match offset {
            Some(offset) if offset > 0.0 => format!("{}-{offset}", name_of(file)),
            _ => name_of(file),
        }
    });
    Ok(Utterance {
        start: offset.unwrap_or(0.0),
        duration,
        text: optional_text(&object, "text"),
        speaker: optional_text(&object, "speaker").or_else(|| optional_text(&object, "speaker_id")),
        sound: sound_of(folder, file),
        ..Utterance::refused(id, "")
    })
}
