//! What is coded of a block, in the order of coding. Encoder and decoder share it: an encoder's coder answers with the value it
//! is given, a decoder's with what it reads.

use siskin_entropy::binary::BitCoder;

use super::coefficients::{Extent, Place, code_levels};
use super::contexts::{self, Contexts, VECTOR_DECISIONS};
use super::copy::{self, Halves};
use super::grid::{Cell, Grid};
use super::intra::{MEAN, MODES, likely_modes};
use super::motion::{
    MAX_COMPONENT, MERGE_CANDIDATES, Motion, NONE, Vector, merge_candidates, predict_vector,
};
use crate::{Error, Result};
use siskin_error::OffsetUnit;

/// Smallest and largest block, as logarithms of their sides.
pub(super) const MIN_LOG: u8 = 3;
pub(super) const MAX_LOG: u8 = 5;
/// Levels of the largest block: luma, then both chroma planes.
pub(super) const MAX_LEVELS: usize = 32 * 32 * 3 / 2;

/// A block as it is coded, without its levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) x: u16,
    pub(super) y: u16,
    pub(super) log: u8,
    /// Motion is taken over, and there are no levels.
    pub(super) is_skipped: bool,
    /// The candidate whose motion is taken over.
    pub(super) merge: Option<u8>,
    pub(super) motion: Motion,
    /// Direction of intra prediction.
    pub(super) mode: u8,
    /// What is in the frame at the distances of the motion's vectors is repeated; to everything else it is an intra block.
    pub(super) is_copied: bool,
    /// Which parts have a vector of their own.
    pub(super) halves: Halves,
    /// Luma has four transforms of half the side.
    pub(super) is_split: bool,
    /// Which transform blocks have levels: luma in bits 0 to 3, chroma in 4 and 5.
    pub(super) coded: u8,
}

impl Block {
    pub(super) fn new(x: usize, y: usize, log: u8) -> Self {
        Self {
            x: x as u16,
            y: y as u16,
            log,
            is_skipped: false,
            merge: None,
            motion: Motion::INTRA,
            mode: 1,
            is_copied: false,
            halves: Halves::Whole,
            is_split: false,
            coded: 0,
        }
    }

    /// Whether it is predicted from the samples around it, in the direction of its mode.
    pub(super) fn has_mode(&self) -> bool {
        self.motion.is_intra() && !self.is_copied
    }

    pub(super) fn place(&self) -> (usize, usize, usize) {
        (self.x.into(), self.y.into(), 1 << self.log)
    }

    /// Levels of the block, all transform blocks together.
    pub(super) fn level_count(&self) -> usize {
        (3 << (2 * self.log)) / 2
    }

    /// Luma transform blocks: columns, rows, side.
    pub(super) fn luma_blocks(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (x, y, side) = self.place();
        let (count, side) = if self.is_split { (4, side / 2) } else { (1, side) };
        (0..count).map(move |i| (x + i % 2 * side, y + i / 2 * side, side))
    }

    /// Where transform block `index`, 0 to 5, has its levels.
    pub(super) fn levels_at(&self, index: usize) -> std::ops::Range<usize> {
        let luma = 1usize << (2 * self.log);
        match index {
            4 | 5 => {
                let chroma = luma / 4;
                luma + (index - 4) * chroma..luma + (index - 3) * chroma
            }
            _ if self.is_split => index * luma / 4..(index + 1) * luma / 4,
            _ => 0..luma,
        }
    }

    /// Where a square of a plane begins in the block's own samples, whose rows are `stride` apart.
    pub(super) fn offset_of(&self, plane: usize, (x, y, _): (usize, usize, usize), stride: usize) -> usize {
        let (own, part) = (self.place(), if plane == 0 { 1 } else { 2 });
        (y - own.1 / part) * stride + x - own.0 / part
    }

    /// Tells the grid of the block.
    pub(super) fn record(&self, grid: &mut Grid) {
        let cell = Cell {
            motion: self.motion,
            is_skipped: self.is_skipped,
            log: self.log,
            mode: self.mode,
            is_copied: self.is_copied,
            is_coded: self.coded & 1 != 0,
            edges: [true; 2],
        };
        grid.fill(self.place(), cell);
        if self.is_split {
            for (i, place) in self.luma_blocks().enumerate() {
                // Blocks of 4x4 share a cell, which has levels if any of them has.
                let is_coded = if place.2 < 8 { self.coded & 15 != 0 } else { self.coded >> i & 1 != 0 };
                let place = if place.2 < 8 { self.place() } else { place };
                grid.fill(place, Cell { is_coded, ..cell });
            }
        }
    }
}

