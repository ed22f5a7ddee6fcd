//! Text to speech: sentences in, samples and the times of words out.
//!
//! [`Sentences`] cuts text of any length into sentences, [`Phonemizer`] asks espeak-ng for their phonemes, and a
//! [`Speaker`] turns each into samples with a bundle of kind `tts` (see `docs/tts.md`). Two engines are implemented:
//! Kokoro-82M, and our own phonemes-to-latents network whose samples come from the audio codec's decoder.

mod align;
mod engine;
mod kokoro;
mod noise;
mod phonemes;
mod sentences;
mod speaker;
mod wavthruvec;

pub use engine::Engine;
pub use phonemes::{Phonemes, Phonemizer};
pub use sentences::{MAX_SENTENCE, Sentences};
pub use siskin_error::{Error, Limits, Result};
pub use speaker::{Speaker, Spoken, Word};
