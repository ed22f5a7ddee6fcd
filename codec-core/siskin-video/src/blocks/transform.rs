//! The integer cosine transforms of ITU-T H.265 (8.6.4.2), of 4, 8, 16 and 32 samples: 16 bits between the stages, so that
//! every machine finds the same samples.
//!
//! Coefficients of a side of N are those of the orthonormal transform times 128 / N.

use super::vector::vectorized;

/// First column of each row of the transform of 32: row `k` begins with `64 sqrt(2) cos(k pi / 64)`, row 0 with 64.
const FIRST: [i16; 32] = [
    64, 90, 90, 90, 89, 88, 87, 85, 83, 82, 80, 78, 75, 73, 70, 67, 64, 61, 57, 54, 50, 46, 43, 38, 36, 31,
    25, 22, 18, 13, 9, 4,
];

/// The matrix of 32, row by row.
pub(super) static MATRIX: [[i16; 32]; 32] = build_matrix();
const fn build_matrix() -> [[i16; 32]; 32] {
    let mut out = [[0; 32]; 32];
    let mut k = 0;
    while k < 32 {
        let mut n = 0;
        while n < 32 {
            // cos(k (2n + 1) pi / 64) by the symmetries of the first column.
            let angle = k * (2 * n + 1) % 128;
            let folded = if angle > 64 { 128 - angle } else { angle };
            out[k][n] = match folded {
                // cos 0 occurs only in row 0.
                _ if k == 0 => 64,
                0..32 => FIRST[folded],
                32 => 0,
                _ => -FIRST[64 - folded],
            };
            n += 1;
        }
        k += 1;
    }
    out
}

/// Samples of a residual to coefficients, in place; both row by row, `side` of a row.
pub(super) fn forward(side: usize, block: &mut [i16]) {
    #[cfg(target_arch = "x86_64")]
    if super::avx2::forward(side, block) {
        return;
    }
    any_forward(side, block);
}

/// The same on any processor.
fn any_forward(side: usize, block: &mut [i16]) {
    vectorized(
        #[inline(always)]
        || match side {
            4 => forward_of::<4>(block),
            8 => forward_of::<8>(block),
            16 => forward_of::<16>(block),
            _ => forward_of::<32>(block),
        },
    );
}

#[inline(always)]
fn forward_of<const N: usize>(block: &mut [i16]) {
    let (block, _) = block.as_chunks_mut::<N>();
    let (stride, log) = (32 / N, N.trailing_zeros());
    // Of 32x32 an encoder uses the lower half of frequencies in both directions: a block with others is better cut up.
    let kept = N.min(16);
    let mut between = [[0i16; N]; 16];
    // Columns first; even rows of the matrix are symmetric and odd ones antisymmetric, which halves the products.
    let (shift, half) = (log - 1, (1i32 << (log - 1)) >> 1);
    let (mut sums, mut differences) = ([[0i16; N]; 16], [[0i16; N]; 16]);
    for n in 0..N / 2 {
        let (a, b) = (&block[n], &block[N - 1 - n]);
        for c in 0..N {
            (sums[n][c], differences[n][c]) = (a[c] + b[c], a[c] - b[c]);
        }
    }
    for (k, between) in between.iter_mut().enumerate().take(kept) {
        let folded = if k % 2 == 0 { &sums } else { &differences };
        let mut sum = [half; N];
        for (n, folded) in folded.iter().enumerate().take(N / 2) {
            let m = MATRIX[k * stride][n];
            for c in 0..N {
                sum[c] += i32::from(m) * i32::from(folded[c]);
            }
        }
        for c in 0..N {
            between[c] = (sum[c] >> shift) as i16;
        }
    }
    let (shift, half) = (log + 6, 1i32 << (log + 5));
    let [even, odd] = &FOLDED[log as usize - 2];
    for (from, out) in between.iter().zip(&mut *block).take(kept) {
        let (mut low, mut high) = ([half; 8], [half; 8]);
        for n in 0..N / 2 {
            let (a, b) = (i32::from(from[n]), i32::from(from[N - 1 - n]));
            // 17 bits, but the products below stay within 32.
            let (sum, difference) = (a + b, a - b);
            for l in 0..8 {
                low[l] += i32::from(even[n][l]) * sum;
                high[l] += i32::from(odd[n][l]) * difference;
            }
        }
        for l in 0..kept / 2 {
            (out[2 * l], out[2 * l + 1]) = (saturate(low[l] >> shift), saturate(high[l] >> shift));
        }
        out[kept..].fill(0);
    }
    block[kept..].as_flattened_mut().fill(0);
}

