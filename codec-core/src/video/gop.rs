//! The packet of one group of pictures (`docs/video-bitstream.md`): how many frames, which network, its parameters.

use super::arch::{Architecture, Block, Kind, Modulation};
use super::quantiser::{self, STEPS};
use crate::bitstream::VideoHeader;
use crate::bitstream::cursor::{Cursor, put_varint};
use crate::entropy::{Gaussian, SymbolDecoder, SymbolEncoder};
use crate::{Error, Limits, Result};

const HAS_HEADER: u8 = 0x80;
const IS_KEY: u8 = 0x40;
const HAS_DURATIONS: u8 = 0x20;
/// Bits 0 to 4 of the first byte: the [`Coding`].
const CODING_MASK: u8 = 0x1f;
const FITTED: u8 = 0;
const REALTIME: u8 = 1;
/// Numbers of real-time packets are below this: they count round, so that each takes one byte.
pub(super) const REALTIME_NUMBERS: u32 = 128;
/// Bytes of the checksum at the end.
const CHECKSUM: usize = 4;
/// Most channels of an embedding.
const MOST_EMBEDDING: u8 = 64;
/// What stands for the channels of an embedding where place and time are taken apart.
const DISENTANGLED: u8 = 128;

/// Parameters of one quantiser: symbols, and what one unit of them is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Index of the step size, see [`quantiser::step`].
    pub(super) step: u8,
    pub(super) symbols: Vec<i32>,
}

/// A group of pictures as it is coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gop {
    pub(super) number: u32,
    /// Whether it decodes without the group before it.
    pub(super) key: bool,
    pub(super) frames: u32,
    /// Durations of the frames in nanoseconds, if they differ.
    pub(super) durations: Option<Vec<u32>>,
    /// Always there in a key group.
    pub(super) arch: Option<Architecture>,
    /// The parameters, or what is to be added to those of the group before.
    pub(super) groups: Vec<Group>,
    /// The embeddings of all frames, one frame after another.
    pub(super) embeddings: Option<Group>,
}

/// Writes a packet.
pub(super) fn write(gop: &Gop, header: &VideoHeader) -> Result<Vec<u8>> {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let mut out =
        vec![flag(gop.key, HAS_HEADER | IS_KEY) | flag(gop.durations.is_some(), HAS_DURATIONS) | FITTED];
    if gop.key {
        header.write(&mut out);
    }
    put_varint(&mut out, gop.number);
    put_varint(&mut out, gop.frames);
    gop.durations.iter().flatten().for_each(|&d| put_varint(&mut out, d));
    if let Some(arch) = gop.arch.as_ref().filter(|_| gop.key) {
        write_arch(arch, &mut out);
    }
    let mut symbols = SymbolEncoder::new();
    for group in &gop.groups {
        let distribution = Gaussian::of(&group.symbols);
        out.push(group.step);
        distribution.write_bounds(&mut out);
        distribution.write_shape(&mut out);
        symbols.encode(&group.symbols, &distribution)?;
    }
    if let Some(embeddings) = &gop.embeddings {
        let bounds = Gaussian::of(&embeddings.symbols);
        out.push(embeddings.step);
        bounds.write_bounds(&mut out);
        let size = (embeddings.symbols.len() / gop.frames.max(1) as usize).max(1);
        for frame in embeddings.symbols.chunks(size) {
            let distribution = Gaussian::within(frame, bounds.low, bounds.high);
            distribution.write_shape(&mut out);
            symbols.encode(frame, &distribution)?;
        }
    }
    out.extend(symbols.finish());
    seal(&mut out);
    Ok(out)
}

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// A network of their own is in the packet.
    Fitted,
    /// One picture: latents for the network of a bundle, and motion ([`super::realtime`]).
    Realtime,
}

/// What stands before the parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GopInfo {
    /// How the pictures are coded.
    pub coding: Coding,
    /// The stream header, in key groups.
    pub header: Option<VideoHeader>,
    /// The group's number; they count up by one.
    pub number: u32,
    /// Whether the group decodes without the one before it.
    pub key: bool,
    /// Frames in the group.
    pub frames: u32,
    /// Durations of the frames in nanoseconds, if they differ.
    pub durations: Option<Vec<u32>>,
}

impl GopInfo {
    /// How long the group lasts, in nanoseconds, in a stream of this header; none if nothing says so.
    pub fn duration_ns(&self, header: &VideoHeader) -> Option<u64> {
        match (&self.durations, header.frame_duration_ns()) {
            (Some(durations), _) => Some(durations.iter().map(|&d| u64::from(d)).sum()),
            (None, one) => Some(u64::from(self.frames) * one?),
        }
    }
}

/// Reads what stands before the parameters, and checks the packet's checksum.
///
/// # Errors
/// [`Error::Bitstream`] for anything that the format or `limits` do not allow.
pub fn inspect(data: &[u8], limits: &Limits) -> Result<GopInfo> {
    head(data, limits).map(|(info, _)| info)
}

