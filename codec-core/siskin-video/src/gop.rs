//! The packet of one group of frames (`docs/video-bitstream.md`): how many frames, which network, its parameters.

use crate::arch::{Architecture, Block, Kind, Modulation};
use crate::quantizer::{self, STEPS};
use crate::{Error, Limits, Result};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::bytes::{Cursor, put_varint};
use siskin_bitstream::video_packet::{Coding, GopInfo, append_checksum, read_head, write_head};
use siskin_entropy::{Gaussian, SymbolDecoder, SymbolEncoder};

/// Most channels of an embedding.
const MAX_EMBEDDING: u8 = 64;
/// What stands for the channels of an embedding where place and time are taken apart.
// Above the number of channels that any embedding has, so that a reader that does not know it refuses the packet.
const DISENTANGLED: u8 = 128;

/// Parameters of one quantizer: symbols, and what one unit of them is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Index of the step size, see [`quantizer::step_size`].
    pub step: u8,
    /// The symbols.
    pub symbols: Vec<i32>,
}

/// A group of frames as it is coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gop {
    /// The number of the group.
    pub number: u32,
    /// Whether it decodes without the group before it.
    pub is_keyframe: bool,
    /// Frames of the group.
    pub frames: u32,
    /// Durations of the frames in nanoseconds, if they differ.
    pub durations: Option<Vec<u32>>,
    /// Present in every key group.
    pub arch: Option<Architecture>,
    /// The parameters, or what is to be added to those of the group before.
    pub groups: Vec<Group>,
    /// The embeddings of all frames, one frame after another.
    pub embeddings: Option<Group>,
}

/// Writes a packet.
pub fn write_gop(gop: &Gop, header: &VideoHeader) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let place = (gop.number, gop.frames);
    write_head(Coding::Fitted, gop.is_keyframe.then_some(header), place, gop.durations.as_deref(), &mut out);
    if let Some(arch) = gop.arch.as_ref().filter(|_| gop.is_keyframe) {
        write_arch(arch, &mut out);
    }
    // Quantizers come first in the packet and all symbols last: one range coder, whose final words are paid for once.
    let mut symbols = SymbolEncoder::new();
    for group in &gop.groups {
        let distribution = Gaussian::from_symbols(&group.symbols);
        out.push(group.step);
        distribution.write_bounds(&mut out);
        distribution.write_shape(&mut out);
        symbols.encode_symbols(&group.symbols, &distribution)?;
    }
    if let Some(embeddings) = &gop.embeddings {
        // Bounds for all frames together, mean and deviation for each: bounds take varints and hardly differ, shapes
        // take about three bytes and do.
        let bounds = Gaussian::from_symbols(&embeddings.symbols);
        out.push(embeddings.step);
        bounds.write_bounds(&mut out);
        let size = (embeddings.symbols.len() / gop.frames.max(1) as usize).max(1);
        for frame in embeddings.symbols.chunks(size) {
            let distribution = Gaussian::from_symbols_within(frame, bounds.low, bounds.high);
            distribution.write_shape(&mut out);
            symbols.encode_symbols(frame, &distribution)?;
        }
    }
    out.extend(symbols.finish());
    append_checksum(&mut out);
    Ok(out)
}

