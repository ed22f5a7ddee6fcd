//! Phonemes of a sentence, from espeak-ng run as a program of its own.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

use super::align::owners;
use crate::{Error, Result};
use siskin_model::bundle::LanguageSpec;

/// Marks between clauses that the networks know as pauses.
pub(super) const PUNCTUATION: [char; 8] = [';', ':', ',', '.', '!', '?', '…', '—'];

/// The phonemes of a sentence and the words that they belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phonemes {
    /// Phoneme characters (IPA), stress marks, blanks and punctuation.
    pub chars: Vec<char>,
    /// For each character the place of its word in `words`, if it belongs to one.
    pub owners: Vec<Option<usize>>,
    /// The words of the text.
    pub words: Vec<String>,
}

/// Asks espeak-ng for phonemes.
#[derive(Debug, Clone)]
pub struct Phonemizer {
    program: OsString,
}

impl Phonemizer {
    /// Looks for espeak-ng: the program that `ESPEAK_NG` names, else `espeak-ng` on the `PATH`.
    ///
    /// # Errors
    /// [`Error::Phonemes`] if it does not run.
    pub fn new() -> Result<Self> {
        let own = env::var_os("ESPEAK_NG").filter(|v| !v.is_empty());
        let phonemizer = Self { program: own.unwrap_or_else(|| "espeak-ng".into()) };
        phonemizer.run(&["--version"], "")?;
        Ok(phonemizer)
    }

    /// The phonemes of a sentence.
    ///
    /// # Errors
    /// [`Error::Phonemes`] if espeak-ng fails or has not this language.
    pub fn phonemes(&self, sentence: &str, language: &LanguageSpec) -> Result<Phonemes> {
        let mut all = Phonemes::default();
        for (clause, mark) in clauses(sentence) {
            let words: Vec<&str> = clause.split_whitespace().collect();
            let spoken = if clause.chars().any(char::is_alphanumeric) {
                self.clause(&words, language)?
            } else {
                Vec::new()
            };
            if !all.chars.is_empty() && !spoken.is_empty() {
                all.push(' ', None);
            }
            let first = all.words.len();
            spoken.into_iter().for_each(|(c, owner)| all.push(c, owner.map(|o| o + first)));
            all.words.extend(words.into_iter().map(str::to_owned));
            if let Some(mark) = mark.filter(|_| !all.chars.is_empty()) {
                all.push(mark, None);
                // Readers want the mark with its word.
                if let Some(word) = all.words.last_mut() {
                    word.push(mark);
                }
            }
        }
        Ok(all)
    }

    /// The phonemes of a clause, each with its word.
    fn clause(&self, words: &[&str], language: &LanguageSpec) -> Result<Vec<(char, Option<usize>)>> {
        let mut found = Vec::new();
        for run in runs(words) {
            let (owners, pieces): (Vec<usize>, Vec<&str>) = run.into_iter().unzip();
            if !found.is_empty() {
                found.push((' ', None));
            }
            let spoken = self.run_of_words(&pieces, language)?;
            found.extend(spoken.into_iter().map(|(c, owner)| (c, owner.map(|o| owners[o]))));
        }
        Ok(found)
    }

    /// The phonemes of words spoken in one breath, each with its word.
    fn run_of_words(&self, words: &[&str], language: &LanguageSpec) -> Result<Vec<(char, Option<usize>)>> {
        let joined = self.ipa(&words.join(" "), language)?;
        let groups: Vec<&str> = joined.split(' ').filter(|g| !g.is_empty()).collect();
        let mut found = Vec::new();
        if groups.len() == words.len() {
            for (index, group) in groups.iter().enumerate() {
                if index > 0 {
                    found.push((' ', None));
                }
                found.extend(group.chars().map(|c| (c, Some(index))));
            }
        } else {
            // Numbers become several words and small words grow together: the words alone say what belongs to whom.
            let alone: Vec<String> =
                words.iter().map(|w| self.ipa(w, language)).collect::<Result<Vec<_>>>()?;
            let chars: Vec<char> = groups.join(" ").chars().collect();
            let owners = owners(&alone, &chars);
            found = chars.into_iter().zip(owners).collect();
        }
        for (from, to) in &language.replace {
            replace(&mut found, from, to);
        }
        Ok(found)
    }

