use mkv_element::io::blocking_impl::*;
use mkv_element::prelude::*;

use super::track::track_entry;
use super::{Chapter, Track, TrackKind, chapters, ebml, id};
use crate::{Error, Result};

/// One tick of the file's time stamps, in nanoseconds.
// Matroska's default. With finer ticks a block's 16-bit relative time would reach less than the 32 s that it does
// here.
const TICK_NS: u64 = 1_000_000;
/// A cluster holds at most this much time, so that a crash loses no more.
// A block with its cluster costs 18 bytes (`docs/bitstream.md`): 0.14 kb/s at one per second.
const CLUSTER_NS: u64 = 1_000_000_000;
/// A seek lands at most this far before its target.
// An entry takes 20 bytes (`docs/bitstream.md`); one per second would add 160 b/s to a file of 6 kb/s.
const CUE_INTERVAL_NS: u64 = 5_000_000_000;
/// The same in files with video, as far as its key packets allow; a decoder must begin at one.
// Shorter than the usual distance of keyframes, so nearly each of them gets an entry and a seek decodes little.
const VIDEO_CUE_INTERVAL_NS: u64 = 500_000_000;
/// Frames in the order of decoding lie at most this far before the cluster that they are in; a block can say 32 s.
const MAX_REORDER_MS: u64 = 5_000;
/// Bytes kept free at the start for the index of top-level elements, written at the end.
// Five entries of about 18 bytes, the SeekHead's own head and a Void.
const SEEK_HEAD_ROOM: usize = 128;
/// Bytes that the duration adds to `Info` when it becomes known, and the smallest `Void`.
const DURATION_ROOM: usize = 16;
/// Size of the `Segment`'s size field.
const SIZE_BYTES: usize = 8;

/// Whether what has been written can be gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A file: clusters of known size, an index at the end, sizes and duration filled in at the end. What has been
    /// written is playable at any time up to the last whole cluster.
    #[default]
    File,
    /// A pipe or network: unknown sizes, every block handed out at once, nothing to go back to.
    Live,
}

/// How a file is written.
#[derive(Debug, Clone, Default)]
pub struct WriterOptions {
    /// File or live.
    pub mode: Mode,
    /// The program's name and version.
    pub writing_app: String,
    /// Tags of the whole file: Matroska tag names such as `TITLE`, and values.
    pub tags: Vec<(String, String)>,
}

/// Bytes to write over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where, from the start of the file.
    pub offset: u64,
    /// What.
    pub data: Vec<u8>,
}

/// Turns packets into the bytes of a Matroska file (RFC 9559).
pub struct Writer {
    tracks: Vec<Track>,
    options: WriterOptions,
    /// Bytes handed out so far.
    position: u64,
    /// Offset of the first byte inside the `Segment`.
    segment: u64,
    info_at: u64,
    tracks_at: u64,
    tags_at: Option<u64>,
    chapters: Vec<Chapter>,
    chapters_at: Option<u64>,
    cluster: Option<OpenCluster>,
    has_clusters: bool,
    cues: Vec<CuePoint>,
    next_cue_ns: u64,
    end_ns: u64,
    /// Sound to drop from the end of the next packet.
    discard_ns: u64,
}

struct OpenCluster {
    start_ms: u64,
    /// Whether anything has been written into it.
    any: bool,
    /// Where it begins, and whether the index has it.
    at: u64,
    indexed: bool,
    /// Bytes of the blocks that wait for the cluster to close; stays empty in live mode.
    blocks: Vec<u8>,
}

impl Writer {
    /// Prepares a file with these tracks, numbered from 0 here and from 1 in the file. Without any it is a whole file in which
    /// there is nothing to play.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than 127.
    pub fn new(tracks: Vec<Track>, options: WriterOptions) -> Result<Self> {
        // A block names its track in one byte whose highest bit marks the length.
        if tracks.len() > 127 {
            return Err(Error::parameter("tracks", tracks.len(), "up to 127"));
        }
        Ok(Self {
            tracks,
            options,
            position: 0,
            segment: 0,
            info_at: 0,
            tracks_at: 0,
            tags_at: None,
            chapters: Vec::new(),
            chapters_at: None,
            cluster: None,
            has_clusters: false,
            cues: Vec::new(),
            next_cue_ns: 0,
            end_ns: 0,
            discard_ns: 0,
        })
    }

