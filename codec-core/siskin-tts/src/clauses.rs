//! Text preparation for espeak-ng: clauses, runs of words, and clean-up of its output.

use crate::normalize::is_abbreviated;

/// Punctuation between clauses that the networks know as pauses.
// The marks of Kokoro's vocabulary that end a clause, and Hindi's full stops.
pub(crate) const PUNCTUATION: [char; 10] = [';', ':', ',', '.', '!', '?', '…', '—', '।', '॥'];

/// Splits a text into clauses, each with the punctuation that ends it. It counts only before white space or the end, so
/// that `3.50` stays one number, and not after an abbreviation of the language `code`.
pub(crate) fn split_clauses<'a>(text: &'a str, code: &str) -> Vec<(&'a str, Option<char>)> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !PUNCTUATION.contains(&c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        let mut words = text[start..at].rsplit(char::is_whitespace);
        let (word, before) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = &text[end..];
        // As a sentence's end it would make a pause of 100 to 200 ms. At the end of the text it is one; in `etc., and` the
        // comma is the mark.
        let goes_on = rest.starts_with([',', ';', ':'])
            || rest.starts_with(char::is_whitespace) && !rest.trim().is_empty();
        if c == '.'
            && goes_on
            && is_abbreviated(before, word, rest.split_whitespace().next().unwrap_or_default(), code)
        {
            continue;
        }
        // `...` and `?!` are one mark.
        while let Some(&(i, next)) = chars.peek().filter(|(_, n)| PUNCTUATION.contains(n)) {
            end = i + next.len_utf8();
            chars.next();
        }
        if chars.peek().is_none_or(|(_, next)| next.is_whitespace()) {
            found.push((&text[start..at], Some(c)));
            start = end;
        }
    }
    if start < text.len() {
        found.push((&text[start..], None));
    }
    found
}

/// A mark as the networks know it: Hindi's full stops are in no vocabulary.
pub(crate) fn pause_mark(mark: char) -> char {
    if matches!(mark, '।' | '॥') { '.' } else { mark }
}

/// Phonemes passed to espeak-ng at once: its buffer holds a thousand, and it drops the rest of a clause without an error.
const MAX_PHONEMES: usize = 700;

/// Groups words, with their indices, into runs that espeak-ng takes at once; a longer word is split.
pub(crate) fn split_runs<'a>(words: &[&'a str]) -> Vec<Vec<(usize, &'a str)>> {
    // Upper bounds: a letter is one or two phonemes, a digit or a sign is a word of up to 12.
    let cost = |c: char| if c.is_alphabetic() && c < '\u{600}' { 2 } else { 12 };
    let (mut found, mut run, mut total) = (Vec::new(), Vec::new(), 0);
    for (index, word) in words.iter().enumerate() {
        let whole: usize = word.chars().map(cost).sum();
        if total + whole > MAX_PHONEMES && !run.is_empty() {
            found.push(std::mem::take(&mut run));
            total = 0;
        }
        let mut rest = *word;
        if whole > MAX_PHONEMES {
            // The upper bound per character, so that each piece fits.
            let most = MAX_PHONEMES / 12;
            while let Some((at, _)) = rest.char_indices().nth(most) {
                let (piece, later) = rest.split_at(at);
                found.push(vec![(index, piece)]);
                rest = later;
            }
        }
        run.push((index, rest));
        total += rest.chars().map(cost).sum::<usize>();
    }
    if !run.is_empty() {
        found.push(run);
    }
    found
}

/// Removes doubled brackets: espeak-ng reads the text in them as phonemes, but people write links to notes in them.
pub(crate) fn strip_phoneme_input(text: &str) -> String {
    let (mut out, mut before) = (String::with_capacity(text.len()), ' ');
    for c in text.chars() {
        // Without a space in place of the bracket, which would begin another word.
        if !(matches!(c, '[' | ']') && c == before) {
            out.push(c);
        }
        before = c;
    }
    out
}

