//! Between red, green and blue and YUV of a stream's matrix and range, in integers.

use crate::{Colorimetry, PixelFormat, VideoFrame, VideoFrameView};

/// Bits after the point of the coefficients.
// Sixteen bits keep each product below 2^26 (coefficients are below 2.2), so sums of four pixels fit 32 bits, and
// the rounding errors of three coefficients stay below 1/100 of a step.
const BITS: u32 = 16;
const HALF: i32 = 1 << (BITS - 1);

/// How a stream's YUV is made of RGB and back: its matrix (BT.601 where that is not known or no linear one) and range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YuvMatrix {
    /// Rows of Y, U and V: what red, green and blue add.
    to_yuv: [[i32; 3]; 3],
    /// What Y adds to each, V to red, U and V to green, U to blue.
    luma: i32,
    red: i32,
    green: [i32; 2],
    blue: i32,
    /// Y of black.
    black: i32,
}

impl YuvMatrix {
    /// The matrix and range of a stream.
    pub fn from_colorimetry(colorimetry: &Colorimetry) -> Self {
        // ITU-T H.273, table 4.
        let (kr, kb) = match colorimetry.matrix {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            // 5 and 6 are BT.601. 2 is unspecified, and 0 (RGB), 8 (YCgCo) and 10 (constant luminance) are no
            // products of a matrix of this form. `docs/video-bitstream.md` says BT.601 for them, and both ways use
            // the same, so what is coded comes back.
            _ => (0.299, 0.114),
        };
        let kg = 1.0 - kr - kb;
        // Limited range: Y 16 to 235, U and V 16 to 240 (ITU-R BT.601).
        let (black, bright, strong) =
            if colorimetry.full_range { (0, 255.0, 255.0) } else { (16, 219.0, 224.0) };
        let fixed = |v: f64| (v * f64::from(1 << BITS)).round() as i32;
        let (own, chroma) = (bright / 255.0, strong / 255.0);
        // U is (B - Y) / (2 (1 - kb)) by definition, so it spans -1/2 to 1/2; V likewise with red.
        let (u, v) = (chroma / (2.0 * (1.0 - kb)), chroma / (2.0 * (1.0 - kr)));
        let rows = [
            [kr * own, kg * own, kb * own],
            [-kr * u, -kg * u, (1.0 - kb) * u],
            [(1.0 - kr) * v, -kg * v, -kb * v],
        ];
        Self {
            to_yuv: rows.map(|row| row.map(fixed)),
            // The inverse by formula, not by inverting the rounded integers: errors of both ways do not add up.
            luma: fixed(1.0 / own),
            red: fixed(2.0 * (1.0 - kr) / chroma),
            green: [fixed(2.0 * kb * (1.0 - kb) / kg / chroma), fixed(2.0 * kr * (1.0 - kr) / kg / chroma)],
            blue: fixed(2.0 * (1.0 - kb) / chroma),
            black,
        }
    }

    /// Y, U and V of red, green and blue.
    pub fn to_yuv(&self, rgb: [u8; 3]) -> [u8; 3] {
        let rgb = rgb.map(i32::from);
        [self.row(0, rgb, 1, self.black), self.row(1, rgb, 1, 128), self.row(2, rgb, 1, 128)]
    }

    /// Red, green and blue of Y, U and V.
    pub fn to_rgb(&self, yuv: [u8; 3]) -> [u8; 3] {
        let [y, u, v] = yuv.map(i32::from);
        let (u, v) = (u - 128, v - 128);
        let bright = self.luma * (y - self.black) + HALF;
        let add = [self.red * v, -self.green[0] * u - self.green[1] * v, self.blue * u];
        add.map(|a| ((bright + a) >> BITS).clamp(0, 255) as u8)
    }

    /// A row of the matrix over sums of `count` values.
    fn row(&self, row: usize, sums: [i32; 3], count: i32, offset: i32) -> u8 {
        let sum: i32 = self.to_yuv[row].iter().zip(sums).map(|(c, v)| c * v).sum();
        // Euclidean, since sums of chroma are negative too and a division towards zero would shift them by one. The
        // mean of `count` pixels is taken after the matrix, in the same rounding.
        let rounded = (sum + HALF * count).div_euclid(count << BITS);
        (rounded + offset).clamp(0, 255) as u8
    }
}

impl VideoFrameView<'_> {
    /// Converts the frame to `format` in memory of `out`, which takes on that format and the frame's size. From RGB to
    /// 4:2:0 the chroma of two by two pixels is averaged; the way back repeats it.
    pub fn convert_to(&self, format: PixelFormat, matrix: &YuvMatrix, out: &mut VideoFrame) {
        match (self.format(), format) {
            (PixelFormat::I420, PixelFormat::I420) | (PixelFormat::Rgb, PixelFormat::Rgb) => {
                self.copy_to(out)
            }
            (PixelFormat::Rgb, PixelFormat::I420) => convert_rgb_to_i420(self, matrix, out),
            (PixelFormat::I420, PixelFormat::Rgb) => convert_i420_to_rgb(self, matrix, out),
        }
    }
}

