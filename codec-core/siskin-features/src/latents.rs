//! Coding of the latents of a frame: block by block, each latent in a context of its neighbors. The same function codes and
//! reads.

use siskin_entropy::binary::{BitCoder, code_unary_golomb};
use siskin_entropy::range::{RangeDecoder, RangeEncoder};

use crate::tables::{Contexts, FeatureTables};
use crate::{Error, Result};

/// Largest magnitude of a latent.
pub const MAX_LATENT: i16 = 255;
/// Longest prefix of an Exp-Golomb code.
const MAX_PREFIX: u32 = 8;
/// What the last bits of a packet are: a damaged one decodes to other latents and then, but for one in 256, to other bits.
const END_MARK: u32 = 0xa5;
const END_BITS: u32 = 8;

/// Integer latents, `[row][column][channel]`: all channels of a block side by side, as they are coded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Latents {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    pub(crate) values: Vec<i16>,
}

impl Latents {
    /// Zero latents of this shape; the memory is reused.
    pub(crate) fn reshape(&mut self, columns: usize, rows: usize, channels: usize) {
        (self.columns, self.rows, self.channels) = (columns, rows, channels);
        self.values.clear();
        self.values.resize(columns * rows * channels, 0);
    }

    /// The latent of a block `left` columns and `up` rows before, 0 outside; `right` of it by one if asked.
    fn neighbor(&self, column: usize, row: usize, (dx, up): (isize, usize), channel: usize) -> i32 {
        let x = column.wrapping_add_signed(dx);
        if x >= self.columns || up > row {
            return 0;
        }
        self.values[((row - up) * self.columns + x) * self.channels + channel].into()
    }
}

/// Appends the coded latents to `out`.
///
/// # Errors
/// [`Error::Parameter`] for a magnitude above [`MAX_LATENT`].
pub(crate) fn write_latents(
    latents: &mut Latents,
    tables: &FeatureTables,
    level: u8,
    contexts: &mut Contexts,
    out: &mut Vec<u8>,
) -> Result<()> {
    if let Some(value) = latents.values.iter().find(|v| v.unsigned_abs() > MAX_LATENT.unsigned_abs()) {
        return Err(Error::parameter("latent", value, format!("-{MAX_LATENT} to {MAX_LATENT}")));
    }
    tables.start_packet(level, contexts);
    let mut encoder = RangeEncoder::default();
    code_latents(&mut encoder, contexts, latents, |_| Ok(()))?;
    encoder.code_raw_bits(END_BITS, END_MARK)?;
    encoder.finish_into(out);
    Ok(())
}

/// Reads latents, whose shape has been set, from the whole of `data`.
///
/// # Errors
/// [`Error::Bitstream`] for what no encoder writes: sizes out of range, too few bytes or too many, another end mark.
pub(crate) fn read_latents(
    data: &[u8],
    tables: &FeatureTables,
    level: u8,
    contexts: &mut Contexts,
    latents: &mut Latents,
) -> Result<()> {
    tables.start_packet(level, contexts);
    let mut decoder = RangeDecoder::new(data);
    // Row by row: a few bytes that claim a large frame would else be read on for all of it.
    code_latents(&mut decoder, contexts, latents, RangeDecoder::check)?;
    let mark = decoder.code_raw_bits(END_BITS, 0)?;
    decoder.check()?;
    let fail = |field, reason: String| Err(Error::bitstream("coded latents", field, data.len(), reason));
    if mark != END_MARK {
        return fail("end mark", format!("{mark:#x}, allowed: {END_MARK:#x}; the packet is damaged"));
    }
    if !decoder.may_be_at_end() {
        return fail("length", "bytes after the last latent".into());
    }
    Ok(())
}

/// Codes latents, or reads them; `check_row` is asked after each row of blocks.
fn code_latents<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    latents: &mut Latents,
    check_row: impl Fn(&C) -> Result<()>,
) -> Result<()> {
    let channels = latents.channels;
    // Which blocks have latents, with a border of none: above, left and to the right.
    let width = latents.columns + 2;
    let mut flags = vec![false; width * (latents.rows + 1)];
    for row in 0..latents.rows {
        for column in 0..latents.columns {
            let place = (row + 1) * width + column + 1;
            let near = usize::from(flags[place - 1])
                | usize::from(flags[place - width]) << 1
                | usize::from(flags[place - width + 1]) << 2;
            let start = (row * latents.columns + column) * channels;
            let any = latents.values[start..start + channels].iter().any(|&v| v != 0);
            flags[place] = coder.code_bit(contexts.block_flag(near), any)?;
            if !flags[place] {
                continue;
            }
            let mut count = 0;
            for channel in 0..channels {
                let value = latents.values[start + channel];
                let coded = code_latent(coder, contexts, latents, (column, row, channel), value, count)?;
                count += usize::from(coded != 0);
                latents.values[start + channel] = coded;
            }
        }
        check_row(coder)?;
    }
    Ok(())
}

/// Codes a latent, or reads it, in the context of those around and of how many its block has so far.
fn code_latent<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    latents: &Latents,
    (column, row, channel): (usize, usize, usize),
    value: i16,
    count: usize,
) -> Result<i16> {
    let at = |near| latents.neighbor(column, row, near, channel);
    let (left, above) = (at((-1, 0)), at((0, 1)));
    let class = magnitude_class(left, above, at((-1, 1)), at((1, 1)));
    // Boundaries double: a block of text has about ten latents, one at its edge one or two.
    let count = match count {
        0 => 0,
        1..=2 => 1,
        3..=6 => 2,
        _ => 3,
    };
    if !coder.code_bit(contexts.significance(channel, class, count), value != 0)? {
        return Ok(0);
    }
    // Neighbors of one kind of texture lie on one side of zero.
    let near = (left + above).signum() + 1;
    let negative = coder.code_bit(contexts.sign(channel, near as usize), value < 0)?;
    let more = value.unsigned_abs().saturating_sub(1);
    let models = contexts.magnitude(channel, class);
    let size = 1 + code_unary_golomb(coder, models, more.into(), 0, MAX_PREFIX)?;
    let size = i16::try_from(size).ok().filter(|&s| s <= MAX_LATENT).ok_or_else(|| {
        Error::bitstream("coded latents", "size", 0, format!("{size}, allowed: up to {MAX_LATENT}"))
    })?;
    Ok(if negative { -size } else { size })
}

/// The class of the magnitudes around a latent; left and above count double, as the nearer ones.
pub(crate) fn magnitude_class(left: i32, above: i32, upper_left: i32, upper_right: i32) -> usize {
    let sum = 2 * (left.abs() + above.abs()) + upper_left.abs() + upper_right.abs();
    match sum {
        0 => 0,
        1..=2 => 1,
        3..=4 => 2,
        5..=8 => 3,
        9..=16 => 4,
        _ => 5,
    }
}
