//! Splits text of any length into sentences as it comes.

use crate::reading::is_abbreviation_anywhere;

/// Limit of the characters of a sentence; a longer one is cut at a comma or a blank. Kokoro takes 510 phonemes, about one
/// per character, and a cut keeps the latency of a text without full stops low.
pub const MAX_SENTENCE: usize = 300;

/// Abbreviations besides those of the languages' tables, in lower case: a full stop after them ends no sentence. They are read
/// as they are.
const ABBREVIATIONS: [&str; 2] = ["co", "no"];

/// Splits text into sentences. How the text is cut into calls does not change them.
///
/// A sentence ends at `.`, `!`, `?`, `…` or their full-width kin followed by white space and no lower-case letter,
/// at an empty line, or at [`MAX_SENTENCE`] characters. Control characters, invalid UTF-8 and sentences without a letter or
/// digit are skipped and counted.
#[derive(Debug, Default)]
pub struct Sentences {
    /// Bytes of an incomplete character.
    partial: Vec<u8>,
    /// Text of the sentence so far, white space as single blanks.
    pending: String,
    /// Characters in it.
    length: usize,
    /// Line ends since the last character that is not white space.
    line_ends: u32,
    /// Whether white space waits to be written before the next character.
    blank: bool,
    skipped_bytes: u64,
    skipped_sentences: u64,
}

impl Sentences {
    /// A splitter at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes of UTF-8, cut anywhere, and passes each complete sentence to `emit` until it returns an error.
    ///
    /// # Errors
    /// What `emit` returns; the rest of `bytes` is then lost.
    pub fn push_bytes<E>(
        &mut self,
        bytes: &[u8],
        emit: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(bytes);
            joined = whole;
            joined.as_slice()
        };
        loop {
            let (text, error) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(e) => (std::str::from_utf8(&rest[..e.valid_up_to()]).unwrap_or_default(), Some(e)),
            };
            for c in text.chars() {
                self.push_char(c, emit)?;
            }
            let Some(error) = error else { return Ok(()) };
            let bad = &rest[error.valid_up_to()..];
            let Some(length) = error.error_len() else {
                // An incomplete character waits for its next bytes.
                self.partial = bad.to_vec();
                return Ok(());
            };
            self.skipped_bytes += length as u64;
            rest = &bad[length..];
        }
    }

    /// Ends the text and passes the last sentence to `emit`.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn finish_text<E>(&mut self, emit: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        self.skipped_bytes += self.partial.len() as u64;
        self.partial.clear();
        self.emit_sentence(self.pending.len(), emit)?;
        (self.line_ends, self.blank) = (0, false);
        Ok(())
    }

    /// Bytes skipped so far: control characters and invalid UTF-8.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Sentences skipped so far because they have no letter or digit.
    ///
    /// ```
    /// use siskin_tts::Sentences;
    ///
    /// let mut sentences = Sentences::new();
    /// let mut keep = |_: &str| Ok::<(), std::convert::Infallible>(());
    /// // A control character, and a sentence of marks alone.
    /// sentences.push_bytes(b"One.\x07 ***", &mut keep)?;
    /// sentences.finish_text(&mut keep)?;
    /// assert_eq!((sentences.skipped_bytes(), sentences.skipped_sentences()), (1, 1));
    /// # Ok::<(), std::convert::Infallible>(())
    /// ```
    pub fn skipped_sentences(&self) -> u64 {
        self.skipped_sentences
    }

    fn push_char<E>(&mut self, c: char, emit: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        if c.is_whitespace() {
            self.line_ends += u32::from(c == '\n');
            // White space is written only before a next character: none at the ends, one blank for many.
            self.blank = true;
            if self.line_ends >= 2 {
                return self.emit_sentence(self.pending.len(), emit);
            }
            return Ok(());
        }
        // Byte order marks, replacement characters, marks of zero width and of direction: nothing of them
        // is spoken.
        if c.is_control()
            || matches!(c, '\u{feff}' | '\u{fffd}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        {
            self.skipped_bytes += c.len_utf8() as u64;
            return Ok(());
        }
        self.line_ends = 0;
        if ends_without_blank(&self.pending) || (self.blank && self.may_end_before(c)) {
            self.emit_sentence(self.pending.len(), emit)?;
        }
        if self.blank && !self.pending.is_empty() {
            self.pending.push(' ');
            self.length += 1;
        }
        self.blank = false;
        self.pending.push(c);
        self.length += 1;
        if self.length >= MAX_SENTENCE {
            // A text without full stops must not wait for ever.
            let at = best_cut(&self.pending);
            self.emit_sentence(at, emit)?;
        }
        Ok(())
    }

    /// Whether the pending text is a sentence, given the character after the blank that follows it.
    fn may_end_before(&self, next: char) -> bool {
        let text = self.pending.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '“']);
        let Some(mark) = text.chars().next_back() else { return false };
        match mark {
            '!' | '?' | '…' | '।' | '॥' => !next.is_lowercase(),
            '.' if next.is_lowercase() => false,
            '.' => {
                let before = text.trim_end_matches('.');
                let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                let letters = word.chars().count();
                // `J. Doe` and `3. Mai` go on; `in 1990. He` does not.
                let initial = letters == 1 && word.chars().all(char::is_uppercase);
                let ordinal = letters <= 2 && !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
                !initial && !ordinal && !is_abbreviation(before, word)
            }
            _ => false,
        }
    }

    fn emit_sentence<E>(&mut self, at: usize, emit: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let rest = self.pending.split_off(at);
        let sentence = std::mem::replace(&mut self.pending, rest.trim_start().to_owned());
        self.length = self.pending.chars().count();
        let sentence = sentence.trim();
        if sentence.chars().any(char::is_alphanumeric) {
            return emit(sentence);
        }
        self.skipped_sentences += u64::from(!sentence.is_empty());
        Ok(())
    }
}

