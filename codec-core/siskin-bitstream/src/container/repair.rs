//! Makes a whole file of one that was cut off: known sizes, an index, the duration.

use std::io::{Read, Seek, Write};

use super::ebml::{self, child_elements, read_head, read_unsigned, read_whole};
use super::head_search::find_file_head;
use super::lacing::Lacing;
use super::reader::Counted;
use super::writer::Patch;
use super::{AUDIO_CODEC_ID, VIDEO_CODEC_ID, id};
use crate::packet::Packet;
use crate::video_packet::inspect;
use crate::{Error, Limits, Result};
use crate::{StreamHeader, VideoHeader};

/// Bytes kept free at the start for the index of top-level elements.
// An entry takes up to 18 bytes in files below 1 TiB, so six parts fit: info, tracks, tags, chapters, attachments,
// cues.
const SEEK_HEAD_ROOM: usize = 128;
/// Bytes for the duration, which is known at the end.
// A duration takes 11 bytes (id, size and 8 of a float), a Void at least 2.
const DURATION_ROOM: usize = 16;
/// Size at which a cluster is closed and another begun, so that memory stays bounded whatever the source has.
// Most clusters are far smaller and stay as they are.
const CLUSTER_BYTES: usize = 16 << 20;
/// Entries of the index are at least so far apart.
// The writer's interval for audio: an entry takes about 20 bytes.
const CUE_INTERVAL_NS: u64 = 5_000_000_000;

/// What was found and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Packets kept, of all tracks.
    pub blocks: u64,
    /// Clusters written.
    pub clusters: u64,
    /// Bytes at the end that were no whole element, or came after damage.
    pub dropped_bytes: u64,
    /// Length in nanoseconds.
    pub duration_ns: u64,
    /// Bytes written.
    pub bytes: u64,
    /// To be written over what was written, for the file to be whole.
    pub patches: Vec<Patch>,
}

/// A track, as far as it matters here.
struct TrackKind {
    number: u64,
    is_video: bool,
    /// How long a packet lasts that does not say so, if the file states it.
    packet_ns: Option<u64>,
    /// Of tracks whose packets tell how long they last.
    header: Option<Header>,
}

/// The header of a stream whose packets tell how long they last.
enum Header {
    Audio(StreamHeader),
    Video(VideoHeader),
}

/// Copies the Matroska file in `source`, from where it stands, to `out` up to its last whole block: what it says of itself, its
/// tracks, tags, chapters and attachments are kept byte by byte, the index is made anew. Info and tracks come first, wherever in
/// the source they are.
///
/// # Errors
/// [`Error::Container`] if there is nothing to be saved, since the file ends before its first packet, or if reading or
/// writing fails.
pub fn repair(source: impl Read + Seek, out: &mut impl Write) -> Result<Repaired> {
    repair_with(source, out, &Limits::default())
}

/// As [`repair`] within `limits`; an element beyond them ends the copy as damage does.
///
/// # Errors
/// As for [`repair`].
pub fn repair_with(mut source: impl Read + Seek, out: &mut impl Write, limits: &Limits) -> Result<Repaired> {
    let position = source.stream_position().map_err(read_error)?;
    let mut copy = Copy {
        limits: limits.clone(),
        source: Counted { inner: source, position },
        out,
        segment: 0,
        info: Vec::new(),
        info_at: 0,
        places: Vec::new(),
        tracks: Vec::new(),
        tick_ns: 1_000_000,
        cues: Vec::new(),
        next_cue_ns: 0,
        span_ns: None,
        good: 0,
        done: Repaired::default(),
    };
    copy.write_start()?;
    copy.write_file_head()?;
    // Damage ends the copy as a cut does.
    let walked = copy.copy_elements();
    let nothing = copy.done.blocks == 0;
    match walked {
        // With a block saved the error is swallowed: `dropped_bytes` says how much was behind it.
        Err(e) if nothing => return Err(e),
        _ if nothing => {
            return Err(Error::container("ends before its first packet: nothing to be saved"));
        }
        _ => {}
    }
    // Nothing after the damage is searched for blocks; its bytes are only counted.
    let rest = std::io::copy(&mut copy.source, &mut std::io::sink()).map_err(read_error)?;
    copy.done.dropped_bytes = copy.source.position - copy.good;
    debug_assert!(rest <= copy.done.dropped_bytes);
    copy.write_index()
}

