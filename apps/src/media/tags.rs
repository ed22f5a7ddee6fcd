//! What of an input's tags goes into a coded file.

use super::Source;

/// Tags that tell of the input file rather than of the recording. What this program writes itself is among them.
const NOT_KEPT: [&str; 10] = [
    "encoder",
    "encoder_settings",
    "chroma_sample_location",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "handler_name",
    "vendor_id",
    "duration",
    "source_id",
];
/// What mkvmerge counts of a track; older versions put a language behind it (`BPS-eng`).
const STATISTICS: [&str; 4] = ["bps", "number_of_bytes", "number_of_frames", "_statistics_"];
/// Bounds on what is taken over from hostile tags.
// Far beyond what recordings have; lyrics and logs of rippers take tens of kilobytes.
const MAX_TAGS: usize = 1000;
const MAX_BYTES: usize = 1 << 20;

/// The tags of an input that tell of the recording, and how many there were no room for.
pub(crate) fn kept_tags(source: &Source) -> (Vec<(String, String)>, usize) {
    let (mut kept, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for (key, value) in source.tags() {
        if is_of_file(&key.to_lowercase()) {
            continue;
        }
        let size = key.len() + value.len();
        if kept.len() >= MAX_TAGS || bytes + size > MAX_BYTES {
            left_out += 1;
            continue;
        }
        bytes += size;
        // Matroska's tags are in upper case.
        kept.push((key.to_uppercase(), value));
    }
    (kept, left_out)
}

fn is_of_file(key: &str) -> bool {
    let is_counted = |name: &&str| match key.strip_prefix(*name) {
        Some(rest) => name.ends_with('_') || rest.is_empty() || rest.starts_with('-'),
        None => false,
    };
    NOT_KEPT.contains(&key) || STATISTICS.iter().any(is_counted)
}

/// That some tags have no place, in words.
pub(crate) fn describe_left_out(count: usize) -> Option<String> {
    (count > 0)
        .then(|| format!("Leaving out {count} tags: more than {MAX_TAGS} or {} KiB in all", MAX_BYTES >> 10))
}

#[cfg(test)]
mod tests {
    use super::is_of_file;

    #[test]
    fn what_tells_of_the_input_file_is_not_kept() {
        for key in [
            "encoder",
            "bps",
            "bps-eng",
            "number_of_frames",
            "_statistics_tags-eng",
            "chroma_sample_location",
        ] {
            assert!(is_of_file(key), "{key}");
        }
        for key in [
            "title",
            "encoded_by",
            "creation_time",
            "bpsk",
            "number_of_bytes_left",
            "statistics",
            "lyrics-eng",
        ] {
            assert!(!is_of_file(key), "{key}");
        }
    }
}
