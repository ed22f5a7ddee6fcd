//! Where a frame's source repeats itself: an encoder of text copies letters from there.

use super::copy::{self, Halves, Part};
use super::grid::CELL;
use super::picture::Plane;
use super::vector::vectorized;

/// Bits of the places of chains.
const HASH_BITS: u32 = 18;
/// Links of a chain that are followed at most.
const MAX_LINKS: usize = 48;
const NONE: u32 = u32::MAX;
/// A frame in which at least this part of the blocks of 8x8 that are not flat repeats others is one of a screen.
// Text has .53 and a desktop with a film .27; films, a face, a night, and clips scaled up have .02 at most.
const MIN_SHARE: f32 = 0.05;
/// Multipliers of the hash, along rows and down columns: odd and without a pattern.
const ACROSS: u32 = 0x9e37_79b1;
const DOWN: u32 = 0x85eb_ca6b;

/// Places of a frame by what they look like, each with the one before that may look the same.
#[derive(Debug)]
pub(super) struct Repeats {
    width: usize,
    /// Of each place the one before, in the order of rows.
    before: Vec<u32>,
}

impl Repeats {
    /// Looks at a frame, in squares of 8x8 or halves of them. Whole squares that are flat have none before them, for they are
    /// predicted from their neighbors at less cost.
    pub(super) fn new(source: &Plane, halves: Halves) -> Self {
        match halves {
            Halves::Whole => Self::of_size::<8>(source, 8, false),
            Halves::Rows => Self::of_size::<8>(source, 4, true),
            Halves::Columns => Self::of_size::<4>(source, 8, true),
        }
    }

    /// In places of `N` columns and so many rows.
    fn of_size<const N: usize>(source: &Plane, rows: usize, has_flat: bool) -> Self {
        let width = source.width;
        let mut before = vec![NONE; width * source.height];
        let mut heads = vec![NONE; 1 << HASH_BITS];
        let mut lines = Lines::<N>::new(width, rows);
        for y in 0..source.height {
            vectorized(
                #[inline(always)]
                || lines.push(source, y),
            );
            let Some(top) = (y + 1).checked_sub(rows) else { continue };
            let before = &mut before[top * width..][..width];
            for (x, (&hash, &is_flat)) in lines.hashes.iter().zip(&lines.flat).enumerate() {
                if has_flat || !is_flat {
                    let head = &mut heads[(hash >> (32 - HASH_BITS)) as usize];
                    before[x] = std::mem::replace(head, (top * width + x) as u32);
                }
            }
        }
        Self { width, before }
    }

    /// Places before (x, y) that may look like the one there, the nearest row first.
    pub(super) fn of(&self, (x, y): (usize, usize)) -> impl Iterator<Item = (usize, usize)> + '_ {
        let link = |place: usize| self.before.get(place).copied().filter(|&p| p != NONE).map(|p| p as usize);
        std::iter::successors(link(y * self.width + x), move |&p| link(p))
            .take(MAX_LINKS)
            .map(|p| (p % self.width, p / self.width))
    }

    /// Whether much of the frame, of whose whole squares it was made, repeats what comes before it.
    pub(super) fn is_screen(&self, source: &Plane) -> bool {
        let (mut all, mut found) = (0u32, 0u32);
        // A half of the blocks is enough to tell.
        for y in (0..source.height).step_by(2 * CELL) {
            for x in (0..source.width).step_by(CELL) {
                let row = &source.at(x, y)[..CELL];
                let is_flat = (0..CELL).all(|i| source.at(x, y + i)[..CELL].iter().all(|v| *v == row[0]));
                if is_flat {
                    continue;
                }
                all += 1;
                found += u32::from(self.of((x, y)).any(|from| {
                    let vector = [from.0 as i32 - x as i32, from.1 as i32 - y as i32].map(|v| v as i16);
                    copy::source(source.width, Part { x, y, columns: CELL, rows: CELL }, vector).is_some()
                        && looks_same(source, (x, y), from, (CELL, CELL))
                }));
            }
        }
        found > 0 && found as f32 >= MIN_SHARE * all as f32
    }
}

/// Whether two places of a frame have the same samples in so many columns and rows.
pub(super) fn looks_same(
    source: &Plane,
    a: (usize, usize),
    b: (usize, usize),
    (columns, rows): (usize, usize),
) -> bool {
    (0..rows).all(|i| source.at(a.0, a.1 + i)[..columns] == source.at(b.0, b.1 + i)[..columns])
}

/// Rows of samples on their way to hashes of places of `N` columns.
struct Lines<const N: usize> {
    rows: usize,
    /// Hashes of the last samples of each column, and in how many rows these were the same as in the row above.
    columns: Vec<u32>,
    same: Vec<u8>,
    /// Of the place that begins at each column and ends with the last row: its hash, and whether it is flat.
    hashes: Vec<u32>,
    flat: Vec<bool>,
    /// Of the last row: whether a sample is the one on its right.
    level: Vec<bool>,
}

impl<const N: usize> Lines<N> {
    fn new(width: usize, rows: usize) -> Self {
        let count = width + 1 - N;
        Self {
            rows,
            columns: vec![0; width],
            same: vec![0; width],
            hashes: vec![0; count],
            flat: vec![false; count],
            level: vec![false; width],
        }
    }

    /// Takes in the next row.
    #[inline(always)]
    fn push(&mut self, source: &Plane, y: usize) {
        let Self { rows, columns, same, hashes, flat, level } = self;
        let row = &source.at(0, y)[..source.width];
        for (column, &v) in columns.iter_mut().zip(row) {
            *column = column.wrapping_mul(DOWN).wrapping_add(v.into());
        }
        if let Some(gone) = y.checked_sub(*rows) {
            let weight = DOWN.wrapping_pow(*rows as u32);
            for (column, &v) in columns.iter_mut().zip(source.at(0, gone)) {
                *column = column.wrapping_sub(u32::from(v).wrapping_mul(weight));
            }
        }
        if y > 0 {
            for ((same, &own), &above) in same.iter_mut().zip(row).zip(source.at(0, y - 1)) {
                *same = if own == above { same.saturating_add(1) } else { 0 };
            }
        }
        for (level, pair) in level.iter_mut().zip(row.windows(2)) {
            *level = pair[0] == pair[1];
        }
        for x in 0..hashes.len() {
            let own = &columns[x..x + N];
            let hash = own.iter().fold(0u32, |h, &v| h.wrapping_mul(ACROSS).wrapping_add(v));
            hashes[x] = (hash ^ hash >> 15).wrapping_mul(ACROSS);
            flat[x] = same[x..x + N].iter().fold(true, |f, &s| f & (usize::from(s) + 1 >= *rows))
                & level[x..x + N - 1].iter().fold(true, |f, &l| f & l);
        }
    }
}
