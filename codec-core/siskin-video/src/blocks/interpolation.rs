//! Motion compensation with the filters of ITU-T H.265 (8.5.3.3.3): eight taps for quarters of a luma sample, four for eighths
//! of a chroma sample. Each prediction is rounded to 8 bits.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::motion::Vector;
use super::picture::{Picture, Plane};
#[cfg(target_arch = "x86_64")]
use super::vector::Direct;
use super::vector::vectorized;

/// Largest block.
pub(super) const MAX_BLOCK: usize = 32;

const LUMA: [[i16; 8]; 4] = [
    [0, 0, 0, 64, 0, 0, 0, 0],
    [-1, 4, -10, 58, 17, -5, 1, 0],
    [-1, 4, -11, 40, 40, -11, 4, -1],
    [0, 1, -5, 17, 58, -10, 4, -1],
];
const CHROMA: [[i16; 4]; 8] = [
    [0, 64, 0, 0],
    [-2, 58, 10, -2],
    [-4, 54, 16, -2],
    [-6, 46, 28, -4],
    [-4, 36, 36, -4],
    [-4, 28, 46, -6],
    [-2, 16, 54, -4],
    [-2, 10, 58, -2],
];

/// Predicts the luma block of `side` at (x, y) to `out`, whose rows are `stride` apart.
pub(super) fn predict_luma(
    from: &Picture,
    (x, y, side): (usize, usize, usize),
    vector: Vector,
    out: &mut [u8],
    stride: usize,
) {
    let (px, py) = from.locate((x, y, side), vector);
    let plane = &from.planes[0];
    let (fx, fy) = ((px & 3) as usize, (py & 3) as usize);
    let start = plane.index((px >> 2) as isize, (py >> 2) as isize);
    let filters = (fx > 0).then(|| &LUMA[fx]);
    let lower = (fy > 0).then(|| &LUMA[fy]);
    vectorized(
        #[inline(always)]
        || match side {
            8 => filter::<8, 8>(plane, start, filters, lower, out, stride),
            16 => filter::<16, 8>(plane, start, filters, lower, out, stride),
            _ => filter::<32, 8>(plane, start, filters, lower, out, stride),
        },
    );
}

/// The same of the chroma block of `side / 2`.
pub(super) fn predict_chroma(
    from: &Picture,
    plane: usize,
    (x, y, side): (usize, usize, usize),
    vector: Vector,
    out: &mut [u8],
    stride: usize,
) {
    // A quarter of a luma sample is an eighth of a chroma sample.
    let (px, py) = from.locate((x, y, side), vector);
    let plane = &from.planes[plane];
    let (fx, fy) = ((px & 7) as usize, (py & 7) as usize);
    let start = plane.index((px >> 3) as isize, (py >> 3) as isize);
    let filters = (fx > 0).then(|| &CHROMA[fx]);
    let lower = (fy > 0).then(|| &CHROMA[fy]);
    vectorized(
        #[inline(always)]
        || match side {
            8 => filter::<4, 4>(plane, start, filters, lower, out, stride),
            16 => filter::<8, 4>(plane, start, filters, lower, out, stride),
            _ => filter::<16, 4>(plane, start, filters, lower, out, stride),
        },
    );
}

#[inline(always)]
fn filter<const N: usize, const TAPS: usize>(
    plane: &Plane,
    start: usize,
    across: Option<&[i16; TAPS]>,
    down: Option<&[i16; TAPS]>,
    out: &mut [u8],
    stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(simd), false) = (avx2::simd(), across.is_none() && down.is_none()) {
        let (across, down) = (across.map(<[i16; TAPS]>::as_slice), down.map(<[i16; TAPS]>::as_slice));
        let from = (&plane.data[..], start, plane.stride);
        return match TAPS {
            8 => avx2::filter::<N, 4>(simd, from, across, down, (out, stride)),
            _ => avx2::filter::<N, 2>(simd, from, across, down, (out, stride)),
        };
    }
    any_filter::<N, TAPS>(plane, start, across, down, out, stride);
}