/// Writes what stands before a real-time picture.
pub(super) fn write_realtime_head(
    header: Option<&VideoHeader>,
    number: u32,
    duration: Option<u32>,
    out: &mut Vec<u8>,
) {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out.push(
        flag(header.is_some(), HAS_HEADER | IS_KEY) | flag(duration.is_some(), HAS_DURATIONS) | REALTIME,
    );
    if let Some(header) = header {
        header.write(out);
    }
    put_varint(out, number % REALTIME_NUMBERS);
    put_varint(out, 1);
    duration.iter().for_each(|&d| put_varint(out, d));
}

/// Appends the checksum of all that is there.
pub(super) fn seal(out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads and checks what stands before the parameters; the cursor is behind it.
pub(super) fn head<'a>(data: &'a [u8], limits: &Limits) -> Result<(GopInfo, Cursor<'a>)> {
    let whole = Cursor::new("video packet", data);
    if data.len() > limits.max_video_packet_bytes {
        let reason = format!("{} bytes, allowed: up to {}", data.len(), limits.max_video_packet_bytes);
        return Err(whole.error("length", reason));
    }
    let Some((body, stated)) = data.split_last_chunk::<CHECKSUM>() else {
        return Err(whole.error("length", format!("{} bytes, allowed: {CHECKSUM} and more", data.len())));
    };
    if crc32fast::hash(body) != u32::from_le_bytes(*stated) {
        return Err(whole.error("checksum", "the packet is damaged"));
    }
    let mut cursor = Cursor::new("video packet", body);
    let first = cursor.byte("first byte")?;
    let coding = match first & CODING_MASK {
        FITTED => Coding::Fitted,
        REALTIME => Coding::Realtime,
        other => {
            return Err(whole.error("coding", format!("{other}, this reader knows {FITTED} and {REALTIME}")));
        }
    };
    let key = first & IS_KEY != 0;
    let header = if first & HAS_HEADER != 0 {
        let (header, length) = VideoHeader::parse(cursor.rest(), limits)?;
        cursor.bytes("video header", length)?;
        Some(header)
    } else if key {
        return Err(whole.error("first byte", "a key group without a header"));
    } else {
        None
    };
    let (most_number, most_frames) = match coding {
        Coding::Fitted => (u32::MAX, limits.max_video_frames),
        Coding::Realtime => (REALTIME_NUMBERS - 1, 1),
    };
    let number = cursor.ranged("number", 0, most_number)?;
    let frames = cursor.ranged("frames", 1, most_frames)?;
    let durations = match first & HAS_DURATIONS {
        0 => None,
        _ => Some((0..frames).map(|_| cursor.varint("duration")).collect::<Result<Vec<_>>>()?),
    };
    Ok((GopInfo { coding, header, number, key, frames, durations }, cursor))
}

/// Reads a packet in a stream of this header; `before` is the number and network of the group decoded before it.
pub(super) fn parse(
    data: &[u8],
    header: &VideoHeader,
    before: Option<(u32, &Architecture)>,
    limits: &Limits,
) -> Result<Gop> {
    let (info, mut cursor) = head(data, limits)?;
    if info.coding != Coding::Fitted {
        return Err(cursor.error("coding", "a real-time picture among fitted groups"));
    }
    let own = if info.key { Some(parse_arch(&mut cursor, header, limits)?) } else { None };
    let arch = match (&own, before) {
        (Some(own), _) => own,
        (None, Some((found, arch))) if found == info.number.wrapping_sub(1) => arch,
        (None, _) => {
            return Err(Error::MissingPredecessor {
                number: info.number,
                needed: info.number.wrapping_sub(1),
                found: before.map(|b| b.0),
            });
        }
    };
    let embeddings = u64::from(info.frames) * arch.embedding() as u64;
    let layout = arch.layout();
    let all = layout.count() as u64 + embeddings;
    if all > limits.max_video_parameters {
        let reason = format!("{all} parameters, allowed: up to {}", limits.max_video_parameters);
        return Err(cursor.error("network", reason));
    }
    let mut distributions = Vec::with_capacity(layout.groups.len());
    for _ in &layout.groups {
        let step = cursor.byte_in("step", 0, STEPS)?;
        let bounds = Gaussian::parse_bounds(&mut cursor)?;
        distributions.push((step, Gaussian::parse_shape(&mut cursor, bounds)?));
    }
    let mut of_frames = Vec::new();
    let mut embedding_step = 0;
    if embeddings > 0 {
        embedding_step = cursor.byte_in("step", 0, STEPS)?;
        let bounds = Gaussian::parse_bounds(&mut cursor)?;
        for _ in 0..info.frames {
            of_frames.push(Gaussian::parse_shape(&mut cursor, bounds)?);
        }
    }
    let mut symbols = SymbolDecoder::new(cursor.rest())?;
    let mut groups = Vec::with_capacity(layout.groups.len());
    for (&count, (step, distribution)) in layout.groups.iter().zip(distributions) {
        let mut group = Group { step, symbols: Vec::with_capacity(count) };
        symbols.decode(count, &distribution, &mut group.symbols)?;
        groups.push(group);
    }
    let embeddings = if of_frames.is_empty() {
        None
    } else {
        let mut group = Group { step: embedding_step, symbols: Vec::with_capacity(embeddings as usize) };
        for distribution in &of_frames {
            symbols.decode(arch.embedding(), distribution, &mut group.symbols)?;
        }
        Some(group)
    };
    let GopInfo { number, key, frames, durations, .. } = info;
    Ok(Gop { number, key, frames, durations, arch: own, groups, embeddings })
}

