//! Text as espeak-ng is to read it: abbreviations, units, sums and dates in words. Each word keeps its place, so that
//! subtitles show the text as it was written.

use crate::reading::{Reading, find_reading};

/// Ordinals of German, of which espeak-ng reads none.
const GERMAN_ORDINALS: [&str; 31] = [
    "erst",
    "zweit",
    "dritt",
    "viert",
    "fünft",
    "sechst",
    "siebt",
    "acht",
    "neunt",
    "zehnt",
    "elft",
    "zwölft",
    "dreizehnt",
    "vierzehnt",
    "fünfzehnt",
    "sechzehnt",
    "siebzehnt",
    "achtzehnt",
    "neunzehnt",
    "zwanzigst",
    "einundzwanzigst",
    "zweiundzwanzigst",
    "dreiundzwanzigst",
    "vierundzwanzigst",
    "fünfundzwanzigst",
    "sechsundzwanzigst",
    "siebenundzwanzigst",
    "achtundzwanzigst",
    "neunundzwanzigst",
    "dreißigst",
    "einunddreißigst",
];

/// Whether the full stop after `word` ends no clause, given the word that follows.
pub(crate) fn is_abbreviated(word: &str, next: &str, code: &str) -> bool {
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let Some(reading) = find_reading(code) else { return is_initial };
    let is_day = reading.language == "de" && ordinal(word).is_some() && month_of(next, reading);
    is_initial || is_day || abbreviation(word, reading).is_some()
}

/// What espeak-ng is to read for each of these words.
pub(crate) fn read_words(words: &[&str], code: &str) -> Vec<String> {
    let Some(reading) = find_reading(code) else { return words.iter().map(|w| (*w).to_owned()).collect() };
    let mut read: Vec<String> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let (before, next) = (at.checked_sub(1).map(|i| words[i]), words.get(at + 1).copied());
        let (first, second) = read_word(words[at], before, next, reading, code);
        read.push(first);
        at += 1;
        if let Some(second) = second {
            read.push(second);
            at += 1;
        }
    }
    read
}

/// The reading of a word, and that of the next one where the two belong together.
fn read_word(
    word: &str,
    before: Option<&str>,
    next: Option<&str>,
    reading: &Reading,
    code: &str,
) -> (String, Option<String>) {
    let bare = trim_marks(word);
    if let Some(name) = bare.strip_suffix('.').and_then(|w| abbreviation(w, reading)) {
        return (if name.is_empty() { bare.to_owned() } else { name.to_owned() }, None);
    }
    if let Some(day) = bare.strip_suffix('.').and_then(ordinal).filter(|_| reading.language == "de")
        && next.is_some_and(|n| month_of(n, reading))
    {
        return (format!("{}{}", GERMAN_ORDINALS[day - 1], german_ending(before)), None);
    }
    if let Some(date) = read_date(bare, before, reading, code) {
        return (date, None);
    }
    // A sum: the sign before the number, after it, or as the next word.
    for &(sign, one, many) in reading.currencies {
        let attached = bare.strip_prefix(sign).or_else(|| bare.strip_suffix(sign));
        if let Some(number) = attached.filter(|n| is_number(n)) {
            if let Some(magnitude) = next.filter(|n| reading.magnitudes.contains(&trim_marks(n))) {
                return (number.to_owned(), Some(format!("{magnitude} {many}")));
            }
            let (number, rest) = read_sum(number, one, many, reading);
            return (format!("{number} {rest}"), None);
        }
        if is_number(bare) && next.is_some_and(|n| trim_marks(n) == sign) {
            let (number, rest) = read_sum(bare, one, many, reading);
            return (number, Some(rest));
        }
    }
    // A unit: at the number, or as the next word.
    let digits = bare.trim_end_matches(|c: char| !c.is_ascii_digit());
    if is_number(digits) {
        let name = |symbol: &str| {
            let unit = reading.units.iter().find(|(s, _, _)| *s == symbol)?;
            Some(if is_one(digits) { unit.1 } else { unit.2 })
        };
        if let Some(name) = name(&bare[digits.len()..]) {
            return (format!("{digits} {name}"), None);
        }
        if let Some(name) = next.filter(|_| digits == bare).and_then(|n| name(trim_marks(n))) {
            return (digits.to_owned(), Some(name.to_owned()));
        }
    }
    (word.to_owned(), None)
}

/// A sum as its whole number, and what follows: `5.20` as `5` and `dollars 20`.
fn read_sum(number: &str, one: &str, many: &str, reading: &Reading) -> (String, String) {
    let (whole, cents) = number.rsplit_once(reading.decimal).unwrap_or((number, ""));
    let name = if is_one(whole) { one } else { many };
    match cents {
        "" | "00" => (whole.to_owned(), name.to_owned()),
        // Two digits are hundredths; another count is a fraction, of which there are many.
        _ if cents.len() == 2 => {
            let cents = cents.trim_start_matches('0');
            let parts = [name, reading.and, cents].into_iter().filter(|part| !part.is_empty());
            (whole.to_owned(), parts.collect::<Vec<_>>().join(" "))
        }
        _ => (number.to_owned(), many.to_owned()),
    }
}