    /// Sets the chapters of the file; to be called before [`Writer::write_header`].
    pub fn set_chapters(&mut self, chapters: Vec<Chapter>) {
        self.chapters = chapters;
    }

    /// Appends the file's first bytes; to be called once, before any block.
    ///
    /// # Errors
    /// [`Error::Container`] if an element cannot be written.
    pub fn write_header(&mut self, out: &mut Vec<u8>) -> Result<()> {
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
        out.extend_from_slice(&SEGMENT_ID);
        // Patched at the end; until then the file reads as a live stream does, so that what a crash leaves plays.
        out.extend_from_slice(&UNKNOWN_SIZE);
        self.segment = (out.len() - start) as u64;
        if self.options.mode == Mode::File {
            put_void(SEEK_HEAD_ROOM, out)?;
        }
        self.info_at = (out.len() - start) as u64;
        // Without a duration, not with one of 0, which players would show.
        put_element(&self.info_element(None), out)?;
        if self.options.mode == Mode::File {
            put_void(DURATION_ROOM, out)?;
        }
        self.tracks_at = (out.len() - start) as u64;
        // By hand: mkv-element would write every default of a TrackEntry, some of which readers do not know.
        let mut entries = Vec::new();
        for (number, track) in (1..).zip(&self.tracks) {
            ebml::put_element(id::TRACK_ENTRY, &track_entry(number, track), &mut entries);
        }
        if !entries.is_empty() {
            ebml::put_element(id::TRACKS, &entries, out);
        }
        // Before the clusters, where a reader of a pipe finds them.
        let all: Vec<Tag> = std::iter::once((None, &self.options.tags))
            .chain((1..).zip(&self.tracks).map(|(uid, track)| (Some(uid), &track.tags)))
            .filter(|(_, tags)| !tags.is_empty())
            .map(|(track, tags)| tag(track, tags))
            .collect();
        if !all.is_empty() {
            self.tags_at = Some((out.len() - start) as u64);
            put_element(&Tags { tag: all, ..Default::default() }, out)?;
        }
        if !self.chapters.is_empty() {
            self.chapters_at = Some((out.len() - start) as u64);
            chapters::write_chapters(&self.chapters, out);
        }
        self.position = (out.len() - start) as u64;
        Ok(())
    }

    /// Says that so much sound is to be dropped from the end of the next packet written, as the last packet of Opus needs it.
    pub fn discard_padding(&mut self, nanoseconds: u64) {
        self.discard_ns = nanoseconds;
    }

