//! What `siskin speak` puts together: text that comes in, samples and words that go out.

mod output;
mod source;
mod subtitles;

pub(crate) use output::SpeechOutput;
pub(crate) use source::TextSource;
pub(crate) use subtitles::{WordFile, WordFormat};
