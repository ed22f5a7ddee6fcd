//! Overlapped blocks: near the left and the upper side of a block, what the motion of the blocks there says has a part in its prediction,
//! since motion does not leap where a block happens to end.

use super::grid::{CELL, Grid};
use super::picture::Picture;
use super::reconstruct::{Samples, predict_inter, predict_plane};
use super::syntax::Block;
use super::vector::vectorized;

/// The part of 64 that a block's own prediction has, by the distance from its side: over a quarter and more of a block of 4, 8, and of
/// all larger ones.
static PARTS: [&[u8]; 3] = [&[45, 57], &[39, 50, 59, 62], &[36, 42, 48, 53, 57, 61]];

/// Predicts a plane of a block with motion, its neighbors' motion included where the frame has that.
pub(super) fn predict<'a>(
    reference: impl Fn(u8) -> Option<&'a Picture>,
    grid: &Grid,
    block: &Block,
    plane: usize,
    out: &mut Samples,
) {
    predict_inter(&reference, &block.motion, block.place(), plane, out);
    // The mean of two predictions has hardly an edge to hide: 0.1 % more rate with those too, and slower.
    if !grid.has_overlap || block.motion.is_pair() {
        return;
    }
    let (x, y, side) = block.place();
    let unit = if plane == 0 { CELL } else { CELL / 2 };
    let parts = PARTS[usize::from(side > CELL) + usize::from(plane == 0)];
    let (samples, stride) = out.plane_mut(plane);
    let mut other = [0u8; CELL * CELL];
    for is_left in [false, true] {
        for i in 0..side / CELL {
            let (place, beside) = match is_left {
                false => ((x + i * CELL, y), (x + i * CELL, y.wrapping_sub(1))),
                true => ((x, y + i * CELL), (x.wrapping_sub(1), y + i * CELL)),
            };
            let Some(cell) = grid.before((x, y), beside.0 as isize, beside.1 as isize) else { continue };
            if cell.motion.is_intra() || cell.motion == block.motion {
                continue;
            }
            predict_plane(&reference, &cell.motion, (place.0, place.1, CELL), plane, &mut other, unit);
            let samples = &mut samples[if is_left { i * unit * stride } else { i * unit }..];
            vectorized(
                #[inline(always)]
                || match (is_left, unit) {
                    (false, CELL) => blend_rows::<CELL>((samples, stride), &other, parts),
                    (false, _) => blend_rows::<{ CELL / 2 }>((samples, stride), &other, parts),
                    (true, CELL) => blend_columns::<CELL>((samples, stride), &other, parts),
                    (true, _) => blend_columns::<{ CELL / 2 }>((samples, stride), &other, parts),
                },
            );
        }
    }
}

#[inline(always)]
fn blend(own: u8, other: u8, part: u8) -> u8 {
    let part = u16::from(part);
    // 64 times 255 and 32 fit.
    ((u16::from(own) * part + u16::from(other) * (64 - part) + 32) >> 6) as u8
}

/// Blends the upper rows of a square of N.
#[inline(always)]
fn blend_rows<const N: usize>((samples, stride): (&mut [u8], usize), other: &[u8], parts: &[u8]) {
    for ((own, other), &part) in samples.chunks_mut(stride).zip(other.as_chunks::<N>().0).zip(parts) {
        for (own, &other) in own[..N].iter_mut().zip(other) {
            *own = blend(*own, other, part);
        }
    }
}

/// Blends the left columns of a square of N.
#[inline(always)]
fn blend_columns<const N: usize>((samples, stride): (&mut [u8], usize), other: &[u8], parts: &[u8]) {
    for (own, other) in samples.chunks_mut(stride).zip(other.as_chunks::<N>().0).take(N) {
        for ((own, &other), &part) in own.iter_mut().zip(other).zip(parts) {
            *own = blend(*own, other, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use siskin_media::Size;

    use super::super::motion::Motion;
    use super::*;

    /// Columns of 100 and, far away, of 200.
    fn picture() -> Arc<Picture> {
        let mut picture = Picture::new(Size::new(128, 64).expect("a size"));
        for plane in &mut picture.planes {
            for y in 0..plane.height {
                let width = plane.width;
                let row = &mut plane.at_mut(0, y)[..width];
                row[..width / 2].fill(100);
                row[width / 2..].fill(200);
            }
            plane.extend();
        }
        Arc::new(picture)
    }

    /// A block of a side at (16, 16) that stands still where what is beside it comes from 80 columns on the right.
    fn predicted(log: u8, motion: Motion, has_overlap: bool) -> Samples {
        let picture = picture();
        let mut grid = Grid::new(64, 0, 64);
        (grid.references, grid.has_overlap) = (1, has_overlap);
        for (x, y) in [(0, 0), (16, 0), (0, 16)] {
            let block = Block { motion: Motion::single(0, [320, 0]), ..Block::new(x, y, 4) };
            block.record(&mut grid);
        }
        let block = Block { motion, ..Block::new(16, 16, log) };
        let mut out = Samples::new();
        (0..3).for_each(|plane| predict(|_| Some(&*picture), &grid, &block, plane, &mut out));
        out
    }

    #[test]
    fn the_motion_beside_a_block_fades_out() {
        let out = predicted(4, Motion::single(0, [0; 2]), true);
        // 100 + 100 * (64 - part) / 64, rounded; at the corner from above, then from the left.
        let row = |y: usize| out.luma[y * 32..][..10].to_vec();
        assert_eq!(row(0), [169, 163, 158, 154, 150, 147, 144, 144, 144, 144]);
        assert_eq!(row(8), [144, 134, 125, 117, 111, 105, 100, 100, 100, 100]);
        assert_eq!(
            (0..8).map(|y| out.luma[y * 32 + 12]).collect::<Vec<_>>(),
            [144, 134, 125, 117, 111, 105, 100, 100]
        );
        assert_eq!(out.chroma[0][6 * 16..][..5], [139, 122, 108, 103, 100]);
        let small = predicted(3, Motion::single(0, [0; 2]), true);
        assert_eq!(small.luma[7 * 32..][..5], [139, 122, 108, 103, 100]);
        assert_eq!(small.chroma[1][3 * 16..][..3], [130, 111, 100]);
    }

    #[test]
    fn what_moves_alike_or_does_not_overlap_has_no_seam() {
        let alike = predicted(4, Motion::single(0, [320, 0]), true);
        assert!(alike.luma[..16].iter().all(|&v| v == 200));
        let pair = Motion { references: [0, 0], vectors: [[0; 2]; 2] };
        for out in [predicted(4, pair, true), predicted(4, Motion::single(0, [0; 2]), false)] {
            assert!(out.luma[..16].iter().all(|&v| v == 100));
        }
    }
}