fn write_arch(arch: &Architecture, out: &mut Vec<u8>) {
    out.push(match arch.kind {
        Kind::Index => 0,
        Kind::Content(channels) => channels,
        Kind::Disentangled(_) => DISENTANGLED,
    });
    out.push(match arch.modulation {
        Modulation::Affine => 0,
        Modulation::Grid(points) => points,
    });
    out.push(arch.time_width);
    put_varint(out, arch.base.0.into());
    put_varint(out, arch.base.1.into());
    if !matches!(arch.kind, Kind::Content(_)) {
        put_varint(out, arch.stem.into());
    }
    if let Kind::Disentangled(width) = arch.kind {
        out.push(width);
    }
    out.push(arch.head_kernel);
    out.push(arch.blocks.len() as u8);
    for block in &arch.blocks {
        out.extend_from_slice(&[block.stride, block.kernel]);
        put_varint(out, block.channels.into());
    }
}

/// Reads a network, which must fit the pictures and the limits before anything of its size is allocated.
fn parse_arch(cursor: &mut Cursor<'_>, header: &VideoHeader, limits: &Limits) -> Result<Architecture> {
    let mut kind = match cursor.byte("embedding channels")? {
        0 => Kind::Index,
        channels @ 1..=MOST_EMBEDDING => Kind::Content(channels),
        DISENTANGLED => Kind::Disentangled(0),
        other => {
            let reason = format!("{other}, allowed: 0 to {MOST_EMBEDDING} and {DISENTANGLED}");
            return Err(cursor.error("embedding channels", reason));
        }
    };
    let modulation = match cursor.byte("modulation")? {
        0 => Modulation::Affine,
        points => Modulation::Grid(points),
    };
    let time_width = cursor.byte_in("time width", 1, 128)?;
    let base = (cursor.ranged("base rows", 1, 4096)? as u16, cursor.ranged("base columns", 1, 4096)? as u16);
    let stem = match kind {
        Kind::Content(channels) => channels.into(),
        Kind::Index | Kind::Disentangled(_) => cursor.ranged("stem channels", 1, 4096)? as u16,
    };
    if let Kind::Disentangled(width) = &mut kind {
        *width = cursor.byte_in("token width", 2, 254)?;
    }
    let head_kernel = odd(cursor, "head kernel")?;
    let count = cursor.byte_in("blocks", 1, 16)?;
    let mut blocks = Vec::with_capacity(count.into());
    let (mut rows, mut columns) = (u64::from(base.0), u64::from(base.1));
    // A decoder gives a little more than the picture, which is cropped; much more would be a bomb.
    let most = |side: u32| 2 * u64::from(side) + 256;
    for _ in 0..count {
        let stride = cursor.byte_in("stride", 1, 16)?;
        let kernel = odd(cursor, "kernel")?;
        let channels = cursor.ranged("channels", 1, 4096)? as u16;
        blocks.push(Block { stride, kernel, channels });
        rows *= u64::from(stride);
        columns *= u64::from(stride);
        if rows > most(header.height) || columns > most(header.width) {
            return Err(
                cursor.error("stride", format!("{columns}x{rows} of {}x{}", header.width, header.height))
            );
        }
    }
    if rows < header.height.into() || columns < header.width.into() {
        return Err(cursor.error("blocks", format!("{columns}x{rows} of {}x{}", header.width, header.height)));
    }
    let arch = Architecture { kind, modulation, time_width, base, stem, blocks, head_kernel };
    if arch.memory() > limits.max_video_memory {
        let reason =
            format!("{} bytes of features, allowed: up to {}", arch.memory(), limits.max_video_memory);
        return Err(cursor.error("network", reason));
    }
    Ok(arch)
}

fn odd(cursor: &mut Cursor<'_>, field: &'static str) -> Result<u8> {
    let kernel = cursor.byte_in(field, 1, 7)?;
    if kernel % 2 == 1 { Ok(kernel) } else { Err(cursor.error(field, format!("{kernel}, allowed: odd"))) }
}

/// The parameters as numbers: symbols times steps, added to `base` if there is one.
pub(super) fn values(groups: &[Group], base: Option<&[f32]>) -> Vec<f32> {
    let mut values = Vec::with_capacity(groups.iter().map(|g| g.symbols.len()).sum());
    for group in groups {
        let step = quantiser::step(group.step);
        values.extend(group.symbols.iter().map(|&s| s as f32 * step));
    }
    if let Some(base) = base {
        values.iter_mut().zip(base).for_each(|(v, b)| *v += b);
    }
    values
}
