//! From a coded block to samples. Encoder and decoder share it.

use super::coefficients::Extent;
use super::copy;
use super::grid::Grid;
use super::interpolation::{predict_chroma, predict_luma};
use super::intra::Surroundings;
use super::motion::{Motion, NONE};
use super::overlap;
use super::picture::{Canvas, Picture, Rows};
use super::quant::{chroma_quality, dequantize, step};
use super::syntax::Block;
use super::transform::inverse;
use super::vector::vectorized;

/// Samples of a block: luma with rows of 32, both chroma planes with rows of 16.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    pub(super) luma: [u8; 32 * 32],
    pub(super) chroma: [[u8; 16 * 16]; 2],
}

impl Samples {
    pub(super) fn new() -> Self {
        Self { luma: [0; 32 * 32], chroma: [[0; 16 * 16]; 2] }
    }

    /// Copies those of a block of `side`.
    pub(super) fn copy_from(&mut self, other: &Self, side: usize) {
        if side == 32 {
            return self.clone_from(other);
        }
        for plane in 0..3 {
            let ((to, stride), (from, _)) = (self.plane_mut(plane), other.plane(plane));
            let side = if plane == 0 { side } else { side / 2 };
            let rows = to.chunks_exact_mut(stride).zip(from.chunks_exact(stride)).take(side);
            rows.for_each(|(to, from)| to[..side].copy_from_slice(&from[..side]));
        }
    }

    /// The samples of a plane and the distance of its rows.
    pub(super) fn plane(&self, plane: usize) -> (&[u8], usize) {
        if plane == 0 { (&self.luma, 32) } else { (&self.chroma[plane - 1], 16) }
    }

    pub(super) fn plane_mut(&mut self, plane: usize) -> (&mut [u8], usize) {
        if plane == 0 { (&mut self.luma, 32) } else { (&mut self.chroma[plane - 1], 16) }
    }
}

/// Predicts a plane of a block of `side` luma samples at (x, y) from reference frames.
pub(super) fn predict_inter<'a>(
    reference: impl Fn(u8) -> Option<&'a Picture>,
    motion: &Motion,
    place: (usize, usize, usize),
    plane: usize,
    out: &mut Samples,
) {
    let (samples, stride) = out.plane_mut(plane);
    predict_plane(reference, motion, place, plane, samples, stride);
}

/// The same into rows that are `stride` apart.
pub(super) fn predict_plane<'a>(
    reference: impl Fn(u8) -> Option<&'a Picture>,
    motion: &Motion,
    place: (usize, usize, usize),
    plane: usize,
    samples: &mut [u8],
    stride: usize,
) {
    let one = |index: usize, out: &mut [u8]| {
        let Some(from) = reference(motion.references[index]) else { return };
        match plane {
            0 => predict_luma(from, place, motion.vectors[index], out, stride),
            _ => predict_chroma(from, plane, place, motion.vectors[index], out, stride),
        }
    };
    one(0, samples);
    if motion.references[1] != NONE {
        let mut other = [0u8; 32 * 32];
        one(1, &mut other);
        let side = if plane == 0 { place.2 } else { place.2 / 2 };
        mean(samples, &other, side, stride);
    }
}

/// The mean of two predictions, rounded up.
pub(super) fn mean(samples: &mut [u8], other: &[u8], side: usize, stride: usize) {
    #[inline(always)]
    fn of<const N: usize>(samples: &mut [u8], other: &[u8], stride: usize) {
        for (own, other) in samples.chunks_mut(stride).zip(other.chunks(stride)).take(N) {
            let (own, other, mut means) = (&mut own[..N], &other[..N], [0u8; N]);
            for i in 0..N {
                means[i] = ((u16::from(own[i]) + u16::from(other[i]) + 1) >> 1) as u8;
            }
            own.copy_from_slice(&means);
        }
    }
    vectorized(
        #[inline(always)]
        || match side {
            4 => of::<4>(samples, other, stride),
            8 => of::<8>(samples, other, stride),
            16 => of::<16>(samples, other, stride),
            _ => of::<32>(samples, other, stride),
        },
    );
}

