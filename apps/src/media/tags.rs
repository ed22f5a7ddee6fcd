//! What of an input's tags goes into a coded file.

use super::Source;

/// Tags that tell of the input file rather than of the recording.
const NOT_KEPT: [&str; 9] = [
    "encoder",
    "creation_time",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "handler_name",
    "vendor_id",
    "duration",
    "encoded_by",
];
/// Bounds on what is taken over from hostile tags.
// A megabyte at most, far beyond what recordings have.
const MAX_TAGS: usize = 100;
const MAX_TAG: usize = 10_000;

/// The tags of an input that tell of the recording.
pub(crate) fn kept_tags(source: &Source) -> Vec<(String, String)> {
    let wanted = |(key, value): &(String, String)| {
        !NOT_KEPT.contains(&key.to_lowercase().as_str()) && key.len() + value.len() <= MAX_TAG
    };
    // Matroska's tags are in upper case.
    let upper = |(key, value): (String, String)| (key.to_uppercase(), value);
    source.tags().into_iter().filter(wanted).map(upper).take(MAX_TAGS).collect()
}