/// Removes `(en)` and the like, with which espeak-ng marks words of another language.
pub(crate) fn strip_language_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('(') {
        let close = rest[open..].find(')').map(|c| open + c);
        // Only what looks like a language code: other text in brackets is spoken.
        let is_switch = close.is_some_and(|close| {
            close > open + 1 && rest[open + 1..close].chars().all(|c| c.is_ascii_lowercase() || c == '-')
        });
        let end = if is_switch { close.map_or(open + 1, |c| c + 1) } else { open + 1 };
        out.push_str(&rest[..if is_switch { open } else { end }]);
        rest = &rest[end..];
    }
    out + rest
}

/// Replaces every `from` by `to`, whose characters get the word of the first one replaced.
pub(crate) fn replace_phonemes(chars: &mut Vec<(char, Option<usize>)>, from: &str, to: &str) {
    let from: Vec<char> = from.chars().collect();
    if from.is_empty() {
        return;
    }
    let mut out = Vec::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        let hit = chars[at..].len() >= from.len() && chars[at..].iter().zip(&from).all(|((c, _), f)| c == f);
        if hit {
            out.extend(to.chars().map(|c| (c, chars[at].1)));
            at += from.len();
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    *chars = out;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_keep_their_marks() {
        let found = split_clauses("Well, it costs 3.50... or 1,000? Yes", "en-us");
        let expected =
            [("Well", Some(',')), (" it costs 3.50", Some('.')), (" or 1,000", Some('?')), (" Yes", None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn abbreviations_end_no_clause() {
        let found = split_clauses("Mr. Smith, Dr. J. Doe etc., and so on etc.", "en-us");
        let expected =
            [("Mr. Smith", Some(',')), (" Dr. J. Doe etc.", Some(',')), (" and so on etc", Some('.'))];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_danda_ends_a_clause_with_a_full_stops_pause() {
        let found = split_clauses("डॉ. शर्मा आए। वह गए॥", "hi");
        assert_eq!(found, [("डॉ. शर्मा आए", Some('।')), (" वह गए", Some('॥'))]);
        assert_eq!(['।', '॥', '?'].map(pause_mark), ['.', '.', '?']);
    }

    #[test]
    fn what_espeak_would_drop_is_given_in_runs() {
        assert_eq!(split_runs(&["a", "b"]), [[(0, "a"), (1, "b")]]);
        let digits = "1234567890".repeat(30);
        let found = split_runs(&["so", &digits, "many"]);
        assert!(found.iter().all(|r| r.iter().map(|(_, w)| w.len()).sum::<usize>() <= 70), "{found:?}");
        let joined: String = found.iter().flatten().filter(|(i, _)| *i == 1).map(|(_, w)| *w).collect();
        assert_eq!(joined, digits);
        let indices: Vec<usize> = found.iter().flatten().map(|(i, _)| *i).collect();
        assert!(indices.is_sorted() && indices.first() == Some(&0) && indices.last() == Some(&2));
    }

    #[test]
    fn double_brackets_are_no_phonemes() {
        assert_eq!(strip_phoneme_input("see [[Project]] and [[[x]]]"), "see [Project] and [x]");
        assert_eq!(strip_phoneme_input("a[1][2] [ [ ] ]"), "a[1][2] [ [ ] ]");
    }

    #[test]
    fn language_marks_are_removed() {
        assert_eq!(strip_language_marks("(en)kɒmpjˈuːtɐ(de) ʔʊnt (x"), "kɒmpjˈuːtɐ ʔʊnt (x");
    }

    #[test]
    fn replaced_phonemes_keep_their_word() {
        let mut chars: Vec<_> = "deɪ eɪ".chars().enumerate().map(|(i, c)| (c, Some(i / 3))).collect();
        replace_phonemes(&mut chars, "eɪ", "A");
        assert_eq!(chars, [('d', Some(0)), ('A', Some(0)), (' ', Some(1)), ('A', Some(1))]);
    }
}
