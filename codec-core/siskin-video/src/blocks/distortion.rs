//! How far two blocks are apart.

#[cfg(target_arch = "x86_64")]
use super::avx2;
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

/// Sum of absolute differences; it may stop once it is above `limit`.
pub(super) fn sad(side: usize, a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, limit: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = (side > 4).then(|| avx2::sad(side, (a, a_stride), (b, b_stride), limit)).flatten() {
        return found;
    }
    any_sad(side, a, a_stride, b, b_stride, limit)
}

/// The same on any processor.
fn any_sad(side: usize, a: &[u8], a_stride: usize, b: &[u8], b_stride: usize, limit: u32) -> u32 {
    vectorized(
        #[inline(always)]
        || match side {
            4 => sad_of::<4>(a, a_stride, b, b_stride, limit),
            8 => sad_of::<8>(a, a_stride, b, b_stride, limit),
            16 => sad_of::<16>(a, a_stride, b, b_stride, limit),
            _ => sad_of::<32>(a, a_stride, b, b_stride, limit),
        },
    )
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
    vectorized(
        #[inline(always)]
        || match side {
            4 => ssd_of::<4>(a, a_stride, b, b_stride),
            8 => ssd_of::<8>(a, a_stride, b, b_stride),
            16 => ssd_of::<16>(a, a_stride, b, b_stride),
            _ => ssd_of::<32>(a, a_stride, b, b_stride),
        },
    )
}

#[inline(always)]
fn difference_of<const N: usize>(
    (a, a_stride): (&[u8], usize),
    (b, b_stride): (&[u8], usize),
    out: &mut [i16],
) -> u32 {
    let mut sum = 0;
    for (row, out) in out.as_chunks_mut::<N>().0.iter_mut().enumerate().take(N) {
        let (a, b) = (&a[row * a_stride..][..N], &b[row * b_stride..][..N]);
        let (mut part, mut differences) = (0i32, [0i16; N]);
        for i in 0..N {
            let d = i16::from(a[i]) - i16::from(b[i]);
            differences[i] = d;
            part += i32::from(d) * i32::from(d);
        }
        *out = differences;
        sum += part as u32;
    }
    sum
}

/// The difference of two squares, row by row, and the sum of its squares.
pub(super) fn difference(side: usize, a: (&[u8], usize), b: (&[u8], usize), out: &mut [i16]) -> u32 {
    vectorized(
        #[inline(always)]
        || match side {
            4 => difference_of::<4>(a, b, out),
            8 => difference_of::<8>(a, b, out),
            16 => difference_of::<16>(a, b, out),
            _ => difference_of::<32>(a, b, out),
        },
    )
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
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = (side > 4).then(|| avx2::satd(side, a, a_stride, b, b_stride)).flatten() {
        return found;
    }
    any_satd(side, a, a_stride, b, b_stride)
}

/// The same on any processor.
fn any_satd(side: usize, a: &[u8], a_stride: usize, b: &[u8], b_stride: usize) -> u32 {
    vectorized(
        #[inline(always)]
        || {
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
        },
    )
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

    #[test]
    fn every_processor_finds_the_same() {
        let mut seed = 3u32;
        let mut noise = |spread: u32| {
            std::array::from_fn::<u8, 2048, _>(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 9) as u8 & spread as u8
            })
        };
        for spread in [255, 128, 7] {
            let (a, b) = (noise(spread), noise(spread));
            for side in [4, 8, 16, 32] {
                assert_eq!(satd(side, &a, 40, &b, 32), any_satd(side, &a, 40, &b, 32), "{side}");
                for limit in [0, 1000, u32::MAX] {
                    let [one, other] = [sad, any_sad].map(|sad| sad(side, &a, 40, &b, 32, limit));
                    assert_eq!(one, other, "{side}");
                }
            }
        }
        // The largest that there is.
        let (a, b) = ([255; 1024], [0; 1024]);
        assert_eq!(satd(32, &a, 32, &b, 32), any_satd(32, &a, 32, &b, 32));
    }
}
