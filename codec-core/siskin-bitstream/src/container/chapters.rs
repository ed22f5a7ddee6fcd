//! Chapters (RFC 9559, section 5.1.7), one edition of them, without nesting.

use super::ebml::{self, child_elements, read_string, read_unsigned};
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
pub(super) fn write_chapters(chapters: &[Chapter], out: &mut Vec<u8>) {
    let (mut edition, mut body) = (Vec::new(), Vec::new());
    // Unique within the file and not 0 is all that RFC 9559 asks of a ChapterUID; counted, the same input gives the
    // same bytes.
    for (uid, chapter) in (1..).zip(chapters) {
        let (mut atom, mut display) = (Vec::new(), Vec::new());
        ebml::put_unsigned(id::CHAPTER_UID, uid, &mut atom);
        ebml::put_unsigned(id::CHAPTER_TIME_START, chapter.start_ns, &mut atom);
        chapter.end_ns.iter().for_each(|&end| ebml::put_unsigned(id::CHAPTER_TIME_END, end, &mut atom));
        ebml::put_element(id::CHAP_STRING, chapter.title.as_bytes(), &mut display);
        // Without the element a title is in English.
        ebml::put_element(id::CHAP_LANGUAGE, b"und", &mut display);
        ebml::put_element(id::CHAPTER_DISPLAY, &display, &mut atom);
        ebml::put_element(id::CHAPTER_ATOM, &atom, &mut edition);
    }
    ebml::put_element(id::EDITION_ENTRY, &edition, &mut body);
    ebml::put_element(id::CHAPTERS, &body, out);
}

/// The chapters of the first edition of a `Chapters` element.
pub(super) fn read_chapters(body: &[u8]) -> Vec<Chapter> {
    // Other editions order the same file differently; one list of chapters is all that is shown.
    let edition = child_elements(body).find(|(id, _)| *id == id::EDITION_ENTRY).map_or(&[][..], |(_, b)| b);
    let atoms = child_elements(edition).filter(|(id, _)| *id == id::CHAPTER_ATOM);
    atoms
        .map(|(_, atom)| {
            let find = |wanted| child_elements(atom).find(|(id, _)| *id == wanted).map(|(_, b)| b);
            // The first title; the others are translations.
            let display = find(id::CHAPTER_DISPLAY).unwrap_or_default();
            let title = child_elements(display).find(|(id, _)| *id == id::CHAP_STRING);
            Chapter {
                start_ns: find(id::CHAPTER_TIME_START).map_or(0, read_unsigned),
                end_ns: find(id::CHAPTER_TIME_END).map(read_unsigned),
                title: title.map(|(_, b)| read_string(b)).unwrap_or_default(),
            }
        })
        .collect()
}
