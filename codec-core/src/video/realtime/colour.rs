//! Between interleaved RGB and 4:2:0, BT.601 of limited range in integers; chroma is averaged and repeated.

/// Makes 4:2:0 (Y, U, V without gaps) of interleaved RGB, replacing `out`. `rgb` must hold `width * height` pixels.
pub fn rgb_to_i420(rgb: &[u8], (width, height): (usize, usize), out: &mut Vec<u8>) {
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    out.clear();
    out.extend(rgb.as_chunks::<3>().0.iter().map(|&[r, g, b]| {
        let [r, g, b] = [r, g, b].map(i32::from);
        ((66 * r + 129 * g + 25 * b + 128 + (16 << 8)) >> 8) as u8
    }));
    let start = out.len();
    out.resize(start + 2 * columns * rows, 128);
    let (u, v) = out[start..].split_at_mut(columns * rows);
    for y in 0..rows {
        for x in 0..columns {
            // Where a side is odd, the last one counts twice.
            let mut sums = [0i32; 3];
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let place = (2 * y + dy).min(height - 1) * width + (2 * x + dx).min(width - 1);
                (0..3).for_each(|c| sums[c] += i32::from(rgb[3 * place + c]));
            }
            let [r, g, b] = sums;
            let half = (128 << 10) + 512;
            u[y * columns + x] = ((-38 * r - 74 * g + 112 * b + half) >> 10) as u8;
            v[y * columns + x] = ((112 * r - 94 * g - 18 * b + half) >> 10) as u8;
        }
    }
}

/// Makes interleaved RGB of 4:2:0 (Y, U, V without gaps), replacing `out`.
pub fn i420_to_rgb(data: &[u8], (width, height): (usize, usize), out: &mut Vec<u8>) {
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let (luma, chroma) = data.split_at(width * height);
    let (u, v) = chroma.split_at(columns * rows);
    out.clear();
    out.reserve(3 * width * height);
    for (y, line) in luma.chunks_exact(width).enumerate() {
        let (u, v) = (&u[y / 2 * columns..][..columns], &v[y / 2 * columns..][..columns]);
        for ((pair, &u), &v) in line.chunks(2).zip(u).zip(v) {
            let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
            let add = [409 * v + 128, -100 * u - 208 * v + 128, 516 * u + 128];
            for &sample in pair {
                let bright = 298 * (i32::from(sample) - 16);
                out.extend(add.map(|a| ((bright + a) >> 8).clamp(0, 255) as u8));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_pictures_come_back() {
        for size in [(16, 8), (17, 9), (1, 1)] {
            let rgb: Vec<u8> = (0..size.0 * size.1)
                .flat_map(|i| [(i % size.0 * 9) as u8, (i / size.0 * 20) as u8, 90])
                .collect();
            let (mut yuv, mut back) = (Vec::new(), Vec::new());
            rgb_to_i420(&rgb, size, &mut yuv);
            i420_to_rgb(&yuv, size, &mut back);
            assert_eq!(back.len(), rgb.len());
            let worst = rgb.iter().zip(&back).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(24), "{worst:?}");
        }
    }
}