fn convert_rgb_to_i420(from: &VideoFrameView<'_>, matrix: &YuvMatrix, out: &mut VideoFrame) {
    let (size, rgb) = (from.size(), from.planes()[0]);
    out.reshape(PixelFormat::I420, size);
    for (to, from) in out.plane_mut(0).rows_mut().zip(rgb.rows()) {
        for (luma, pixel) in to.iter_mut().zip(from.as_chunks::<3>().0) {
            *luma = matrix.row(0, pixel.map(i32::from), 1, matrix.black);
        }
    }
    for plane in [1, 2] {
        for (y, to) in out.plane_mut(plane).rows_mut().enumerate() {
            // Where a side is odd, the last row or column counts twice.
            let rows = [2 * y, (2 * y + 1).min(size.height() - 1)].map(|y| rgb.row(y).as_chunks::<3>().0);
            for (x, value) in to.iter_mut().enumerate() {
                let columns = [2 * x, (2 * x + 1).min(size.width() - 1)];
                let mut sums = [0i32; 3];
                for pixel in rows.iter().flat_map(|row| columns.map(|x| row[x])) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += i32::from(v));
                }
                *value = matrix.row(plane, sums, 4, 128);
            }
        }
    }
}

fn convert_i420_to_rgb(from: &VideoFrameView<'_>, matrix: &YuvMatrix, out: &mut VideoFrame) {
    let planes = from.planes();
    out.reshape(PixelFormat::Rgb, from.size());
    for (y, (to, luma)) in out.plane_mut(0).rows_mut().zip(planes[0].rows()).enumerate() {
        let (u, v) = (planes[1].row(y / 2), planes[2].row(y / 2));
        // Two pixels share a chroma sample; `chunks` also gives the odd last one. Repeated and not interpolated:
        // the encoder averaged the pair, so repeating gives it back what it had.
        let pairs = to.chunks_mut(6).zip(luma.chunks(2)).zip(u.iter().zip(v));
        for ((to, luma), (&u, &v)) in pairs {
            for (to, &luma) in to.as_chunks_mut::<3>().0.iter_mut().zip(luma) {
                *to = matrix.to_rgb([luma, u, v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    fn matrix(matrix: u8, full_range: bool) -> YuvMatrix {
        YuvMatrix::from_colorimetry(&Colorimetry { matrix, full_range, ..Default::default() })
    }

    #[test]
    fn known_colors_have_their_numbers() {
        // Red in BT.601 and BT.709, limited and full; white and black.
        assert_eq!(matrix(6, false).to_yuv([255, 0, 0]), [81, 90, 240]);
        assert_eq!(matrix(1, false).to_yuv([255, 0, 0]), [63, 102, 240]);
        assert_eq!(matrix(1, true).to_yuv([255, 0, 0]), [54, 99, 255]);
        assert_eq!(matrix(2, false), matrix(5, false));
        for (code, full, white, black) in [(1, false, 235, 16), (9, true, 255, 0), (6, false, 235, 16)] {
            let own = matrix(code, full);
            assert_eq!((own.to_yuv([255; 3]), own.to_yuv([0; 3])), ([white, 128, 128], [black, 128, 128]));
            assert_eq!((own.to_rgb([white, 128, 128]), own.to_rgb([black, 128, 128])), ([255; 3], [0; 3]));
        }
    }

    #[test]
    fn every_matrix_leads_back() {
        for code in [1, 4, 6, 7, 9] {
            for full in [false, true] {
                let own = matrix(code, full);
                for i in 0..1000u32 {
                    let rgb = [i * 7 % 256, i * 31 % 256, i * 113 % 256].map(|v| v as u8);
                    let back = own.to_rgb(own.to_yuv(rgb));
                    let worst = rgb.iter().zip(back).map(|(a, b)| a.abs_diff(b)).max();
                    assert!(worst <= Some(3), "{code} {full}: {rgb:?} {back:?}");
                }
            }
        }
    }

    #[test]
    fn soft_frames_come_back() {
        for (width, height) in [(16, 8), (17, 9), (1, 1)] {
            let size = Size::new(width, height).expect("a size");
            let pixels =
                (0..width * height).flat_map(|i| [(i % width * 9) as u8, (i / width * 20) as u8, 90]);
            let rgb = VideoFrame::from_data(PixelFormat::Rgb, size, pixels.collect()).expect("a frame");
            let (mut yuv, mut back) = (rgb.clone(), rgb.clone());
            rgb.view().convert_to(PixelFormat::I420, &matrix(1, false), &mut yuv);
            yuv.view().convert_to(PixelFormat::Rgb, &matrix(1, false), &mut back);
            assert_eq!((back.size(), back.format()), (size, PixelFormat::Rgb));
            let worst = rgb.data().iter().zip(back.data()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(24), "{worst:?}");
        }
    }

    #[test]
    fn the_last_column_of_odd_sides_counts_twice() {
        // Chroma of one column is that of the column alone, of two columns their mean.
        let own = matrix(6, false);
        let pixels = [[255, 0, 0], [0, 0, 255], [0, 255, 0]];
        let size = Size::new(3, 1).expect("a size");
        let rgb = VideoFrame::from_data(PixelFormat::Rgb, size, pixels.concat()).expect("a frame");
        let mut yuv = rgb.clone();
        rgb.view().convert_to(PixelFormat::I420, &own, &mut yuv);
        let [[_, u0, v0], [_, u1, v1], [_, u2, v2]] = pixels.map(|p| own.to_yuv(p));
        let mean = |a: u8, b: u8| (u16::from(a) + u16::from(b)).div_ceil(2) as u8;
        assert_eq!(yuv.plane(1).row(0), [mean(u0, u1), u2]);
        assert_eq!(yuv.plane(2).row(0), [mean(v0, v1), v2]);
    }
}
