//! Text to speech (TTS): sentences in, samples and word timestamps out.
//!
//! [`Sentences`] splits text of any length into sentences, [`Phonemizer`] runs espeak-ng for their phonemes, and a
//! [`Speaker`] synthesizes each with a bundle of kind `tts` (see `docs/tts.md`). Two engines are implemented:
//! Kokoro-82M, and a network of this project from phonemes to latents, whose samples come from the audio codec's decoder.
//!
//! ```
//! use siskin_tts::Sentences;
//!
//! let (mut sentences, mut found) = (Sentences::new(), Vec::new());
//! let mut keep = |sentence: &str| -> Result<(), std::convert::Infallible> {
//!     found.push(sentence.to_owned());
//!     Ok(())
//! };
//! // Text may be cut anywhere, as it comes from a pipe or a language model.
//! sentences.push_bytes(b"Dr. Smith paid 3.50 to J. Do", &mut keep)?;
//! sentences.push_bytes(b"e. He left! And", &mut keep)?;
//! sentences.finish_text(&mut keep)?;
//! assert_eq!(found, ["Dr. Smith paid 3.50 to J. Doe.", "He left!", "And"]);
//! # Ok::<(), std::convert::Infallible>(())
//! ```

mod align;
mod clauses;
mod engine;
mod kokoro;
mod noise;
mod normalize;
mod phonemes;
mod reading;
mod sentences;
mod speaker;
mod wavthruvec;

pub use engine::Engine;
pub use phonemes::{Phonemes, Phonemizer};
pub use sentences::{MAX_SENTENCE, Sentences};
pub use siskin_error::{Error, Limits, Result};
pub use speaker::{Speaker, Spoken, Word};
