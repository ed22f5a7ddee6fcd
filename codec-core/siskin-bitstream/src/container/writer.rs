use std::io::{Seek, SeekFrom, Write};

use mkv_element::prelude::*;

use super::cluster::{OpenCluster, Packet, to_ticks};
use super::head::{self, FileHead};
use super::{Chapter, TICK_NS, Track, TrackKind};
use crate::{Error, Result};

/// Time that a cluster of a live stream or of a film holds at most. The packets of a file of sound weigh so little that clusters
/// would cost as much as they do at the lowest rates; there they are longer, up to a size.
const CLUSTER_NS: u64 = 1_000_000_000;
/// Bytes and time after which a cluster of a file of sound ends: 5 s at 6 kb/s, as far before its target as a seek to a keyframe
/// may land. Time stamps of a cluster reach 32.7 s.
const CLUSTER_BYTES: usize = 3072;
const LONG_CLUSTER_NS: u64 = 24_000_000_000;
/// A seek lands at most this far before its target, or at the cluster that holds it.
const CUE_INTERVAL_NS: u64 = 5_000_000_000;
/// The same in files with video, as far as its key packets allow; a decoder must begin at one.
const VIDEO_CUE_INTERVAL_NS: u64 = 500_000_000;

/// Frames in the order of decoding lie at most this far before the cluster that they are in; a block can say 32 s.
const MAX_REORDER_MS: u64 = 5_000;

/// Whether what has been written can be gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A file: an index at the end, sizes and duration filled in when they are known. What has been written is playable at any
    /// time up to the last whole block.
    #[default]
    File,
    /// A pipe or network: every block handed out at once, nothing to go back to. The segment has no size; a cluster has one where
    /// a packet fills it.
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

impl Patch {
    /// Writes it into a file that is held in memory.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the file ends before it.
    pub fn apply(&self, file: &mut [u8]) -> Result<()> {
        let length = file.len();
        let at = usize::try_from(self.offset).ok();
        let target = at.and_then(|at| file.get_mut(at..)).and_then(|rest| rest.get_mut(..self.data.len()));
        let allowed = || format!("within the file's {length} bytes");
        target.ok_or_else(|| Error::parameter("patch", self.offset, allowed()))?.copy_from_slice(&self.data);
        Ok(())
    }

    /// Writes it into a file, which is then behind it.
    ///
    /// # Errors
    /// What seeking and writing return.
    pub fn write_to(&self, file: &mut (impl Write + Seek)) -> std::io::Result<()> {
        file.seek(SeekFrom::Start(self.offset))?;
        file.write_all(&self.data)
    }
}

