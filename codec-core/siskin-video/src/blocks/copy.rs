//! Blocks that repeat what is above or on the left in their frame, before deblocking: letters, and what else screens repeat.

use std::sync::OnceLock;

use super::grid::{Grid, TREE};
use super::motion::{Motion, Vector};
use super::picture::Canvas;
use super::reconstruct::Samples;

/// The motion of a block that repeats what lies so many columns and rows of luma away.
pub(super) const fn motion(vector: Vector) -> Motion {
    Motion { vectors: [vector, [0; 2]], ..Motion::INTRA }
}

/// The vectors of neighbors that repeat something: left, above, above right, above left.
pub(super) fn neighbors(
    grid: &Grid,
    (x, y, side): (usize, usize, usize),
) -> impl Iterator<Item = Vector> + use<> {
    let (left, top, right) = (x as isize - 1, y as isize - 1, (x + side) as isize);
    [(left, (y + side - 1) as isize), (right - 1, top), (right, top), (left, top)]
        .map(|(px, py)| grid.before((x, y), px, py).filter(|c| c.is_copied).map(|c| c.motion.vectors[0]))
        .into_iter()
        .flatten()
}

/// What predicts the vector of a block: that of the first neighbor that repeats something.
pub(super) fn predict_vector(grid: &Grid, place: (usize, usize, usize)) -> Vector {
    neighbors(grid, place).next().unwrap_or_default()
}

/// Where in luma a block begins that one of a frame so many columns wide repeats; none if that does not come before it.
///
/// In its own row of trees that is what lies in the trees on the left; in each row above a tree more on the right than in the row
/// below, so that encoders can work on several rows at once.
pub(super) fn source(
    width: usize,
    (x, y, side): (usize, usize, usize),
    vector: Vector,
) -> Option<(usize, usize)> {
    let from = (x.checked_add_signed(vector[0].into())?, y.checked_add_signed(vector[1].into())?);
    let (right, bottom) = (from.0 + side - 1, from.1 + side - 1);
    // By its last row, for which there are the fewest trees.
    let above = (y / TREE).checked_sub(bottom / TREE)?;
    let trees = x / TREE + if above > 0 { above + 1 } else { 0 };
    (right < width && right / TREE < trees).then_some(from)
}

/// The square of a plane at a place of luma.
fn in_plane(plane: usize, (x, y, side): (usize, usize, usize)) -> (usize, usize, usize) {
    if plane == 0 { (x, y, side) } else { (x / 2, y / 2, side / 2) }
}

/// Copies the samples of a block at `from` out of a frame that one thread works on.
pub(super) fn copy_samples(canvas: &Canvas<'_>, from: (usize, usize), side: usize, out: &mut Samples) {
    for (plane, rows) in canvas.planes.iter().enumerate() {
        let (x, y, side) = in_plane(plane, (from.0, from.1, side));
        let (to, stride) = out.plane_mut(plane);
        for (row, to) in to.chunks_mut(stride).take(side).enumerate() {
            to[..side].copy_from_slice(&rows.at(x, y + row)[..side]);
        }
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

    /// Copies the samples of a block at `from`, of which all trees are there.
    pub(super) fn copy_samples(&self, from: (usize, usize), side: usize, out: &mut Samples) {
        for plane in 0..3 {
            let (x, y, side) = in_plane(plane, (from.0, from.1, side));
            let tree = if plane == 0 { TREE } else { TREE / 2 };
            let (to, stride) = out.plane_mut(plane);
            for (row, to) in to.chunks_mut(stride).take(side).enumerate() {
                let mut done = 0;
                while done < side {
                    let (at, inner) = ((x + done) / tree, (x + done) % tree);
                    let count = (tree - inner).min(side - done);
                    let index = (y + row) / tree * self.columns + at;
                    if let Some(samples) = self.trees.get(index).and_then(OnceLock::get) {
                        let (own, stride) = samples.plane(plane);
                        let start = (y + row) % tree * stride + inner;
                        to[done..done + count].copy_from_slice(&own[start..start + count]);
                    }
                    done += count;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_before_what_repeats_them() {
        let width = 320;
        let at = |x: usize, y: usize, vector| source(width, (x, y, 8), vector);
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
    }
}
