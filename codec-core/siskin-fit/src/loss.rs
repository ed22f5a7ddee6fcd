//! What fitting minimises: the mixed loss of Boosting-NeRV, `60 [0.7 L1 + 0.3 (1 - MS-SSIM)] + frequency`.

use siskin_graph::{Graph, Var};

/// Weight of the spatial terms against the frequency term.
const SPATIAL: f32 = 60.0;
/// Share of L1 in the spatial terms.
const L1_SHARE: f32 = 0.7;
/// MS-SSIM (Wang, Simoncelli and Bovik 2003): window, its deviation, and the exponents of the scales.
const WINDOW: usize = 11;
const WINDOW_DEVIATION: f64 = 1.5;
// They sum to 1.0001, which the division by their total below evens out; with fewer scales it does more.
const EXPONENTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Maps that the window runs over: three channels of two frames, of their squares and of their product, and a spare one.
const MAPS: usize = 16;
/// (0.01)^2 and (0.03)^2 for values in 0..1.
const C1: f32 = 1e-4;
const C2: f32 = 9e-4;
/// Keeps the logarithm of a similarity finite.
// Contrast and structure are negative where frames are opposite, as they may be at the start of a fit.
const SIMILARITY_FLOOR: f32 = 1e-6;

/// The distortion between images `[1, 3, rows, columns]` in 0..1.
pub(super) fn distortion(g: &mut Graph, x: Var, target: Var) -> Var {
    let error = g.sub(x, target);
    let absolute = g.abs(error);
    let l1 = g.mean_all(absolute);
    let spatial = match ms_ssim(g, x, target) {
        Some(similarity) => {
            let l1 = g.scale(l1, L1_SHARE);
            // `0.3 (1 - MS-SSIM)` as `-0.3 MS-SSIM + 0.3`.
            let dissimilarity = g.scale(similarity, L1_SHARE - 1.0);
            let dissimilarity = g.offset(dissimilarity, 1.0 - L1_SHARE);
            g.add(l1, dissimilarity)
        }
        // An image smaller than the window has no structure to speak of.
        None => l1,
    };
    let spatial = g.scale(spatial, SPATIAL);
    let frequency = frequency(g, error);
    g.add(spatial, frequency)
}

/// The multi-scale structural similarity, with as many scales as the image has room for; the definition of
/// `pytorch_msssim`.
fn ms_ssim(g: &mut Graph, x: Var, y: Var) -> Option<Var> {
    let side = g.shape(x)[2].min(g.shape(x)[3]);
    // The smallest scale must still hold the window; `pytorch_msssim` refuses smaller images instead.
    let scales = (1..=EXPONENTS.len()).rev().find(|&n| side > (WINDOW - 1) << (n - 1))?;
    // Renormalized, so that fewer scales leave the loss in the same range.
    let total: f32 = EXPONENTS[..scales].iter().sum();
    let window = window(g);
    let (mut x, mut y) = (x, y);
    let mut product: Option<Var> = None;
    for (scale, exponent) in EXPONENTS[..scales].iter().enumerate() {
        // Luminance counts at the coarsest scale alone, by definition.
        let is_last = scale + 1 == scales;
        let similarity = similarity(g, x, y, window, is_last);
        let similarity = g.at_least(similarity, SIMILARITY_FLOOR);
        // A product of powers as a sum of logarithms, which has simple gradients.
        let log = g.log(similarity);
        let log = g.scale(log, exponent / total);
        product = Some(product.map_or(log, |p| g.add(p, log)));
        if !is_last {
            (x, y) = (halve(g, x), halve(g, y));
        }
    }
    let logs = product?;
    let similarity = g.exp(logs);
    Some(g.mean_all(similarity))
}

/// The mean similarity of each channel at one scale, of contrast and structure, and of luminance too if `whole`.
fn similarity(g: &mut Graph, x: Var, y: Var, window: (Var, Var), whole: bool) -> Var {
    let (xx, yy, xy) = (g.square(x), g.square(y), g.mul(x, y));
    // A sixteenth channel, which nothing uses: the runtime is several times faster on sixteen than on fifteen.
    let spare = g.slice(y, &[0; 4], &[1, 1, g.shape(y)[2], g.shape(y)[3]]);
    let all = g.concat(&[x, y, xx, yy, xy, spare], 1);
    // The Gaussian is separable: 22 taps in place of 121. Without padding, as in the reference, so that edges are not
    // compared with zeros.
    let all = g.depthwise(all, window.0, [0; 4]);
    let all = g.depthwise(all, window.1, [0; 4]);
    let (rows, columns) = (g.shape(all)[2], g.shape(all)[3]);
    let part = |g: &mut Graph, i: usize| g.slice(all, &[0, 3 * i, 0, 0], &[1, 3, rows, columns]);
    let (mx, my, exx, eyy, exy) = (part(g, 0), part(g, 1), part(g, 2), part(g, 3), part(g, 4));
    let (mxx, myy, mxy) = (g.square(mx), g.square(my), g.mul(mx, my));
    // Variance as the mean square less the squared mean: one pass of windows for all of them.
    let (vx, vy, cov) = (g.sub(exx, mxx), g.sub(eyy, myy), g.sub(exy, mxy));
    let mut ratio = ratio(g, cov, vx, vy, C2);
    if whole {
        let luminance = self::ratio(g, mxy, mxx, myy, C1);
        ratio = g.mul(ratio, luminance);
    }
    g.mean(ratio, &[2, 3])
}