/// Turns packets into the bytes of a Matroska file (RFC 9559).
pub struct Writer {
    tracks: Vec<Track>,
    options: WriterOptions,
    /// Bytes handed out so far.
    position: u64,
    chapters: Vec<Chapter>,
    head: FileHead,
    cluster: Option<OpenCluster>,
    has_clusters: bool,
    cues: Vec<CuePoint>,
    patches: Vec<Patch>,
    next_cue_ns: u64,
    /// Where the first packet begins and the last one ends.
    begin_ns: Option<u64>,
    end_ns: u64,
    /// When the last packet of each track begins, in ticks.
    last: Vec<Option<u64>>,
    /// Sound to drop from the end of the next packet.
    discard_ns: u64,
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
            last: vec![None; tracks.len()],
            tracks,
            options,
            position: 0,
            chapters: Vec::new(),
            head: FileHead::default(),
            cluster: None,
            has_clusters: false,
            cues: Vec::new(),
            patches: Vec::new(),
            next_cue_ns: 0,
            end_ns: 0,
            begin_ns: None,
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
        let WriterOptions { mode, writing_app, tags } = &self.options;
        let app = (writing_app.as_str(), *mode == Mode::File);
        self.head = FileHead::write(&self.tracks, tags, &self.chapters, app, out)?;
        self.position = (out.len() - start) as u64;
        Ok(())
    }

    /// Says that so much sound is to be dropped from the end of the next packet written, as the last packet of Opus needs it.
    pub fn discard_padding(&mut self, nanoseconds: u64) {
        self.discard_ns = nanoseconds;
    }

    /// Takes a packet and appends whatever bytes are ready to `out`: the packet at once, unless it shares a block with those after
    /// it, as the small packets of a file of sound do. `pts_ns`, to which the delay of another codec has been added, never goes
    /// back within a track, but for video of another codec whose packets come in the order of decoding; `duration_ns` is 0 where it
    /// is not known; `key` marks packets at which a reader may begin.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a track that is not there or a time beyond 500 years; [`Error::Container`] if an
    /// element cannot be written.
    pub fn write_block(
        &mut self,
        track: usize,
        pts_ns: u64,
        duration_ns: u64,
        is_keyframe: bool,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if track >= self.tracks.len() {
            return Err(Error::parameter("track", track, format!("below {}", self.tracks.len())));
        }
        let end_ns = pts_ns.checked_add(duration_ns).filter(|&e| e < i64::MAX as u64).ok_or_else(|| {
            Error::parameter("time stamp", format!("{pts_ns} + {duration_ns} ns"), "up to 2^63 ns")
        })?;
        let Track { kind, packet_ns, ref other, .. } = self.tracks[track];
        let (is_other, delay_ns) = (other.is_some(), other.as_ref().map_or(0, |other| other.delay_ns));
        let packet = Packet {
            track,
            kind,
            pts_ns,
            // What other codecs' packets say themselves is left to their readers.
            duration_ns: if is_other && !is_text(kind) { 0 } else { duration_ns },
            is_keyframe,
            usual_ns: packet_ns,
            before: self.last[track].replace(to_ticks(pts_ns)),
            discard_ns: if kind == TrackKind::Audio { std::mem::take(&mut self.discard_ns) } else { 0 },
            data,
        };
        let is_join = kind == TrackKind::Video && is_keyframe && pts_ns >= self.next_cue_ns;
        self.end_ns = self.end_ns.max(end_ns.saturating_sub(delay_ns));
        let begin_ns = pts_ns.saturating_sub(delay_ns);
        self.begin_ns = Some(self.begin_ns.map_or(begin_ns, |first| first.min(begin_ns)));
        let is_whole = self.options.mode == Mode::Live && duration_ns >= CLUSTER_NS && !is_text(kind);
        if is_whole {
            return self.write_alone(&packet, out);
        }
        if !self.cluster.as_ref().is_some_and(|c| self.has_room(c, &packet, is_join)) {
            self.flush_cluster(out)?;
            let start = out.len();
            self.has_clusters = true;
            self.cluster = Some(OpenCluster::begin(to_ticks(pts_ns), self.position, out));
            self.position += (out.len() - start) as u64;
        }
        if kind == TrackKind::Audio && !self.has_video() || is_join {
            self.add_cue(track, pts_ns);
        }
        let may_lace = self.options.mode == Mode::File && self.tracks.len() == 1 && self.tracks[0].may_lace();
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let start = out.len();
        match may_lace {
            true => cluster.put_laced(&packet, out),
            false => cluster.put(&packet, out),
        }
        self.position += (out.len() - start) as u64;
        Ok(())
    }

    fn has_video(&self) -> bool {
        self.tracks.iter().any(|t| t.kind == TrackKind::Video)
    }

    /// Whether a packet goes into the cluster at hand; `is_join` is one that the index names.
    fn has_room(&self, cluster: &OpenCluster, packet: &Packet<'_>, is_join: bool) -> bool {
        let (ticks, start) = (to_ticks(packet.pts_ns), cluster.start);
        let end_ns = packet.pts_ns + packet.duration_ns;
        match packet.kind {
            // A reader that begins at a cluster should find what it can begin with first.
            TrackKind::Video if is_join && cluster.bytes > 0 => false,
            // A block before its cluster's timestamp would lie before the time that a seek to the cluster asks for; frames in
            // the order of decoding do so all the same.
            TrackKind::Video => {
                let is_reordered = self.tracks[packet.track].other.is_some();
                let back = if is_reordered { MAX_REORDER_MS } else { 0 };
                ticks + back >= start && ticks <= start + CLUSTER_NS / TICK_NS
            }
            TrackKind::Audio => {
                let is_small = cluster.bytes < CLUSTER_BYTES;
                let is_long = self.options.mode == Mode::File && !self.has_video() && is_small;
                let most = if is_long { LONG_CLUSTER_NS } else { CLUSTER_NS };
                end_ns.saturating_sub(start * TICK_NS) <= most + TICK_NS / 2 && ticks >= start
            }
            // Text may come late, or last longer than a cluster: what counts is that the distance can be written.
            _ => i16::try_from(ticks as i64 - start as i64).is_ok(),
        }
    }

    /// Appends a cluster of known size with one packet, which fills it.
    fn write_alone(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<()> {
        self.flush_cluster(out)?;
        self.has_clusters = true;
        let mut data = Vec::with_capacity(packet.data.len() + 32);
        let mut cluster = OpenCluster::begin(to_ticks(packet.pts_ns), 0, &mut data);
        cluster.put(packet, &mut data);
        let (field, body) = cluster.size_field();
        let (field, body) = (field as usize, body as usize);
        let size = head::long_size((data.len() - body) as u64);
        data[field..body].copy_from_slice(&size);
        self.position += data.len() as u64;
        out.append(&mut data);
        Ok(())
    }

    /// Closes the cluster at hand, so that all that was taken has been handed out.
    ///
    /// # Errors
    /// [`Error::Container`] if an element cannot be written.
    pub fn flush_cluster(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let Some(mut cluster) = self.cluster.take() else { return Ok(()) };
        let start = out.len();
        cluster.end_lace(out);
        self.position += (out.len() - start) as u64;
        if self.options.mode == Mode::File {
            let (offset, body) = cluster.size_field();
            let size = self.position.saturating_sub(body);
            self.patches.push(Patch { offset, data: head::long_size(size).to_vec() });
        }
        Ok(())
    }

    /// Sizes that have become known, to be written over what was handed out before. Those that nobody takes come with
    /// [`Writer::finish`]. There are none in live mode.
    pub fn take_patches(&mut self) -> Vec<Patch> {
        std::mem::take(&mut self.patches)
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
            self.cluster = Some(OpenCluster::begin(0, self.position, out));
            self.position += (out.len() - start) as u64;
            self.flush_cluster(out)?;
        }
        let cues_at = (!self.cues.is_empty()).then_some(self.position);
        if cues_at.is_some() {
            let start = out.len();
            head::put_element(
                &Cues { cue_point: std::mem::take(&mut self.cues), ..Default::default() },
                out,
            )?;
            self.position += (out.len() - start) as u64;
        }
        let segment = self.head.segment;
        let size = head::long_size(self.position - segment);
        let mut patches = self.take_patches();
        patches.push(Patch { offset: segment - size.len() as u64, data: size.to_vec() });
        // From the first time stamp on, as mkvmerge and `matroskamux` count: a part of a recording that begins after 20 s and lasts 5 is
        // no file of 25 s.
        let length_ns = self.end_ns.saturating_sub(self.begin_ns.unwrap_or(0));
        let rest = self.head.complete(length_ns, cues_at)?;
        patches.extend(rest.map(|(offset, data)| Patch { offset, data }));
        Ok(patches)
    }

    /// Gives the cluster at hand an entry in the index, if one is due at this block.
    fn add_cue(&mut self, track: usize, pts_ns: u64) {
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.is_indexed || pts_ns < self.next_cue_ns {
            return;
        }
        cluster.is_indexed = true;
        let is_video = self.tracks[track].kind == TrackKind::Video;
        self.next_cue_ns = pts_ns + if is_video { VIDEO_CUE_INTERVAL_NS } else { CUE_INTERVAL_NS };
        if self.options.mode == Mode::Live {
            return;
        }
        let position = CueTrackPositions {
            cue_track: CueTrack(track as u64 + 1),
            cue_cluster_position: CueClusterPosition(cluster.at - self.head.segment),
            ..Default::default()
        };
        self.cues.push(CuePoint {
            cue_time: CueTime(to_ticks(pts_ns)),
            cue_track_positions: vec![position],
            ..Default::default()
        });
    }
}

fn is_text(kind: TrackKind) -> bool {
    matches!(kind, TrackKind::Text | TrackKind::Tokens)
}
