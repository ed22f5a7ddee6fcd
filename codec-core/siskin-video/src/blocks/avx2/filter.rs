//! The interpolation filters: 32 samples at a time, in pairs of taps.
//!
//! Closures are inlined by force, and arrays are not mapped: what is compiled by itself has no AVX2.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

/// Rows that eight taps need.
const RING: usize = 8;

/// Pairs of taps, as factors of bytes and of 16 bits.
#[derive(Clone, Copy)]
struct Taps<const PAIRS: usize> {
    bytes: [__m256i; PAIRS],
    words: [__m256i; PAIRS],
}

impl<const PAIRS: usize> Taps<PAIRS> {
    #[inline(always)]
    fn new(simd: V3, taps: &[i16]) -> Self {
        let zero = simd.avx._mm256_set1_epi16(0);
        let mut own = Self { bytes: [zero; PAIRS], words: [zero; PAIRS] };
        for k in 0..PAIRS {
            let (a, b) = (i32::from(taps[2 * k]), i32::from(taps[2 * k + 1]));
            own.bytes[k] = simd.avx._mm256_set1_epi16((a & 0xff | b << 8) as i16);
            own.words[k] = simd.avx._mm256_set1_epi32(a & 0xffff | b << 16);
        }
        own
    }
}

/// The first `N` samples of a row, up to 32, and zeros.
#[inline(always)]
fn load<const N: usize>(from: &[u8]) -> __m256i {
    let mut all = [0u8; 32];
    all[..N].copy_from_slice(&from[..N]);
    cast(all)
}

/// Sums of samples times taps, `row` of each; 16 bits hold -6,120 to 22,440. The first vector has samples 0 to 7 and 16 to 23.
#[inline(always)]
fn sums<const PAIRS: usize>(simd: V3, taps: &Taps<PAIRS>, row: impl Fn(usize) -> __m256i) -> [__m256i; 2] {
    let zero = simd.avx._mm256_set1_epi16(0);
    let mut out = [zero; 2];
    for k in 0..PAIRS {
        let (a, b) = (row(2 * k), row(2 * k + 1));
        let pairs = [simd.avx2._mm256_unpacklo_epi8(a, b), simd.avx2._mm256_unpackhi_epi8(a, b)];
        for i in 0..2 {
            let products = simd.avx2._mm256_maddubs_epi16(pairs[i], taps.bytes[k]);
            out[i] = simd.avx2._mm256_add_epi16(out[i], products);
        }
    }
    out
}

/// Samples from sums of one filter.
#[inline(always)]
fn round(simd: V3, sums: [__m256i; 2]) -> [u8; 32] {
    let half = simd.avx._mm256_set1_epi16(32);
    let [a, b] = sums;
    let a = simd.avx2._mm256_srai_epi16::<6>(simd.avx2._mm256_add_epi16(a, half));
    let b = simd.avx2._mm256_srai_epi16::<6>(simd.avx2._mm256_add_epi16(b, half));
    cast(simd.avx2._mm256_packus_epi16(a, b))
}

/// Samples from the sums of one filter by the other.
#[inline(always)]
fn second<const PAIRS: usize>(simd: V3, taps: &Taps<PAIRS>, row: impl Fn(usize) -> [__m256i; 2]) -> [u8; 32] {
    let half = simd.avx._mm256_set1_epi32(2048);
    let mut out = [[half; 2]; 2];
    for k in 0..PAIRS {
        let (a, b) = (row(2 * k), row(2 * k + 1));
        for i in 0..2 {
            let pairs =
                [simd.avx2._mm256_unpacklo_epi16(a[i], b[i]), simd.avx2._mm256_unpackhi_epi16(a[i], b[i])];
            for j in 0..2 {
                let products = simd.avx2._mm256_madd_epi16(pairs[j], taps.words[k]);
                out[i][j] = simd.avx2._mm256_add_epi32(out[i][j], products);
            }
        }
    }
    let mut halves = [half; 2];
    for i in 0..2 {
        let low = simd.avx2._mm256_srai_epi32::<12>(out[i][0]);
        halves[i] = simd.avx2._mm256_packs_epi32(low, simd.avx2._mm256_srai_epi32::<12>(out[i][1]));
    }
    cast(simd.avx2._mm256_packus_epi16(halves[0], halves[1]))
}

