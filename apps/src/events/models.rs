//! Lines of `siskin models`.

use std::borrow::Cow;

use serde::Serialize;

/// A bundle for sound in `siskin models list`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "model")]
pub(crate) struct Model<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) id: String,
    pub(crate) licence: &'a str,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u8,
    pub(crate) bitrates: Vec<u32>,
    pub(crate) default_stages: u8,
    pub(crate) delay_samples: u32,
    pub(crate) bytes: u64,
    pub(crate) path: Cow<'a, str>,
}

/// A bundle for video in `siskin models list`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "video_model")]
pub(crate) struct VideoModel<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) id: String,
    pub(crate) licence: &'a str,
    pub(crate) qualities: u16,
    pub(crate) bytes: u64,
    pub(crate) path: Cow<'a, str>,
}

/// A bundle for features in `siskin models list`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "feature_model")]
pub(crate) struct FeatureModel<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) id: String,
    pub(crate) licence: &'a str,
    pub(crate) levels: u8,
    pub(crate) heads: Vec<&'a str>,
    pub(crate) bytes: u64,
    pub(crate) path: Cow<'a, str>,
}

/// A bundle of voices in `siskin models list`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "voices")]
pub(crate) struct Voices<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) engine: &'static str,
    pub(crate) licence: &'a str,
    pub(crate) sample_rate: u32,
    pub(crate) voices: usize,
    pub(crate) languages: Vec<&'a str>,
    pub(crate) bytes: u64,
    pub(crate) path: Cow<'a, str>,
}

/// A voice in `siskin models info`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "voice")]
pub(crate) struct Voice<'a> {
    pub(crate) bundle: &'a str,
    pub(crate) name: &'a str,
    pub(crate) language: &'a str,
    pub(crate) default: bool,
}

/// A folder in `siskin models path`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "path")]
pub(crate) struct BundlePath<'a> {
    pub(crate) path: Cow<'a, str>,
    pub(crate) exists: bool,
}

/// `siskin models verify`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "models verify")]
pub(crate) struct ModelVerify<'a> {
    pub(crate) name: &'a str,
    /// Bundles of voices have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    pub(crate) files: usize,
    pub(crate) ok: bool,
}

/// `siskin models import`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "models import")]
pub(crate) struct Import<'a> {
    pub(crate) name: &'a str,
    /// A codec has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) voices: Option<usize>,
    pub(crate) path: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Outcome;

    /// The other lines are held to the document by running the program, which for this one takes 120 MB.
    #[test]
    fn the_keys_of_an_import_are_documented() {
        let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
        let document = std::fs::read_to_string(document).expect("the document");
        let table =
            document.split("### ").find(|t| t.starts_with("`result` of `models import`")).expect("a table");
        let rows = table.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| key"));
        let documented: Vec<_> =
            rows.map(|r| r.split('|').map(str::trim).take(3).collect::<Vec<_>>()).collect();
        let line = Outcome::new(Import { name: "kokoro", voices: Some(41), path: "/voices".into() });
        let line = serde_json::to_value(&line).expect("JSON");
        assert_eq!((&line["type"], &line["verb"]), (&"result".into(), &"models import".into()));
        let keys = line.as_object().expect("an object").iter().filter(|(k, _)| *k != "type" && *k != "verb");
        assert_eq!(keys.count(), documented.len());
        for row in documented {
            let has_type = match row[2] {
                "string" => line[row[1]].is_string(),
                "optional integer" => line[row[1]].is_u64(),
                _ => false,
            };
            assert!(has_type, "{row:?}");
        }
    }
}
