//! How far two blocks are apart.

use super::vector::vectorized;

/// Sum of absolute differences of squares of `N`; it may stop once it is above `limit`.
#[inline(always)]
fn sad_of<const N: usize>(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, limit: u32) -> u32 {
    let mut sum = 0;
    for row in 0..N {
        let (a, b) = (&a[row * a_stride..][..N], &b[row * b_stride..][..N]);
        let mut part = 0u32;
        for i in 0..N {
            part += u32::from(a[i].abs_diff(b[i]));
        }
        sum += part;
        // Once in eight rows, so that they stay a few vector instructions.
        if row % 8 == 7 && sum > limit {
            break;
        }
    }
    sum
}

pub(super) fn sad(side: usize, a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, limit: u32) -> u32 {
    vectorized(|| match side {
        4 => sad_of::<4>(a, a_stride, b, b_stride, limit),
        8 => sad_of::<8>(a, a_stride, b, b_stride, limit),
        16 => sad_of::<16>(a, a_stride, b, b_stride, limit),
        _ => sad_of::<32>(a, a_stride, b, b_stride, limit),
    })
}

#[inline(always)]
fn ssd_of<const N: usize>(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize) -> u32 {
    let mut sum = 0;
    for row in 0..N {
        let (a, b) = (&a[row * a_stride..][..N], &b[row * b_stride..][..N]);
        let mut part = 0i32;
        for i in 0..N {
            let d = i16::from(a[i]) - i16::from(b[i]);
            part += i32::from(d) * i32::from(d);
        }
        sum += part as u32;
    }
    sum
}

/// Sum of squared differences.
pub(super) fn ssd(side: usize, a: &[u8], a_stride: usize, b: &[u8], b_stride: usize) -> u32 {
    vectorized(|| match side {
        4 => ssd_of::<4>(a, a_stride, b, b_stride),
        8 => ssd_of::<8>(a, a_stride, b, b_stride),
        16 => ssd_of::<16>(a, a_stride, b, b_stride),
        _ => ssd_of::<32>(a, a_stride, b, b_stride),
    })
}

#[inline(always)]
fn butterflies(rows: &mut [[i16; 8]; 8]) {
    for step in [4, 2, 1] {
        for i in 0..8 {
            if i & step == 0 {
                let (a, b) = (rows[i], rows[i + step]);
                for c in 0..8 {
                    (rows[i][c], rows[i + step][c]) = (a[c] + b[c], a[c] - b[c]);
                }
            }
        }
    }
}

/// Sum of the absolute Hadamard coefficients of a difference of 8x8, scaled to about a SAD's size.
#[inline(always)]
fn satd_8(a: &[u8], a_stride: usize, b: &[u8], b_stride: usize) -> u32 {
    let mut rows = [[0i16; 8]; 8];
    for (y, row) in rows.iter_mut().enumerate() {
        let (a, b) = (&a[y * a_stride..][..8], &b[y * b_stride..][..8]);
        for x in 0..8 {
            row[x] = i16::from(a[x]) - i16::from(b[x]);
        }
    }
    butterflies(&mut rows);
    let mut turned = [[0i16; 8]; 8];
    for y in 0..8 {
        for x in 0..8 {
            turned[x][y] = rows[y][x];
        }
    }
    butterflies(&mut turned);
    let mut sums = [0u16; 8];
    for row in &turned {
        for c in 0..8 {
            // 8 times 255 * 64 / 8 at most: the energy of a difference bounds its coefficients.
            sums[c] = sums[c].saturating_add(row[c].unsigned_abs());
        }
    }
    (sums.iter().map(|&v| u32::from(v)).sum::<u32>() + 2) >> 2
}

/// Sum of absolute transformed differences; of 4x4 the SAD.
pub(super) fn satd(side: usize, a: &[u8], a_stride: usize, b: &[u8], b_stride: usize) -> u32 {
    vectorized(|| {
        if side == 4 {
            return sad_of::<4>(a, a_stride, b, b_stride, u32::MAX);
        }
        let mut sum = 0;
        for y in (0..side).step_by(8) {
            for x in (0..side).step_by(8) {
                sum += satd_8(&a[y * a_stride + x..], a_stride, &b[y * b_stride + x..], b_stride);
            }
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_costs_as_much_as_its_samples_or_less() {
        let (a, b) = ([10u8; 64], [13u8; 64]);
        assert_eq!((sad(8, &a, 8, &b, 8, u32::MAX), ssd(8, &a, 8, &b, 8)), (192, 576));
        // All energy in one coefficient of 3 * 64.
        assert_eq!(satd(8, &a, 8, &b, 8), 48);
    }
}