/// Of 4, 8, 16 and 32: the even, then the odd rows of the matrix up to the sixteenth, transposed, so that factors of one sample lie
/// side by side.
static FOLDED: [[[[i16; 8]; 16]; 2]; 4] = [fold(4), fold(8), fold(16), fold(32)];

const fn fold(side: usize) -> [[[i16; 8]; 16]; 2] {
    let mut out = [[[0; 8]; 16]; 2];
    let mut n = 0;
    while n < side / 2 {
        let mut k = 0;
        while k < side && k < 16 {
            out[k % 2][n][k / 2] = MATRIX[k * 32 / side][n];
            k += 1;
        }
        n += 1;
    }
    out
}

/// Coefficients to samples of a residual, in place. All beyond the first `columns` columns and `rows` rows are zero.
#[inline(always)]
pub(super) fn inverse<const N: usize>(block: &mut [[i16; N]; N], columns: usize, rows: usize) {
    let stride = 32 / N;
    let mut between = [[0i16; N]; N];
    // Columns first, and only those rows that hold coefficients: most blocks have a few.
    for n in 0..N / 2 {
        let (mut even, mut odd) = ([0i32; N], [0i32; N]);
        for (k, from) in block.iter().enumerate().take(rows) {
            let m = MATRIX[k * stride][n];
            let sum = if k % 2 == 0 { &mut even } else { &mut odd };
            for c in 0..N {
                sum[c] += i32::from(m) * i32::from(from[c]);
            }
        }
        for c in 0..N {
            between[n][c] = saturate((even[c] + odd[c] + 64) >> 7);
            between[N - 1 - n][c] = saturate((even[c] - odd[c] + 64) >> 7);
        }
    }
    for (from, out) in between.iter().zip(block) {
        let (mut even, mut odd) = ([0i32; 16], [0i32; 16]);
        for (k, &value) in from.iter().enumerate().take(columns) {
            let (sum, factors) = (if k % 2 == 0 { &mut even } else { &mut odd }, &MATRIX[k * stride]);
            for c in 0..N / 2 {
                sum[c] += i32::from(value) * i32::from(factors[c]);
            }
        }
        for c in 0..N / 2 {
            out[c] = saturate((even[c] + odd[c] + 2048) >> 12);
            out[N - 1 - c] = saturate((even[c] - odd[c] + 2048) >> 12);
        }
    }
}

#[inline(always)]
fn saturate(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_that_of_the_standard() {
        let of_four = |k: usize| [0, 1, 2, 3].map(|n| MATRIX[8 * k][n]);
        assert_eq!(
            [0, 1, 2, 3].map(of_four),
            [[64; 4], [83, 36, -36, -83], [64, -64, -64, 64], [36, -83, 83, -36]]
        );
        assert_eq!(MATRIX[31][..4], [4, -13, 22, -31]);
    }

    fn back<const N: usize>(block: &mut [i16]) {
        let rows = block.as_chunks_mut::<N>().0;
        inverse::<N>(rows.try_into().expect("a square"), N, N);
    }

    #[test]
    fn blocks_come_back() {
        for side in [4usize, 8, 16, 32] {
            let mut seed = 5u32;
            let mut source: Vec<i16> = (0..side * side)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 23) as i16 - 255
                })
                .collect();
            if side == 32 {
                // Something that the lower frequencies describe.
                source
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, v)| *v = ((i % 32 * 5) as i16 - (i / 32 * 3) as i16) / 2);
            }
            let (mut block, mut other) = (source.clone(), source.clone());
            forward(side, &mut block);
            any_forward(side, &mut other);
            assert_eq!(block, other, "every processor finds the same");
            let energy = |v: &[i16]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            let gain = (energy(&block) / energy(&source)).sqrt();
            assert!((gain * side as f64 / 128.0 - 1.0).abs() < 0.01, "{side}: {gain}");
            match side {
                4 => back::<4>(&mut block),
                8 => back::<8>(&mut block),
                16 => back::<16>(&mut block),
                _ => back::<32>(&mut block),
            }
            let worst = source.iter().zip(&block).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(3), "{side}: {worst:?}");
        }
    }
}
