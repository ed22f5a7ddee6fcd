//! Motion: one vector a macroblock of 16x16 samples, or four of 8x8, coded as differences to what neighbours predict.

use crate::{Error, Result};
use siskin_entropy::binary::BitCoder;

use super::contexts::Contexts;
use super::latents::unary_then_golomb;
use super::plane::REACH;

/// Where a block was in the frame before: (x, y) in quarters of a luma sample.
pub(super) type Vector = [i16; 2];

/// The motion of a frame, a vector for each block of 8x8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Motion {
    /// Blocks of 8x8 in a row; even, as macroblocks have two.
    pub(super) columns: usize,
    /// Rows of such blocks; even.
    pub(super) rows: usize,
    /// Row by row.
    pub(super) vectors: Vec<Vector>,
    /// Macroblocks with four vectors, row by row.
    pub(super) split: Vec<bool>,
    /// Macroblocks that move as predicted.
    skipped: Vec<bool>,
}

impl Motion {
    /// No motion in pictures of `columns` by `rows` blocks of 8x8, both even.
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        let macros = columns / 2 * (rows / 2);
        Self {
            columns,
            rows,
            vectors: vec![[0; 2]; columns * rows],
            split: vec![false; macros],
            skipped: vec![false; macros],
        }
    }

    /// No motion.
    pub(super) fn clear(&mut self) {
        self.vectors.fill([0; 2]);
        self.split.fill(false);
    }

    pub(super) fn at(&self, x: usize, y: usize) -> Vector {
        self.vectors[y * self.columns + x]
    }

    /// Sets the vectors of a macroblock, in the order of its blocks.
    pub(super) fn set(&mut self, x: usize, y: usize, vectors: [Vector; 4]) {
        for (i, vector) in vectors.into_iter().enumerate() {
            self.vectors[(2 * y + i / 2) * self.columns + 2 * x + i % 2] = vector;
        }
    }

    /// What the blocks around predict for the block at (x, y) of 8x8, `wide` blocks wide: the middle one, by component, of
    /// left, above, and above to the right (where that is coded later: to the left).
    pub(super) fn predict(&self, x: usize, y: usize, wide: usize) -> Vector {
        let left = (x > 0).then(|| self.at(x - 1, y));
        if y == 0 {
            return left.unwrap_or_default();
        }
        let above = self.at(x, y - 1);
        let corner = if y.is_multiple_of(2) && x + wide < self.columns {
            self.at(x + wide, y - 1)
        } else if x > 0 {
            self.at(x - 1, y - 1)
        } else {
            above
        };
        let left = left.unwrap_or_default();
        std::array::from_fn(|i| {
            let (a, b, c) = (left[i], above[i], corner[i]);
            a.max(b).min(a.min(b).max(c))
        })
    }

    /// Whether a block of `side` samples at (x, y), in blocks of 8x8, may move so: not further than [`REACH`] beyond the
    /// picture.
    pub(super) fn allows(&self, x: usize, y: usize, side: usize, vector: Vector) -> bool {
        let inside = |place: usize, blocks: usize, v: i16| {
            let start = place as i32 * 32 + i32::from(v);
            let reach = REACH as i32 * 4;
            start >= -reach && start + side as i32 * 4 <= blocks as i32 * 32 + reach
        };
        inside(x, self.columns, vector[0]) && inside(y, self.rows, vector[1])
    }
}

/// Codes or reads the motion of a frame.
///
/// # Errors
/// [`Error::Bitstream`] for what no encoder writes, and for vectors too far out of the picture.
pub(super) fn code<C: BitCoder>(coder: &mut C, contexts: &mut Contexts, motion: &mut Motion) -> Result<()> {
    let wide = motion.columns / 2;
    for place in 0..motion.split.len() {
        let (mx, my) = (place % wide, place / wide);
        let (x, y) = (2 * mx, 2 * my);
        let near = usize::from(mx > 0 && motion.skipped[place - 1])
            + usize::from(my > 0 && motion.skipped[place - wide]);
        let predicted = motion.predict(x, y, 2);
        let skip = !motion.split[place] && motion.at(x, y) == predicted;
        let skip = coder.bit(contexts.skip(near), skip)?;
        motion.skipped[place] = skip;
        let four = !skip && coder.bit(contexts.split(), motion.split[place])?;
        motion.split[place] = four;
        if !four {
            let vector =
                if skip { predicted } else { difference(coder, contexts, motion.at(x, y), predicted)? };
            check(motion, x, y, 16, vector)?;
            motion.set(mx, my, [vector; 4]);
            continue;
        }
        for i in 0..4 {
            let (x, y) = (x + i % 2, y + i / 2);
            let predicted = motion.predict(x, y, 1);
            let vector = difference(coder, contexts, motion.at(x, y), predicted)?;
            check(motion, x, y, 8, vector)?;
            motion.vectors[y * motion.columns + x] = vector;
        }
    }
    Ok(())
}

fn check(motion: &Motion, x: usize, y: usize, side: usize, vector: Vector) -> Result<()> {
    if motion.allows(x, y, side, vector) {
        return Ok(());
    }
    let reason = format!("{vector:?} at block {x}, {y}, allowed: {REACH} samples beyond the picture");
    Err(Error::bitstream("coded motion", "vector", 0, reason))
}

fn difference<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    vector: Vector,
    predicted: Vector,
) -> Result<Vector> {
    let mut out = [0; 2];
    for axis in 0..2 {
        let wanted = i32::from(vector[axis]) - i32::from(predicted[axis]);
        let [moves, sign, sizes @ ..] = contexts.vector(axis) else { continue };
        let mut found = 0;
        if coder.bit(moves, wanted != 0)? {
            let negative = coder.bit(sign, wanted < 0)?;
            let size = unary_then_golomb(coder, sizes, wanted.unsigned_abs().saturating_sub(1))? as i32 + 1;
            found = if negative { -size } else { size };
        }
        let value = i32::from(predicted[axis]) + found;
        out[axis] = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
    Ok(out)
}