/// The same on any processor.
#[inline(always)]
fn any_filter<const N: usize, const TAPS: usize>(
    plane: &Plane,
    start: usize,
    across: Option<&[i16; TAPS]>,
    down: Option<&[i16; TAPS]>,
    out: &mut [u8],
    stride: usize,
) {
    let before = TAPS / 2 - 1;
    let rows = out.chunks_mut(stride).take(N);
    match (across, down) {
        (None, None) => {
            for (row, out) in rows.enumerate() {
                out[..N].copy_from_slice(&plane.data[start + row * plane.stride..][..N]);
            }
        }
        (Some(taps), None) => {
            for (row, out) in rows.enumerate() {
                let sums = sum_across::<N, TAPS>(&plane.data[start + row * plane.stride - before..], taps);
                for (out, sum) in out[..N].iter_mut().zip(sums) {
                    *out = ((sum + 32) >> 6).clamp(0, 255) as u8;
                }
            }
        }
        (None, Some(taps)) => {
            for (row, out) in rows.enumerate() {
                let mut sums = [32i16; N];
                for (k, &tap) in taps.iter().enumerate() {
                    let from = &plane.data[start + (row + k) * plane.stride - before * plane.stride..][..N];
                    for i in 0..N {
                        sums[i] += i16::from(from[i]) * tap;
                    }
                }
                for (out, sum) in out[..N].iter_mut().zip(sums) {
                    *out = (sum >> 6).clamp(0, 255) as u8;
                }
            }
        }
        (Some(across), Some(down)) => {
            // 32 rows and 7 more for the taps.
            let mut between = [[0i16; N]; MAX_BLOCK + 8];
            for (row, sums) in between.iter_mut().enumerate().take(N + TAPS - 1) {
                let place = start + row * plane.stride - before * plane.stride - before;
                *sums = sum_across::<N, TAPS>(&plane.data[place..], across);
            }
            for (row, out) in rows.enumerate() {
                let mut sums = [2048i32; N];
                for (k, &tap) in down.iter().enumerate() {
                    let from = &between[row + k];
                    for i in 0..N {
                        sums[i] += i32::from(from[i]) * i32::from(tap);
                    }
                }
                for (out, sum) in out[..N].iter_mut().zip(sums) {
                    *out = (sum >> 12).clamp(0, 255) as u8;
                }
            }
        }
    }
}

/// Filters a row without rounding; 16 bits hold -6,120 to 22,440.
#[inline(always)]
fn sum_across<const N: usize, const TAPS: usize>(from: &[u8], taps: &[i16; TAPS]) -> [i16; N] {
    let from = &from[..N + TAPS - 1];
    let mut sums = [0i16; N];
    for (k, &tap) in taps.iter().enumerate() {
        for i in 0..N {
            sums[i] += i16::from(from[i + k]) * tap;
        }
    }
    sums
}

/// Rows of half samples that one thread makes at a time.
// It filters seven more across for the taps down, 5 % of so many.
const STRIP: usize = 128;

/// The half samples of a frame and of what vectors reach around it.
pub(super) fn halves(luma: &Plane, out: &mut [Plane; 3]) {
    let size = STRIP * luma.stride;
    let [right, below, both] = out;
    right
        .data
        .par_chunks_mut(size)
        .zip(below.data.par_chunks_mut(size))
        .zip(both.data.par_chunks_mut(size))
        .enumerate()
        .for_each(|(strip, ((right, below), both))| {
            let (top, mut out) = (strip * STRIP, [right, below, both]);
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = avx2::simd() {
                let from = (&luma.data[..], luma.stride);
                return simd.vectorize(Direct(
                    #[inline(always)]
                    || avx2::halves(simd, from, &LUMA[2], top, out.each_mut().map(|rows| &mut **rows)),
                ));
            }
            vectorized(
                #[inline(always)]
                || interpolate_halves(luma, top, out.each_mut().map(|rows| &mut **rows)),
            );
        });
}

/// Columns that are filtered at once.
const COLUMNS: usize = 32;

