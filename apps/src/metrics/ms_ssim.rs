//! Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003) of RGB pictures, as `pytorch_msssim` defines it.

const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
// From the paper, where viewers matched frames across scales.
const EXPONENTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
// (0.01)^2 and (0.03)^2 for values in 0..1, as in the paper.
const C1: f64 = 1e-4;
const C2: f64 = 9e-4;

/// One channel in 0..1.
struct Plane {
    values: Vec<f32>,
    width: usize,
}

impl Plane {
    fn height(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    fn with(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect();
        Self { values, width: self.width }
    }

    /// The weighted means of every whole window.
    fn filter_windows(&self, taps: &[f32; WINDOW]) -> Self {
        let (width, height) = (self.width - WINDOW + 1, self.height() - WINDOW + 1);
        // Rows, then columns: a Gaussian is separable, 22 products in place of 121.
        let mut across = vec![0.0; width * self.height()];
        for (row, out) in self.values.chunks_exact(self.width).zip(across.chunks_exact_mut(width)) {
            for (i, &tap) in taps.iter().enumerate() {
                out.iter_mut().zip(&row[i..]).for_each(|(o, v)| *o += tap * v);
            }
        }
        let mut values = vec![0.0; width * height];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            for (i, &tap) in taps.iter().enumerate() {
                let row = &across[(y + i) * width..];
                out.iter_mut().zip(row).for_each(|(o, v)| *o += tap * v);
            }
        }
        Self { values, width }
    }

    /// Means of 2 by 2 values; an odd side gets a zero in front.
    fn downsample_by_two(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height().div_ceil(2));
        let (odd_x, odd_y) = (self.width % 2, self.height() % 2);
        let at = |x: usize, y: usize| match (x.checked_sub(odd_x), y.checked_sub(odd_y)) {
            (Some(x), Some(y)) => self.values[y * self.width + x],
            _ => 0.0,
        };
        let values = (0..width * height)
            .map(|i| {
                let (x, y) = (2 * (i % width), 2 * (i / width));
                (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0
            })
            .collect();
        Self { values, width }
    }
}

/// The similarity of two frames of interleaved RGB, with as many scales as they have room for; none if that is none.
pub(crate) fn ms_ssim(a: &[u8], b: &[u8], width: usize) -> Option<f64> {
    let height = a.len() / 3 / width.max(1);
    let side = width.min(height);
    let scales = (1..=EXPONENTS.len()).rev().find(|&n| side > (WINDOW - 1) << (n - 1))?;
    let sum: f64 =
        (0..3).map(|c| of_channel(color_plane(a, c, width), color_plane(b, c, width), scales)).sum();
    Some(sum / 3.0)
}

fn color_plane(picture: &[u8], c: usize, width: usize) -> Plane {
    Plane { values: picture.iter().skip(c).step_by(3).map(|&v| f32::from(v) / 255.0).collect(), width }
}

fn of_channel(mut x: Plane, mut y: Plane, scales: usize) -> f64 {
    let taps = gaussian_window();
    let total: f64 = EXPONENTS[..scales].iter().sum();
    let mut product = 1.0;
    for (scale, exponent) in EXPONENTS[..scales].iter().enumerate() {
        let is_last = scale + 1 == scales;
        // Opposite structure is negative, of which there is no power; `pytorch_msssim` clips it, too.
        product *= scale_similarity(&x, &y, &taps, is_last).max(0.0).powf(exponent / total);
        if !is_last {
            (x, y) = (x.downsample_by_two(), y.downsample_by_two());
        }
    }
    product
}

/// The mean similarity at one scale, of contrast and structure, and of luminance too if `whole`.
fn scale_similarity(x: &Plane, y: &Plane, taps: &[f32; WINDOW], whole: bool) -> f64 {
    let (mx, my) = (x.filter_windows(taps), y.filter_windows(taps));
    let (xx, yy, xy) = (x.with(x, |a, b| a * b), y.with(y, |a, b| a * b), x.with(y, |a, b| a * b));
    let (xx, yy, xy) = (xx.filter_windows(taps), yy.filter_windows(taps), xy.filter_windows(taps));
    let sum: f64 = (0..mx.values.len())
        .map(|i| {
            let at = |plane: &Plane| f64::from(plane.values[i]);
            let (mx, my) = (at(&mx), at(&my));
            let (vx, vy, cov) = (at(&xx) - mx * mx, at(&yy) - my * my, at(&xy) - mx * my);
            let structure = (2.0 * cov + C2) / (vx + vy + C2);
            if whole { structure * (2.0 * mx * my + C1) / (mx * mx + my * my + C1) } else { structure }
        })
        .sum();
    sum / mx.values.len() as f64
}

fn gaussian_window() -> [f32; WINDOW] {
    let raw: [f64; WINDOW] = std::array::from_fn(|i| {
        let at = i as f64 - (WINDOW / 2) as f64;
        (-at * at / (2.0 * DEVIATION * DEVIATION)).exp()
    });
    let total: f64 = raw.iter().sum();
    raw.map(|v| (v / total) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, change: impl Fn(usize) -> i32) -> Vec<u8> {
        (0..3 * width * height)
            .map(|i| (128 + ((i * 7919) % 61) as i32 - 30 + change(i)).clamp(0, 255) as u8)
            .collect()
    }

    #[test]
    fn equal_pictures_are_wholly_similar() {
        for (width, height) in [(12, 30), (64, 48), (181, 170)] {
            let a = picture(width, height, |_| 0);
            let same = ms_ssim(&a, &a, width).expect("room for a window");
            assert!((same - 1.0).abs() < 1e-5, "{same}");
        }
        assert_eq!(ms_ssim(&[0; 300], &[0; 300], 10), None);
    }

    #[test]
    fn more_noise_is_less_similar() {
        let a = picture(64, 48, |_| 0);
        let noisy = |n: i32| picture(64, 48, |i| ((i * 104_729 % 13) as i32 - 6) * n);
        let few = ms_ssim(&a, &noisy(1), 64).expect("room for a window");
        let much = ms_ssim(&a, &noisy(5), 64).expect("room for a window");
        assert!(much < few && few < 1.0, "{much} {few}");
    }
}
