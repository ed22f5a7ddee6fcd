//! Where a frame's source repeats itself: an encoder of text copies letters from there.

use siskin_media::Size;

use super::copy::{self, Halves, Part};
use super::grid::CELL;
use super::motion::Vector;
use super::picture::Plane;
use super::vector::vectorized;

/// Links of a chain that are followed at most.
const MAX_LINKS: usize = 48;
const NONE: u32 = u32::MAX;
/// What is flat is found at every fourth column and row.
const FLAT_STEP: usize = 4;
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
    /// Looks at a frame of which so much is shown, in squares of 8x8 or halves of them. Whole squares that are flat have none before
    /// them, for they are predicted from their neighbors at less cost.
    pub(super) fn new(source: &Plane, shown: Size, halves: Halves) -> Self {
        match halves {
            Halves::Whole => Self::of_size::<8>(source, shown, 8, false),
            Halves::Rows => Self::of_size::<8>(source, shown, 4, true),
            Halves::Columns => Self::of_size::<4>(source, shown, 8, true),
        }
    }

    /// In places of `N` columns and so many rows.
    fn of_size<const N: usize>(source: &Plane, shown: Size, rows: usize, has_flat: bool) -> Self {
        let width = source.width;
        // First hashes, then links.
        let mut before = vec![NONE; width * source.height];
        // About as many hashes as half of the places: with fewer, links would lead to what looks otherwise.
        let bits = (before.len().ilog2() - 1).clamp(12, 22);
        let mut lines = Lines::<N>::new(width, rows, bits);
        for y in 0..source.height {
            vectorized(
                #[inline(always)]
                || lines.push(source, y),
            );
            let Some(top) = (y + 1).checked_sub(rows) else { continue };
            for (x, (to, (hash, is_flat))) in before[top * width..].iter_mut().zip(lines.places()).enumerate()
            {
                // Of what is flat there is enough elsewhere.
                if !is_flat || has_flat && (x | top) % FLAT_STEP == 0 {
                    *to = hash;
                }
            }
        }
        // Only what looks like a place of a block is ever asked for: links for all take a third more time.
        let mut asked = vec![0u64; 1 << (bits - 6)];
        for y in starts(source.height, shown.height(), rows) {
            for x in starts(width, shown.width(), N) {
                let hash = before[y * width + x];
                if hash != NONE {
                    asked[hash as usize >> 6] |= 1 << (hash & 63);
                }
            }
        }
        let mut heads = vec![NONE; 1 << bits];
        for (place, link) in before.iter_mut().enumerate() {
            let hash = *link;
            if hash != NONE {
                let is_asked = asked[hash as usize >> 6] >> (hash & 63) & 1 == 1;
                *link =
                    if is_asked { std::mem::replace(&mut heads[hash as usize], place as u32) } else { NONE };
            }
        }
        Self { width, before }
    }

    /// Vectors from (x, y) to places before it that may look the same, the nearest row first.
    pub(super) fn of(&self, (x, y): (usize, usize)) -> impl Iterator<Item = Vector> + '_ {
        let link = |place: usize| self.before.get(place).copied().filter(|&p| p != NONE).map(|p| p as usize);
        std::iter::successors(link(y * self.width + x), move |&p| link(p))
            .take(MAX_LINKS)
            .map(move |p| [(p % self.width) as i16 - x as i16, (p / self.width) as i16 - y as i16])
    }

    /// Whether much of the frame, of whose whole squares it was made, repeats what comes before it.
    pub(super) fn is_screen(&self, source: &Plane) -> bool {
        let size = (source.width, source.height);
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
                let part = Part { x, y, columns: CELL, rows: CELL };
                let looks_so = |from| looks_same(source, (x, y), from, (CELL, CELL));
                found +=
                    u32::from(self.of((x, y)).any(|v| copy::source(size, part, v).is_some_and(looks_so)));
            }
        }
        found > 0 && found as f32 >= MIN_SHARE * all as f32
    }
}

/// Where blocks or halves of them begin along one side, and the last that is shown whole.
fn starts(length: usize, shown: usize, side: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(side).chain(shown.checked_sub(side))
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

/// Rows of samples on their way to hashes of places of `N` columns, 4 or 8.
struct Lines<const N: usize> {
    rows: usize,
    /// Of a hash.
    bits: u32,
    /// Hashes of the last samples of each column, and in how many rows these were the same as in the row above.
    columns: Vec<u32>,
    same: Vec<u8>,
    /// Of the place that begins at each column and ends with the last row: its hash, and whether it is flat. The last ones are none.
    hashes: Vec<u32>,
    flat: Vec<bool>,
    /// Of the last row: whether a sample is the one on its right.
    level: Vec<bool>,
    spare: (Vec<u32>, Vec<bool>),
}

impl<const N: usize> Lines<N> {
    fn new(width: usize, rows: usize, bits: u32) -> Self {
        Self {
            rows,
            bits,
            columns: vec![0; width],
            same: vec![0; width],
            hashes: vec![0; width],
            flat: vec![false; width],
            level: vec![false; width],
            spare: (vec![0; width], vec![false; width]),
        }
    }

    /// Hashes and whether they are of what is flat, of the places that end with the last row.
    fn places(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        let count = self.hashes.len() + 1 - N;
        self.hashes.iter().copied().zip(self.flat.iter().copied()).take(count)
    }

    /// Takes in the next row.
    #[inline(always)]
    fn push(&mut self, source: &Plane, y: usize) {
        let Self { rows, bits, columns, same, hashes, flat, level, spare } = self;
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
        hashes.copy_from_slice(columns);
        for (flat, &same) in flat.iter_mut().zip(&*same) {
            *flat = usize::from(same) + 1 >= *rows;
        }
        // Of one column, then of two, four and eight together.
        let mut side = 1;
        while side < N {
            let weight = ACROSS.wrapping_pow(side as u32);
            // Into other buffers, for else the loops would not be vectorized.
            for ((to, &own), &next) in spare.0.iter_mut().zip(&*hashes).zip(&hashes[side..]) {
                *to = own.wrapping_mul(weight).wrapping_add(next);
            }
            let next = flat[side..].iter().zip(&level[side - 1..]);
            for ((to, &own), (&next, &level)) in spare.1.iter_mut().zip(&*flat).zip(next) {
                *to = own & next & level;
            }
            std::mem::swap(hashes, &mut spare.0);
            std::mem::swap(flat, &mut spare.1);
            side *= 2;
        }
        for hash in hashes {
            *hash = (*hash ^ *hash >> 15).wrapping_mul(ACROSS) >> (32 - *bits);
        }
    }
}