/// Whether the text ends with a mark of a script without blanks between sentences.
/// Whether a sentence that has come to a full stop after `before` goes on; `last` is what follows the last mark in it.
fn is_abbreviation(before: &str, last: &str) -> bool {
    // With the marks in it too: "z.B" is none by its last letter.
    let whole = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let whole = whole.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let last = last.to_lowercase();
    // A single letter is more often a word or a unit: "5 m."
    let is_listed = |word: &str| word.chars().nth(1).is_some() && is_abbreviation_anywhere(word);
    ABBREVIATIONS.contains(&last.as_str()) || is_listed(&last) || is_listed(&whole)
}

fn ends_without_blank(text: &str) -> bool {
    text.ends_with(['。', '！', '？'])
}

/// Position at which a sentence that is too long is cut: after a comma or the like in its second half, else at a blank,
/// else at its end.
fn best_cut(text: &str) -> usize {
    // In the second half only, or a comma early on would leave most of the text for the next cut.
    let half = text.char_indices().nth(MAX_SENTENCE / 2).map_or(0, |(i, _)| i);
    let comma = text.rfind([',', ';', ':', '—', '、', '，']).filter(|&i| i >= half);
    let after = |i: usize| i + text[i..].chars().next().map_or(0, char::len_utf8);
    let blank = text.rfind(' ').filter(|&i| i >= half);
    comma.map(after).or(blank).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn cut_into(text: &[u8], size: usize) -> Vec<String> {
        let (mut found, mut sentences) = (Vec::new(), Sentences::new());
        let mut keep = |s: &str| -> Result<(), Infallible> {
            found.push(s.to_owned());
            Ok(())
        };
        for piece in text.chunks(size) {
            let Ok(()) = sentences.push_bytes(piece, &mut keep);
        }
        let Ok(()) = sentences.finish_text(&mut keep);
        found
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        let text = "Dr. Smith paid 3.50 to J. Doe.  He left! \"Why?\" she asked\nagain. ...\n\nNo end here\n\nAm 3. Mai. Gut";
        let expected = [
            "Dr. Smith paid 3.50 to J. Doe.",
            "He left!",
            "\"Why?\" she asked again.",
            "No end here",
            "Am 3. Mai.",
            "Gut",
        ];
        assert_eq!(cut_into(text.as_bytes(), 1000), expected);
    }

    #[test]
    fn cuts_of_the_input_do_not_matter() {
        let text = "Größe zählt. Über allem: 你好。再见！ Ça va? Oui… Bon.\n\nFin".repeat(20);
        let whole = cut_into(text.as_bytes(), text.len());
        for size in [1, 2, 3, 7, 100] {
            assert_eq!(cut_into(text.as_bytes(), size), whole);
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_skipped_and_counted() {
        let mut sentences = Sentences::new();
        let mut found = Vec::new();
        let mut keep = |s: &str| -> Result<(), Infallible> {
            found.push(s.to_owned());
            Ok(())
        };
        let Ok(()) = sentences.push_bytes(b"A\x00b\x1b. \xff\xfe?!? \n\n Bold\x07ly\xc3", &mut keep);
        let Ok(()) = sentences.finish_text(&mut keep);
        assert_eq!(found, ["Ab.", "Boldly"]);
        assert_eq!(sentences.skipped_bytes(), 6);
        assert_eq!(sentences.skipped_sentences(), 1);
    }

    #[test]
    fn a_long_sentence_is_cut_and_nothing_is_lost() {
        let text = "word, another ".repeat(100) + &"x".repeat(1000);
        let found = cut_into(text.as_bytes(), 64);
        assert!(found.iter().all(|s| s.chars().count() <= MAX_SENTENCE), "{found:?}");
        let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).count();
        assert_eq!(found.iter().map(|s| letters(s)).sum::<usize>(), letters(&text));
    }
}
