//! Sums of absolute differences.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::super::vector::Direct;
use super::simd;

/// Sum of absolute differences of squares of 8, 16 or 32; it may stop once it is above `limit`. None where there is no AVX2.
pub(in super::super) fn sad(side: usize, a: (&[u8], usize), b: (&[u8], usize), limit: u32) -> Option<u32> {
    let simd = simd()?;
    Some(simd.vectorize(Direct(
        #[inline(always)]
        || match side {
            8 => sum::<8>(simd, a, b, limit, rows_of_8),
            16 => sum::<16>(simd, a, b, limit, rows_of_16),
            _ => sum::<32>(simd, a, b, limit, rows_of_32),
        },
    )))
}

/// Sums eight rows at a time, of which a vector has `32 / N`.
#[inline(always)]
fn sum<const N: usize>(
    simd: V3,
    a: (&[u8], usize),
    b: (&[u8], usize),
    limit: u32,
    load: impl Fn((&[u8], usize), usize) -> __m256i,
) -> u32 {
    let mut sum = 0;
    for top in (0..N).step_by(8) {
        let mut part = simd.avx._mm256_set1_epi64x(0);
        for row in (top..top + 8).step_by(32 / N) {
            part = simd.avx2._mm256_add_epi64(part, simd.avx2._mm256_sad_epu8(load(a, row), load(b, row)));
        }
        sum += cast::<_, [u64; 4]>(part).iter().sum::<u64>() as u32;
        if sum > limit {
            break;
        }
    }
    sum
}

#[inline(always)]
fn row_of<const N: usize>((data, stride): (&[u8], usize), row: usize) -> [u8; N] {
    data[row * stride..].first_chunk().copied().unwrap_or([0; N])
}

#[inline(always)]
fn rows_of_8(from: (&[u8], usize), row: usize) -> __m256i {
    let row_of = row_of::<8>;
    cast([row_of(from, row), row_of(from, row + 1), row_of(from, row + 2), row_of(from, row + 3)])
}

#[inline(always)]
fn rows_of_16(from: (&[u8], usize), row: usize) -> __m256i {
    cast([row_of::<16>(from, row), row_of::<16>(from, row + 1)])
}

#[inline(always)]
fn rows_of_32(from: (&[u8], usize), row: usize) -> __m256i {
    cast(row_of::<32>(from, row))
}

/// Sums of absolute differences of a block of 8x8 and the 32 blocks that begin one behind another. `other` has 40 samples in a row.
#[inline(always)]
pub(in super::super) fn sads(
    simd: V3,
    (block, stride): (&[u8], usize),
    (other, other_stride): (&[u8], usize),
) -> [u16; 32] {
    let mut sums = [simd.avx._mm256_set1_epi16(0); 2];
    for row in 0..8 {
        let own = i64::from_le_bytes(row_of::<8>((block, stride), row));
        let own = simd.avx._mm256_set1_epi64x(own);
        for (part, sum) in sums.iter_mut().enumerate() {
            // The places from 8 times `part` on, and those 16 behind them; the first four columns of the block, then the others.
            let places: __m256i = cast(row_of::<32>((&other[8 * part..], other_stride), row));
            let [left, right] = [
                simd.avx2._mm256_mpsadbw_epu8::<0>(places, own),
                simd.avx2._mm256_mpsadbw_epu8::<0b101_101>(places, own),
            ];
            *sum = simd.avx2._mm256_add_epi16(*sum, simd.avx2._mm256_add_epi16(left, right));
        }
    }
    let [a, b]: [[[u16; 8]; 2]; 2] = cast(sums);
    cast([a[0], b[0], a[1], b[1]])
}
