//! What the container says of a single track.

use super::super::output::TrackLabels;
use super::{EDITED, Kind, Source, is_language, to_ns};

impl Source {
    /// What the container says of a kind's track.
    pub(crate) fn track_labels(&self, kind: Kind) -> TrackLabels {
        let demuxer = self.lock();
        let selected = demuxer.streams[kind as usize].as_ref();
        let Some(stream) = selected.and_then(|s| demuxer.input.stream(s.index)) else {
            return TrackLabels::default();
        };
        let is_ogg = demuxer.input.format().name() == "ogg";
        let metadata = stream.metadata();
        let language = metadata.iter().find(|(key, _)| is_language(key)).map(|(_, value)| value.to_owned());
        let title = metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case("title") && !is_ogg);
        TrackLabels::new(title.map(|(_, value)| value.to_owned()), language)
    }

    /// When a track ends whose last frame lasts as long as the container's table says, in nanoseconds; none where packets that it
    /// lists are missing. Known once everything has been read.
    pub(crate) fn listed_end_ns(&self, kind: Kind) -> Option<i64> {
        let demuxer = self.lock();
        let selected = demuxer.streams[kind as usize].as_ref()?;
        let stream = demuxer.input.stream(selected.index)?;
        // FFmpeg gives the rest of the table's length to the packet that is decoded last, which with B-frames is not the one that
        // is shown last.
        let is_mov = demuxer.input.format().name().split(',').any(|n| n == EDITED);
        let is_whole = stream.frames() > 0 && selected.packets >= stream.frames() && demuxer.broken.is_none();
        (is_mov && is_whole && stream.duration() > 0).then(|| to_ns(stream.duration(), selected.time_base))
    }
}
