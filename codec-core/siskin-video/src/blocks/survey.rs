//! A coarse look at a whole frame, at a quarter of its size: where its parts came from, and whether it is a new scene.

use rayon::prelude::*;

use super::motion::Vector;
use super::picture::Plane;
use super::vector::vectorized;

/// Part of a frame's side that the coarse search sees.
const COARSE: usize = 4;
/// Side of a tree there.
const SIDE: usize = 8;
/// Coarse samples that it looks around.
const REACH: i32 = 12;
/// Places of a row that are compared at once, more than there are, since vectors have whole powers of two.
const LANES: usize = 32;
/// Sum of absolute differences of a block of 8x8 that needs no search.
const STILL_SAD: u32 = 64;

/// A frame at a quarter of its size, with a border.
pub(super) fn shrink(luma: &Plane, out: &mut Plane) {
    let (stride, border, width) = (out.stride, out.border, out.width);
    out.data.par_chunks_exact_mut(stride).skip(border).take(out.height).enumerate().for_each(|(y, row)| {
        vectorized(
            #[inline(always)]
            || shrink_row(luma, y, &mut row[border..][..width]),
        );
    });
    out.extend();
}

#[inline(always)]
fn shrink_row(luma: &Plane, y: usize, out: &mut [u8]) {
    let rows: [&[u8]; COARSE] = std::array::from_fn(|row| luma.at(0, y * COARSE + row));
    for (x, out) in out.iter_mut().enumerate() {
        let mut sum = 8u16;
        for row in rows {
            for &v in &row[x * COARSE..][..COARSE] {
                sum += u16::from(v);
            }
        }
        *out = (sum >> 4) as u8;
    }
}

/// A plane for [`shrink`].
pub(super) fn coarse_plane(luma: &Plane) -> Plane {
    // A tree may reach beyond the frame by its side, and the last lanes beyond what is looked at.
    Plane::new(luma.width.div_ceil(COARSE), luma.height.div_ceil(COARSE), SIDE + REACH as usize + LANES)
}

/// What a coarse search found out about a frame.
#[derive(Debug, Default)]
pub(super) struct Survey {
    columns: usize,
    /// A vector for each tree of 32x32.
    vectors: Vec<Vector>,
    /// Mean absolute differences to the last frame, motion compensated, and to the means of blocks.
    pub(super) inter: f32,
    pub(super) intra: f32,
    /// The part of what intra prediction leaves that is in trees that stand still.
    pub(super) still: f32,
}

/// What was found out about a tree.
struct Found {
    vector: Vector,
    inter: u32,
    intra: u32,
}

impl Survey {
    /// Compares two coarse frames.
    pub(super) fn update(&mut self, own: &Plane, last: &Plane) {
        self.columns = own.width.div_ceil(SIDE);
        let rows = (0..own.height.div_ceil(SIDE)).into_par_iter();
        let found: Vec<Found> = rows
            .flat_map_iter(|row| (0..self.columns).map(move |column| (column * SIDE, row * SIDE)))
            .map(|place| {
                vectorized(
                    #[inline(always)]
                    || compare(own, last, place),
                )
            })
            .collect();
        let count = (found.len() * SIDE * SIDE).max(1) as f32;
        let mean = |of: fn(&Found) -> u32| found.iter().map(|f| u64::from(of(f))).sum::<u64>() as f32 / count;
        (self.inter, self.intra) = (mean(|f| f.inter), mean(|f| f.intra));
        self.still = mean(|f| if f.vector == [0; 2] && f.inter <= STILL_SAD { f.intra } else { 0 })
            / self.intra.max(f32::MIN_POSITIVE);
        self.vectors.clear();
        self.vectors.extend(found.iter().map(|f| f.vector));
    }

    /// Forgets what was seen.
    pub(super) fn clear(&mut self) {
        self.vectors.clear();
    }

    /// Where the tree at (x, y) came from.
    pub(super) fn vector(&self, x: usize, y: usize) -> Option<Vector> {
        self.vectors.get(y / 32 * self.columns + x / 32).copied()
    }
}

/// Sums of absolute differences of a block and the blocks of the other plane that begin at `start` and behind.
#[inline(always)]
fn sads(block: &[u8], stride: usize, last: &Plane, start: usize) -> [u16; LANES] {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = super::avx2::simd() {
        return super::avx2::sads(simd, (block, stride), (&last.data[start..], last.stride));
    }
    any_sads(block, stride, last, start)
}

/// The same on any processor.
#[inline(always)]
fn any_sads(block: &[u8], stride: usize, last: &Plane, start: usize) -> [u16; LANES] {
    let mut sums = [0u16; LANES];
    for row in 0..SIDE {
        let own = &block[row * stride..][..SIDE];
        let other = &last.data[start + row * last.stride..][..LANES + SIDE - 1];
        for (i, &own) in own.iter().enumerate() {
            let other: &[u8; LANES] = other[i..].first_chunk().unwrap_or(&[0; LANES]);
            for (sum, &other) in sums.iter_mut().zip(other) {
                *sum += u16::from(own.abs_diff(other));
            }
        }
    }
    sums
}

#[inline(always)]
fn compare(own: &Plane, last: &Plane, (x, y): (usize, usize)) -> Found {
    let block = own.at(x, y);
    let start = |dx: i32, dy: i32| last.index(x as isize + dx as isize, y as isize + dy as isize);
    let mut best = ([0, 0], u32::from(sads(block, own.stride, last, start(0, 0))[0]));
    if best.1 > STILL_SAD {
        for dy in -REACH..=REACH {
            let sums = sads(block, own.stride, last, start(-REACH, dy));
            for dx in -REACH..=REACH {
                // Farther away must be better by more.
                let far = (dx.abs() + dy.abs()) as u32 / 2 + 4;
                let found = u32::from(sums[(dx + REACH) as usize]);
                if found + far < best.1 {
                    best = ([dx, dy], found);
                }
            }
        }
    }
    let rows = (0..SIDE).map(|row| &block[row * own.stride..][..SIDE]);
    let mean = (rows.clone().flatten().map(|&v| u32::from(v)).sum::<u32>() / (SIDE * SIDE) as u32) as u8;
    Found {
        vector: best.0.map(|c| (c * 4 * COARSE as i32) as i16),
        inter: best.1,
        intra: rows.flatten().map(|&v| u32::from(v.abs_diff(mean))).sum(),
    }
}