/// Reads a packet in a stream of this header; `before` is the number and network of the group decoded before it.
pub fn parse_gop(
    data: &[u8],
    header: &VideoHeader,
    before: Option<(u32, &Architecture)>,
    limits: &Limits,
) -> Result<Gop> {
    let (info, mut cursor) = read_head(data, limits)?;
    if info.coding != Coding::Fitted {
        return Err(cursor.field_error("coding", "a real-time packet among fitted groups"));
    }
    let own = if info.is_keyframe { Some(parse_arch(&mut cursor, header, limits)?) } else { None };
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
    // Before anything is allocated: a few bytes of header could ask for gigabytes.
    let all = layout.count() as u64 + embeddings;
    if all > limits.max_video_parameters {
        let reason = format!("{all} parameters, allowed: up to {}", limits.max_video_parameters);
        return Err(cursor.field_error("network", reason));
    }
    // Sixteen blocks have about a hundred groups at most, so this needs no limit of its own.
    let mut distributions = Vec::with_capacity(layout.groups.len());
    for _ in &layout.groups {
        let step = cursor.read_byte_in("step", 0, STEPS)?;
        let bounds = Gaussian::parse_bounds(&mut cursor)?;
        distributions.push((step, Gaussian::parse_shape(&mut cursor, bounds)?));
    }
    let mut of_frames = Vec::new();
    let mut embedding_step = 0;
    if embeddings > 0 {
        embedding_step = cursor.read_byte_in("step", 0, STEPS)?;
        let bounds = Gaussian::parse_bounds(&mut cursor)?;
        for _ in 0..info.frames {
            of_frames.push(Gaussian::parse_shape(&mut cursor, bounds)?);
        }
    }
    let mut symbols = SymbolDecoder::new(cursor.rest())?;
    let mut groups = Vec::with_capacity(layout.groups.len());
    for (&count, (step, distribution)) in layout.groups.iter().zip(distributions) {
        let mut group = Group { step, symbols: Vec::with_capacity(count) };
        symbols.decode_symbols(count, &distribution, &mut group.symbols)?;
        groups.push(group);
    }
    let embeddings = if of_frames.is_empty() {
        None
    } else {
        let mut group = Group { step: embedding_step, symbols: Vec::with_capacity(embeddings as usize) };
        for distribution in &of_frames {
            symbols.decode_symbols(arch.embedding(), distribution, &mut group.symbols)?;
        }
        Some(group)
    };
    let GopInfo { number, is_keyframe, frames, durations, .. } = info;
    Ok(Gop { number, is_keyframe, frames, durations, arch: own, groups, embeddings })
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

/// Reads a network, which must fit the frames and the limits before anything of its size is allocated.
fn parse_arch(cursor: &mut Cursor<'_>, header: &VideoHeader, limits: &Limits) -> Result<Architecture> {
    let mut kind = match cursor.read_byte("embedding channels")? {
        0 => Kind::Index,
        channels @ 1..=MAX_EMBEDDING => Kind::Content(channels),
        DISENTANGLED => Kind::Disentangled(0),
        other => {
            let reason = format!("{other}, allowed: 0 to {MAX_EMBEDDING} and {DISENTANGLED}");
            return Err(cursor.field_error("embedding channels", reason));
        }
    };
    let modulation = match cursor.read_byte("modulation")? {
        0 => Modulation::Affine,
        points => Modulation::Grid(points),
    };
    // Read also where no layer uses it, so that fields have fixed places.
    let time_width = cursor.read_byte_in("time width", 1, 128)?;
    let base = (
        cursor.read_ranged("base rows", 1, 4096)? as u16,
        cursor.read_ranged("base columns", 1, 4096)? as u16,
    );
    let stem = match kind {
        Kind::Content(channels) => channels.into(),
        Kind::Index | Kind::Disentangled(_) => cursor.read_ranged("stem channels", 1, 4096)? as u16,
    };
    if let Kind::Disentangled(width) = &mut kind {
        *width = cursor.read_byte_in("token width", 2, 254)?;
    }
    let head_kernel = parse_odd(cursor, "head kernel")?;
    let count = cursor.read_byte_in("blocks", 1, 16)?;
    let mut blocks = Vec::with_capacity(count.into());
    let (mut rows, mut columns) = (u64::from(base.0), u64::from(base.1));
    // A decoder gives a little more than the frame, which is cropped; much more would be a decompression bomb. The margin
    // of 256 is for small frames, whose grid cannot be as fine.
    let most = |side: u32| 2 * u64::from(side) + 256;
    for _ in 0..count {
        let stride = cursor.read_byte_in("stride", 1, 16)?;
        let kernel = parse_odd(cursor, "kernel")?;
        let channels = cursor.read_ranged("channels", 1, 4096)? as u16;
        blocks.push(Block { stride, kernel, channels });
        rows *= u64::from(stride);
        columns *= u64::from(stride);
        // In the loop: sixteen strides of 16 would overflow 64 bits after it.
        if rows > most(header.height) || columns > most(header.width) {
            return Err(cursor
                .field_error("stride", format!("{columns}x{rows} of {}x{}", header.width, header.height)));
        }
    }
    if rows < header.height.into() || columns < header.width.into() {
        return Err(
            cursor.field_error("blocks", format!("{columns}x{rows} of {}x{}", header.width, header.height))
        );
    }
    let arch = Architecture { kind, modulation, time_width, base, stem, blocks, head_kernel };
    if arch.memory_bytes() > limits.max_video_memory {
        let reason =
            format!("{} bytes of features, allowed: up to {}", arch.memory_bytes(), limits.max_video_memory);
        return Err(cursor.field_error("network", reason));
    }
    Ok(arch)
}

fn parse_odd(cursor: &mut Cursor<'_>, field: &'static str) -> Result<u8> {
    let kernel = cursor.read_byte_in(field, 1, 7)?;
    if kernel % 2 == 1 {
        Ok(kernel)
    } else {
        Err(cursor.field_error(field, format!("{kernel}, allowed: odd")))
    }
}

/// The parameters as numbers: symbols times steps, added to `base` if there is one.
pub fn dequantize_groups(groups: &[Group], base: Option<&[f32]>) -> Vec<f32> {
    let mut values = Vec::with_capacity(groups.iter().map(|g| g.symbols.len()).sum());
    for group in groups {
        let step = quantizer::step_size(group.step);
        // One product and one sum in 32 bits, each rounded by IEEE 754: the same on every machine.
        values.extend(group.symbols.iter().map(|&s| s as f32 * step));
    }
    if let Some(base) = base {
        values.iter_mut().zip(base).for_each(|(v, b)| *v += b);
    }
    values
}
