//! Blocks of a cluster that is being written: packets with their durations, several of them in a block where that is cheaper.

use super::head::UNKNOWN_SIZE;
use super::{TICK_NS, TrackKind, ebml, id, lacing};

/// Packets are put into one block up to this many bytes or this long: at 1 kb/s, with packets of a second, the heads of blocks
/// would cost 8 % otherwise, and cost 2 % so.
const MAX_LACE_BYTES: usize = 640;
const MAX_LACE_NS: u64 = 8_000_000_000;
/// Packets of a block, whose number is coded in a byte.
const MAX_LACED: usize = 256;
/// By how much packets of one block may miss the duration that their track states: what rounding samples to nanoseconds does.
const EXACT_NS: u64 = 10_000;

/// A packet on its way into a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) track: usize,
    pub(super) kind: TrackKind,
    pub(super) pts_ns: u64,
    pub(super) duration_ns: u64,
    /// Whether a reader may begin here.
    pub(super) is_keyframe: bool,
    /// How long packets of the track last that do not say so themselves.
    pub(super) usual_ns: Option<u64>,
    /// When the packet before begins in ticks, if the track has one.
    pub(super) before: Option<u64>,
    /// Sound to drop from its end, in nanoseconds.
    pub(super) discard_ns: u64,
    pub(super) data: &'a [u8],
}

impl Packet<'_> {
    /// Whether it lasts as long as its track says of all packets, as exactly as a time stamp can tell.
    fn is_usual(&self) -> bool {
        self.duration_ns == 0 || self.usual_ns.is_some_and(|n| n.abs_diff(self.duration_ns) < TICK_NS / 2)
    }
}

/// Time in ticks of the file. Rounded, not cut off: errors of a cut add up where a reader derives durations from timestamps.
pub(super) fn to_ticks(ns: u64) -> u64 {
    (ns + TICK_NS / 2) / TICK_NS
}

/// A cluster that is being written.
#[derive(Debug)]
pub(super) struct OpenCluster {
    /// Its time, in ticks.
    pub(super) start: u64,
    /// Offset of its first byte, and whether the index has it.
    pub(super) at: u64,
    pub(super) is_indexed: bool,
    /// Bytes of its blocks so far, those that wait included.
    pub(super) bytes: usize,
    lace: Option<Lace>,
}

/// Packets that wait for others of their block.
#[derive(Debug)]
struct Lace {
    track: usize,
    is_keyframe: bool,
    pts_ns: u64,
    /// Where the next packet must begin, and how long each lasts.
    next_ns: u64,
    usual_ns: u64,
    bytes: usize,
    packets: Vec<Vec<u8>>,
}

impl OpenCluster {
    /// Begins a cluster of unknown size at an offset.
    pub(super) fn begin(start: u64, at: u64, out: &mut Vec<u8>) -> Self {
        ebml::put_id(id::CLUSTER, out);
        out.extend_from_slice(&UNKNOWN_SIZE);
        ebml::put_unsigned(id::TIMESTAMP, start, out);
        Self { start, at, is_indexed: false, bytes: 0, lace: None }
    }

    /// Where the size of what follows it is written: offset of the field and of the first byte that counts.
    pub(super) fn size_field(&self) -> (u64, u64) {
        let field = self.at + 4;
        (field, field + UNKNOWN_SIZE.len() as u64)
    }

    /// Appends a packet in a block of its own.
    pub(super) fn put(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        self.end_lace(out);
        self.bytes += packet.data.len() + 7;
        put_packet(self.start, packet, out);
    }

