//! Chapters (RFC 9559, section 5.1.7), one edition of them, without nesting.

use super::ebml::{self, children, string, unsigned};
use super::id;

/// A named part of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chapter {
    /// Where it begins, in nanoseconds.
    pub start_ns: u64,
    /// Where it ends, if that is stated.
    pub end_ns: Option<u64>,
    /// Its title; may be empty.
    pub title: String,
}

/// Appends the `Chapters` element.
pub(super) fn write(chapters: &[Chapter], out: &mut Vec<u8>) {
    let (mut edition, mut body) = (Vec::new(), Vec::new());
    for (uid, chapter) in (1..).zip(chapters) {
        let (mut atom, mut display) = (Vec::new(), Vec::new());
        ebml::put_unsigned(id::CHAPTER_UID, uid, &mut atom);
        ebml::put_unsigned(id::CHAPTER_TIME_START, chapter.start_ns, &mut atom);
        chapter.end_ns.iter().for_each(|&end| ebml::put_unsigned(id::CHAPTER_TIME_END, end, &mut atom));
        ebml::put(id::CHAP_STRING, chapter.title.as_bytes(), &mut display);
        // Without the element a title is in English.
        ebml::put(id::CHAP_LANGUAGE, b"und", &mut display);
        ebml::put(id::CHAPTER_DISPLAY, &display, &mut atom);
        ebml::put(id::CHAPTER_ATOM, &atom, &mut edition);
    }
    ebml::put(id::EDITION_ENTRY, &edition, &mut body);
    ebml::put(id::CHAPTERS, &body, out);
}

/// The chapters of the first edition of a `Chapters` element.
pub(super) fn read(body: &[u8]) -> Vec<Chapter> {
    let edition = children(body).find(|(id, _)| *id == id::EDITION_ENTRY).map_or(&[][..], |(_, b)| b);
    let atoms = children(edition).filter(|(id, _)| *id == id::CHAPTER_ATOM);
    atoms
        .map(|(_, atom)| {
            let find = |wanted| children(atom).find(|(id, _)| *id == wanted).map(|(_, b)| b);
            let display = find(id::CHAPTER_DISPLAY).unwrap_or_default();
            let title = children(display).find(|(id, _)| *id == id::CHAP_STRING);
            Chapter {
                start_ns: find(id::CHAPTER_TIME_START).map_or(0, unsigned),
                end_ns: find(id::CHAPTER_TIME_END).map(unsigned),
                title: title.map(|(_, b)| string(b)).unwrap_or_default(),
            }
        })
        .collect()
}