/// Adds the residual of levels to a square of samples.
pub(super) fn add_residual(
    samples: &mut [u8],
    stride: usize,
    levels: &[i16],
    log: u32,
    step: i32,
    extent: Extent,
) {
    #[inline(always)]
    fn of<const N: usize>(
        samples: &mut [u8],
        stride: usize,
        levels: &[i16],
        step: i32,
        Extent { columns, rows }: Extent,
    ) {
        let mut block = [[0i16; N]; N];
        for (to, from) in block.iter_mut().zip(levels.as_chunks::<N>().0).take(rows) {
            for (to, &from) in to.iter_mut().zip(from) {
                *to = dequantize(from, step, N.trailing_zeros());
            }
        }
        inverse(&mut block, columns, rows);
        for (samples, residual) in samples.chunks_mut(stride).zip(&block) {
            let (samples, mut sums) = (&mut samples[..N], [0u8; N]);
            for i in 0..N {
                sums[i] = i16::from(samples[i]).saturating_add(residual[i]).clamp(0, 255) as u8;
            }
            samples.copy_from_slice(&sums);
        }
    }
    vectorized(
        #[inline(always)]
        || match log {
            2 => of::<4>(samples, stride, levels, step, extent),
            3 => of::<8>(samples, stride, levels, step, extent),
            4 => of::<16>(samples, stride, levels, step, extent),
            _ => of::<32>(samples, stride, levels, step, extent),
        },
    );
}

/// Copies a square of samples into a plane.
pub(super) fn store(
    plane: &mut Rows<'_>,
    (x, y, side): (usize, usize, usize),
    samples: &[u8],
    stride: usize,
) {
    let width = plane.stride;
    let rows = plane.at_mut(x, y).chunks_mut(width);
    rows.zip(samples.chunks(stride))
        .take(side)
        .for_each(|(to, from)| to[..side].copy_from_slice(&from[..side]));
}

/// Reconstructs a block into `canvas`.
pub(super) fn reconstruct<'a>(
    canvas: &mut Canvas<'_>,
    reference: impl Fn(u8) -> Option<&'a Picture>,
    grid: &Grid,
    block: &Block,
    (levels, extents): (&[i16], &[Extent; 6]),
    quality: u8,
) {
    let place = block.place();
    let (luma_step, chroma_step) = (step(quality), step(chroma_quality(quality)));
    let is_intra = block.has_mode();
    let mut samples = Samples::new();
    if block.is_copied {
        copy::predict(grid.size(), block, canvas, &mut samples);
    }
    if !is_intra {
        for plane in 0..3 {
            if !block.is_copied {
                overlap::predict(&reference, grid, block, plane, &mut samples);
            }
            let (from, stride) = samples.plane(plane);
            let part = if plane == 0 { 1 } else { 2 };
            store(&mut canvas.planes[plane], (place.0 / part, place.1 / part, place.2 / part), from, stride);
        }
    }
    let chroma = (place.0 / 2, place.1 / 2, place.2 / 2);
    let luma = block.luma_blocks().enumerate().map(|(i, place)| (i, 0, place));
    for (index, plane, (x, y, side)) in luma.chain([(4, 1, chroma), (5, 2, chroma)]) {
        let own = &mut canvas.planes[plane];
        if is_intra {
            let around = Surroundings::new(grid, own, (x, y, side), if plane == 0 { 1 } else { 2 });
            let stride = own.stride;
            around.predict(block.mode, plane == 0, own.at_mut(x, y), stride);
        }
        if block.coded >> index & 1 == 1 {
            let stride = own.stride;
            let step = if plane == 0 { luma_step } else { chroma_step };
            let levels = &levels[block.levels_at(index)];
            add_residual(own.at_mut(x, y), stride, levels, side.trailing_zeros(), step, extents[index]);
        }
    }
}
