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
            None => {
                let engine = self.engine.unwrap_or(Self::DEFAULT_ENGINE);
                let mut allowed = list_voices(&installed);
                if engine == Self::DEFAULT_ENGINE && !installed.is_empty() {
                    allowed.push_str("; `siskin models import kokoro --fetch` installs kokoro");
                }
                Err(Error::parameter("engine", engine, allowed))
            }
        }
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
        let listed = list_voices(&all);
        assert!(listed.starts_with("wavthruvec (bundle kerstin, 1 voices), kokoro (bundle one"), "{listed}");
    }
}
