//! Sums of absolute transformed differences: compilers do not find how to turn a square.

use std::arch::x86_64::{__m128i, __m256i};

use pulp::cast;
use pulp::x86::V3;

use super::super::vector::Direct;
use super::simd;

/// Sum of absolute transformed differences of squares of 8, 16 or 32, or none where the processor has no AVX2.
pub(in super::super) fn satd(
    side: usize,
    a: &[u8],
    a_stride: usize,
    b: &[u8],
    b_stride: usize,
) -> Option<u32> {
    let simd = simd()?;
    Some(simd.vectorize(Direct(
        #[inline(always)]
        || {
            if side == 8 {
                return eight(simd, [a, b], [a_stride, b_stride]);
            }
            let mut sum = 0;
            for y in (0..side).step_by(8) {
                for x in (0..side).step_by(16) {
                    let parts = [&a[y * a_stride + x..], &b[y * b_stride + x..]];
                    sum += sixteen(simd, parts, [a_stride, b_stride]);
                }
            }
            sum
        },
    )))
}

/// Defines the sum over squares of 8x8 side by side, whose rows fill a vector of `$lanes` samples. Closures would not have AVX2.
macro_rules! hadamard {
    ($name:ident, $vector:ty, $lanes:literal, $widen:ident, $base:ident, $add:ident, $sub:ident, $low:ident, $high:ident,
     $abs_base:ident, $abs:ident, $max_base:ident, $max:ident) => {
        #[inline(always)]
        fn $name(simd: V3, [a, b]: [&[u8]; 2], [a_stride, b_stride]: [usize; 2]) -> u32 {
            // One check for all rows.
            let (a, b) = (&a[..7 * a_stride + $lanes], &b[..7 * b_stride + $lanes]);
            let mut rows = [$widen(simd, [0; $lanes]); 8];
            for y in 0..8 {
                let a = a[y * a_stride..].first_chunk().copied().unwrap_or([0; $lanes]);
                let b = b[y * b_stride..].first_chunk().copied().unwrap_or([0; $lanes]);
                rows[y] = simd.$base.$sub($widen(simd, a), $widen(simd, b));
            }
            for step in [4, 2, 1] {
                for i in 0..8 {
                    if i & step == 0 {
                        let (a, b) = (rows[i], rows[i + step]);
                        (rows[i], rows[i + step]) = (simd.$base.$add(a, b), simd.$base.$sub(a, b));
                    }
                }
            }
            // Interleaving one half of the rows with the other turns the index of a sample by a bit: three times are a square
            // turned over its diagonal.
            for _ in 0..3 {
                let from = rows;
                for i in 0..4 {
                    rows[2 * i] = simd.$base.$low(from[i], from[i + 4]);
                    rows[2 * i + 1] = simd.$base.$high(from[i], from[i + 4]);
                }
            }
            for step in [4, 2] {
                for i in 0..8 {
                    if i & step == 0 {
                        let (a, b) = (rows[i], rows[i + step]);
                        (rows[i], rows[i + step]) = (simd.$base.$add(a, b), simd.$base.$sub(a, b));
                    }
                }
            }
            // The last step and absolute values at once: |a + b| + |a - b| is twice the larger of |a| and |b|, and 16 bits hold
            // four times 255 * 32.
            let mut sums = $widen(simd, [0; $lanes]);
            for i in 0..4 {
                let (a, b) = (simd.$abs_base.$abs(rows[2 * i]), simd.$abs_base.$abs(rows[2 * i + 1]));
                sums = simd.$base.$add(sums, simd.$max_base.$max(a, b));
            }
            let sums: [u16; $lanes] = cast(sums);
            let mut all = 0;
            for square in sums.chunks_exact(8) {
                let mut sum = 1;
                for &v in square {
                    sum += u32::from(v);
                }
                all += sum >> 1;
            }
            all
        }
    };
}

#[inline(always)]
fn widen_sixteen(simd: V3, row: [u8; 16]) -> __m256i {
    simd.avx2._mm256_cvtepu8_epi16(cast::<_, __m128i>(row))
}

#[inline(always)]
fn widen_eight(simd: V3, row: [u8; 8]) -> __m128i {
    simd.sse4_1._mm_cvtepu8_epi16(cast::<_, __m128i>([u64::from_ne_bytes(row), 0]))
}

hadamard!(
    sixteen,
    __m256i,
    16,
    widen_sixteen,
    avx2,
    _mm256_add_epi16,
    _mm256_sub_epi16,
    _mm256_unpacklo_epi16,
    _mm256_unpackhi_epi16,
    avx2,
    _mm256_abs_epi16,
    avx2,
    _mm256_max_epu16
);

hadamard!(
    eight,
    __m128i,
    8,
    widen_eight,
    sse2,
    _mm_add_epi16,
    _mm_sub_epi16,
    _mm_unpacklo_epi16,
    _mm_unpackhi_epi16,
    ssse3,
    _mm_abs_epi16,
    sse4_1,
    _mm_max_epu16
);
