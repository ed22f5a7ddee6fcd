//! GStreamer's tags as Matroska's.

use gst::glib::translate::IntoGlib;
use gst::glib::{GStr, SendValue, gstr};
use gst::tags;

/// Tags of GStreamer and their names in Matroska (<https://www.matroska.org/technical/tagging.html>).
const NAMES: [(&GStr, &str); 15] = [
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
    (gstr!("isrc"), "ISRC"),
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
    let date_time = list.get::<tags::DateTime>().and_then(|d| d.get().to_iso8601_string().ok());
    let date = date_time
        .map(|d| d.to_string())
        .or_else(|| list.get::<tags::Date>().and_then(|d| to_iso_date(d.get())));
    found.extend(date.map(|d| ("DATE_RECORDED".to_owned(), d)));
    let mut number = |name: &str, value: Option<String>| found.extend(value.map(|v| (name.to_owned(), v)));
    number("PART_NUMBER", list.get::<tags::TrackNumber>().map(|n| n.get().to_string()));
    number("TOTAL_PARTS", list.get::<tags::TrackCount>().map(|n| n.get().to_string()));
    number("BPM", list.get::<tags::BeatsPerMinute>().map(|n| n.get().to_string()));
    // As the specification writes them: a gain with its unit, a peak as a part of full scale.
    number("REPLAYGAIN_GAIN", list.get::<tags::TrackGain>().map(|gain| format!("{:.2} dB", gain.get())));
    number("REPLAYGAIN_PEAK", list.get::<tags::TrackPeak>().map(|peak| format!("{:.6}", peak.get())));
    found
}

/// A date as `1999-12-31`.
fn to_iso_date(date: gst::glib::Date) -> Option<String> {
    let (year, month, day) = (date.year(), date.month(), date.day());
    date.valid().then(|| format!("{year:04}-{:02}-{day:02}", month.into_glib()))
}

/// The language of a track as Matroska writes it: the bibliographic code of ISO 639-2. What is no code of ISO 639 is none.
pub(super) fn language(list: &gst::TagListRef) -> Option<String> {
    let code = list.get::<tags::LanguageCode>()?;
    // A region, as in `pt-BR`, is none of the language.
    let code = code.get().split(['-', '_']).next()?.to_ascii_lowercase();
    gst_tag::language_codes::language_code_iso_639_2b(&code).map(|code| code.to_string())
}

/// The title of a track, or of all.
pub(super) fn title(list: &gst::TagListRef) -> Option<String> {
    list.get::<tags::Title>().map(|title| title.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_become_codes_of_three_letters() {
        gst::init().expect("GStreamer");
        for (given, expected) in [
            ("de", Some("ger")),
            ("eng", Some("eng")),
            ("deu", Some("ger")),
            ("pt-BR", Some("por")),
            ("Klingon", None),
        ] {
            let mut list = gst::TagList::new();
            list.make_mut().add::<tags::LanguageCode>(&given, gst::TagMergeMode::Append);
            assert_eq!(language(&list).as_deref(), expected, "{given}");
        }
        assert_eq!(language(&gst::TagList::new()), None);
    }

    #[test]
    fn dates_and_gains_have_the_forms_of_the_specification() {
        gst::init().expect("GStreamer");
        let mut list = gst::TagList::new();
        let edit = list.make_mut();
        let date = gst::glib::Date::from_dmy(5, gst::glib::DateMonth::March, 2001).expect("a date");
        edit.add::<tags::Date>(&date, gst::TagMergeMode::Append);
        edit.add::<tags::ISRC>(&"DEX000000001", gst::TagMergeMode::Append);
        edit.add::<tags::TrackGain>(&-7.034, gst::TagMergeMode::Append);
        edit.add::<tags::TrackPeak>(&0.5, gst::TagMergeMode::Append);
        let pairs: Vec<_> = to_matroska(&list).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        let expected = [
            "ISRC=DEX000000001",
            "DATE_RECORDED=2001-03-05",
            "REPLAYGAIN_GAIN=-7.03 dB",
            "REPLAYGAIN_PEAK=0.500000",
        ];
        assert_eq!(pairs, expected);
    }

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
