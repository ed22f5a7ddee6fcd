//! Bundles of kind `tts`: voices that speak text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::folder::{self, Facts, Folder};
use super::registry;
use super::voice_choice::list_voices;
use crate::{Error, Limits, Result};

const FORMAT: u32 = 1;

/// `manifest.json` of a bundle of kind `tts`.
#[derive(Debug, Clone, Deserialize)]
pub struct VoiceManifest {
    format: u32,
    kind: String,
    /// The bundle's name, its folder's name too.
    pub name: String,
    /// The bundle's version.
    pub version: String,
    /// The licence of the weights, an SPDX expression.
    pub licence: String,
    /// Which networks there are, and how they are run.
    #[serde(flatten)]
    pub engine: EngineSpec,
    /// Samples a second of what is spoken.
    pub sample_rate: u32,
    /// Samples of one unit in which the networks count durations.
    pub frame_samples: u32,
    /// Number of each phoneme character; characters that are not in it are left out.
    pub vocabulary: HashMap<char, i64>,
    /// The number that stands before and after every sentence.
    pub boundary: i64,
    /// Most numbers of one sentence, boundaries included.
    pub max_tokens: usize,
    /// Languages and how their phonemes are found.
    pub languages: Vec<LanguageSpec>,
    /// Voices.
    pub voices: Vec<VoiceSpec>,
    /// The voice that speaks if none is asked for.
    pub default_voice: String,
    /// SHA-256 of every file of the bundle, in hexadecimal.
    pub files: BTreeMap<String, String>,
    /// How the networks came about.
    #[serde(default)]
    pub training: serde_json::Value,
    /// Measured quality.
    #[serde(default)]
    pub figures: serde_json::Value,
}

/// The engines that are implemented.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase")]
pub enum EngineSpec {
    /// One network from phonemes to samples, with a style a voice (Kokoro-82M, StyleTTS 2).
    Kokoro {
        /// ONNX file: tokens i64 `[1,N]`, style f32 `[1,S]`, speed f32 `[1]` -> samples f32 `[L]` and the output that
        /// `durations` names.
        graph: String,
        /// The output that holds a duration for every token, in frames.
        durations: String,
        /// Safetensors file with a tensor f32 `[sentences' lengths, 1, S]` for every voice.
        styles: String,
    },
    /// Phonemes to the latents of an audio codec, whose decoder gives the samples (after WavThruVec, arXiv 2203.16930).
    Wavthruvec {
        /// ONNX file: tokens i64 `[1,N]`, speaker i64 `[1]` -> hidden f32 `[1,N,C]`, duration f32 `[1,N]`.
        text: String,
        /// ONNX file: expanded f32 `[1,T,C+3]`, noise f32 `[1,T,K]` -> latents f32 `[1,T,D]`.
        vec: String,
        /// Values of noise a frame.
        noise: usize,
        /// Name of the audio bundle whose latents these are.
        codec: String,
        /// SHA-256 of that bundle's encoder, which defines the latents.
        codec_encoder: String,
    },
}

impl EngineSpec {
    /// The names of all engines.
    pub const NAMES: [&'static str; 2] = ["kokoro", "wavthruvec"];

    /// The engine's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kokoro { .. } => "kokoro",
            Self::Wavthruvec { .. } => "wavthruvec",
        }
    }
}

/// A language of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LanguageSpec {
    /// The tag that voices use, such as `en-us`.
    pub code: String,
    /// The voice of espeak-ng that gives the phonemes.
    pub espeak: String,
    /// Spellings of espeak-ng and what the networks know them as, applied in order.
    #[serde(default)]
    pub replace: Vec<(String, String)>,
}

/// A voice of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VoiceSpec {
    /// Its name.
    pub name: String,
    /// The language that it speaks: a `code` of the manifest's languages.
    pub language: String,
}

impl Facts for VoiceManifest {
    const KIND: &str = "tts";