    /// Takes a packet and appends whatever bytes are ready to `out`: in live mode the packet at once, in file mode
    /// the last cluster when a new one begins. `pts_ns`, to which the delay of another codec has been added, never goes back within a track, but for video of another codec whose
    /// packets come in the order of decoding; `key` marks packets at which a reader may begin.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a track that is not there or a time beyond 500 years; [`Error::Container`] if an
    /// element cannot be written.
    pub fn write_block(
        &mut self,
        track: usize,
        pts_ns: u64,
        duration_ns: u64,
        key: bool,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if track >= self.tracks.len() {
            return Err(Error::parameter("track", track, format!("below {}", self.tracks.len())));
        }
        // Below 2^63, so that adding half a tick and the conversions to signed milliseconds below cannot overflow.
        let end_ns = pts_ns.checked_add(duration_ns).filter(|&e| e < i64::MAX as u64).ok_or_else(|| {
            Error::parameter("time stamp", format!("{pts_ns} + {duration_ns} ns"), "up to 2^63 ns")
        })?;
        // Rounded, not cut off: errors of a cut add up where a reader derives durations from timestamps.
        let pts_ms = (pts_ns + TICK_NS / 2) / TICK_NS;
        let kind = self.tracks[track].kind;
        let is_reordered = self.tracks[track].other.is_some();
        let is_join = kind == TrackKind::Video && key && pts_ns >= self.next_cue_ns;
        let fits = |c: &OpenCluster| match kind {
            // A reader that begins at a cluster should find what it can begin with first.
            TrackKind::Video if is_join && c.any => false,
            // A block before its cluster's timestamp would lie before the time that a seek to the cluster asks for; frames in
            // the order of decoding do so all the same.
            TrackKind::Video => {
                let back_ms = if is_reordered { MAX_REORDER_MS } else { 0 };
                pts_ms + back_ms >= c.start_ms && pts_ms <= c.start_ms + CLUSTER_NS / TICK_NS
            }
            TrackKind::Audio => {
                let start_ns = c.start_ms * TICK_NS;
                // By the end and not the beginning, so that a cluster of whole packets lasts no more than its
                // second; half a tick, since the start was rounded.
                end_ns.saturating_sub(start_ns) <= CLUSTER_NS + TICK_NS / 2 && pts_ms >= c.start_ms
            }
            // Text may come late, or last longer than a cluster: what counts is that the distance can be written.
            _ => i16::try_from(pts_ms as i64 - c.start_ms as i64).is_ok(),
        };
        if !self.cluster.as_ref().is_some_and(fits) {
            self.flush_cluster(out)?;
            self.open_cluster(pts_ms, out)?;
        }
        let delay_ns = self.tracks[track].other.as_ref().map_or(0, |other| other.delay_ns);
        self.end_ns = self.end_ns.max(end_ns.saturating_sub(delay_ns));
        let has_video = self.tracks.iter().any(|t| t.kind == TrackKind::Video);
        // With video only keyframes are indexed: a player that sought to audio would land between them.
        if kind == TrackKind::Audio && !has_video || is_join {
            self.add_cue(track, pts_ns);
        }
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        cluster.any = true;
        // Fits: each arm of `fits` keeps the distance within 16 bits.
        let relative = (pts_ms as i64 - cluster.start_ms as i64) as i16;
        let discard_ns = std::mem::take(&mut self.discard_ns);
        // A file states the size of each cluster, which is known when it closes; a live stream leaves it open.
        let target = match self.options.mode {
            Mode::File => &mut cluster.blocks,
            Mode::Live => &mut *out,
        };
        let start = target.len();
        let number = track as u8 + 1;
        match kind {
            TrackKind::Audio if discard_ns > 0 => {
                put_padded_block(number, relative, discard_ns, data, target)
            }
            TrackKind::Audio | TrackKind::Video => {
                put_element(&simple_block(number, relative, key, data), target)?
            }
            _ => {
                // The difference of two rounded times, so that pieces of text that touch do so in the file.
                let duration_ms = (end_ns + TICK_NS / 2) / TICK_NS - pts_ms;
                put_element(&lasting_block(number, relative, duration_ms, data), target)?;
            }
        }
        if self.options.mode == Mode::Live {
            self.position += (target.len() - start) as u64;
        }
        Ok(())
    }

    /// Closes the cluster at hand, so that all that was taken has been handed out.
    ///
    /// # Errors
    /// [`Error::Container`] if an element cannot be written.
    pub fn flush_cluster(&mut self, out: &mut Vec<u8>) -> Result<()> {
        // A live cluster has been handed out block by block and holds none.
        if let Some(cluster) = self.cluster.take().filter(|c| !c.blocks.is_empty()) {
            let start = out.len();
            let mut body = Vec::with_capacity(cluster.blocks.len() + 16);
            put_element(&Timestamp(cluster.start_ms), &mut body)?;
            body.extend_from_slice(&cluster.blocks);
            ebml::put_element(id::CLUSTER, &body, out);
            self.position += (out.len() - start) as u64;
        }
        Ok(())
    }

