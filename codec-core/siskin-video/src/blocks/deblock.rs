//! The in-loop deblocking filter of ITU-T H.265 (8.7.2): edges of blocks of 8x8 and more, where prediction or levels changed.

use rayon::prelude::*;

use super::grid::{CELL, Cell, Grid};
use super::motion::Motion;
use super::picture::{Canvas, Picture, Rows};

/// Thresholds by quantization parameter: of activity, and of what a sample may change.
const BETA: [u8; 52] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22,
    24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62, 64,
];
const CHANGE: [u8; 54] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
    4, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 13, 14, 16, 18, 20, 22, 24,
];

/// The quantization parameter of H.265 whose step is that of a quality, about.
fn parameter(quality: u8) -> usize {
    // 4 + 6 log2(0.75 * 2^(q / 8)).
    (3 * usize::from(quality) + 6) / 4
}

/// How much an edge is filtered: 0 not, 1 luma, 2 chroma too.
fn strength(a: &Cell, b: &Cell) -> usize {
    let is_intra = |c: &Cell| c.motion.is_intra() && !c.is_copied;
    if is_intra(a) || is_intra(b) {
        2
    } else {
        // Vectors of copies are in whole samples.
        let is_apart = (a.is_copied && a.motion != b.motion) || differs(&a.motion, &b.motion);
        usize::from(a.is_coded || b.is_coded || is_apart)
    }
}

/// Whether two motions are of other reference frames, or a sample or more apart.
fn differs(a: &Motion, b: &Motion) -> bool {
    a.references != b.references
        || a.vectors.iter().zip(&b.vectors).any(|(a, b)| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) >= 4))
}

/// How far behind an edge its filter changes or reads samples of luma.
const REACH: usize = 4;

/// What edges are filtered with at a quality.
#[derive(Debug, Clone, Copy)]
struct Filter {
    beta: i32,
    /// What a luma sample may change by strength.
    change: [i32; 2],
    chroma_change: i32,
}

impl Filter {
    fn new(quality: u8) -> Self {
        let base = parameter(quality);
        let change = |parameter: usize| i32::from(CHANGE[parameter.min(53)]);
        Self {
            beta: i32::from(BETA[base.min(51)]),
            change: [change(base), change(base + 2)],
            chroma_change: change(parameter(super::quant::chroma_quality(quality)) + 2),
        }
    }

    /// Filters the edge of a cell, at the luma sample (x, y), to the cell on its left (`axis` 0) or above it.
    fn apply(&self, canvas: &mut Canvas<'_>, (x, y): (usize, usize), axis: usize, [other, own]: [&Cell; 2]) {
        if !own.edges[axis] {
            return;
        }
        let strength = strength(other, own);
        if strength == 0 {
            return;
        }
        let luma = &mut canvas.planes[0];
        let start = luma.index(x, y);
        let (across, along) = steps(luma, axis);
        let change = self.change[strength - 1];
        for half in 0..2 {
            filter_luma(luma.data, start + half * 4 * along, (across, along), self.beta, change);
        }
        // Chroma has edges on a grid of 8x8 of its own samples.
        if strength == 2 && [x, y][axis] % (2 * CELL) == 0 {
            for plane in &mut canvas.planes[1..] {
                let (start, steps) = (plane.index(x / 2, y / 2), steps(plane, axis));
                filter_chroma(plane.data, start, steps, self.chroma_change);
            }
        }
    }

    /// Filters the edges between a row of cells and the row above.
    fn apply_row(&self, canvas: &mut Canvas<'_>, y: usize, above: &[Cell], own: &[Cell]) {
        for (column, cells) in above.iter().zip(own).enumerate() {
            self.apply(canvas, (column * CELL, y), 1, [cells.0, cells.1]);
        }
    }
}

/// Filters a whole frame, whose cells `grids` has from above to below: all edges between columns first, then all between rows.
pub(super) fn deblock(picture: &mut Picture, grids: &[Grid], quality: u8) {
    let filter = Filter::new(quality);
    let mut cuts: Vec<usize> = grids[1..].iter().map(|g| g.top).collect();
    picture.cut(&cuts).into_par_iter().zip(grids).for_each(|(mut canvas, grid)| {
        for (row, cells) in grid.cells.chunks_exact(grid.columns).enumerate() {
            for (column, pair) in cells.windows(2).enumerate() {
                let place = ((column + 1) * CELL, grid.top + row * CELL);
                filter.apply(&mut canvas, place, 0, [&pair[0], &pair[1]]);
            }
        }
    });
    // Each part reaches as far down as the filter of the first edge of the next part does, and takes that over.
    cuts.iter_mut().for_each(|cut| *cut += REACH);
    picture.cut(&cuts).into_par_iter().enumerate().for_each(|(index, mut canvas)| {
        let grid = &grids[index];
        let below = grids.get(index + 1).map(|g| &g.cells[..g.columns]);
        let rows: Vec<&[Cell]> = grid.cells.chunks_exact(grid.columns).chain(below).collect();
        for (row, pair) in rows.windows(2).enumerate() {
            filter.apply_row(&mut canvas, grid.top + (row + 1) * CELL, pair[0], pair[1]);
        }
    });
}