    fn check_numbers(&self) -> std::result::Result<(), String> {
        let check = |ok: bool, reason: String| if ok { Ok(()) } else { Err(reason) };
        check(self.format == FORMAT, format!("format {}, this reader knows {FORMAT}", self.format))?;
        check(self.kind == Self::KIND, format!("the bundle is of kind {}, not {}", self.kind, Self::KIND))?;
        check((1..=64).contains(&self.name.len()), format!("name of {} bytes", self.name.len()))?;
        check((8000..=192_000).contains(&self.sample_rate), format!("sample_rate {}", self.sample_rate))?;
        check((1..=48_000).contains(&self.frame_samples), format!("frame_samples {}", self.frame_samples))?;
        // Fewer could not hold a word between its boundaries; more would let one sentence take all memory, since
        // attention grows with the square.
        check((8..=4096).contains(&self.max_tokens), format!("max_tokens {}", self.max_tokens))?;
        check(!self.vocabulary.is_empty(), "empty vocabulary".into())?;
        if let EngineSpec::Wavthruvec { noise, .. } = &self.engine {
            check((1..=256).contains(noise), format!("noise {noise}"))?;
        }
        let codes: HashSet<&str> = self.languages.iter().map(|l| l.code.as_str()).collect();
        let names: HashSet<&str> = self.voices.iter().map(|v| v.name.as_str()).collect();
        // Voices are asked for by name, so the second of two would never speak.
        check(names.len() == self.voices.len(), "two voices of one name".into())?;
        let lost = self.voices.iter().find(|v| !codes.contains(v.language.as_str()));
        check(lost.is_none(), format!("a voice of an unknown language: {lost:?}"))?;
        let default = self.default_voice.as_str();
        check(names.contains(default), format!("default_voice {default:?} is no voice"))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn file_hashes(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

impl VoiceManifest {
    /// The place of a voice in the manifest; the default voice if no name is given.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the voices that there are.
    pub fn voice(&self, name: Option<&str>) -> Result<usize> {
        let name = name.unwrap_or(&self.default_voice);
        self.voices.iter().position(|v| v.name == name).ok_or_else(|| {
            let all: Vec<_> = self.voices.iter().map(|v| v.name.as_str()).collect();
            Error::parameter("voice", name, all.join(", "))
        })
    }

    /// The first voice of a language, given as its code or the part before the hyphen.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the languages that have a voice.
    pub fn voice_of_language(&self, language: &str) -> Result<usize> {
        // Language tags have no case (RFC 5646, section 2.1.1).
        let fits = |code: &str| {
            code.eq_ignore_ascii_case(language)
                || code.split('-').next().is_some_and(|primary| primary.eq_ignore_ascii_case(language))
        };
        let default = self.voice(None)?;
        // The default voice first, where it speaks the language.
        let mut order = std::iter::once(default).chain(0..self.voices.len());
        order.find(|&i| fits(&self.voices[i].language)).ok_or_else(|| {
            let mut all: Vec<_> = self.voices.iter().map(|v| v.language.as_str()).collect();
            all.sort_unstable();
            all.dedup();
            Error::parameter("language", language, all.join(", "))
        })
    }

    /// The language of a voice.
    pub fn language_of(&self, voice: usize) -> Option<&LanguageSpec> {
        let code = &self.voices.get(voice)?.language;
        self.languages.iter().find(|l| l.code == *code)
    }
}

/// A bundle of voices in memory; cloning shares its files.
#[derive(Clone)]
pub struct VoiceBundle(Folder<VoiceManifest>);

impl VoiceBundle {
    /// Opens the bundle in the folder `path`, reading and checking every file that the manifest lists.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if the manifest is not valid or a file is missing, too large or has another hash.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// As [`open`](Self::open) with limits of the caller's own, of which [`Limits::max_bundle_file_bytes`] counts here.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        Folder::open(path.as_ref(), limits).map(Self)
    }

    /// Finds a bundle by name on the [search path](super::search_path), or opens the folder if `name_or_path` is one.
    ///
    /// # Errors
    /// [`Error::BundleNotFound`] with the folders searched and what is installed, or what [`VoiceBundle::open`] returns.
    pub fn find(name_or_path: &str) -> Result<Self> {
        let folder = registry::find_folder(name_or_path).map_err(|e| match e {
            Error::BundleNotFound { name, searched } => {
                let installed = list_voices(&installed_voices());
                Error::BundleNotFound { name, searched: format!("{searched}; voices there: {installed}") }
            }
            other => other,
        });
        folder.and_then(Self::open)
    }

    /// The folder that the bundle was read from.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The facts about the bundle.
    pub fn manifest(&self) -> &VoiceManifest {
        self.0.manifest()
    }

    /// The bytes of one of the bundle's files. Those above 16 MB are read anew each time, so that weights are not held beside the
    /// network that has them.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if the manifest does not list the file, or if one that is read is not there or no longer the same.
    pub fn file_bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.0.file_bytes(name)
    }
}

/// The bundles of voices on the search path whose manifests can be read, as folder and manifest; of two with one name
/// the first found. Their files have not been read yet.
pub fn installed_voices() -> Vec<(PathBuf, VoiceManifest)> {
    folder::find_installed()
}