    /// IPA of a text as espeak-ng writes it, without its marks of another language.
    fn ipa(&self, text: &str, language: &LanguageSpec) -> Result<String> {
        let found =
            self.run(&["-q", "-b", "1", "--ipa", "-v", &language.espeak], &without_phoneme_input(text))?;
        Ok(without_switches(&found).replace('_', "").split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let name = self.program.to_string_lossy().into_owned();
        let fail = |reason: String| Error::Phonemes { program: name.clone(), reason };
        let mut child = Command::new(&self.program)
            .args(arguments)
            // Elsewhere than in a UTF-8 locale it writes question marks.
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                fail(format!("{e}; install the package espeak-ng, or name the program in ESPEAK_NG"))
            })?;
        // A sentence is far smaller than a pipe, so writing it all first cannot block.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).ok();
        }
        let output = child.wait_with_output().map_err(|e| fail(e.to_string()))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(fail(format!("{}: {}", output.status, message.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Phonemes {
    fn push(&mut self, c: char, owner: Option<usize>) {
        self.chars.push(c);
        self.owners.push(owner);
    }
}

/// A text's clauses with the mark that ends each. A mark counts only before white space or the end, so that `3.50` stays
/// one number.
fn clauses(text: &str) -> Vec<(&str, Option<char>)> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !PUNCTUATION.contains(&c) {
            continue;
        }
        let mut end = at + c.len_utf8();
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

/// What espeak-ng takes at once: it holds a thousand phonemes and drops the rest of the clause without a word.
const MOST_PHONEMES: usize = 700;

/// The words in runs that espeak-ng takes whole, each with its place; a word beyond that is taken apart.
fn runs<'a>(words: &[&'a str]) -> Vec<Vec<(usize, &'a str)>> {
    // A letter is a phoneme or two; a digit or a sign is a word.
    let cost = |c: char| if c.is_alphabetic() && c < '\u{600}' { 2 } else { 12 };
    let (mut found, mut run, mut total) = (Vec::new(), Vec::new(), 0);
    for (index, word) in words.iter().enumerate() {
        let whole: usize = word.chars().map(cost).sum();
        if total + whole > MOST_PHONEMES && !run.is_empty() {
            found.push(std::mem::take(&mut run));
            total = 0;
        }
        let mut rest = *word;
        if whole > MOST_PHONEMES {
            let most = MOST_PHONEMES / 12;
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

/// Takes double brackets apart: espeak-ng reads what stands in them as phonemes, people write links to notes in them.
fn without_phoneme_input(text: &str) -> String {
    let (mut out, mut before) = (String::with_capacity(text.len()), ' ');
    for c in text.chars() {
        // A space would begin another word.
        if !(matches!(c, '[' | ']') && c == before) {
            out.push(c);
        }
        before = c;
    }
    out
}

/// Takes out `(en)` and the like, with which espeak-ng marks words of another language.
fn without_switches(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('(') {
        let close = rest[open..].find(')').map(|c| open + c);
        let is_switch = close.is_some_and(|close| {
            close > open + 1 && rest[open + 1..close].chars().all(|c| c.is_ascii_lowercase() || c == '-')
        });
        let end = if is_switch { close.map_or(open + 1, |c| c + 1) } else { open + 1 };
        out.push_str(&rest[..if is_switch { open } else { end }]);
        rest = &rest[end..];
    }
    out + rest
}

/// Replaces every `from` by `to`, whose characters belong to the word of the first replaced.
fn replace(chars: &mut Vec<(char, Option<usize>)>, from: &str, to: &str) {
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
        let found = clauses("Well, it costs 3.50... or 1,000? Yes");
        let expected =
            [("Well", Some(',')), (" it costs 3.50", Some('.')), (" or 1,000", Some('?')), (" Yes", None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn double_brackets_are_no_phonemes() {
        assert_eq!(without_phoneme_input("see [[Project]] and [[[x]]]"), "see [Project] and [x]");
        assert_eq!(without_phoneme_input("a[1][2] [ [ ] ]"), "a[1][2] [ [ ] ]");
    }

    #[test]
    fn what_espeak_would_drop_is_given_in_runs() {
        assert_eq!(runs(&["a", "b"]), [[(0, "a"), (1, "b")]]);
        let digits = "1234567890".repeat(30);
        let found = runs(&["so", &digits, "many"]);
        assert!(found.iter().all(|r| r.iter().map(|(_, w)| w.len()).sum::<usize>() <= 70), "{found:?}");
        let joined: String = found.iter().flatten().filter(|(i, _)| *i == 1).map(|(_, w)| *w).collect();
        assert_eq!(joined, digits);
        let indices: Vec<usize> = found.iter().flatten().map(|(i, _)| *i).collect();
        assert!(indices.is_sorted() && indices.first() == Some(&0) && indices.last() == Some(&2));
    }

    #[test]
    fn marks_of_another_language_go() {
        assert_eq!(without_switches("(en)kɒmpjˈuːtɐ(de) ʔʊnt (x"), "kɒmpjˈuːtɐ ʔʊnt (x");
    }

    #[test]
    fn replaced_phonemes_keep_their_word() {
        let mut chars: Vec<_> = "deɪ eɪ".chars().enumerate().map(|(i, c)| (c, Some(i / 3))).collect();
        replace(&mut chars, "eɪ", "A");
        assert_eq!(chars, [('d', Some(0)), ('A', Some(0)), (' ', Some(1)), ('A', Some(1))]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let phonemizer = Phonemizer { program: "no-such-espeak".into() };
        let error = phonemizer.run(&[], "").expect_err("no program").to_string();
        assert!(error.contains("no-such-espeak"), "{error}");
    }
}
