//! Which bundle of voices speaks, by what is asked for.

use std::path::PathBuf;

use super::voice::{VoiceBundle, VoiceManifest, installed_voices};
use crate::{Error, Result};

/// What is asked for of a bundle of voices; what is not asked for is left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VoiceChoice<'a> {
    /// Name of the engine, one of [`EngineSpec::NAMES`](super::EngineSpec::NAMES).
    pub engine: Option<&'a str>,
    /// Name of the voice.
    pub voice: Option<&'a str>,
    /// Code of the language, such as `de` or `en-gb`.
    pub language: Option<&'a str>,
}

impl VoiceChoice<'_> {
    /// The engine that speaks where nothing asks for another.
    pub const DEFAULT_ENGINE: &'static str = "kokoro";

    /// Opens the first installed bundle that has all that is asked for. Without an engine that is one of
    /// [`DEFAULT_ENGINE`](Self::DEFAULT_ENGINE), or else of any engine that has the voice or language. Where none has it, the first
    /// bundle of the engine comes back, whose manifest says which voices there are.
    ///
    /// # Errors
    /// [`Error::Parameter`] with what is installed if there is no bundle of the engine, what [`VoiceBundle::open`] returns.
    pub fn open_bundle(&self) -> Result<VoiceBundle> {
        let installed = installed_voices();
        match self.find_in(&installed) {
            Some((path, _)) => VoiceBundle::open(path),
            None => Err(self.refuse(&installed)),
        }
    }

    /// What no installed bundle has of all that is asked for.
    fn refuse(&self, installed: &[(PathBuf, VoiceManifest)]) -> Error {
        let asked = match (self.engine, self.voice, self.language) {
            (None, Some(voice), _) => Some(("voice", voice)),
            (None, None, Some(language)) => Some(("language", language)),
            _ => None,
        };
        if let Some((name, value)) = asked.filter(|_| !installed.is_empty()) {
            let voices =
                installed.iter().flat_map(|(_, m)| m.voices.iter().map(move |v| (v, m.engine.name())));
            let words = voices.map(|(v, engine)| format!("{} ({}, engine {engine})", v.name, v.language));
            return Error::parameter(name, value, words.collect::<Vec<_>>().join(", "));
        }
        let mut allowed = list_voices(installed);
        let own = self.engine.is_none_or(|engine| engine == Self::DEFAULT_ENGINE);
        if own && !installed.is_empty() {
            allowed.push_str("; `siskin models import kokoro --fetch` installs kokoro");
        }
        let default = format!("{}, the default", Self::DEFAULT_ENGINE);
        Error::parameter("engine", self.engine.unwrap_or(&default), allowed)
    }

    fn find_in<'i>(&self, installed: &'i [(PathBuf, VoiceManifest)]) -> Option<&'i (PathBuf, VoiceManifest)> {
        let has = |(_, m): &&(PathBuf, VoiceManifest)| {
            self.voice.is_none_or(|v| m.voice(Some(v)).is_ok())
                && self.language.is_none_or(|l| m.voice_of_language(l).is_ok())
        };
        let own = || {
            let engine = self.engine.unwrap_or(Self::DEFAULT_ENGINE);
            installed.iter().filter(move |(_, m)| m.engine.name() == engine)
        };
        let is_open = self.engine.is_none() && (self.voice.is_some() || self.language.is_some());
        let others = installed.iter().filter(|_| is_open);
        own().chain(others).find(has).or_else(|| own().next())
    }
}

/// The installed bundles of voices in words, with their engines.
pub(super) fn list_voices(installed: &[(PathBuf, VoiceManifest)]) -> String {
    if installed.is_empty() {
        return "none is installed; `siskin models import kokoro --fetch` installs one".into();
    }
    let words = |(_, m): &(PathBuf, VoiceManifest)| {
        format!("{} (bundle {}, {} voices)", m.engine.name(), m.name, m.voices.len())
    };
    installed.iter().map(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::voice::EngineSpec;
    use super::*;

    /// The toy bundle as the bundle of an engine, under another name and with another voice.
    fn bundle(name: &str, engine: &EngineSpec, voice: &str, language: &str) -> (PathBuf, VoiceManifest) {
        let toy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/voices/toy");
        let mut manifest = VoiceBundle::open(toy).expect("the toy voices").manifest().clone();
        manifest.name = name.into();
        manifest.engine = engine.clone();
        manifest.voices.truncate(1);
        (manifest.voices[0].name, manifest.voices[0].language) = (voice.into(), language.into());
        manifest.default_voice = voice.into();
        (name.into(), manifest)
    }

    #[test]
    fn engine_voice_and_language_choose_a_bundle() {
        let toy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/voices/toy");
        let kokoro = VoiceBundle::open(toy).expect("the toy voices").manifest().engine.clone();
        assert_eq!(kokoro.name(), VoiceChoice::DEFAULT_ENGINE);
        let other = EngineSpec::Wavthruvec {
            text: "a".into(),
            vec: "b".into(),
            noise: 1,
            codec: "c".into(),
            codec_encoder: String::new(),
        };
        let all = [
            bundle("kerstin", &other, "kerstin", "de"),
            bundle("one", &kokoro, "anna", "en-us"),
            bundle("two", &kokoro, "bella", "en-gb"),
        ];
        let found = |engine, voice, language| {
            let found = VoiceChoice { engine, voice, language }.find_in(&all);
            found.map_or("none", |(_, manifest)| manifest.name.as_str())
        };
        assert_eq!(found(None, None, None), "one");
        assert_eq!(found(Some("wavthruvec"), None, None), "kerstin");
        assert_eq!(found(None, Some("bella"), None), "two");
        assert_eq!(found(None, None, Some("de")), "kerstin");
        // None has it: the engine's first says which there are.
        assert_eq!(found(Some("kokoro"), None, Some("de")), "one");
        assert_eq!(found(None, Some("nobody"), None), "one");
        assert_eq!(found(Some("festival"), None, None), "none");
        // Without a bundle of the default engine what was asked for is told with what there is.
        let others = &all[..1];
        let told =
            |engine, voice, language| VoiceChoice { engine, voice, language }.refuse(others).to_string();
        assert_eq!(
            told(None, Some("bella"), None),
            "voice is bella, allowed: kerstin (de, engine wavthruvec)"
        );
        assert_eq!(told(None, None, Some("fr")), "language is fr, allowed: kerstin (de, engine wavthruvec)");
        assert!(
            told(None, None, None).starts_with("engine is kokoro, the default, allowed: wavthruvec (bundle")
        );
        let listed = list_voices(&all);
        assert!(listed.starts_with("wavthruvec (bundle kerstin, 1 voices), kokoro (bundle one"), "{listed}");
    }
}