    /// Ends the file: appends what is left and the index. The patches are to be written over what was handed out
    /// before; without them the file plays all the same. There are none in live mode.
    ///
    /// # Errors
    /// [`Error::Container`] if an element cannot be written.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<Vec<Patch>> {
        self.flush_cluster(out)?;
        if self.options.mode == Mode::Live {
            return Ok(Vec::new());
        }
        if !self.has_clusters {
            // Readers look for the first cluster to find where the description ends.
            let start = out.len();
            let mut body = Vec::new();
            put_element(&Timestamp(0), &mut body)?;
            ebml::put_element(id::CLUSTER, &body, out);
            self.position += (out.len() - start) as u64;
        }
        let cues_at = self.position;
        if !self.cues.is_empty() {
            let start = out.len();
            put_element(&Cues { cue_point: std::mem::take(&mut self.cues), ..Default::default() }, out)?;
            self.position += (out.len() - start) as u64;
        }
        let size = self.position - self.segment;
        let mut size_field = size.to_be_bytes();
        // The marker of an eight-byte size.
        size_field[0] = 0x01;
        let mut seek = vec![seek_entry(&INFO_ID, self.info_at - self.segment)];
        if !self.tracks.is_empty() {
            seek.push(seek_entry(&TRACKS_ID, self.tracks_at - self.segment));
        }
        seek.extend(self.tags_at.map(|at| seek_entry(&TAGS_ID, at - self.segment)));
        seek.extend(self.chapters_at.map(|at| seek_entry(&id::CHAPTERS.to_be_bytes(), at - self.segment)));
        // Nothing to name where no block was written.
        if cues_at < self.position {
            seek.push(seek_entry(&CUES_ID, cues_at - self.segment));
        }
        let mut head = Vec::new();
        put_element(&SeekHead { seek, ..Default::default() }, &mut head)?;
        fill_room(&mut head, SEEK_HEAD_ROOM)?;
        let mut info = Vec::new();
        let ticks = self.end_ns as f64 / TICK_NS as f64;
        put_element(&self.info_element(Some(ticks).filter(|&ticks| ticks > 0.0)), &mut info)?;
        // The room is what lies between the two offsets, so a longer Info shrinks the Void behind it to the byte.
        fill_room(&mut info, (self.tracks_at - self.info_at) as usize)?;
        Ok(vec![
            Patch { offset: self.segment - SIZE_BYTES as u64, data: size_field.to_vec() },
            Patch { offset: self.segment, data: head },
            Patch { offset: self.info_at, data: info },
        ])
    }

    fn info_element(&self, duration: Option<f64>) -> Info {
        Info {
            timestamp_scale: TimestampScale(TICK_NS),
            duration: duration.map(Duration),
            // The version helps to find files of a faulty writer; no date and no random UID, so the same input
            // gives the same bytes.
            muxing_app: MuxingApp(concat!("siskin-core ", env!("CARGO_PKG_VERSION")).into()),
            writing_app: WritingApp(self.options.writing_app.clone()),
            ..Default::default()
        }
    }

    fn open_cluster(&mut self, start_ms: u64, out: &mut Vec<u8>) -> Result<()> {
        let at = self.position;
        if self.options.mode == Mode::Live {
            let start = out.len();
            out.extend_from_slice(&CLUSTER_ID);
            out.extend_from_slice(&UNKNOWN_SIZE);
            put_element(&Timestamp(start_ms), out)?;
            self.position += (out.len() - start) as u64;
        }
        self.has_clusters = true;
        self.cluster = Some(OpenCluster { start_ms, any: false, at, indexed: false, blocks: Vec::new() });
        Ok(())
    }

    /// Gives the cluster at hand an entry in the index, if one is due at this block.
    fn add_cue(&mut self, track: usize, pts_ns: u64) {
        let Some(cluster) = &mut self.cluster else { return };
        // One entry per cluster: a second one would point to the same offset.
        if cluster.indexed || pts_ns < self.next_cue_ns {
            return;
        }
        cluster.indexed = true;
        let is_video = self.tracks[track].kind == TrackKind::Video;
        // Counted in live mode too, since it also decides where clusters begin.
        self.next_cue_ns = pts_ns + if is_video { VIDEO_CUE_INTERVAL_NS } else { CUE_INTERVAL_NS };
        if self.options.mode == Mode::Live {
            return;
        }
        let position = CueTrackPositions {
            cue_track: CueTrack(track as u64 + 1),
            cue_cluster_position: CueClusterPosition(cluster.at - self.segment),
            ..Default::default()
        };
        self.cues.push(CuePoint {
            cue_time: CueTime((pts_ns + TICK_NS / 2) / TICK_NS),
            cue_track_positions: vec![position],
            ..Default::default()
        });
    }
}

