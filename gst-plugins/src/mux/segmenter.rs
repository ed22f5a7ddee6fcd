//! The writer's bytes as buffers.

use siskin_core::Result;
use siskin_core::bitstream::packet::without_header;
use siskin_core::container::{Chapter, Mode, Patch, Track, TrackKind, Writer, WriterOptions};

/// First bytes of a Matroska cluster, at which a reader may join a live stream.
const CLUSTER: [u8; 4] = [0x1f, 0x43, 0xb6, 0x75];

/// How far apart packets of a file carry the stream header: readers have it from the start.
const HEADER_INTERVAL_NS: u64 = 10_000_000_000;

/// Most time of a cluster of a live recording, which a crash loses whole. A cluster costs 15 bytes, 1.5 % of speech at 6 kb/s.
const LIVE_CLUSTER_NS: u64 = 500_000_000;

/// A file being written.
pub(super) struct Segmenter {
    writer: Writer,
    mode: Mode,
    bytes: u64,
    /// Which tracks are video.
    is_video: Vec<bool>,
    /// Which tracks may come in the order of decoding.
    reorders: Vec<bool>,
    /// No stamp goes back within a track.
    last_ns: Vec<u64>,
    /// From when on a packet of a file keeps its stream header.
    header_due_ns: Vec<u64>,
    /// Whether packets come in real time, so that what is held back is what a crash loses.
    is_live: bool,
    /// Time of the first packet that is held back for its cluster.
    held_from_ns: Option<u64>,
}

/// Bytes to be pushed and what they are.
pub(super) struct Piece {
    pub(super) data: Vec<u8>,
    /// Where they begin in the file.
    pub(super) offset: u64,
    /// A reader may begin here, if it has the head.
    pub(super) is_keyframe: bool,
}

impl Segmenter {
    pub(super) fn new(
        tracks: Vec<Track>,
        mode: Mode,
        tags: Vec<(String, String)>,
        chapters: Vec<Chapter>,
        is_live: bool,
    ) -> Result<Self> {
        let (last_ns, header_due_ns) = (vec![0; tracks.len()], vec![0; tracks.len()]);
        let writing_app = concat!("siskinmux ", env!("CARGO_PKG_VERSION")).to_owned();
        let is_video = tracks.iter().map(|t| t.kind == TrackKind::Video).collect();
        let reorders = tracks.iter().map(|t| t.kind == TrackKind::Video && t.other.is_some()).collect();
        let mut writer = Writer::new(tracks, WriterOptions { mode, writing_app, tags })?;
        writer.set_chapters(chapters);
        let held_from_ns = None;
        Ok(Self { writer, mode, bytes: 0, is_video, reorders, last_ns, header_due_ns, is_live, held_from_ns })
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The file's first bytes.
    pub(super) fn write_head(&mut self) -> Result<Piece> {
        let mut data = Vec::new();
        self.writer.write_header(&mut data)?;
        Ok(self.next_piece(data))
    }

    pub(super) fn has_video(&self) -> bool {
        self.is_video.contains(&true)
    }

    /// Says that so many nanoseconds are to be dropped from the end of the next packet.
    pub(super) fn discard_padding(&mut self, nanoseconds: u64) {
        self.writer.discard_padding(nanoseconds);
    }

    /// Writes a packet; what comes back may be empty. `key` marks packets that decode without those before.
    pub(super) fn write_packet(
        &mut self,
        track: usize,
        (pts, duration): (u64, u64),
        is_keyframe: bool,
        data: &[u8],
    ) -> Result<Option<Piece>> {
        let mut out = Vec::new();
        // A stamp a little too early is better than an error, which would end the file.
        let is_reordered = self.reorders.get(track) == Some(&true);
        let last = self.last_ns.get(track).filter(|_| !is_reordered);
        let pts = pts.max(last.copied().unwrap_or_default());
        let bare = self.strip_header(track, pts, data);
        self.writer.write_block(
            track,
            pts,
            duration,
            is_keyframe,
            bare.as_deref().unwrap_or(data),
            &mut out,
        )?;
        if let Some(last) = self.last_ns.get_mut(track) {
            *last = pts;
        }
        let held_from_ns = *self.held_from_ns.get_or_insert(pts);
        if self.is_live && pts.saturating_add(duration).saturating_sub(held_from_ns) >= LIVE_CLUSTER_NS {
            self.writer.flush_cluster(&mut out)?;
            self.held_from_ns = None;
        }
        // Readers of video begin where its key packets do: at the clusters that the writer begins with those.
        let joins = !self.has_video() || is_keyframe && self.is_video.get(track) == Some(&true);
        Ok((!out.is_empty())
            .then(|| self.next_piece(out))
            .map(|p| Piece { is_keyframe: p.is_keyframe && joins, ..p }))
    }

    /// The packet without its stream header where a file has said it shortly before.
    fn strip_header(&mut self, track: usize, pts: u64, data: &[u8]) -> Option<Vec<u8>> {
        // Readers of a stream join anywhere and need it there; in video only key packets have it.
        if self.mode != Mode::File || self.is_video.get(track) == Some(&true) {
            return None;
        }
        let due = self.header_due_ns.get_mut(track)?;
        let bare = without_header(data);
        if pts < *due {
            return bare;
        }
        // At the start the track's own head has just said it. Later the time counts from a packet that really had
        // one.
        if bare.is_some() || *due == 0 {
            *due = pts + HEADER_INTERVAL_NS;
        }
        None
    }

    /// Ends the file: its last bytes, and what is to be written over earlier ones.
    pub(super) fn finish_file(&mut self) -> Result<(Option<Piece>, Vec<Patch>)> {
        let mut out = Vec::new();
        let patches = self.writer.finish(&mut out)?;
        Ok(((!out.is_empty()).then(|| self.next_piece(out)), patches))
    }

    fn next_piece(&mut self, data: Vec<u8>) -> Piece {
        let offset = self.bytes;
        self.bytes += data.len() as u64;
        Piece { is_keyframe: data.starts_with(&CLUSTER), data, offset }
    }
}