/// Filters the block of `N` whose upper left sample is at `start`: across, down, or both. At least one filter is there.
#[inline(always)]
pub(in super::super) fn filter<const N: usize, const PAIRS: usize>(
    simd: V3,
    (data, start, from_stride): (&[u8], usize, usize),
    across: Option<&[i16]>,
    down: Option<&[i16]>,
    (out, stride): (&mut [u8], usize),
) {
    let before = PAIRS - 1;
    let rows = out.chunks_mut(stride).take(N);
    match (across, down) {
        (Some(taps), Some(down)) => {
            let (taps, down) = (Taps::<PAIRS>::new(simd, taps), Taps::<PAIRS>::new(simd, down));
            // The row above the first one, and of sums across those that the taps down need, in turn.
            let (top, zero) = (start - before * from_stride - before, simd.avx._mm256_set1_epi16(0));
            let mut ring = [[zero; 2]; RING];
            for row in 0..2 * PAIRS - 1 {
                ring[row] = across_of::<N, PAIRS>(simd, &taps, &data[top + row * from_stride..]);
            }
            for (row, out) in rows.enumerate() {
                let last = row + 2 * PAIRS - 1;
                ring[last % RING] = across_of::<N, PAIRS>(simd, &taps, &data[top + last * from_stride..]);
                let found = second(
                    simd,
                    &down,
                    #[inline(always)]
                    |k| ring[(row + k) % RING],
                );
                out[..N].copy_from_slice(&found[..N]);
            }
        }
        (Some(taps), None) => {
            let taps = Taps::<PAIRS>::new(simd, taps);
            for (row, out) in rows.enumerate() {
                let from = &data[start + row * from_stride - before..];
                let found = round(
                    simd,
                    sums(
                        simd,
                        &taps,
                        #[inline(always)]
                        |k| load::<N>(&from[k..]),
                    ),
                );
                out[..N].copy_from_slice(&found[..N]);
            }
        }
        (None, Some(taps)) => {
            let taps = Taps::<PAIRS>::new(simd, taps);
            for (row, out) in rows.enumerate() {
                let from = &data[start + row * from_stride - before * from_stride..];
                let found = round(
                    simd,
                    sums(
                        simd,
                        &taps,
                        #[inline(always)]
                        |k| load::<N>(&from[k * from_stride..]),
                    ),
                );
                out[..N].copy_from_slice(&found[..N]);
            }
        }
        (None, None) => {}
    }
}

/// Sums of `N` samples across, `from` the first of the taps on.
#[inline(always)]
fn across_of<const N: usize, const PAIRS: usize>(simd: V3, taps: &Taps<PAIRS>, from: &[u8]) -> [__m256i; 2] {
    sums(
        simd,
        taps,
        #[inline(always)]
        |k| load::<N>(&from[k..]),
    )
}

/// The half samples of the rows of a plane from row `top` on, to the right, below, and both: all but the edges of the border.
#[inline(always)]
pub(in super::super) fn halves(
    simd: V3,
    (data, stride): (&[u8], usize),
    taps: &[i16],
    top: usize,
    [right, below, both]: [&mut [u8]; 3],
) {
    let taps = Taps::<4>::new(simd, taps);
    let (rows, bottom) = (data.len() / stride, top + right.len() / stride);
    let (first, last) = (top.max(3), bottom.min(rows - 4));
    for left in (3..stride - 36).step_by(32).chain([stride - 36]) {
        let zero = simd.avx._mm256_set1_epi16(0);
        // Sums of rows that eight taps down need, in turn.
        let mut ring = [[zero; 2]; RING];
        for row in first - 3..first + 4 {
            ring[row % RING] = across_of::<32, 4>(simd, &taps, &data[row * stride + left - 3..]);
        }
        for row in first..last {
            ring[(row + 4) % RING] = across_of::<32, 4>(simd, &taps, &data[(row + 4) * stride + left - 3..]);
            let to = (row - top) * stride + left;
            right[to..][..32].copy_from_slice(&round(simd, ring[row % RING]));
            let from = &data[(row - 3) * stride + left..];
            let found = round(
                simd,
                sums(
                    simd,
                    &taps,
                    #[inline(always)]
                    |k| load::<32>(&from[k * stride..]),
                ),
            );
            below[to..][..32].copy_from_slice(&found);
            both[to..][..32].copy_from_slice(&second(
                simd,
                &taps,
                #[inline(always)]
                |k| ring[(row + k - 3) % RING],
            ));
        }
    }
}