/// Interpolates the rows of a strip that begins at row `top`, border included.
#[inline(always)]
fn interpolate_halves(luma: &Plane, top: usize, [right, below, both]: [&mut [u8]; 3]) {
    let stride = luma.stride;
    let rows = luma.height + 2 * luma.border;
    let bottom = top + right.len() / stride;
    // Whole rows, whatever is wrong at their ends: that lies beyond what vectors reach.
    let count = (stride - 7) / COLUMNS * COLUMNS;
    // Rows filtered across and not rounded: those that eight taps down need, in turn.
    let mut ring = vec![0i16; 8 * stride];
    for row in top.saturating_sub(3)..(bottom + 4).min(rows) {
        let from = &luma.data[row * stride..][..stride];
        let sums = &mut ring[row % 8 * stride..][3..3 + count];
        for (start, sums) in (0..).step_by(COLUMNS).zip(sums.as_chunks_mut::<COLUMNS>().0) {
            *sums = sum_across::<COLUMNS, 8>(&from[start..], &LUMA[2]);
        }
        if (top..bottom).contains(&row) {
            let out = &mut right[(row - top) * stride + 3..][..count];
            for (out, sum) in out.iter_mut().zip(&*sums) {
                *out = ((sum + 32) >> 6).clamp(0, 255) as u8;
            }
        }
        // The row four above is the one whose taps end here.
        let Some(own) = row.checked_sub(4).filter(|&own| own >= top.max(3)) else { continue };
        let start = (own - top) * stride;
        let taps: [&[u8]; 8] = std::array::from_fn(|k| &luma.data[(own + k - 3) * stride..][..stride]);
        for (i, out) in (0..).step_by(COLUMNS).zip(below[start..][..stride].as_chunks_mut::<COLUMNS>().0) {
            let mut sums = [32i16; COLUMNS];
            for (from, &tap) in taps.iter().zip(&LUMA[2]) {
                let from = &from[i..][..COLUMNS];
                for c in 0..COLUMNS {
                    sums[c] += i16::from(from[c]) * tap;
                }
            }
            let mut line = [0u8; COLUMNS];
            for c in 0..COLUMNS {
                line[c] = (sums[c] >> 6).clamp(0, 255) as u8;
            }
            *out = line;
        }
        let taps: [&[i16]; 8] = std::array::from_fn(|k| &ring[(own + k - 3) % 8 * stride..][..stride]);
        for (i, out) in (0..).step_by(COLUMNS).zip(both[start..][..stride].as_chunks_mut::<COLUMNS>().0) {
            let mut sums = [2048i32; COLUMNS];
            for (from, &tap) in taps.iter().zip(&LUMA[2]) {
                let from = &from[i..][..COLUMNS];
                for c in 0..COLUMNS {
                    sums[c] += i32::from(from[c]) * i32::from(tap);
                }
            }
            let mut line = [0u8; COLUMNS];
            for c in 0..COLUMNS {
                line[c] = (sums[c] >> 12).clamp(0, 255) as u8;
            }
            *out = line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Plane {
        let mut plane = Plane::new(width, height, 80);
        let mut seed = 11u32;
        for v in &mut plane.data {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Extremes, so that sums are as large as they get.
            *v = if seed >> 31 == 0 { (seed >> 9) as u8 } else { (seed >> 30 & 1) as u8 * 255 };
        }
        plane
    }

    fn check<const N: usize, const TAPS: usize>(plane: &Plane, filters: &[[i16; TAPS]]) {
        let start = plane.index(3, 5);
        let some = |i: usize| (i > 0).then(|| &filters[i]);
        for fx in 0..filters.len() {
            for fy in 0..filters.len() {
                let mut both = [[0u8; 32 * 32]; 2];
                filter::<N, TAPS>(plane, start, some(fx), some(fy), &mut both[0], 32);
                any_filter::<N, TAPS>(plane, start, some(fx), some(fy), &mut both[1], 32);
                assert!(both[0] == both[1], "{N} samples, {TAPS} taps, {fx} {fy}");
            }
        }
    }

    #[test]
    fn every_processor_finds_the_same() {
        let plane = noise(64, 64);
        check::<8, 8>(&plane, &LUMA);
        check::<16, 8>(&plane, &LUMA);
        check::<32, 8>(&plane, &LUMA);
        check::<4, 4>(&plane, &CHROMA);
        check::<8, 4>(&plane, &CHROMA);
        check::<16, 4>(&plane, &CHROMA);
    }

    #[test]
    fn half_samples_are_those_that_the_filters_find() {
        let plane = noise(136, 72);
        let mut found: [Plane; 3] = std::array::from_fn(|_| plane.clone());
        halves(&plane, &mut found);
        // As far around the frame as vectors reach.
        for (x, y) in [(-40, -40), (136, -40), (-40, 72), (136, 72), (50, 30)] {
            let start = plane.index(x, y);
            for (own, (across, down)) in found.iter().zip([(2, 0), (0, 2), (2, 2)]) {
                let mut out = [0u8; 32 * 32];
                let some = |i: usize| (i > 0).then(|| &LUMA[i]);
                any_filter::<32, 8>(&plane, start, some(across), some(down), &mut out, 32);
                for (row, out) in out.chunks_exact(32).enumerate() {
                    assert_eq!(own.data[start + row * own.stride..][..32], *out, "{x} {y} {across} {down}");
                }
            }
        }
    }
}
