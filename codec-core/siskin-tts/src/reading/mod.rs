//! How abbreviations, units, sums and dates are read, a file for each language.
//!
//! Tables of our own: ICU4X has names of units and currencies only in `icu_experimental`, whose interface is unstable, and
//! `num2words` spells numbers, which espeak-ng does itself. What a table lacks is espeak-ng's to read.

mod de;
mod en;
mod es;
mod fr;
mod hi;
mod it;
mod pt;

/// A language's tables. Symbols are as written, names as espeak-ng is to read them.
pub(crate) struct Reading {
    /// What the language's code begins with.
    pub(crate) language: &'static str,
    /// Lower case, without the last full stop; one of two words has a space, and so has its name. An empty name leaves the
    /// reading to espeak-ng.
    pub(crate) abbreviations: &'static [(&'static str, &'static str)],
    /// Abbreviations that are no words and are read without their full stop too, which the end of a sentence takes.
    pub(crate) last_words: &'static [(&'static str, &'static str)],
    pub(crate) units: &'static [Unit],
    pub(crate) currencies: &'static [Currency],
    /// Between a sum and its hundredths.
    pub(crate) and: &'static str,
    /// Words between a number and its currency, and what the last of them has before the currency's name.
    pub(crate) magnitudes: &'static [(&'static str, &'static str)],
    pub(crate) months: [&'static str; 12],
    pub(crate) decimal: char,
}

/// A symbol after a number, its name after 1, and after other numbers.
pub(crate) type Unit = (&'static str, &'static str, &'static str);

/// A sign before or after a number, its name after 1, after other numbers, and that of hundredths, which may be left out.
pub(crate) type Currency = (&'static str, &'static str, &'static str, &'static str);

/// The tables of a language code such as `en-us`, if there are any.
pub(crate) fn find_reading(code: &str) -> Option<&'static Reading> {
    READINGS.into_iter().find(|r| code.starts_with(r.language))
}

static READINGS: [&Reading; 7] =
    [&en::READING, &de::READING, &es::READING, &fr::READING, &it::READING, &pt::READING, &hi::READING];

/// Whether a word of lower case before a full stop is an abbreviation in any of the languages: text is cut into sentences
/// before its language is asked for.
pub(crate) fn is_abbreviation_anywhere(word: &str) -> bool {
    READINGS.iter().any(|r| r.abbreviations.iter().chain(r.last_words).any(|(short, _)| *short == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_whole() {
        for reading in READINGS {
            for (short, name) in reading.abbreviations.iter().chain(reading.last_words) {
                let is_lower = *short == short.to_lowercase() && !short.ends_with('.');
                assert!(is_lower, "{}: {short:?}", reading.language);
                // Each word keeps its place, so that subtitles stay in step.
                let (words, read) = (short.split(' ').count(), name.split(' ').count());
                assert!(words == 1 || words == read, "{}: {short:?} as {name:?}", reading.language);
            }
            for list in [
                reading.units.iter().map(|u| u.0).collect::<Vec<_>>(),
                reading.currencies.iter().map(|c| c.0).collect(),
                reading.abbreviations.iter().map(|a| a.0).collect(),
            ] {
                let mut once = list.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), list.len(), "{}: one twice in {list:?}", reading.language);
            }
            // What every language has to have.
            for symbol in ["Hz", "kHz", "MHz", "GHz", "kb/s", "MB", "ms", "s", "km", "km/h", "kg", "dB", "°C"]
            {
                assert!(reading.units.iter().any(|u| u.0 == symbol), "{}: {symbol}", reading.language);
            }
            for sign in ["$", "€", "£", "¥"] {
                assert!(reading.currencies.iter().any(|c| c.0 == sign), "{}: {sign}", reading.language);
            }
        }
    }
}
