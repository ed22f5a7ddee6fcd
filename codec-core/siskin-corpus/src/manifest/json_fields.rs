//! Fields of JSON objects with the reason where one is not what it should be.

use serde_json::{Map, Value};

/// A field and what is wrong with it.
pub(super) type Bad = (&'static str, String);

/// A part of a line.
pub(super) type Parsed<T> = Result<T, Bad>;

/// No recording is longer than a year, and sums of two stay exact to the sample.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// The object that a line holds.
pub(super) fn object(line: &[u8]) -> Parsed<Map<String, Value>> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(("line", "no JSON object".into())),
        Err(error) => Err(("line", error.to_string())),
    }
}

/// A text that has to be there and not be empty.
pub(super) fn text<'a>(object: &'a Map<String, Value>, key: &'static str) -> Parsed<&'a str> {
    match object.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(other) => Err((key, format!("{other}, allowed: a text"))),
        None => Err((key, "missing".into())),
    }
}

/// A text that may be missing or null. Numbers are taken for names, as speakers often are.
pub(super) fn optional_text(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Seconds that may be missing or null.
pub(super) fn seconds(object: &Map<String, Value>, key: &'static str) -> Parsed<Option<f64>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) => Ok(Some(check_seconds(seconds, key)?)),
            None => Err((key, format!("{value}, allowed: 0 to {MAX_SECONDS} s"))),
        },
    }
}

/// Seconds within the allowed range.
pub(super) fn check_seconds(seconds: f64, key: &'static str) -> Parsed<f64> {
    // NaN is in no range.
    if (0.0..=MAX_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err((key, format!("{seconds}, allowed: 0 to {MAX_SECONDS} s")))
    }
}