/// Whether a square is coded as four.
///
/// # Errors
/// Those of the coder, as everywhere here.
pub(super) fn code_split<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    (x, y, log): (usize, usize, u8),
    wanted: bool,
) -> Result<bool> {
    let finer = grid.count_beside((x, y), |c| c.log < log);
    coder.code_bit(contexts.at(contexts::SPLIT + usize::from(log - MIN_LOG - 1) * 3 + finer), wanted)
}

/// How a block is predicted.
pub(super) fn code_prediction<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    block: &mut Block,
) -> Result<()> {
    let place = block.place();
    let at = (place.0, place.1);
    let mut is_intra = true;
    if grid.references > 0 {
        let beside = grid.count_beside(at, |c| c.is_skipped);
        block.is_skipped = coder.code_bit(contexts.at(contexts::SKIP + beside), block.is_skipped)?;
        if block.is_skipped {
            return code_merge(coder, contexts, grid, block);
        }
        let beside = grid.count_beside(at, |c| c.motion.is_intra());
        is_intra = coder.code_bit(contexts.at(contexts::INTRA + beside), block.motion.is_intra())?;
    } else {
        block.is_skipped = false;
    }
    if is_intra {
        block.merge = None;
        if grid.has_copies {
            let beside = grid.count_beside(at, |c| c.is_copied);
            block.is_copied = coder.code_bit(contexts.at(contexts::COPY + beside), block.is_copied)?;
            if block.is_copied {
                return code_copy(coder, contexts, grid, block);
            }
        }
        block.motion = Motion::INTRA;
        return code_mode(coder, contexts, grid, block);
    }
    if coder.code_bit(contexts.at(contexts::MERGE), block.merge.is_some())? {
        return code_merge(coder, contexts, grid, block);
    }
    block.merge = None;
    code_motion(coder, contexts, grid, block)
}

fn code_merge<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    block: &mut Block,
) -> Result<()> {
    let wanted = block.merge.unwrap_or(0);
    let mut index = 0;
    while usize::from(index) < MERGE_CANDIDATES - 1
        && coder.code_bit(contexts.at(contexts::MERGE_INDEX + usize::from(index)), index < wanted)?
    {
        index += 1;
    }
    block.merge = Some(index);
    if C::IS_READER {
        block.motion = merge_candidates(grid, block.place())[usize::from(index)];
    }
    Ok(())
}

fn code_mode<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    block: &mut Block,
) -> Result<()> {
    let likely = likely_modes(grid, (block.x.into(), block.y.into()));
    let found = likely.iter().position(|&m| m == block.mode);
    if coder.code_bit(contexts.at(contexts::LIKELY_MODE), found.is_some())? {
        let index = found.unwrap_or(0);
        let mut i = 0;
        while i < 2 && coder.code_bit(contexts.at(contexts::LIKELY_INDEX + i), i < index)? {
            i += 1;
        }
        block.mode = likely[i];
        return Ok(());
    }
    // The other 32 modes in order, five decisions in a tree.
    let mut sorted = likely;
    sorted.sort_unstable();
    let rank = block.mode - sorted.iter().filter(|&&m| m < block.mode).count() as u8;
    let mut node = 1;
    for place in (0..5).rev() {
        let bit = coder.code_bit(contexts.at(contexts::MODE_BITS + node), rank >> place & 1 == 1)?;
        node = 2 * node + usize::from(bit);
    }
    let mut mode = (node - 32) as u8;
    for one in sorted {
        mode += u8::from(mode >= one);
    }
    block.mode = mode.min(MODES - 1);
    Ok(())
}

fn code_motion<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    block: &mut Block,
) -> Result<()> {
    let mut motion = block.motion;
    let mut references = [0, NONE];
    if grid.references > 1 {
        let beside = grid.count_beside((block.x.into(), block.y.into()), |c| c.motion.is_pair());
        if coder.code_bit(contexts.at(contexts::PAIR + beside), motion.is_pair())? {
            // The last frame and one of the others.
            let is_third = grid.references > 2
                && coder.code_bit(contexts.at(contexts::REFERENCE + 1), motion.references[1] == 2)?;
            references = [0, 1 + u8::from(is_third)];
        } else if coder.code_bit(contexts.at(contexts::REFERENCE), motion.references[0] > 0)? {
            let is_third = grid.references > 2
                && coder.code_bit(contexts.at(contexts::REFERENCE + 1), motion.references[0] == 2)?;
            references[0] = 1 + u8::from(is_third);
        }
    }
    motion.references = references;
    for (vector, reference) in motion.vectors.iter_mut().zip(references) {
        *vector = match reference {
            NONE => [0; 2],
            _ => {
                let predicted = predict_vector(grid, block.place(), reference);
                let first = (contexts::VECTOR_ZERO, contexts::VECTOR_SIZE);
                code_vector(coder, contexts, first, predicted, *vector)?
            }
        };
    }
    block.motion = motion;
    Ok(())
}

