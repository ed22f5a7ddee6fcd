//! What a stream of text has come to: the speaker, the text that waits, the time.

use siskin_core::Result;
use siskin_core::bundle::{VoiceBundle, VoiceChoice};
use siskin_core::media::Rounding;
use siskin_core::tts::{Sentences, Speaker, Word};

use crate::element::counters;
use crate::inference::InferenceSettings;
use crate::time::{sample_base, ticks_to_time};

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-tts-stats" {
        sentences: u64,
        sentences_without_sound: u64,
        words: u64,
        samples: u64,
        skipped_bytes: u64,
    }
}

/// One stream.
pub(super) struct Session {
    speaker: Speaker,
    voice: usize,
    speed: f32,
    sentences: Sentences,
    /// Samples since the stream's start, gaps included.
    position: u64,
    pub(super) stats: Stats,
}

impl Session {
    /// Opens the bundle that is named, or the one that `siskin speak` would take for the same engine and voice.
    pub(super) fn open(
        inference: &InferenceSettings,
        engine: Option<&str>,
        voice: Option<&str>,
        speed: f32,
    ) -> Result<Self> {
        let bundle = match inference.model.as_deref() {
            Some(name) => VoiceBundle::find(name)?,
            None => VoiceChoice { engine, voice, language: None }.open_bundle()?,
        };
        let voice = bundle.manifest().voice(voice)?;
        let speaker = Speaker::new(&bundle, &inference.load_runtime()?)?;
        Ok(Self { speaker, voice, speed, sentences: Sentences::new(), position: 0, stats: Stats::default() })
    }

    /// Samples a second.
    pub(super) fn rate(&self) -> u32 {
        self.speaker.manifest().sample_rate
    }

    /// The time of a sample.
    pub(super) fn time(&self, samples: u64) -> gst::ClockTime {
        time_of(self.rate(), samples)
    }

    /// Where the next sound begins, in samples.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Moves on to a later time; whether that leaves a hole.
    pub(super) fn wait_until(&mut self, time: gst::ClockTime) -> bool {
        let base = sample_base(self.rate());
        let samples = base.and_then(|b| b.ns_to_ticks(time.nseconds(), Rounding::Down)).unwrap_or(0);
        let moves = samples > self.position;
        // Never back: a subtitle that is due while the last one is still spoken waits for its turn.
        self.position = self.position.max(samples);
        moves
    }

    /// Takes text and gives the sentences that are whole; `ends` gives the last one too.
    pub(super) fn take(&mut self, text: &[u8], ends: bool) -> Vec<String> {
        let mut found = Vec::new();
        let mut keep = |s: &str| -> std::result::Result<(), std::convert::Infallible> {
            found.push(s.to_owned());
            Ok(())
        };
        // Collecting cannot fail, which the error type says, so there is nothing to handle.
        let Ok(()) = self.sentences.push_bytes(text, &mut keep);
        if ends {
            let Ok(()) = self.sentences.finish_text(&mut keep);
        }
        self.stats.skipped_bytes = self.sentences.skipped_bytes();
        found
    }

    /// Speaks a sentence: `emit` gets the samples and the place of the first, until it returns false. Gives the words with
    /// their places in the stream.
    pub(super) fn speak(
        &mut self,
        sentence: &str,
        emit: &mut dyn FnMut(&[f32], u64) -> bool,
    ) -> Result<Vec<Word>> {
        let start = self.position;
        let mut at = start;
        let spoken = self.speaker.speak_sentence(sentence, self.voice, self.speed, &mut |pcm| {
            let first = at;
            at += pcm.len() as u64;
            emit(pcm, first)
        })?;
        self.position = at;
        self.stats.samples += spoken.samples;
        self.stats.sentences += u64::from(spoken.samples > 0);
        // Counted and no error: text of the world has lines of dashes and emoji.
        self.stats.sentences_without_sound += u64::from(spoken.samples == 0);
        self.stats.words += spoken.words.len() as u64;
        let place = |w: Word| Word { start: w.start + start, end: w.end + start, ..w };
        Ok(spoken.words.into_iter().map(place).collect())
    }

    /// Forgets text that waits, after a flush; time begins anew.
    pub(super) fn reset(&mut self) {
        self.sentences = Sentences::new();
        self.position = 0;
    }

    /// Counts with the sentences that had nothing to speak in them.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            sentences_without_sound: self.stats.sentences_without_sound + self.sentences.skipped_sentences(),
            ..self.stats
        }
    }
}

/// The time of a sample: rounded down, so that the end of a sound is never after the beginning of the next.
pub(super) fn time_of(rate: u32, samples: u64) -> gst::ClockTime {
    let time = sample_base(rate).and_then(|base| ticks_to_time(base, samples, Rounding::Down));
    time.unwrap_or(gst::ClockTime::MAX)
}