struct Copy<'a, R, W> {
    limits: Limits,
    source: Counted<R>,
    out: &'a mut W,
    /// Offset of the first byte inside the `Segment` that is written.
    segment: u64,
    /// The children of `Info` without the duration.
    info: Vec<u8>,
    info_at: u64,
    /// Ids and offsets of what the index of top-level elements shall name.
    places: Vec<(u32, u64)>,
    tracks: Vec<TrackKind>,
    tick_ns: u64,
    cues: Vec<u8>,
    next_cue_ns: u64,
    /// Where the first block begins and the last one ends.
    span_ns: Option<(u64, u64)>,
    /// Offset in the source up to which everything was whole.
    good: u64,
    done: Repaired,
}

/// The blocks of a cluster that is being read.
#[derive(Default)]
struct Cluster {
    ticks: u64,
    body: Vec<u8>,
    /// First key block of a track that the index names: its track and time.
    cue: Option<(u64, u64)>,
}

impl<R: Read + Seek, W: Write> Copy<'_, R, W> {
    fn write_start(&mut self) -> Result<()> {
        let not_matroska = || Error::container("not a Matroska file");
        let head = read_head(&mut self.source).map_err(|_| not_matroska())?.ok_or_else(not_matroska)?;
        let size = head.size.filter(|s| head.id == id::EBML && *s <= 4096).ok_or_else(not_matroska)?;
        let mut body = vec![0; size as usize];
        if !read_whole(&mut self.source, &mut body)? {
            return Err(not_matroska());
        }
        let doc_type =
            child_elements(&body).find(|(id, _)| *id == id::DOC_TYPE).map(|(_, b)| ebml::read_string(b));
        // WebM is Matroska with fewer codecs; the tracks say which.
        if !matches!(doc_type.as_deref(), Some("matroska" | "webm")) {
            return Err(not_matroska());
        }
        let mut out = Vec::new();
        ebml::put_element(id::EBML, &body, &mut out);
        ebml::put_id(id::SEGMENT, &mut out);
        // An unknown size in its eight-byte form, patched at the end; until then the copy plays as a live stream
        // does.
        out.extend_from_slice(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        self.segment = out.len() as u64;
        ebml::put_void(SEEK_HEAD_ROOM, &mut out);
        self.write_bytes(&out)
    }

    /// Copies top-level elements until the source ends or breaks.
    fn copy_elements(&mut self) -> Result<()> {
        let mut open: Option<(Cluster, Option<u64>)> = None;
        loop {
            let at = self.source.position;
            // A cluster of known size ends by it, one of unknown size by the next element of its level.
            if open.as_ref().is_some_and(|(_, end)| end.is_some_and(|e| at >= e)) {
                self.close_cluster(open.take())?;
            }
            let head = match read_head(&mut self.source) {
                Ok(Some(head)) => head,
                other => {
                    self.close_cluster(open.take())?;
                    return other.map(drop);
                }
            };
            match head.id {
                // Its head is written anew, so it is neither copied nor dropped.
                id::SEGMENT => self.good = self.source.position,
                id::CLUSTER => {
                    self.close_cluster(open.take())?;
                    // Saturating: the size of a cluster that was cut off may claim anything.
                    let end = head.size.map(|s| self.source.position.saturating_add(s));
                    open = Some((Cluster::default(), end));
                }
                _ => {
                    let body = self.read_body(head.size);
                    let whole = match body {
                        Ok(Some(body)) => body,
                        other => {
                            self.close_cluster(open.take())?;
                            return other.map(drop);
                        }
                    };
                    match (&mut open, head.id) {
                        (Some((cluster, _)), id::TIMESTAMP) => cluster.ticks = read_unsigned(&whole),
                        (Some(_), id::SIMPLE_BLOCK | id::BLOCK_GROUP) => {
                            if let Some((cluster, _)) = &mut open {
                                self.take_block(cluster, head.id, &whole);
                            }
                            // The next part repeats the timestamp, so the blocks' relative times stay as they are.
                            if open.as_ref().is_some_and(|(c, _)| c.body.len() > CLUSTER_BYTES) {
                                let ticks = open.as_ref().map_or(0, |(c, _)| c.ticks);
                                let end = open.as_ref().and_then(|(_, e)| *e);
                                self.close_cluster(open.take())?;
                                open = Some((Cluster { ticks, ..Default::default() }, end));
                            }
                        }
                        // At the start already.
                        (_, id::INFO | id::TRACKS) => self.close_cluster(open.take())?,
                        (_, id::TAGS | id::CHAPTERS | id::ATTACHMENTS) => {
                            self.close_cluster(open.take())?;
                            self.write_part(head.id, &whole)?;
                        }
                        _ => {}
                    }
                    self.good = self.source.position;
                }
            }
        }
    }

    /// The body of an element; none if the source ends before.
    fn read_body(&mut self, size: Option<u64>) -> Result<Option<Vec<u8>>> {
        let size = size.filter(|&s| s <= self.limits.max_container_element_bytes);
        let size = size.ok_or_else(|| Error::container("damaged: an element without a size that can be"))?;
        let mut body = Vec::new();
        // Through `take`, so that a claimed size is not allocated before its bytes are there.
        let read = self.source.by_ref().take(size).read_to_end(&mut body).map_err(read_error)?;
        Ok((read as u64 == size).then_some(body))
    }

    /// Writes what packets cannot be understood without, wherever it stands in the source.
    fn write_file_head(&mut self) -> Result<()> {
        let head = find_file_head(&mut self.source, &self.limits)?;
        let tracks = head
            .tracks
            .ok_or_else(|| Error::container("ends before its tracks are described: nothing to be saved"))?;
        for (id, part) in child_elements(&head.info.unwrap_or_default()) {
            match id {
                id::TIMESTAMP_SCALE => self.tick_ns = read_unsigned(part).max(1),
                // Made anew, or a checksum that no longer holds.
                id::DURATION | id::CRC_32 | id::VOID => continue,
                _ => {}
            }
            ebml::put_element(id, part, &mut self.info);
        }
        self.info_at = self.done.bytes;
        self.places.push((id::INFO, self.info_at));
        let info = self.info_with(None);
        self.write_bytes(&info)?;
        let entries = child_elements(&tracks).filter(|(id, _)| *id == id::TRACK_ENTRY);
        self.tracks.extend(entries.map(|(_, entry)| TrackKind::from_entry(entry, &self.limits)));
        self.write_part(id::TRACKS, &tracks)
    }

    /// Writes a part that the index of parts names.
    fn write_part(&mut self, id: u32, body: &[u8]) -> Result<()> {
        self.places.push((id, self.done.bytes));
        let mut out = Vec::new();
        ebml::put_element(id, body, &mut out);
        self.write_bytes(&out)
    }

    /// `Info` and what is kept free behind it.
    fn info_with(&self, duration: Option<f64>) -> Vec<u8> {
        let (mut body, mut out) = (self.info.clone(), Vec::new());
        let mut plain = Vec::new();
        ebml::put_element(id::INFO, &body, &mut plain);
        duration.into_iter().for_each(|d| ebml::put_float(id::DURATION, d, &mut body));
        ebml::put_element(id::INFO, &body, &mut out);
        // At least 3 of the 16 bytes are left, since a duration takes up to 11 and the size may grow by one.
        let room = plain.len() + DURATION_ROOM;
        ebml::put_void(room - out.len(), &mut out);
        out
    }

    fn take_block(&mut self, cluster: &mut Cluster, id: u32, body: &[u8]) {
        let inner = if id == id::SIMPLE_BLOCK {
            Some(body)
        } else {
            child_elements(body).find(|(id, _)| *id == id::BLOCK).map(|(_, b)| b)
        };
        // What cannot be read as a block is left out, alone: the blocks around it have sizes of their own and are
        // whole.
        let Some((number, relative, flags, data)) = inner.and_then(block_head) else { return };
        // A block of no track has a damaged number, and would be of use to no player.
        let Some(track) = self.tracks.iter().find(|t| t.number == number) else { return };
        // The block is copied byte by byte; its packets tell damage, and how long they last.
        let packets = match Lacing::from_flags(flags) {
            Some(lacing) => lacing.split_packets(data),
            None => Some(vec![data]),
        };
        let Some(packets) = packets else { return };
        let refers = id == id::BLOCK_GROUP && child_elements(body).any(|(id, _)| id == id::REFERENCE_BLOCK);
        // A simple block has a flag; a group has a reference where it depends on another block (RFC 9559, section
        // 5.1.3.5).
        let is_keyframe = if id == id::SIMPLE_BLOCK { flags & 0x80 != 0 } else { !refers };
        let pts = cluster.ticks.saturating_add_signed(relative.into()).saturating_mul(self.tick_ns);
        let stated =
            child_elements(body).find(|(part, _)| id == id::BLOCK_GROUP && *part == id::BLOCK_DURATION);
        let stated = stated.map(|(_, ticks)| read_unsigned(ticks).saturating_mul(self.tick_ns));
        // Siskin's packets say how long they last, to the nanosecond; a group's duration is in ticks. Where nothing says, the
        // file ends where the last block begins.
        let own = track.header.as_ref().and_then(|header| {
            packets.iter().map(|data| length_ns(header, data, &self.limits)).sum::<Option<u64>>()
        });
        let usual = track.packet_ns.map(|ns| ns.saturating_mul(packets.len() as u64));
        let lasts = own.or(stated).or(usual).unwrap_or(0);
        let end = pts.saturating_add(lasts);
        let (first, last) = self.span_ns.map_or((pts, end), |(first, last)| (first.min(pts), last.max(end)));
        self.span_ns = Some((first, last));
        self.done.duration_ns = last - first;
        self.done.blocks += packets.len() as u64;
        // Players seek to keyframes of the video; an index of the audio beside it would lead them astray.
        let indexed = track.is_video || !self.tracks.iter().any(|t| t.is_video);
        if is_keyframe && indexed && cluster.cue.is_none() {
            cluster.cue = Some((number, pts));
        }
        ebml::put_element(id, body, &mut cluster.body);
    }

    /// Writes a cluster, unless it is empty.
    fn close_cluster(&mut self, cluster: Option<(Cluster, Option<u64>)>) -> Result<()> {
        // An empty cluster has lost all its blocks, and an index entry for it would lead nowhere.
        let Some((cluster, _)) = cluster.filter(|(c, _)| !c.body.is_empty()) else { return Ok(()) };
        let at = self.done.bytes;
        if let Some((track, pts)) = cluster.cue.filter(|(_, pts)| *pts >= self.next_cue_ns) {
            self.next_cue_ns = pts.saturating_add(CUE_INTERVAL_NS);
            let (mut point, mut position) = (Vec::new(), Vec::new());
            ebml::put_unsigned(id::CUE_TIME, pts / self.tick_ns, &mut point);
            ebml::put_unsigned(id::CUE_TRACK, track, &mut position);
            ebml::put_unsigned(id::CUE_CLUSTER_POSITION, at - self.segment, &mut position);
            ebml::put_element(id::CUE_TRACK_POSITIONS, &position, &mut point);
            ebml::put_element(id::CUE_POINT, &point, &mut self.cues);
        }
        let (mut body, mut out) = (Vec::new(), Vec::new());
        ebml::put_unsigned(id::TIMESTAMP, cluster.ticks, &mut body);
        body.extend_from_slice(&cluster.body);
        ebml::put_element(id::CLUSTER, &body, &mut out);
        self.done.clusters += 1;
        self.write_bytes(&out)
    }

    fn write_index(mut self) -> Result<Repaired> {
        if !self.cues.is_empty() {
            self.places.push((id::CUES, self.done.bytes));
            let mut out = Vec::new();
            ebml::put_element(id::CUES, &self.cues, &mut out);
            self.write_bytes(&out)?;
        }
        // Eight bytes with the marker in the first: 2^56 bytes are more than any file has.
        let mut size = (self.done.bytes - self.segment).to_be_bytes();
        size[0] = 0x01;
        let mut seeks = Vec::new();
        for &(place, at) in &self.places {
            let mut seek = Vec::new();
            ebml::put_element(id::SEEK_ID, &place.to_be_bytes(), &mut seek);
            ebml::put_unsigned(id::SEEK_POSITION, at - self.segment, &mut seek);
            let mut entry = Vec::new();
            ebml::put_element(id::SEEK, &seek, &mut entry);
            // A file with more parts than there is room for plays all the same.
            // Eight bytes for the SeekHead's own id and size (5) and a Void behind it: a single byte left over
            // could not be filled.
            if seeks.len() + entry.len() + 8 <= SEEK_HEAD_ROOM {
                seeks.extend_from_slice(&entry);
            }
        }
        let mut head = Vec::new();
        ebml::put_element(id::SEEK_HEAD, &seeks, &mut head);
        if SEEK_HEAD_ROOM - head.len() >= 2 {
            ebml::put_void(SEEK_HEAD_ROOM - head.len(), &mut head);
        }
        // In ticks, as RFC 9559 has it; a float, so that it may end between two.
        let duration = self.done.duration_ns as f64 / self.tick_ns as f64;
        let info = self.info_with(Some(duration));
        let mut done = self.done;
        done.patches = vec![
            Patch { offset: self.segment - 8, data: size.to_vec() },
            Patch { offset: self.segment, data: head },
            Patch { offset: self.info_at, data: info },
        ];
        Ok(done)
    }

    fn write_bytes(&mut self, data: &[u8]) -> Result<()> {
        self.out.write_all(data).map_err(|e| Error::container_io("cannot be written", e))?;
        self.done.bytes += data.len() as u64;
        Ok(())
    }
}

