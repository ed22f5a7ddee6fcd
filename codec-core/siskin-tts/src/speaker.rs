use std::sync::Arc;

use siskin_error::{Error, Result};
use siskin_model::bundle::{EngineSpec, VoiceBundle, VoiceManifest};
use siskin_model::runtime::Runtime;

use crate::engine::Engine;
use crate::kokoro::Kokoro;
use crate::phonemes::{Phonemes, Phonemizer};
use crate::wavthruvec::{Spec, WavThruVec};

/// A word with its timestamps, in samples from the start of its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word as in the text, with the punctuation after it.
    pub text: String,
    /// The word's first sample.
    pub start: u64,
    /// The sample after its last one.
    pub end: u64,
}

/// The result of speaking a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spoken {
    /// The spoken words, in order.
    pub words: Vec<Word>,
    /// Samples emitted.
    pub samples: u64,
}

/// Speaks sentences with the voices of a bundle.
pub struct Speaker {
    engine: Box<dyn Engine>,
    phonemizer: Phonemizer,
    manifest: Arc<VoiceManifest>,
}

impl Speaker {
    /// Loads a bundle's networks and finds espeak-ng.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if files do not fit the manifest or a codec's latents are of another encoder,
    /// [`Error::Phonemes`] without espeak-ng, and what [`Runtime::open_whole_network`] returns.
    pub fn new(bundle: &VoiceBundle, runtime: &Runtime) -> Result<Self> {
        let engine: Box<dyn Engine> = match &bundle.manifest().engine {
            EngineSpec::Kokoro { graph, durations, styles } => {
                Box::new(Kokoro::new(bundle, runtime, graph, durations, styles)?)
            }
            EngineSpec::Wavthruvec { text, vec, noise, codec, codec_encoder } => {
                let spec = Spec { text, vec, noise: *noise, codec, codec_encoder };
                Box::new(WavThruVec::new(bundle, runtime, &spec)?)
            }
        };
        Ok(Self::from_parts(engine, Phonemizer::new()?, bundle.manifest().clone()))
    }

    /// A speaker from its parts.
    pub fn from_parts(engine: Box<dyn Engine>, phonemizer: Phonemizer, manifest: VoiceManifest) -> Self {
        Self { engine, phonemizer, manifest: Arc::new(manifest) }
    }

    /// The manifest of the voices.
    pub fn manifest(&self) -> &VoiceManifest {
        &self.manifest
    }

    /// Speaks one sentence with a voice of the manifest at a speed of 0.5 to 2; samples (mono, -1..1) go to `emit` as
    /// they come, until it returns false. A sentence without a phoneme of the voice's vocabulary has no samples.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a speed out of range or an unknown voice, [`Error::Phonemes`] if espeak-ng fails,
    /// [`Error::Network`] if a network fails.
    pub fn speak_sentence(
        &mut self,
        sentence: &str,
        voice: usize,
        speed: f32,
        emit: &mut dyn FnMut(&[f32]) -> bool,
    ) -> Result<Spoken> {
        // NaN is in no range.
        if !(0.5..=2.0).contains(&speed) {
            return Err(Error::parameter("speed", speed, "0.5 to 2"));
        }
        // An `Arc`: the engine is borrowed mutably below, beside the manifest.
        let manifest = self.manifest.clone();
        let language = manifest
            .language_of(voice)
            .ok_or_else(|| Error::parameter("voice", voice, format!("below {}", manifest.voices.len())))?;
        let phonemes = self.phonemizer.phonemize_sentence(sentence, language)?;
        let mut times: Vec<Option<(u64, u64)>> = vec![None; phonemes.words.len()];
        let (mut samples, mut going) = (0u64, true);
        // Two tokens of each network call are the boundaries.
        for piece in split_tokens(&tokenize_phonemes(&phonemes, &manifest), manifest.max_tokens - 2) {
            // Boundaries around each piece, since the networks have seen no input without.
            let mut ids = vec![manifest.boundary];
            ids.extend(piece.iter().map(|t| t.id));
            ids.push(manifest.boundary);
            let start = samples;
            let durations = self.engine.speak_tokens(&ids, voice, speed, &mut |pcm| {
                samples += pcm.len() as u64;
                going = emit(pcm);
                going
            })?;
            let mut at = start + durations.first().copied().unwrap_or(0);
            for (token, duration) in piece.iter().zip(durations.iter().skip(1)) {
                if let Some(time) = token.owner.and_then(|o| times.get_mut(o)) {
                    // A word's time runs from its first to its last phoneme.
                    *time = Some((time.map_or(at, |t| t.0), at + duration));
                }
                at += duration;
            }
            if !going {
                break;
            }
        }
        let words = phonemes.words.into_iter().zip(times).filter_map(|(text, time)| {
            // Words without a phoneme of the vocabulary have no timestamp.
            let (start, end) = time?;
            Some(Word { text, start, end: end.min(samples) }).filter(|w| w.start < w.end)
        });
        Ok(Spoken { words: words.collect(), samples })
    }
}

/// A phoneme's id and word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    id: i64,
    owner: Option<usize>,
    blank: bool,
}

fn tokenize_phonemes(phonemes: &Phonemes, manifest: &VoiceManifest) -> Vec<Token> {
    let found = phonemes.chars.iter().zip(&phonemes.owners);
    let known = found.filter_map(|(&c, &owner)| {
        manifest.vocabulary.get(&c).map(|&id| Token { id, owner, blank: c == ' ' })
    });
    let tokens: Vec<Token> = known.collect();
    // Punctuation alone is not spoken.
    if tokens.iter().all(|t| t.owner.is_none()) { Vec::new() } else { tokens }
}

/// Splits at the last blank before each limit of `most` tokens: a sentence of digits has more phonemes than a network takes.
fn split_tokens(tokens: &[Token], most: usize) -> Vec<&[Token]> {
    let (mut rest, mut found) = (tokens, Vec::new());
    while rest.len() > most {
        let blank = rest[..most].iter().rposition(|t| t.blank).filter(|&i| i > 0);
        let (now, later) = rest.split_at(blank.unwrap_or(most));
        found.push(now);
        rest = later;
    }
    if !rest.is_empty() {
        found.push(rest);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_cut_at_blanks() {
        let token = |blank| Token { id: 1, owner: Some(0), blank };
        let all: Vec<Token> = (0..100).map(|i| token(i % 7 == 6)).collect();
        let found = split_tokens(&all, 20);
        assert!(found.iter().all(|p| (1..=20).contains(&p.len())));
        assert_eq!(found.concat(), all);
        let solid = vec![token(false); 45];
        assert_eq!(split_tokens(&solid, 20).len(), 3);
        assert!(split_tokens(&[], 20).is_empty());
    }
}