/// A date of digits with a year of four, if it is one of the calendar.
fn read_date(word: &str, before: Option<&str>, reading: &Reading, code: &str) -> Option<String> {
    let separator = ['-', '/', '.'].into_iter().find(|s| word.matches(*s).count() == 2)?;
    let parts: Vec<&str> = word.split(separator).collect();
    let number =
        |at: usize| parts[at].parse::<usize>().ok().filter(|_| parts[at].chars().all(|c| c.is_ascii_digit()));
    let (a, b, c) = (number(0)?, number(1)?, number(2)?);
    let (day, month, year) = match separator {
        '-' if parts[0].len() == 4 => (c, b, parts[0]),
        // Of the languages here only American English names the month first.
        '/' if parts[2].len() == 4 && code == "en-us" => (b, a, parts[2]),
        '/' | '.' if parts[2].len() == 4 => (a, b, parts[2]),
        _ => return None,
    };
    let name = reading.months.get(month.checked_sub(1)?)?;
    if !(1..=31).contains(&day) {
        return None;
    }
    Some(match reading.language {
        "en" => {
            let ending = match day {
                1 | 21 | 31 => "st",
                2 | 22 => "nd",
                3 | 23 => "rd",
                _ => "th",
            };
            format!("{name} {day}{ending} {year}")
        }
        "de" => format!("{}{} {name} {year}", GERMAN_ORDINALS[day - 1], german_ending(before)),
        "fr" if day == 1 => format!("premier {name} {year}"),
        "fr" | "it" => format!("{day} {name} {year}"),
        _ => format!("{day} de {name} de {year}"),
    })
}

/// The ending of a German ordinal: after these words a date is in the dative or accusative.
fn german_ending(before: Option<&str>) -> &'static str {
    let oblique = ["am", "vom", "zum", "dem", "den", "ab", "bis", "seit", "bis zum", "beim"];
    let is_oblique = before.is_some_and(|b| oblique.contains(&b.to_lowercase().as_str()));
    if is_oblique { "en" } else { "er" }
}

fn abbreviation(word: &str, reading: &Reading) -> Option<&'static str> {
    let word = word.to_lowercase();
    reading.abbreviations.iter().find(|(short, _)| *short == word).map(|(_, name)| *name)
}

/// The day of the month that a word of digits is.
fn ordinal(word: &str) -> Option<usize> {
    let digits = (1..=2).contains(&word.len()) && word.chars().all(|c| c.is_ascii_digit());
    word.parse().ok().filter(|n| digits && (1..=31).contains(n))
}

fn month_of(word: &str, reading: &Reading) -> bool {
    let word = trim_marks(word).trim_end_matches(['.', ',', ';', ':', '!', '?']);
    reading.months.contains(&word) || abbreviation(word, reading).is_some_and(|m| reading.months.contains(&m))
}

/// Digits, with marks of groups and decimals between them.
fn is_number(word: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    word.starts_with(is_digit)
        && word.ends_with(is_digit)
        && word.chars().all(|c| is_digit(c) || matches!(c, '.' | ','))
}

fn is_one(number: &str) -> bool {
    number == "1"
}

/// A word without brackets and quotes around it.
fn trim_marks(word: &str) -> &str {
    word.trim_matches(['(', ')', '[', ']', '"', '\'', '“', '”', '„', '«', '»', '’', '‘'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, code: &str) -> String {
        let words: Vec<&str> = text.split(' ').collect();
        let read = read_words(&words, code);
        assert_eq!(read.len(), words.len(), "each word keeps its place");
        read.join(" ")
    }

    #[test]
    fn english_is_read_as_people_do() {
        for (text, expected) in [
            ("Mr. Smith", "mister Smith"),
            ("cats, dogs etc. too", "cats, dogs et cetera too"),
            ("$5.20 for (48 kHz)", "5 dollars 20 for 48 kilohertz"),
            ("$1.00 or £2 or €0.05", "1 dollar or 2 pounds or 0 euros 5"),
            ("$1.5 million", "1.5 million dollars"),
            ("1 km at 100km/h", "1 kilometer at 100 kilometers per hour"),
            ("24 kb/s, 3 ms", "24 kb/s, 3 milliseconds"),
            ("2026-11-28 and 3/4/2026", "November 28th 2026 and March 4th 2026"),
            ("3.50 no 2026-13-01 1.2.3", "3.50 no 2026-13-01 1.2.3"),
        ] {
            assert_eq!(read(text, "en-us"), expected);
        }
        assert_eq!(read("3/4/2026", "en-gb"), "April 3rd 2026");
    }

    #[test]
    fn other_languages_have_words_of_their_own() {
        assert_eq!(read("am 3. Mai", "de"), "am dritten Mai");
        assert_eq!(
            read("28.11.2026 z. B. 5,20 €", "de"),
            "achtundzwanzigster November 2026 zum Beispiel 5 Euro 20"
        );
        assert_eq!(read("Dr. Müller usw. 48 kHz", "de"), "Doktor Müller und so weiter 48 Kilohertz");
        assert_eq!(
            read("M. Dupont 1/11/2026 5,20 €", "fr-fr"),
            "monsieur Dupont premier novembre 2026 5 euros 20"
        );
        assert_eq!(read("28/11/2026 5,20 €", "es"), "28 de noviembre de 2026 5 euros con 20");
        assert_eq!(read("Sig. Rossi 1 km", "it"), "signor Rossi 1 chilometro");
        assert_eq!(read("R$5,20", "pt-br"), "5 reais e 20");
        assert_eq!(read("48 kHz", "hi"), "48 kHz", "a language without tables");
    }

    #[test]
    fn full_stops_of_abbreviations_end_no_clause() {
        assert!(is_abbreviated("Mr", "Smith", "en-us") && is_abbreviated("J", "Doe", "hi"));
        assert!(is_abbreviated("3", "Mai", "de") && !is_abbreviated("3", "Tage", "de"));
        assert!(!is_abbreviated("end", "The", "en-us") && !is_abbreviated("no", "He", "en-us"));
    }
}