/// `(2 both + c) / (one + other + c)`.
fn ratio(g: &mut Graph, both: Var, one: Var, other: Var, c: f32) -> Var {
    let above = g.scale(both, 2.0);
    let above = g.offset(above, c);
    let below = g.add(one, other);
    let below = g.offset(below, c);
    g.div(above, below)
}

/// The Gaussian window, down and across, once a map.
fn window(g: &mut Graph) -> (Var, Var) {
    let raw: Vec<f64> = (0..WINDOW)
        .map(|i| {
            let at = i as f64 - (WINDOW / 2) as f64;
            (-at * at / (2.0 * WINDOW_DEVIATION * WINDOW_DEVIATION)).exp()
        })
        .collect();
    let total: f64 = raw.iter().sum();
    let taps: Vec<f32> = raw.iter().map(|v| (v / total) as f32).collect();
    let taps: Vec<f32> = (0..MAPS).flat_map(|_| taps.iter().copied()).collect();
    (g.constant(&[MAPS, 1, WINDOW, 1], &taps), g.constant(&[MAPS, 1, 1, WINDOW], &taps))
}

/// Means of 2 by 2 values; an odd side gets a zero row or column in front, as in the reference.
fn halve(g: &mut Graph, x: Var) -> Var {
    let s = g.shape(x).to_vec();
    let (rows, columns) = (s[2].div_ceil(2), s[3].div_ceil(2));
    let x = g.pad(x, &[0, 0, s[2] % 2, s[3] % 2], &[1, s[1], 2 * rows, 2 * columns]);
    g.halve(x)
}

/// The mean of the magnitudes of real and imaginary parts of the error's two-dimensional Fourier transform.
///
/// The transform is two matrix products: ONNX Runtime's own has no CUDA kernel and is slow on the processor. Of the
/// transform of real values one half is enough; the other half has the same magnitudes.
fn frequency(g: &mut Graph, error: Var) -> Var {
    let s = g.shape(error).to_vec();
    let (channels, rows, columns) = (s[1], s[2], s[3]);
    // Columns 0 to the Nyquist frequency.
    let half = columns / 2 + 1;
    let across = g.constant(&[columns, 2 * half], &across(columns, half));
    let (cosines, sines) = fourier(rows);
    let cosines = g.constant(&[rows, rows], &cosines);
    let sines = g.constant(&[rows, rows], &sines);
    // All rows of all channels in one product.
    let x = g.reshape(error, &[channels * rows, columns]);
    let x = g.matmul(x, across);
    let x = g.reshape(x, &[channels, rows, 2 * half]);
    // (C - iS)(a + ib) = (Ca + Sb) + i(Cb - Sa), with a and b side by side.
    let (c, s) = (g.matmul(cosines, x), g.matmul(sines, x));
    let side = |g: &mut Graph, v: Var, i: usize| g.slice(v, &[0, 0, i * half], &[channels, rows, half]);
    let (ca, cb) = (side(g, c, 0), side(g, c, 1));
    let (sa, sb) = (side(g, s, 0), side(g, s, 1));
    let (real, imaginary) = (g.add(ca, sb), g.sub(cb, sa));
    let (real, imaginary) = (g.abs(real), g.abs(imaginary));
    let both = g.add(real, imaginary);
    // Columns that stand for two count twice.
    let counts: Vec<f32> = (0..half).map(|k| if k == 0 || 2 * k == columns { 1.0 } else { 2.0 }).collect();
    let counts = g.constant(&[half], &counts);
    let both = g.mul(both, counts);
    let total = g.sum_all(both);
    // Real and imaginary parts are averaged as values of their own, as `testdata/golden/video-loss.json` has it from
    // PyTorch.
    g.scale(total, 1.0 / (2 * channels * rows * columns) as f32)
}

/// `[columns, 2 half]`: real parts, then imaginary parts of the half spectrum.
fn across(columns: usize, half: usize) -> Vec<f32> {
    let (cosines, sines) = fourier(columns);
    let mut matrix = Vec::with_capacity(columns * 2 * half);
    for row in 0..columns {
        matrix.extend_from_slice(&cosines[row * columns..row * columns + half]);
        matrix.extend(sines[row * columns..row * columns + half].iter().map(|v| -v));
    }
    matrix
}

/// Cosines and sines of `2 pi j k / n`.
fn fourier(n: usize) -> (Vec<f32>, Vec<f32>) {
    // The product is reduced modulo n before it is an angle: exact integers, so that large images lose nothing.
    let angle = |i: usize| std::f64::consts::TAU * (i / n * (i % n) % n) as f64 / n as f64;
    (0..n * n).map(|i| (angle(i).cos() as f32, angle(i).sin() as f32)).unzip()
}