fn code_copy<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    block: &mut Block,
) -> Result<()> {
    if block.log == MIN_LOG {
        let is_halved = coder.code_bit(contexts.at(contexts::HALVES), block.halves != Halves::Whole)?;
        block.halves = match is_halved {
            false => Halves::Whole,
            true if coder.code_bit(contexts.at(contexts::HALVES + 1), block.halves == Halves::Columns)? => {
                Halves::Columns
            }
            true => Halves::Rows,
        };
    }
    let first = (contexts::COPY_ZERO, contexts::COPY_SIZE);
    let mut vectors = block.motion.vectors;
    vectors[0] = code_vector(coder, contexts, first, copy::predict_vector(grid, block.place()), vectors[0])?;
    vectors[1] = match block.halves {
        Halves::Whole => vectors[0],
        _ => code_vector(coder, contexts, first, vectors[0], vectors[1])?,
    };
    block.motion = copy::motion(vectors);
    block.mode = MEAN;
    for (part, vector) in copy::parts(block) {
        if copy::source(grid.size(), part, vector).is_none() {
            let reason = format!("{vector:?}, which is not before what is at {}, {}", part.x, part.y);
            return Err(Error::bitstream_at(OffsetUnit::Decision, "copy", "vector", 0, reason));
        }
    }
    Ok(())
}

/// A vector as its difference to what predicts it, with contexts from two places on.
fn code_vector<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    (zero, sizes): (usize, usize),
    predicted: Vector,
    wanted: Vector,
) -> Result<Vector> {
    let mut out = [0; 2];
    let mut before = 0;
    for axis in 0..2 {
        let difference = i32::from(wanted[axis]) - i32::from(predicted[axis]);
        let mut found = 0;
        if coder.code_bit(contexts.at(zero + 2 * axis + before), difference != 0)? {
            // Magnitude less one, plus one: an exponential code whose length adapts.
            let size = difference.unsigned_abs().max(1);
            let (length, mut bits) = (size.ilog2() as usize, 0);
            let first = sizes + axis * VECTOR_DECISIONS;
            while bits < VECTOR_DECISIONS && coder.code_bit(contexts.at(first + bits), bits < length)? {
                bits += 1;
            }
            let rest = coder.code_raw_bits(bits as u32, size & ((1 << bits) - 1))?;
            let size = (1 << bits | rest) as i32;
            found = if coder.code_raw_bits(1, u32::from(difference < 0))? == 1 { -size } else { size };
            before = 1;
        }
        let sum = i32::from(predicted[axis]) + found;
        if sum.abs() > MAX_COMPONENT {
            let reason = format!("{sum}, allowed: up to {MAX_COMPONENT}");
            return Err(Error::bitstream_at(OffsetUnit::Decision, "motion", "vector", 0, reason));
        }
        out[axis] = sum as i16;
    }
    Ok(out)
}

/// The levels of a block, and which of its transform blocks have any. What is read goes into zeros.
pub(super) fn code_residual<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    block: &mut Block,
    levels: &mut [i16],
) -> Result<[Extent; 6]> {
    let mut extents = [Extent::default(); 6];
    if block.is_skipped {
        block.coded = 0;
        return Ok(extents);
    }
    let is_intra = block.has_mode();
    // Taking over motion without levels is skipping, so only others say whether they have levels.
    if !is_intra && block.merge.is_none() {
        let context = contexts::CODED + usize::from(block.log - MIN_LOG);
        if !coder.code_bit(contexts.at(context), block.coded != 0)? {
            (block.coded, block.is_split) = (0, false);
            return Ok(extents);
        }
    }
    let context = contexts::TRANSFORM_SPLIT + usize::from(block.log - MIN_LOG) * 2 + usize::from(is_intra);
    block.is_split = coder.code_bit(contexts.at(context), block.is_split)?;
    let log = block.log - u8::from(block.is_split);
    let mut coded = 0;
    for index in 0..6 {
        let is_chroma = index >= 4;
        if !is_chroma && index > 0 && !block.is_split {
            continue;
        }
        let log = if is_chroma { block.log - 1 } else { log };
        let context = if is_chroma {
            // V after whether U has levels.
            let state = if index == 4 { 0 } else { 1 + usize::from(coded >> 4 & 1) };
            contexts::CODED_CHROMA + state * 3 + usize::from(log - 2)
        } else {
            contexts::CODED_LUMA + usize::from(block.is_split) * 4 + usize::from(log - 2)
        };
        if coder.code_bit(contexts.at(context), block.coded >> index & 1 == 1)? {
            coded |= 1 << index;
            let place = Place { chroma: usize::from(is_chroma), log: log.into() };
            extents[index] = code_levels(coder, contexts, place, &mut levels[block.levels_at(index)])?;
        }
    }
    block.coded = coded;
    Ok(extents)
}