    /// Takes a packet that may share a block with others of its track; appends what is whole.
    pub(super) fn put_laced(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        let exact = packet.usual_ns.filter(|n| n.abs_diff(packet.duration_ns) <= EXACT_NS);
        let Some(usual_ns) = exact else { return self.put(packet, out) };
        let follows = |lace: &Lace| {
            (lace.track, lace.is_keyframe) == (packet.track, packet.is_keyframe)
                && lace.next_ns.abs_diff(packet.pts_ns) <= EXACT_NS
                && lace.packets.len() < MAX_LACED
        };
        if !self.lace.as_ref().is_some_and(follows) {
            self.end_lace(out);
        }
        let lace = self.lace.get_or_insert_with(|| Lace {
            track: packet.track,
            is_keyframe: packet.is_keyframe,
            pts_ns: packet.pts_ns,
            next_ns: packet.pts_ns,
            usual_ns,
            bytes: 0,
            packets: Vec::new(),
        });
        lace.next_ns = lace.next_ns.saturating_add(usual_ns);
        lace.bytes += packet.data.len();
        lace.packets.push(packet.data.to_vec());
        self.bytes += packet.data.len() + 2;
        let next_ends = lace.next_ns.saturating_add(lace.usual_ns);
        if lace.bytes >= MAX_LACE_BYTES || next_ends - lace.pts_ns > MAX_LACE_NS {
            self.end_lace(out);
        }
    }

    /// Appends the packets that wait.
    pub(super) fn end_lace(&mut self, out: &mut Vec<u8>) {
        let Some(lace) = self.lace.take() else { return };
        let (flags, body) = match lace.packets.as_slice() {
            [one] => (0, one.clone()),
            all => (lacing::EBML_FLAGS, lacing::join(all)),
        };
        let key = if lace.is_keyframe { KEY } else { 0 };
        let block = block(lace.track, relative(self.start, lace.pts_ns), flags | key, &body);
        ebml::put_element(id::SIMPLE_BLOCK, &block, out);
    }
}

/// The flag of a simple block that decodes alone.
const KEY: u8 = 0x80;

/// Time after the cluster's, in ticks. The caller begins another cluster where it is too far away.
fn relative(start: u64, pts_ns: u64) -> i16 {
    (to_ticks(pts_ns) as i64 - start as i64).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Appends a packet alone: in a simple block, or in a group with its duration where that is not the track's.
fn put_packet(start: u64, packet: &Packet<'_>, out: &mut Vec<u8>) {
    let at = relative(start, packet.pts_ns);
    let is_text = matches!(packet.kind, TrackKind::Text | TrackKind::Tokens);
    if packet.discard_ns > 0 {
        return put_padded(packet.track, at, packet.discard_ns, packet.data, out);
    }
    if packet.is_usual() && !is_text {
        let key = if packet.is_keyframe { KEY } else { 0 };
        return ebml::put_element(id::SIMPLE_BLOCK, &block(packet.track, at, key, packet.data), out);
    }
    let mut group = Vec::new();
    ebml::put_element(id::BLOCK, &block(packet.track, at, 0, packet.data), &mut group);
    let lasts = to_ticks(packet.pts_ns + packet.duration_ns) - to_ticks(packet.pts_ns);
    ebml::put_unsigned(id::BLOCK_DURATION, lasts, &mut group);
    if !packet.is_keyframe && !is_text {
        // What a group refers to says that it does not decode alone.
        let back = packet.before.map_or(-1, |before| before as i64 - to_ticks(packet.pts_ns) as i64);
        ebml::put_signed(id::REFERENCE_BLOCK, back.min(-1), &mut group);
    }
    ebml::put_element(id::BLOCK_GROUP, &group, out);
}

/// Appends a block from whose end sound is to be dropped. Not through `mkv-element` 0.4.0, which writes signed integers without
/// the byte of their sign (findings/mkv-element-signed.sh).
fn put_padded(track: usize, at: i16, discard_ns: u64, data: &[u8], out: &mut Vec<u8>) {
    let discard = i64::try_from(discard_ns).unwrap_or(i64::MAX);
    let mut group = Vec::with_capacity(data.len() + 28);
    ebml::put_element(id::BLOCK, &block(track, at, 0, data), &mut group);
    ebml::put_signed(id::DISCARD_PADDING, discard, &mut group);
    ebml::put_element(id::BLOCK_GROUP, &group, out);
}

fn block(track: usize, relative: i16, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(data.len() + 4);
    body.push(0x80 | (track as u8 + 1));
    body.extend_from_slice(&relative.to_be_bytes());
    body.push(flags);
    body.extend_from_slice(data);
    body
}