impl TrackKind {
    fn from_entry(entry: &[u8], limits: &Limits) -> Self {
        let find = |wanted| child_elements(entry).find(|(id, _)| *id == wanted).map(|(_, body)| body);
        let private = find(id::CODEC_PRIVATE).unwrap_or_default();
        let header = match find(id::CODEC_ID).map(ebml::read_string).as_deref() {
            // A header that cannot be read costs the durations of its packets, not the file.
            Some(AUDIO_CODEC_ID) => StreamHeader::parse(private).ok().map(|(h, _)| Header::Audio(h)),
            Some(VIDEO_CODEC_ID) => VideoHeader::parse(private, limits).ok().map(|(h, _)| Header::Video(h)),
            _ => None,
        };
        Self {
            number: find(id::TRACK_NUMBER).map_or(0, read_unsigned),
            is_video: find(id::TRACK_TYPE).map(read_unsigned) == Some(id::VIDEO_TYPE),
            packet_ns: find(id::DEFAULT_DURATION).map(read_unsigned),
            header,
        }
    }
}

/// Track number, relative time, flags and data of a block.
fn block_head(body: &[u8]) -> Option<(u64, i16, u8, &[u8])> {
    let mut rest = body;
    // A track number is coded as a size is.
    let (number, _) = ebml::read_size(&mut rest)?;
    let ([high, low, flags], data) = rest.split_first_chunk::<3>()?;
    Some((number, i16::from_be_bytes([*high, *low]), *flags, data))
}

/// How long a packet of a stream lasts.
fn length_ns(header: &Header, data: &[u8], limits: &Limits) -> Option<u64> {
    match header {
        Header::Audio(header) => {
            // Errors are dropped: a damaged packet is kept, since its decoder conceals it, and only its length is
            // unknown.
            let packet = Packet::parse(data, limits).ok()?.bind(header).ok()?;
            Some(packet.sample_count().saturating_mul(1_000_000_000) / u64::from(header.sample_rate))
        }
        Header::Video(header) => inspect(data, limits).ok()?.duration_ns(header),
    }
}

fn read_error(error: std::io::Error) -> Error {
    Error::container_io("cannot be read", error)
}
