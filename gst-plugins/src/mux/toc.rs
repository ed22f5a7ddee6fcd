//! GStreamer's table of contents as Matroska's chapters.

use siskin_core::container::Chapter;

/// The chapters of a table of contents, those of its first edition if it has any.
pub(super) fn to_chapters(toc: &gst::Toc) -> Vec<Chapter> {
    let entries = toc.entries();
    // Matroska has editions too, but one is enough for players, which show the first.
    let edition = entries.iter().find(|e| e.entry_type() == gst::TocEntryType::Edition);
    let entries = edition.map_or(entries.clone(), |e| e.sub_entries());
    let chapters = entries.iter().filter(|e| e.entry_type() == gst::TocEntryType::Chapter);
    chapters
        .filter_map(|entry| {
            let (start, stop) = entry.start_stop_times()?;
            let title = entry.tags().and_then(|t| t.get::<gst::tags::Title>().map(|t| t.get().to_owned()));
            Some(Chapter {
                start_ns: u64::try_from(start).ok()?,
                // A chapter without an end, or with one before its start, ends where the next begins.
                end_ns: u64::try_from(stop).ok().filter(|&stop| i64::try_from(stop).is_ok_and(|s| s > start)),
                title: title.unwrap_or_default(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_of_an_edition() {
        gst::init().expect("GStreamer");
        let mut chapter = gst::TocEntry::new(gst::TocEntryType::Chapter, "1");
        let mut tags = gst::TagList::new();
        tags.make_mut().add::<gst::tags::Title>(&"Dawn", gst::TagMergeMode::Append);
        let edit = chapter.make_mut();
        edit.set_start_stop_times(5, 9);
        edit.set_tags(Some(tags));
        let mut edition = gst::TocEntry::new(gst::TocEntryType::Edition, "0");
        edition.make_mut().append_sub_entry(chapter);
        let mut toc = gst::Toc::new(gst::TocScope::Global);
        toc.make_mut().append_entry(edition);
        assert_eq!(to_chapters(&toc), [Chapter { start_ns: 5, end_ns: Some(9), title: "Dawn".into() }]);
    }
}