/// Distances of samples across an edge and along it.
fn steps(plane: &Rows<'_>, axis: usize) -> (usize, usize) {
    if axis == 0 { (1, plane.stride) } else { (plane.stride, 1) }
}

/// Filters four lines across an edge, which lies before `start`.
fn filter_luma(data: &mut [u8], start: usize, (across, along): (usize, usize), beta: i32, change: i32) {
    let line = |data: &[u8], i: usize| -> ([i32; 4], [i32; 4]) {
        let at = start + i * along;
        (
            std::array::from_fn(|k| i32::from(data[at - (k + 1) * across])),
            std::array::from_fn(|k| i32::from(data[at + k * across])),
        )
    };
    let bend = |v: &[i32; 4]| (v[2] - 2 * v[1] + v[0]).abs();
    let (p, q) = line(data, 0);
    let (p3, q3) = line(data, 3);
    let (bend_p, bend_q) = (bend(&p) + bend(&p3), bend(&q) + bend(&q3));
    if bend_p + bend_q >= beta {
        return;
    }
    let is_flat = |p: &[i32; 4], q: &[i32; 4]| {
        2 * (bend(p) + bend(q)) < beta >> 2
            && (p[3] - p[0]).abs() + (q[0] - q[3]).abs() < beta >> 3
            && (p[0] - q[0]).abs() < (5 * change + 1) >> 1
    };
    let is_strong = is_flat(&p, &q) && is_flat(&p3, &q3);
    let side = (beta + (beta >> 1)) >> 3;
    for i in 0..4 {
        let (p, q) = line(data, i);
        let at = start + i * along;
        let mut set = |k: isize, value: i32| {
            let place = (at as isize + k * across as isize) as usize;
            data[place] = value.clamp(0, 255) as u8;
        };
        if is_strong {
            let near = |value: i32, old: i32| value.clamp(old - 2 * change, old + 2 * change);
            set(-1, near((p[2] + 2 * p[1] + 2 * p[0] + 2 * q[0] + q[1] + 4) >> 3, p[0]));
            set(-2, near((p[2] + p[1] + p[0] + q[0] + 2) >> 2, p[1]));
            set(-3, near((2 * p[3] + 3 * p[2] + p[1] + p[0] + q[0] + 4) >> 3, p[2]));
            set(0, near((p[1] + 2 * p[0] + 2 * q[0] + 2 * q[1] + q[2] + 4) >> 3, q[0]));
            set(1, near((p[0] + q[0] + q[1] + q[2] + 2) >> 2, q[1]));
            set(2, near((p[0] + q[0] + q[1] + 3 * q[2] + 2 * q[3] + 4) >> 3, q[2]));
            continue;
        }
        let delta = (9 * (q[0] - p[0]) - 3 * (q[1] - p[1]) + 8) >> 4;
        // A step as high as this is in the frame itself.
        if delta.abs() >= 10 * change {
            continue;
        }
        let delta = delta.clamp(-change, change);
        set(-1, p[0] + delta);
        set(0, q[0] - delta);
        let half = change >> 1;
        if bend_p < side {
            set(-2, p[1] + ((((p[2] + p[0] + 1) >> 1) - p[1] + delta) >> 1).clamp(-half, half));
        }
        if bend_q < side {
            set(1, q[1] + ((((q[2] + q[0] + 1) >> 1) - q[1] - delta) >> 1).clamp(-half, half));
        }
    }
}

/// Filters four lines of chroma.
fn filter_chroma(data: &mut [u8], start: usize, (across, along): (usize, usize), change: i32) {
    for i in 0..4 {
        let at = start + i * along;
        let [p1, p0] = [2, 1].map(|k| i32::from(data[at - k * across]));
        let [q0, q1] = [0, 1].map(|k| i32::from(data[at + k * across]));
        let delta = ((((q0 - p0) << 2) + p1 - q1 + 4) >> 3).clamp(-change, change);
        data[at - across] = (p0 + delta).clamp(0, 255) as u8;
        data[at] = (q0 - delta).clamp(0, 255) as u8;
    }
}
