//! The forward transform of 8, 16 and 32: products of 16 bits, two at a time.

use std::arch::x86_64::{__m128i, __m256i};

use pulp::cast;
use pulp::x86::V3;

use super::super::transform::MATRIX;
use super::super::vector::Direct;
use super::simd;

/// Coefficients that are kept in each direction, at most.
const KEPT: usize = 16;

/// Factors of pairs of samples: of 8 coefficients side by side, from the eighth part of them on.
type Factors = [[[i16; 16]; 2]; 16];

static OF_8: Factors = factors(8);
static OF_16: Factors = factors(16);
static OF_32: Factors = factors(32);

const fn factors(side: usize) -> Factors {
    let mut out = [[[0; 16]; 2]; 16];
    let mut k = 0;
    while k < side && k < KEPT {
        let mut n = 0;
        while n < side {
            out[n / 2][k / 8][k % 8 * 2 + n % 2] = MATRIX[k * 32 / side][n];
            n += 1;
        }
        k += 1;
    }
    out
}

/// [`super::super::transform::forward`], where the processor has AVX2; false where nothing was done.
pub(in super::super) fn forward(side: usize, block: &mut [i16]) -> bool {
    let Some(simd) = simd().filter(|_| side > 4) else { return false };
    simd.vectorize(Direct(
        #[inline(always)]
        || match side {
            8 => of::<8>(simd, block, &OF_8),
            16 => of::<16>(simd, block, &OF_16),
            _ => of::<32>(simd, block, &OF_32),
        },
    ));
    true
}

/// Two values of 16 bits in every place.
#[inline(always)]
fn pair(simd: V3, a: i16, b: i16) -> __m256i {
    simd.avx._mm256_set1_epi32(i32::from(a) & 0xffff | i32::from(b) << 16)
}

/// Pairs of values of two rows.
#[inline(always)]
fn side_by_side(simd: V3, a: __m128i, b: __m128i) -> __m256i {
    cast([simd.sse2._mm_unpacklo_epi16(a, b), simd.sse2._mm_unpackhi_epi16(a, b)])
}

#[inline(always)]
fn of<const N: usize>(simd: V3, block: &mut [i16], factors: &Factors) {
    let (block, _) = block.as_chunks_mut::<N>();
    let (log, kept, zero) = (N.trailing_zeros(), N.min(KEPT), simd.avx._mm256_set1_epi16(0));
    let mut between = [[0i16; N]; KEPT];
    // Columns first, eight at a time; even rows of the matrix are symmetric and odd ones antisymmetric.
    let (shift, half) = (log - 1, (1i32 << (log - 1)) >> 1);
    let (count, half): (__m128i, _) = (cast([u64::from(shift), 0]), simd.avx._mm256_set1_epi32(half));
    for left in (0..N).step_by(8) {
        // Pairs of sums and pairs of differences of a row and its mirror image.
        let mut folded = [[zero; 8]; 2];
        let [sums, differences] = &mut folded;
        for (j, (sums, differences)) in sums.iter_mut().zip(differences).enumerate().take(N / 4) {
            // Rows 2 j and 2 j + 1, and their mirror images.
            let row = |n: usize| cast::<_, __m128i>(eight_of(&block[n], left));
            let (a, b) = (row(2 * j), row(2 * j + 1));
            let (c, d) = (row(N - 1 - 2 * j), row(N - 2 - 2 * j));
            *sums = side_by_side(simd, simd.sse2._mm_add_epi16(a, c), simd.sse2._mm_add_epi16(b, d));
            *differences = side_by_side(simd, simd.sse2._mm_sub_epi16(a, c), simd.sse2._mm_sub_epi16(b, d));
        }
        for k in 0..kept {
            let (row, mut sum) = (&MATRIX[k * 32 / N], half);
            for j in 0..N / 4 {
                let products =
                    simd.avx2._mm256_madd_epi16(folded[k % 2][j], pair(simd, row[2 * j], row[2 * j + 1]));
                sum = simd.avx2._mm256_add_epi32(sum, products);
            }
            let sum = simd.avx2._mm256_sra_epi32(sum, count);
            let packed: [[i16; 4]; 4] = cast(simd.avx2._mm256_packs_epi32(sum, sum));
            between[k][left..][..4].copy_from_slice(&packed[0]);
            between[k][left + 4..][..4].copy_from_slice(&packed[2]);
        }
    }
    let (shift, half) = (log + 6, 1i32 << (log + 5));
    let (count, half): (__m128i, _) = (cast([u64::from(shift), 0]), simd.avx._mm256_set1_epi32(half));
    for k in 0..kept {
        let mut sums = [half; 2];
        for j in 0..N / 2 {
            let samples = pair(simd, between[k][2 * j], between[k][2 * j + 1]);
            for part in 0..kept / 8 {
                let products = simd.avx2._mm256_madd_epi16(samples, cast(factors[j][part]));
                sums[part] = simd.avx2._mm256_add_epi32(sums[part], products);
            }
        }
        let [a, b] = sums;
        let (a, b) = (simd.avx2._mm256_sra_epi32(a, count), simd.avx2._mm256_sra_epi32(b, count));
        // Of each lane the first half is of the first sums.
        let packed: [[i16; 4]; 4] = cast(simd.avx2._mm256_packs_epi32(a, b));
        block[k].fill(0);
        for (i, from) in [0, 2, 1, 3].into_iter().enumerate().take(kept / 4) {
            block[k][4 * i..][..4].copy_from_slice(&packed[from]);
        }
    }
    block[kept..].as_flattened_mut().fill(0);
}

#[inline(always)]
fn eight_of(row: &[i16], left: usize) -> [i16; 8] {
    row[left..].first_chunk().copied().unwrap_or([0; 8])
}
