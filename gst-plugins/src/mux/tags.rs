//! GStreamer's tags as Matroska's.

use gst::glib::{GStr, SendValue, gstr};
use gst::tags;

/// Tags of GStreamer and their names in Matroska (<https://www.matroska.org/technical/tagging.html>).
const NAMES: [(&GStr, &str); 14] = [
    (gstr!("title"), "TITLE"),
    (gstr!("artist"), "ARTIST"),
    (gstr!("album"), "ALBUM"),
    (gstr!("album-artist"), "ACCOMPANIMENT"),
    (gstr!("composer"), "COMPOSER"),
    (gstr!("performer"), "LEAD_PERFORMER"),
    (gstr!("genre"), "GENRE"),
    (gstr!("comment"), "COMMENT"),
    (gstr!("description"), "DESCRIPTION"),
    (gstr!("keywords"), "KEYWORDS"),
    (gstr!("copyright"), "COPYRIGHT"),
    (gstr!("license"), "LICENSE"),
    (gstr!("encoder"), "ENCODER"),
    (gstr!("encoded-by"), "ENCODED_BY"),
];

/// The tags that have a name in Matroska.
pub(super) fn to_matroska(list: &gst::TagListRef) -> Vec<(String, String)> {
    let text = |value: &SendValue| value.get::<String>().ok();
    let mut found: Vec<(String, String)> = Vec::new();
    // What is not listed stays out: the bit rate and the codec, for example, are those of what was decoded.
    for (tag, name) in NAMES {
        found.extend(list.iter_tag_generic(tag).filter_map(text).map(|v| (name.to_owned(), v)));
    }
    let date = list.get::<tags::DateTime>().and_then(|d| d.get().to_iso8601_string().ok());
    found.extend(date.map(|d| ("DATE_RECORDED".to_owned(), d.to_string())));
    let number = list.get::<tags::TrackNumber>().map(|n| n.get().to_string());
    found.extend(number.map(|n| ("PART_NUMBER".to_owned(), n)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tags_are_kept_and_others_left_out() {
        gst::init().expect("GStreamer");
        let mut list = gst::TagList::new();
        let edit = list.make_mut();
        edit.add::<tags::Title>(&"A title", gst::TagMergeMode::Append);
        edit.add::<tags::Artist>(&"One", gst::TagMergeMode::Append);
        edit.add::<tags::Artist>(&"Two", gst::TagMergeMode::Append);
        edit.add::<tags::TrackNumber>(&3, gst::TagMergeMode::Append);
        edit.add::<tags::Bitrate>(&6000, gst::TagMergeMode::Append);
        let pairs: Vec<_> = to_matroska(&list).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(pairs, ["TITLE=A title", "ARTIST=One", "ARTIST=Two", "PART_NUMBER=3"]);
    }
}
