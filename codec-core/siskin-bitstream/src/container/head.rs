//! What a file says of itself before its first cluster, and the index of those parts.

use mkv_element::io::blocking_impl::*;
use mkv_element::prelude::*;

use super::track::track_entry;
use super::{Chapter, TICK_NS, Track, chapters, ebml, id};
use crate::{Error, Result};

/// The size field that means "until the next element of this level", in its longest form, so that it can be patched.
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Bytes that the duration adds to `Info` when it becomes known, and the smallest `Void`.
const DURATION_ROOM: usize = 16;
/// Bytes of a position in the index: enough for a terabyte, and always as many, so that the room for it is known before they are.
const POSITION_BYTES: usize = 5;

/// A size as a field of eight bytes.
pub(super) fn long_size(size: u64) -> [u8; 8] {
    // The marker of that length.
    (size | 1 << 56).to_be_bytes()
}

/// The head of a file that is being written.
#[derive(Debug, Default)]
pub(super) struct FileHead {
    /// Offset of the first byte inside the `Segment`.
    pub(super) segment: u64,
    writing_app: String,
    info_at: u64,
    /// Where what follows it and its room begins.
    rest_at: u64,
    /// Ids and offsets of what the index names, in the order of the file.
    places: Vec<(u32, u64)>,
}

impl FileHead {
    /// Appends everything before the first cluster; `is_file` leaves room for what is known at the end.
    pub(super) fn write(
        tracks: &[Track],
        tags: &[(String, String)],
        chapters: &[Chapter],
        (writing_app, is_file): (&str, bool),
        out: &mut Vec<u8>,
    ) -> Result<Self> {
        let start = out.len();
        let ebml = Ebml {
            ebml_max_id_length: EbmlMaxIdLength(4),
            ebml_max_size_length: EbmlMaxSizeLength(8),
            doc_type: Some(DocType("matroska".into())),
            doc_type_version: Some(DocTypeVersion(4)),
            // SimpleBlock is of version 2, and nothing that is needed to play is younger.
            doc_type_read_version: Some(DocTypeReadVersion(2)),
            ..Default::default()
        };
        put_element(&ebml, out)?;
        ebml::put_id(id::SEGMENT, out);
        // Patched at the end; until then the file reads as a live stream does, so that what a crash leaves plays.
        out.extend_from_slice(&UNKNOWN_SIZE);
        let mut head = Self {
            segment: (out.len() - start) as u64,
            writing_app: writing_app.to_owned(),
            ..Self::default()
        };
        let seek_head_at = out.len();
        if is_file {
            let has_tags = !tags.is_empty() || tracks.iter().any(|track| !track.tags.is_empty());
            let parts = [true, !tracks.is_empty(), has_tags, !chapters.is_empty(), true];
            let entries = parts.into_iter().filter(|&is_there| is_there).count();
            ebml::put_void(seek_head(&vec![(id::INFO, 0); entries], 0).len(), out);
        }
        debug_assert_eq!(seek_head_at - start, head.segment as usize);
        let mut place = |id: u32, out: &[u8]| head.places.push((id, (out.len() - start) as u64));
        place(id::INFO, out);
        put_element(&info(writing_app, None), out)?;
        if is_file {
            ebml::put_void(DURATION_ROOM, out);
        }
        let rest_at = (out.len() - start) as u64;
        // By hand: mkv-element would write every default of a TrackEntry, some of which readers do not know.
        let mut entries = Vec::new();
        for (number, track) in (1..).zip(tracks) {
            ebml::put_element(id::TRACK_ENTRY, &track_entry(number, track), &mut entries);
        }
        if !entries.is_empty() {
            place(id::TRACKS, out);
            ebml::put_element(id::TRACKS, &entries, out);
        }
        // Before the clusters, where a reader of a pipe finds them.
        let all: Vec<Tag> = std::iter::once((None, tags))
            .chain((1..).zip(tracks).map(|(uid, track)| (Some(uid), track.tags.as_slice())))
            .filter(|(_, tags)| !tags.is_empty())
            .map(|(track, tags)| tag(track, tags))
            .collect();
        if !all.is_empty() {
            place(id::TAGS, out);
            put_element(&Tags { tag: all, ..Default::default() }, out)?;
        }
        if !chapters.is_empty() {
            place(id::CHAPTERS, out);
            chapters::write_chapters(chapters, out);
        }
        (head.info_at, head.rest_at) = (head.places[0].1, rest_at);
        Ok(head)
    }

    /// What goes where room was left, once the length and the place of the index of blocks, if there is one, are known: offsets and
    /// bytes.
    pub(super) fn complete(&self, end_ns: u64, cues_at: Option<u64>) -> Result<[(u64, Vec<u8>); 2]> {
        let mut places = self.places.clone();
        places.extend(cues_at.map(|at| (id::CUES, at)));
        let mut index = seek_head(&places, self.segment);
        fill(&mut index, (self.info_at - self.segment) as usize)?;
        let room = self.rest_at - self.info_at;
        let mut info_data = Vec::new();
        let ticks = end_ns as f64 / TICK_NS as f64;
        put_element(&info(&self.writing_app, Some(ticks).filter(|&ticks| ticks > 0.0)), &mut info_data)?;
        fill(&mut info_data, room as usize)?;
        Ok([(self.segment, index), (self.info_at, info_data)])
    }
}

/// The index of parts at these offsets.
fn seek_head(places: &[(u32, u64)], segment: u64) -> Vec<u8> {
    let (mut seeks, mut out) = (Vec::new(), Vec::new());
    for &(place, at) in places {
        let (mut entry, position) = (Vec::new(), at.saturating_sub(segment).to_be_bytes());
        ebml::put_element(id::SEEK_ID, &place.to_be_bytes(), &mut entry);
        ebml::put_element(id::SEEK_POSITION, &position[position.len() - POSITION_BYTES..], &mut entry);
        ebml::put_element(id::SEEK, &entry, &mut seeks);
    }
    ebml::put_element(id::SEEK_HEAD, &seeks, &mut out);
    out
}

fn info(writing_app: &str, duration: Option<f64>) -> Info {
    Info {
        timestamp_scale: TimestampScale(TICK_NS),
        duration: duration.map(Duration),
        muxing_app: MuxingApp(concat!("siskin-core ", env!("CARGO_PKG_VERSION")).into()),
        writing_app: WritingApp(writing_app.to_owned()),
        ..Default::default()
    }
}

/// Appends an element.
pub(super) fn put_element(element: &impl WriteTo, out: &mut Vec<u8>) -> Result<()> {
    element.write_to(out).map_err(|e| Error::container_io("an element cannot be written", e))
}

/// Fills `data` up to `room` bytes with a `Void`.
fn fill(data: &mut Vec<u8>, room: usize) -> Result<()> {
    match room.checked_sub(data.len()) {
        Some(0) => Ok(()),
        Some(free @ 2..=128) => {
            ebml::put_void(free, data);
            Ok(())
        }
        _ => Err(Error::container(format!("{} bytes do not fit the {room} kept free", data.len()))),
    }
}

/// Tags of the track with this UID, or of the whole file.
fn tag(track: Option<u64>, tags: &[(String, String)]) -> Tag {
    let simple_tag = tags
        .iter()
        .map(|(name, value)| SimpleTag {
            tag_name: TagName(name.clone()),
            tag_string: Some(TagString(value.clone())),
            ..Default::default()
        })
        .collect();
    let tag_track_uid = track.map(TagTrackUid).into_iter().collect();
    Tag { targets: Targets { tag_track_uid, ..Default::default() }, simple_tag, ..Default::default() }
}
