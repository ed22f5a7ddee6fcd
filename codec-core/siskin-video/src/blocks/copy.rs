//! Blocks that repeat what is above or on the left in their frame, before deblocking: letters, and what else screens repeat.

use std::sync::OnceLock;

use super::grid::{Grid, TREE};
use super::motion::{Motion, Vector};
use super::picture::Canvas;
use super::reconstruct::Samples;
use super::syntax::Block;

/// What parts of a block have a vector of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halves {
    Whole,
    /// The upper and the lower rows.
    Rows,
    /// The left and the right columns.
    Columns,
}

/// A part of a block: where it begins in luma, and its columns and rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// The parts of a copied block, with how many columns and rows of luma away each finds its samples.
pub(super) fn parts(block: &Block) -> impl Iterator<Item = (Part, Vector)> + use<> {
    split(block.place(), block.halves).zip(block.motion.vectors)
}

/// The parts of a square.
pub(super) fn split(
    (x, y, side): (usize, usize, usize),
    halves: Halves,
) -> impl Iterator<Item = Part> + use<> {
    let (count, columns, rows, dx, dy) = match halves {
        Halves::Whole => (1, side, side, 0, 0),
        Halves::Rows => (2, side, side / 2, 0, side / 2),
        Halves::Columns => (2, side / 2, side, side / 2, 0),
    };
    (0..count).map(move |i| Part { x: x + i * dx, y: y + i * dy, columns, rows })
}

/// The motion of a copied block; a whole one has its vector twice.
pub(super) const fn motion(vectors: [Vector; 2]) -> Motion {
    Motion { vectors, ..Motion::INTRA }
}

/// The vectors, of two the second, of neighbors that repeat something: left, above, above right, above left.
pub(super) fn neighbors(
    grid: &Grid,
    (x, y, side): (usize, usize, usize),
) -> impl Iterator<Item = Vector> + use<> {
    let (left, top, right) = (x as isize - 1, y as isize - 1, (x + side) as isize);
    [(left, (y + side - 1) as isize), (right - 1, top), (right, top), (left, top)]
        .map(|(px, py)| grid.before((x, y), px, py).filter(|c| c.is_copied).map(|c| c.motion.vectors[1]))
        .into_iter()
        .flatten()
}

/// What predicts the vector of a block: that of the first neighbor that repeats something.
pub(super) fn predict_vector(grid: &Grid, place: (usize, usize, usize)) -> Vector {
    neighbors(grid, place).next().unwrap_or_default()
}

/// Where in luma begins what a part of a frame of so many columns and rows repeats; none if that does not come before it.
///
/// In its own row of trees that is what lies in the trees on the left; in each row above a tree more on the right than in the row
/// below, so that encoders can work on several rows at once.
pub(super) fn source((columns, rows): (usize, usize), part: Part, vector: Vector) -> Option<(usize, usize)> {
    let from = (part.x.checked_add_signed(vector[0].into())?, part.y.checked_add_signed(vector[1].into())?);
    let (right, bottom) = (from.0 + part.columns - 1, from.1 + part.rows - 1);
    // By its last row, for which there are the fewest trees.
    let above = (part.y / TREE).checked_sub(bottom / TREE)?;
    let trees = part.x / TREE + if above > 0 { above + 1 } else { 0 };
    // The last row of trees may be cut off.
    (right < columns && bottom < rows && right / TREE < trees).then_some(from)
}

/// Rows of a plane that parts are copied from.
pub(super) trait Copied {
    /// Copies samples of a row of a plane, from (x, y) on.
    fn copy_row(&self, plane: usize, at: (usize, usize), out: &mut [u8]);
}

/// Predicts a copied block.
pub(super) fn predict(size: (usize, usize), block: &Block, from: &impl Copied, out: &mut Samples) {
    for (part, vector) in parts(block) {
        // What was read was checked.
        let found = source(size, part, vector);
        debug_assert!(found.is_some(), "{vector:?} of {part:?}");
        let Some((x, y)) = found else { continue };
        let (dx, dy) = (part.x - usize::from(block.x), part.y - usize::from(block.y));
        for plane in 0..3 {
            let share = if plane == 0 { 1 } else { 2 };
            let (to, stride) = out.plane_mut(plane);
            for row in 0..part.rows / share {
                let to = &mut to[(dy / share + row) * stride + dx / share..][..part.columns / share];
                from.copy_row(plane, (x / share, y / share + row), to);
            }
        }
    }
}

