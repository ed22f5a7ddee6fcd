//! Motion: one vector per macroblock of 16x16 samples, or four of 8x8, coded as differences to what neighbors predict.

use crate::{Error, Result};
use siskin_entropy::binary::BitCoder;

use super::contexts::Contexts;
use super::latents::code_size;

/// Samples by which a block may lie outside the reference frame.
// A macroblock may lie wholly outside, and half of one more. Further out all samples repeat the edge, and a wider
// border costs memory in six planes.
pub(super) const REACH: usize = 24;

/// Displacement of a block in the reference frame: (x, y) in quarters of a luma sample.
pub(super) type MotionVector = [i16; 2];

/// The motion field of a frame: a vector for each block of 8x8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MotionField {
    /// Blocks of 8x8 in a row; even, as macroblocks have two.
    pub(super) columns: usize,
    /// Rows of such blocks; even.
    pub(super) rows: usize,
    /// Row by row.
    pub(super) vectors: Vec<MotionVector>,
    /// Macroblocks with four vectors, row by row.
    pub(super) split: Vec<bool>,
    /// Macroblocks whose vector is the predicted one.
    skipped: Vec<bool>,
}

impl MotionField {
    /// No motion in frames of `columns` by `rows` blocks of 8x8, both even.
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
    // Skip flags are set before they are read in every predicted frame, so they need no reset.
    pub(super) fn clear(&mut self) {
        self.vectors.fill([0; 2]);
        self.split.fill(false);
    }

    /// The vector of the block of 8x8 in column `x`, row `y`.
    pub(super) fn vector_at(&self, x: usize, y: usize) -> MotionVector {
        self.vectors[y * self.columns + x]
    }

    /// Calls `visit` with column, row and side in luma samples, and the vector, of every block that moves as one.
    pub(super) fn for_each_block(&self, mut visit: impl FnMut(usize, usize, usize, MotionVector)) {
        let wide = self.columns / 2;
        for (place, &split) in self.split.iter().enumerate() {
            let (x, y) = (place % wide * 2, place / wide * 2);
            if split {
                for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                    visit(x * 8, y * 8, 8, self.vector_at(x, y));
                }
            } else {
                visit(x * 8, y * 8, 16, self.vector_at(x, y));
            }
        }
    }

    /// Sets the vectors of a macroblock, in the order of its blocks.
    pub(super) fn set_macroblock(&mut self, x: usize, y: usize, vectors: [MotionVector; 4]) {
        for (i, vector) in vectors.into_iter().enumerate() {
            self.vectors[(2 * y + i / 2) * self.columns + 2 * x + i % 2] = vector;
        }
    }

    /// The predicted vector of the block of 8x8 at (x, y), `wide` blocks wide: the median, by component, of left, above, and
    /// above to the right (where that is coded later: to the left), as in H.264.
    pub(super) fn predict_vector(&self, x: usize, y: usize, wide: usize) -> MotionVector {
        let left = (x > 0).then(|| self.vector_at(x - 1, y));
        // In the first row there is only the left neighbor, and the median of one is itself.
        if y == 0 {
            return left.unwrap_or_default();
        }
        let above = self.vector_at(x, y - 1);
        let corner = if y.is_multiple_of(2) && x + wide < self.columns {
            self.vector_at(x + wide, y - 1)
        } else if x > 0 {
            self.vector_at(x - 1, y - 1)
        } else {
            above
        };
        let left = left.unwrap_or_default();
        std::array::from_fn(|i| {
            let (a, b, c) = (left[i], above[i], corner[i]);
            // The median of three: one wrong neighbor at the edge of an object is outvoted.
            a.max(b).min(a.min(b).max(c))
        })
    }

    /// Whether a block of `side` samples at (x, y), in blocks of 8x8, may move so: not further than [`REACH`] beyond the
    /// reference frame.
    pub(super) fn is_allowed(&self, x: usize, y: usize, side: usize, vector: MotionVector) -> bool {
        let inside = |place: usize, blocks: usize, v: i16| {
            // In quarter samples, of which a block of 8 has 32.
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
/// [`Error::Bitstream`] for what no encoder writes, and for vectors too far out of the reference frame.
pub(super) fn code_motion<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    motion: &mut MotionField,
) -> Result<()> {
    let wide = motion.columns / 2;
    for place in 0..motion.split.len() {
        let (mx, my) = (place % wide, place / wide);
        let (x, y) = (2 * mx, 2 * my);
        let near = usize::from(mx > 0 && motion.skipped[place - 1])
            + usize::from(my > 0 && motion.skipped[place - wide]);
        let predicted = motion.predict_vector(x, y, 2);
        // A reader passes what the field held before, and the coder answers with what it reads.
        let skip = !motion.split[place] && motion.vector_at(x, y) == predicted;
        let skip = coder.code_bit(contexts.skip_flag(near), skip)?;
        motion.skipped[place] = skip;
        let four = !skip && coder.code_bit(contexts.split_flag(), motion.split[place])?;
        motion.split[place] = four;
        if !four {
            let vector = if skip {
                predicted
            } else {
                code_difference(coder, contexts, motion.vector_at(x, y), predicted)?
            };
            // Skipped ones too: at the right or lower edge a median may point too far out.
            check_vector(motion, x, y, 16, vector)?;
            motion.set_macroblock(mx, my, [vector; 4]);
            continue;
        }
        for i in 0..4 {
            let (x, y) = (x + i % 2, y + i / 2);
            let predicted = motion.predict_vector(x, y, 1);
            let vector = code_difference(coder, contexts, motion.vector_at(x, y), predicted)?;
            check_vector(motion, x, y, 8, vector)?;
            motion.vectors[y * motion.columns + x] = vector;
        }
    }
    Ok(())
}

fn check_vector(motion: &MotionField, x: usize, y: usize, side: usize, vector: MotionVector) -> Result<()> {
    if motion.is_allowed(x, y, side, vector) {
        return Ok(());
    }
    let reason = format!("{vector:?} at block {x}, {y}, allowed: {REACH} samples beyond the frame");
    Err(Error::bitstream("coded motion", "vector", 0, reason))
}

fn code_difference<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    vector: MotionVector,
    predicted: MotionVector,
) -> Result<MotionVector> {
    let mut out = [0; 2];
    for axis in 0..2 {
        let wanted = i32::from(vector[axis]) - i32::from(predicted[axis]);
        // The slice always has eleven contexts; the pattern only names them.
        let [moves, sign, sizes @ ..] = contexts.vector_component(axis) else { continue };
        let mut found = 0;
        if coder.code_bit(moves, wanted != 0)? {
            let negative = coder.code_bit(sign, wanted < 0)?;
            let size = code_size(coder, sizes, wanted.unsigned_abs().saturating_sub(1))? as i32 + 1;
            found = if negative { -size } else { size };
        }
        let value = i32::from(predicted[axis]) + found;
        // Only damaged data gets here with more; the check of the vector then refuses it.
        out[axis] = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
    Ok(out)
}
