//! Lhotse: JSON lines of cuts, or of recordings with supervisions beside them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use siskin_error::{Error, Result};

use super::json_fields::{Parsed, object, optional_text, seconds, text};
use super::lines::for_each_line;
use super::{broken_line, folder_of, sound_of};
use crate::utterance::{Sound, Utterance};

type Object = Map<String, Value>;

pub(super) fn read(path: &Path) -> Result<Vec<Utterance>> {
    let supervisions = beside(path).map_or(Ok(HashMap::new()), |p| read_supervisions(&p))?;
    let (mut utterances, folder) = (Vec::new(), folder_of(path));
    for_each_line(path, |number, line| {
        let parsed = object(line).and_then(|object| {
            if object.contains_key("sources") {
                return from_recording(&object, &supervisions, folder);
            }
            Ok(vec![from_cut(&object, folder)?])
        });
        match parsed {
            Ok(found) => utterances.extend(found),
            Err((field, reason)) => utterances.push(broken_line(number, field, reason)),
        }
        Ok(())
    })?;
    Ok(utterances)
}

/// `supervisions.jsonl.gz` for `recordings.jsonl.gz`, `train_supervisions...` for `train_recordings...`.
fn beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let other = path.with_file_name(name.replace("recordings", "supervisions"));
    (name.contains("recordings") && other.is_file()).then_some(other)
}

/// Supervisions by recording, in the file's order.
fn read_supervisions(path: &Path) -> Result<HashMap<String, Vec<Object>>> {
    let mut by_recording: HashMap<String, Vec<Object>> = HashMap::new();
    for_each_line(path, |number, line| {
        let parsed = object(line).and_then(|o| Ok((text(&o, "recording_id")?.to_owned(), o)));
        let (recording, supervision) =
            parsed.map_err(|(field, reason)| Error::corpus(path, Some(number), field, reason))?;
        by_recording.entry(recording).or_default().push(supervision);
        Ok(())
    })?;
    Ok(by_recording)
}

/// One utterance for each supervision of a recording; without any the whole recording.
fn from_recording(
    recording: &Object,
    supervisions: &HashMap<String, Vec<Object>>,
    folder: &Path,
) -> Parsed<Vec<Utterance>> {
    let id = text(recording, "id")?;
    let sound = sound(recording, folder)?;
    let value = Some(Value::Object(recording.clone()));
    let Some(found) = supervisions.get(id) else {
        // To the end of the file, whatever its length is rounded to here.
        return Ok(vec![Utterance { sound, recording: value, ..Utterance::refused(id, "") }]);
    };
    let utterance = |supervision: &Object| {
        Ok(Utterance {
            id: text(supervision, "id")?.to_owned(),
            sound: sound.clone(),
            start: seconds(supervision, "start")?.unwrap_or(0.0),
            duration: seconds(supervision, "duration")?,
            channel: channel(supervision, recording)?,
            text: optional_text(supervision, "text"),
            speaker: optional_text(supervision, "speaker"),
            recording: value.clone(),
        })
    };
    found.iter().map(utterance).collect()
}

fn from_cut(cut: &Object, folder: &Path) -> Parsed<Utterance> {
    let id = text(cut, "id")?;
    let kind = optional_text(cut, "type").unwrap_or_else(|| "MonoCut".into());
    if kind != "MonoCut" && kind != "MultiCut" {
        return Ok(Utterance::refused(id, format!("a cut of the type {kind:?}, allowed: MonoCut, MultiCut")));
    }
    let Some(Value::Object(recording)) = cut.get("recording") else {
        return Ok(Utterance::refused(id, "a cut without a recording"));
    };
    let supervisions = match cut.get("supervisions") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    };
    let texts: Vec<String> = supervisions.iter().filter_map(|s| optional_text(s, "text")).collect();
    let mut speakers: Vec<String> = supervisions.iter().filter_map(|s| optional_text(s, "speaker")).collect();
    speakers.dedup();
    Ok(Utterance {
        id: id.to_owned(),
        sound: sound(recording, folder)?,
        start: seconds(cut, "start")?.unwrap_or(0.0),
        duration: seconds(cut, "duration")?,
        channel: channel(cut, recording)?,
        text: (!texts.is_empty()).then(|| texts.join(" ")),
        // Of several speakers none is the one.
        speaker: speakers.pop().filter(|_| speakers.is_empty()),
        recording: Some(Value::Object(recording.clone())),
    })
}

/// The file of a recording.
fn sound(recording: &Object, folder: &Path) -> Parsed<Sound> {
    let Some(Value::Array(sources)) = recording.get("sources") else {
        return Err(("recording", "no sources".into()));
    };
    let [Value::Object(source)] = sources.as_slice() else {
        return Ok(Sound::Refused(format!("{} sources, allowed: 1", sources.len())));
    };
    // A speed or volume that is applied when lhotse loads it: the file alone would be other sound than the cut's.
    if let Some(Value::Array(transforms)) = recording.get("transforms")
        && !transforms.is_empty()
    {
        return Ok(Sound::Refused(format!(
            "{} transforms, which are not applied: save the audio first",
            transforms.len()
        )));
    }
    match text(source, "type")? {
        "file" => Ok(sound_of(folder, text(source, "source")?)),
        kind => Ok(Sound::Refused(format!("a source of the type {kind:?}, allowed: file"))),
    }
}

/// The channel, where the recording has several.
fn channel(part: &Object, recording: &Object) -> Parsed<Option<u16>> {
    let channels = match recording.get("sources").and_then(|s| s.pointer("/0/channels")) {
        Some(Value::Array(list)) => list.len(),
        _ => 1,
    };
    match part.get("channel") {
        // Lhotse numbers the channel of mono files, too.
        Some(value) if channels > 1 && !value.is_array() => {
            let number = value.as_u64().and_then(|n| u16::try_from(n).ok());
            number.map(Some).ok_or_else(|| ("channel", format!("{value}, allowed: 0 to 65535")))
        }
        _ => Ok(None),
    }
}