impl Copied for Canvas<'_> {
    fn copy_row(&self, plane: usize, (x, y): (usize, usize), out: &mut [u8]) {
        out.copy_from_slice(&self.planes[plane].at(x, y)[..out.len()]);
    }
}

/// The trees of a frame as far as they are decided on, for the threads of other rows.
#[derive(Debug)]
pub(super) struct Tiles {
    columns: usize,
    trees: Vec<OnceLock<Box<Samples>>>,
}

impl Tiles {
    /// None yet, of a frame so many columns and rows of luma large.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let (columns, rows) = (width.div_ceil(TREE), height.div_ceil(TREE));
        Self { columns, trees: (0..columns * rows).map(|_| OnceLock::new()).collect() }
    }

    /// Adds the tree at (x, y).
    pub(super) fn publish(
        &self,
        canvas: &Canvas<'_>,
        (x, y): (usize, usize),
        (columns, rows): (usize, usize),
    ) {
        let mut samples = Box::new(Samples::new());
        for (plane, from) in canvas.planes.iter().enumerate() {
            let part = if plane == 0 { 1 } else { 2 };
            let (to, stride) = samples.plane_mut(plane);
            for (row, to) in to.chunks_mut(stride).take(rows / part).enumerate() {
                to[..columns / part].copy_from_slice(&from.at(x / part, y / part + row)[..columns / part]);
            }
        }
        // Each tree is decided on once.
        let _ = self.trees[y / TREE * self.columns + x / TREE].set(samples);
    }
}

impl Copied for Tiles {
    fn copy_row(&self, plane: usize, (x, y): (usize, usize), out: &mut [u8]) {
        let tree = if plane == 0 { TREE } else { TREE / 2 };
        let mut done = 0;
        while done < out.len() {
            let (column, inner) = ((x + done) / tree, (x + done) % tree);
            let count = (tree - inner).min(out.len() - done);
            let samples = self.trees.get(y / tree * self.columns + column).and_then(OnceLock::get);
            debug_assert!(samples.is_some(), "all that may be copied is there");
            if let Some(samples) = samples {
                let (own, stride) = samples.plane(plane);
                out[done..done + count].copy_from_slice(&own[y % tree * stride + inner..][..count]);
            }
            done += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_before_what_repeats_them() {
        let at = |x: usize, y: usize, vector| source((320, 104), Part { x, y, columns: 8, rows: 8 }, vector);
        // In the same row of trees, up to the tree on the left.
        assert_eq!(at(64, 64, [-8, 0]), Some((56, 64)));
        assert_eq!(at(72, 64, [-8, 0]), None);
        assert_eq!(at(72, 64, [-16, 24]), Some((56, 88)));
        // In the row above a tree on the right, in the next one two.
        assert_eq!(at(64, 64, [24, -8]), Some((88, 56)));
        assert_eq!(at(64, 64, [56, -8]), Some((120, 56)));
        assert_eq!(at(64, 64, [57, -8]), None);
        assert_eq!(at(64, 64, [88, -40]), Some((152, 24)));
        assert_eq!(at(64, 64, [89, -40]), None);
        // A block on the border of two rows is held to the lower one.
        assert_eq!(at(64, 64, [0, -4]), None);
        // Never outside.
        assert_eq!(at(8, 64, [-9, -32]), None);
        assert_eq!(at(64, 8, [0, -9]), None);
        assert_eq!(at(312, 64, [1, -32]), None);
        assert_eq!(at(64, 64, [0, 32]), None);
        // Nor below, where the last row of trees has only eight rows.
        assert_eq!(at(64, 96, [-32, 0]), Some((32, 96)));
        assert_eq!(at(64, 96, [-32, 1]), None);
    }
}
