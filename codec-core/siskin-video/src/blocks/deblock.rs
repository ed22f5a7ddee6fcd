//! The in-loop deblocking filter of ITU-T H.265 (8.7.2): edges of blocks of 8x8 and more, where prediction or levels changed.

use super::grid::{CELL, Cell, Grid};
use super::motion::Motion;
use super::picture::{Picture, Plane};

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
    if a.motion.is_intra() || b.motion.is_intra() {
        2
    } else {
        usize::from(a.is_coded || b.is_coded || differs(&a.motion, &b.motion))
    }
}

/// Whether two motions are of other reference frames, or a sample or more apart.
fn differs(a: &Motion, b: &Motion) -> bool {
    a.references != b.references
        || a.vectors.iter().zip(&b.vectors).any(|(a, b)| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) >= 4))
}

/// Filters a whole frame.
pub(super) fn deblock(picture: &mut Picture, grid: &Grid, quality: u8) {
    let base = parameter(quality);
    let beta = i32::from(BETA[base.min(51)]);
    let change = |strength: usize| i32::from(CHANGE[(base + 2 * (strength - 1)).min(53)]);
    let chroma_change = i32::from(CHANGE[(parameter(super::quant::chroma_quality(quality)) + 2).min(53)]);
    // All edges between columns first, then all between rows.
    for axis in 0..2 {
        for row in 0..grid.rows {
            for column in 0..grid.columns {
                let index = row * grid.columns + column;
                let own = &grid.cells[index];
                if !own.edges[axis] || [column, row][axis] == 0 {
                    continue;
                }
                let other = &grid.cells[index - [1, grid.columns][axis]];
                let strength = strength(other, own);
                if strength == 0 {
                    continue;
                }
                let (x, y) = (column * CELL, row * CELL);
                let luma = &mut picture.planes[0];
                let start = luma.index(x as isize, y as isize);
                let (across, along) = steps(luma, axis);
                let change = change(strength);
                for half in 0..2 {
                    filter_luma(&mut luma.data, start + half * 4 * along, (across, along), beta, change);
                }
                // Chroma has edges on a grid of 8x8 of its own samples.
                if strength == 2 && [x, y][axis] % (2 * CELL) == 0 {
                    for plane in &mut picture.planes[1..] {
                        let start = plane.index(x as isize / 2, y as isize / 2);
                        let steps = steps(plane, axis);
                        filter_chroma(&mut plane.data, start, steps, chroma_change);
                    }
                }
            }
        }
    }
}

/// Distances of samples across an edge and along it.
fn steps(plane: &Plane, axis: usize) -> (usize, usize) {
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
