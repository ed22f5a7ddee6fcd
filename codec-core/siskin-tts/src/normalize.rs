//! Text as espeak-ng is to read it: abbreviations, units, sums and dates in words. Each word keeps its place, so that
//! subtitles show the text as it was written.

use crate::reading::{Currency, Reading, find_reading};

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

/// Whether the full stop after `word` ends no clause, given the words before and after it.
pub(crate) fn is_abbreviated(before: &str, word: &str, next: &str, code: &str) -> bool {
    let bare = |word: &str| word.trim_start_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let word = bare(word);
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let Some(reading) = find_reading(code) else { return is_initial };
    let is_day = reading.language == "de" && ordinal(&word).is_some() && month_of(next, reading);
    is_initial
        || is_day
        || abbreviation(&word, reading).is_some()
        || last_word(&word, reading).is_some()
        || pair(&format!("{word}."), next, reading).is_some()
        || pair(&bare(before), &word, reading).is_some()
}

/// What espeak-ng is to read for each of these words.
pub(crate) fn read_words(words: &[&str], code: &str) -> Vec<String> {
    let Some(reading) = find_reading(code) else { return words.iter().map(|w| (*w).to_owned()).collect() };
    let words: Vec<String> = words.iter().map(|word| in_ascii_digits(word)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut read: Vec<String> = Vec::with_capacity(words.len());
    while read.len() < words.len() {
        let at = read.len();
        let before = at.checked_sub(1).map(|i| words[i]);
        read.extend(read_next(&words[at..], before, reading, code));
    }
    read
}

/// The digits of Devanagari as ASCII ones, which espeak-ng reads alike.
fn in_ascii_digits(word: &str) -> String {
    let digit = |c| match c {
        '०'..='९' => char::from_digit(u32::from(c) - u32::from('०'), 10).unwrap_or(c),
        _ => c,
    };
    word.chars().map(digit).collect()
}

/// The readings of the first word and of those that belong to it; `words` is not empty.
fn read_next(words: &[&str], before: Option<&str>, reading: &Reading, code: &str) -> Vec<String> {
    let (word, next) = (words[0], words.get(1).copied());
    let bare = trim_marks(word);
    if let Some((first, second)) = next.and_then(|next| pair(bare, trim_marks(next), reading)) {
        return vec![first.to_owned(), second.to_owned()];
    }
    if let Some(name) = bare.strip_suffix('.').and_then(|w| abbreviation(w, reading)) {
        return vec![if name.is_empty() { bare.to_owned() } else { name.to_owned() }];
    }
    if let Some(name) = last_word(bare.strip_suffix('.').unwrap_or(bare), reading) {
        return vec![name.to_owned()];
    }
    if let Some(day) = bare.strip_suffix('.').and_then(ordinal).filter(|_| reading.language == "de")
        && next.is_some_and(|n| month_of(n, reading))
    {
        return vec![format!("{}{}", GERMAN_ORDINALS[day - 1], german_ending(before))];
    }
    if let Some(date) = read_date(bare, before, reading, code) {
        return vec![date];
    }
    read_sum(bare, &words[1..], reading)
        .or_else(|| read_unit(bare, next, reading))
        .unwrap_or_else(|| vec![word.to_owned()])
}

/// A sum of money: the sign before the number, after it, or as a word of its own behind it.
fn read_sum(bare: &str, rest: &[&str], reading: &Reading) -> Option<Vec<String>> {
    let of_magnitude =
        |word: &str| reading.magnitudes.iter().find(|(m, _)| *m == trim_marks(word)).map(|(_, link)| *link);
    let links: Vec<&str> = rest.iter().map_while(|word| of_magnitude(word)).collect();
    reading.currencies.iter().find_map(|currency| {
        let &(sign, _, many, _) = currency;
        let attached = bare.strip_prefix(sign).or_else(|| bare.strip_suffix(sign)).filter(|n| is_number(n));
        let is_behind = is_number(bare) && rest.get(links.len()).is_some_and(|next| trim_marks(next) == sign);
        let number = attached.or(is_behind.then_some(bare))?;
        let Some((link, earlier)) = links.split_last() else {
            let (number, name) = name_sum(number, currency, reading);
            return Some(if is_behind { vec![number, name] } else { vec![format!("{number} {name}")] });
        };
        let mut read = vec![number.to_owned()];
        read.extend(rest[..earlier.len()].iter().map(|word| (*word).to_owned()));
        let (last, name) = (rest[earlier.len()], link_name(link, many));
        read.extend(if is_behind { vec![last.to_owned(), name] } else { vec![format!("{last} {name}")] });
        Some(read)
    })
}

/// The name of a currency behind a word like "million", with what goes between them.
fn link_name(link: &str, name: &str) -> String {
    match link {
        "" => name.to_owned(),
        // French elides: millions d'euros.
        "de" if name.starts_with("euro") => format!("d'{name}"),
        _ => format!("{link} {name}"),
    }
}

/// A unit: at the number, or as the next word.
fn read_unit(bare: &str, next: Option<&str>, reading: &Reading) -> Option<Vec<String>> {
    let digits = bare.trim_end_matches(|c: char| !c.is_ascii_digit());
    let name = |symbol: &str| {
        // A full stop behind it is that of a sentence.
        let symbol = symbol.strip_suffix('.').unwrap_or(symbol);
        let unit = reading.units.iter().find(|(s, _, _)| *s == symbol)?;
        Some(if is_one(digits) { unit.1 } else { unit.2 })
    };
    if !is_number(digits) {
        return None;
    }
    if let Some(name) = name(&bare[digits.len()..]) {
        return Some(vec![format!("{digits} {name}")]);
    }
    let name = next.filter(|_| digits == bare).and_then(|n| name(trim_marks(n)))?;
    Some(vec![digits.to_owned(), name.to_owned()])
}

/// A sum as its whole number, and what follows: `5.20` as `5` and `dollars 20`.
fn name_sum(number: &str, currency: &Currency, reading: &Reading) -> (String, String) {
    let &(_, one, many, hundredths) = currency;
    let (whole, cents) = number.rsplit_once(reading.decimal).unwrap_or((number, ""));
    let name = if is_one(whole) { one } else { many };
    match cents {
        "" | "00" => (whole.to_owned(), name.to_owned()),
        // Two digits are hundredths; another count is a fraction, of which there are many.
        _ if cents.len() == 2 => {
            let cents = cents.trim_start_matches('0');
            let parts = [name, reading.and, cents, hundredths].into_iter().filter(|part| !part.is_empty());
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
        '-' | '/' if parts[0].len() == 4 => (c, b, parts[0]),
        // Of the languages here only American English names the month first.
        '/' if parts[2].len() == 4 && code == "en-us" => (b, a, parts[2]),
        // With hyphens English writes either first.
        '-' if reading.language == "en" => return None,
        _ if parts[2].len() == 4 => (a, b, parts[2]),
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
        "it" if day == 1 => format!("primo {name} {year}"),
        "pt" if day == 1 => format!("primeiro de {name} de {year}"),
        "fr" | "it" | "hi" => format!("{day} {name} {year}"),
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

/// The reading of a word that is an abbreviation with its full stop and without.
fn last_word(word: &str, reading: &Reading) -> Option<&'static str> {
    let word = word.to_lowercase();
    reading.last_words.iter().find(|(short, _)| *short == word).map(|(_, name)| *name)
}

/// The readings of two words that are one abbreviation; the second one's full stop may be a sentence's and gone.
fn pair(first: &str, second: &str, reading: &Reading) -> Option<(&'static str, &'static str)> {
    let key = format!("{first} {}", second.strip_suffix('.').unwrap_or(second)).to_lowercase();
    reading.abbreviations.iter().find(|(short, _)| *short == key).and_then(|(_, name)| name.split_once(' '))
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
    fn german_has_ordinals_and_abbreviations_of_two_words() {
        for (text, expected) in [
            ("am 3. Mai", "am dritten Mai"),
            ("28.11.2026 z. B. 5,20 €", "achtundzwanzigster November 2026 zum Beispiel 5 Euro 20"),
            ("Dr. Müller usw. 48 kHz", "Doktor Müller und so weiter 48 Kilohertz"),
            // The last full stop is the sentence's and is gone by then.
            ("Äpfel (z. B) usw", "Äpfel zum Beispiel und so weiter"),
            ("3 Mio. € und 2 Millionen €", "3 Mio. Euro und 2 Millionen Euro"),
        ] {
            assert_eq!(read(text, "de"), expected);
        }
    }

    #[test]
    fn romance_languages_link_millions_and_begin_months() {
        for (code, text, expected) in [
            ("fr-fr", "M. Dupont 1/11/2026 5,20 €", "monsieur Dupont premier novembre 2026 5 euros 20"),
            ("fr-fr", "1,5 million € et $3 milliards", "1,5 million d'euros et 3 milliards de dollars"),
            ("fr-fr", "p. ex. 3 Mo, 5 mm.", "par exemple 3 Mo, 5 millimètres"),
            ("es", "28/11/2026 5,20 €", "28 de noviembre de 2026 5 euros con 20"),
            ("es", "$5 mil millones en EE. UU.", "5 mil millones de dólares en Estados Unidos"),
            ("es", "Ud. y la Srta. Paz a 90 km/h", "usted y la señorita Paz a 90 kilómetros por hora"),
            ("it", "Sig. Rossi 1 km", "signor Rossi 1 chilometro"),
            ("it", "1/5/2026 e 2-5-2026 ecc", "primo maggio 2026 e 2 maggio 2026 eccetera"),
            ("it", "2 milioni €", "2 milioni di euro"),
            ("pt-br", "R$5,20 em 1/5/2026", "5 reais e 20 em primeiro de maio de 2026"),
            ("pt-br", "R$2 milhões", "2 milhões de reais"),
        ] {
            assert_eq!(read(text, code), expected);
        }
    }

    #[test]
    fn hindi_is_read_with_either_digits() {
        for (text, expected) in [
            ("डॉ. शर्मा ४८ kHz", "डॉक्टर शर्मा 48 किलोहर्ट्ज़"),
            ("₹5.20 और ₹१", "5 रुपये 20 पैसे और 1 रुपया"),
            ("₹1.5 लाख करोड़", "1.5 लाख करोड़ रुपये"),
            ("28-11-2026 तथा २८/११/२०२६", "28 नवंबर 2026 तथा 28 नवंबर 2026"),
            ("5 कि.मी. दूर 3 किग्रा", "5 किलोमीटर दूर 3 किलोग्राम"),
            ("1,00,000 रु.", "1,00,000 रुपये"),
        ] {
            assert_eq!(read(text, "hi"), expected);
        }
        assert_eq!(read("48 kHz", "ja"), "48 kHz", "a language without tables");
    }

    #[test]
    fn full_stops_of_abbreviations_end_no_clause() {
        assert!(is_abbreviated("", "Mr", "Smith", "en-us") && is_abbreviated("", "J", "Doe", "hi"));
        assert!(is_abbreviated("", "3", "Mai", "de") && !is_abbreviated("", "3", "Tage", "de"));
        assert!(!is_abbreviated("the", "end", "The", "en-us") && !is_abbreviated("", "no", "He", "en-us"));
        // Both halves of one of two words, and neither half alone.
        assert!(is_abbreviated("", "p", "ej.", "es") && is_abbreviated("p.", "ej", "la", "es"));
        assert!(!is_abbreviated("", "p", "la", "es") && !is_abbreviated("un", "ej", "la", "es"));
    }
}
