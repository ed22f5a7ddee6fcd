//! Phonemes of a sentence, from espeak-ng run as a separate program.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

use siskin_error::{Error, Result};
use siskin_model::bundle::LanguageSpec;

use crate::align::align_words;
use crate::clauses::{
    pause_mark, replace_phonemes, split_clauses, split_runs, strip_language_marks, strip_phoneme_input,
};
use crate::normalize::read_words;

/// The phonemes of a sentence with their words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phonemes {
    /// Phoneme characters (IPA), stress marks, blanks and punctuation.
    pub chars: Vec<char>,
    /// For each character the index of its word in `words`, if it has one.
    pub owners: Vec<Option<usize>>,
    /// The words of the text.
    pub words: Vec<String>,
}

/// Runs espeak-ng for phonemes.
#[derive(Debug, Clone)]
pub struct Phonemizer {
    program: OsString,
}

impl Phonemizer {
    /// Finds espeak-ng: the program that `ESPEAK_NG` names, else `espeak-ng` on the `PATH`.
    ///
    /// # Errors
    /// [`Error::Phonemes`] if it does not run.
    pub fn new() -> Result<Self> {
        let own = env::var_os("ESPEAK_NG").filter(|v| !v.is_empty());
        let phonemizer = Self { program: own.unwrap_or_else(|| "espeak-ng".into()) };
        // Tried here, so that a missing program is an error before the first sentence.
        phonemizer.run_espeak(&["--version"], "")?;
        Ok(phonemizer)
    }

    /// The phonemes of a sentence.
    ///
    /// # Errors
    /// [`Error::Phonemes`] if espeak-ng fails or does not have the language.
    pub fn phonemize_sentence(&self, sentence: &str, language: &LanguageSpec) -> Result<Phonemes> {
        let mut all = Phonemes::default();
        for (clause, mark) in split_clauses(sentence, &language.code) {
            let words: Vec<&str> = clause.split_whitespace().collect();
            // A clause without letters or digits has nothing to speak.
            let spoken = if clause.chars().any(char::is_alphanumeric) {
                self.phonemize_clause(&words, language)?
            } else {
                Vec::new()
            };
            if !all.chars.is_empty() && !spoken.is_empty() {
                all.push_char(' ', None);
            }
            let first = all.words.len();
            spoken.into_iter().for_each(|(c, owner)| all.push_char(c, owner.map(|o| o + first)));
            all.words.extend(words.into_iter().map(str::to_owned));
            if let Some(mark) = mark.filter(|_| !all.chars.is_empty()) {
                all.push_char(pause_mark(mark), None);
                // Subtitles show the punctuation with its word.
                if let Some(word) = all.words.last_mut() {
                    word.push(mark);
                }
            }
        }
        Ok(all)
    }

    /// The phonemes of a clause, each with its word.
    fn phonemize_clause(
        &self,
        words: &[&str],
        language: &LanguageSpec,
    ) -> Result<Vec<(char, Option<usize>)>> {
        let mut found = Vec::new();
        let read = read_words(words, &language.code);
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        for run in split_runs(&read) {
            let (owners, pieces): (Vec<usize>, Vec<&str>) = run.into_iter().unzip();
            if !found.is_empty() {
                found.push((' ', None));
            }
            let spoken = self.phonemize_run(&pieces, language)?;
            found.extend(spoken.into_iter().map(|(c, owner)| (c, owner.map(|o| owners[o]))));
        }
        Ok(found)
    }

    /// The phonemes of a run of words, each with its word.
    fn phonemize_run(&self, words: &[&str], language: &LanguageSpec) -> Result<Vec<(char, Option<usize>)>> {
        let joined = self.transcribe_ipa(&words.join(" "), language)?;
        let groups: Vec<&str> = joined.split(' ').filter(|g| !g.is_empty()).collect();
        let mut found = Vec::new();
        // One group per word: the usual case needs no alignment.
        if groups.len() == words.len() {
            for (index, group) in groups.iter().enumerate() {
                if index > 0 {
                    found.push((' ', None));
                }
                found.extend(group.chars().map(|c| (c, Some(index))));
            }
        } else {
            // Numbers become several words and small words merge: the phonemes of each word alone tell which is whose.
            let alone: Vec<String> =
                words.iter().map(|w| self.transcribe_ipa(w, language)).collect::<Result<Vec<_>>>()?;
            let chars: Vec<char> = groups.join(" ").chars().collect();
            let owners = align_words(&alone, &chars);
            found = chars.into_iter().zip(owners).collect();
        }
        for (from, to) in &language.replace {
            replace_phonemes(&mut found, from, to);
        }
        Ok(found)
    }

    /// The IPA transcription of espeak-ng without its language marks.
    fn transcribe_ipa(&self, text: &str, language: &LanguageSpec) -> Result<String> {
        let found =
            // Without sound (-q), the input as UTF-8 (-b 1).
            self.run_espeak(&["-q", "-b", "1", "--ipa", "-v", &language.espeak], &strip_phoneme_input(text))?;
        Ok(strip_language_marks(&found).replace('_', "").split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn run_espeak(&self, arguments: &[&str], input: &str) -> Result<String> {
        let name = self.program.to_string_lossy().into_owned();
        let fail = |reason: String| Error::Phonemes { program: name.clone(), reason };
        let mut child = Command::new(&self.program)
            .args(arguments)
            // In a locale without UTF-8 it writes question marks.
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| {
                fail(format!("{e}; install the package espeak-ng, or name the program in ESPEAK_NG"))
            })?;
        // A sentence is far smaller than a pipe's 64 KiB, so writing all of it first cannot block.
        if let Some(mut stdin) = child.stdin.take() {
            // A program that fails closes its input early; its status below says why.
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
    fn push_char(&mut self, c: char, owner: Option<usize>) {
        self.chars.push(c);
        self.owners.push(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let phonemizer = Phonemizer { program: "no-such-espeak".into() };
        let error = phonemizer.run_espeak(&[], "").expect_err("no program").to_string();
        assert!(error.contains("no-such-espeak"), "{error}");
    }
}