const SEGMENT_ID: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
const CLUSTER_ID: [u8; 4] = [0x1f, 0x43, 0xb6, 0x75];
const INFO_ID: [u8; 4] = [0x15, 0x49, 0xa9, 0x66];
const TRACKS_ID: [u8; 4] = [0x16, 0x54, 0xae, 0x6b];
const TAGS_ID: [u8; 4] = [0x12, 0x54, 0xc3, 0x67];
const CUES_ID: [u8; 4] = [0x1c, 0x53, 0xbb, 0x6b];
/// The size field that means "until the next element of this level", in its longest form, so that it can be patched.
const UNKNOWN_SIZE: [u8; SIZE_BYTES] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

fn put_element(element: &impl WriteTo, out: &mut Vec<u8>) -> Result<()> {
    element.write_to(out).map_err(|e| Error::container_io("an element cannot be written", e))
}

/// A `Void` element of `total` bytes, 2 to 128.
fn put_void(total: usize, out: &mut Vec<u8>) -> Result<()> {
    put_element(&Void { size: total as u64 - 2 }, out)
}

/// Fills `data` up to `room` bytes with a `Void`.
fn fill_room(data: &mut Vec<u8>, room: usize) -> Result<()> {
    // One byte left cannot be filled: the smallest Void takes two.
    match room.checked_sub(data.len()) {
        Some(0) => Ok(()),
        Some(free @ 2..=128) => put_void(free, data),
        _ => Err(Error::container(format!("{} bytes do not fit the {room} kept free", data.len()))),
    }
}

fn simple_block(number: u8, relative_ms: i16, key: bool, data: &[u8]) -> SimpleBlock {
    let mut body = Vec::with_capacity(data.len() + 4);
    // The number as a one-byte vint: the marker is the highest bit.
    body.push(0x80 | number);
    body.extend_from_slice(&relative_ms.to_be_bytes());
    // No lacing: a packet holds as many frames as are to share a block's head.
    body.push(if key { 0x80 } else { 0 });
    body.extend_from_slice(data);
    SimpleBlock(body.into())
}

/// A block with a duration, in milliseconds.
fn lasting_block(number: u8, relative_ms: i16, duration_ms: u64, data: &[u8]) -> BlockGroup {
    // A Block has the head of a SimpleBlock without its flag for keyframes.
    let SimpleBlock(body) = simple_block(number, relative_ms, false, data);
    BlockGroup {
        crc32: None,
        void: None,
        block: Block(body),
        block_additions: None,
        block_duration: Some(BlockDuration(duration_ms)),
        reference_priority: Default::default(),
        reference_block: Vec::new(),
        codec_state: None,
        discard_padding: None,
    }
}

/// Appends a block from whose end sound is to be dropped. By hand: `mkv-element` 0.4.0 writes signed integers without the bit of
/// the sign where the highest one is set.
fn put_padded_block(number: u8, relative_ms: i16, discard_ns: u64, data: &[u8], out: &mut Vec<u8>) {
    let SimpleBlock(body) = simple_block(number, relative_ms, false, data);
    let discard = i64::try_from(discard_ns).unwrap_or(i64::MAX);
    let mut group = Vec::with_capacity(body.len() + 24);
    ebml::put_element(id::BLOCK, &body, &mut group);
    ebml::put_element(id::DISCARD_PADDING, &discard.to_be_bytes(), &mut group);
    ebml::put_element(id::BLOCK_GROUP, &group, out);
}

fn seek_entry(id: &[u8; 4], position: u64) -> Seek {
    Seek {
        seek_id: SeekId(id.to_vec().into()),
        seek_position: SeekPosition(position),
        crc32: None,
        void: None,
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
