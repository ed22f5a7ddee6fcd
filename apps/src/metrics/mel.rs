//! Distance of log-mel spectra.

use super::spectrum::{Spectrum, hann_window};

// Window, hop and bands as vocoders commonly use them at 22 and 24 kHz, so that figures can be set beside published
// ones.
const SIZE: usize = 1024;
const HOP: usize = 256;
const BANDS: usize = 80;
/// Magnitudes below count as this.
// -100 dB: below, silence of different depths would dominate the mean.
const FLOOR: f64 = 1e-5;

/// Mean absolute difference of the log10 magnitudes in 80 mel bands (window 1024, hop 256); `None` below one window.
pub(crate) fn mel_distance(reference: &[f32], output: &[f32], rate: u32) -> Option<f64> {
    let bands = mel_bands(rate);
    let window = hann_window(SIZE);
    let scale = 1.0 / window.iter().sum::<f64>();
    let mut spectrum = Spectrum::new(window, SIZE);
    let mut power = Vec::new();
    let mut levels = |samples: &[f32]| -> Vec<f64> {
        let frame: Vec<f64> = samples.iter().map(|&s| f64::from(s)).collect();
        spectrum.power(&frame, &mut power);
        let magnitude = |&(bin, weight): &(usize, f64)| power[bin].sqrt() * scale * weight;
        bands.iter().map(|band| band.iter().map(magnitude).sum::<f64>().max(FLOOR).log10()).collect()
    };
    let (mut sum, mut count) = (0.0, 0usize);
    let frames = |s| <[f32]>::windows(s, SIZE).step_by(HOP);
    for (x, y) in frames(reference).zip(frames(output)) {
        let (x, y) = (levels(x), levels(y));
        sum += x.iter().zip(&y).map(|(x, y)| (x - y).abs()).sum::<f64>();
        count += x.len();
    }
    (count > 0).then(|| sum / count as f64)
}

/// Triangular filters of unit sum on the mel scale, as `(bin, weight)`; bands too narrow to hold a bin are left out.
fn mel_bands(rate: u32) -> Vec<Vec<(usize, f64)>> {
    // The scale of HTK.
    let mel = |f: f64| 2595.0 * (1.0 + f / 700.0).log10();
    let frequency = |m: f64| 700.0 * (10f64.powf(m / 2595.0) - 1.0);
    let top = mel(f64::from(rate) / 2.0);
    let edges: Vec<f64> = (0..BANDS + 2).map(|i| frequency(top * i as f64 / (BANDS + 1) as f64)).collect();
    let band = |edges: &[f64]| {
        let weight = |bin: usize| {
            let f = bin as f64 * f64::from(rate) / SIZE as f64;
            ((f - edges[0]) / (edges[1] - edges[0])).min((edges[2] - f) / (edges[2] - edges[1]))
        };
        let all: Vec<_> = (0..=SIZE / 2).map(|b| (b, weight(b))).filter(|&(_, w)| w > 0.0).collect();
        let sum: f64 = all.iter().map(|&(_, w)| w).sum();
        all.into_iter().map(|(b, w)| (b, w / sum)).collect::<Vec<_>>()
    };
    edges.windows(3).map(band).filter(|b| !b.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_as_loud_is_the_log_of_two() {
        let mut seed = 1u32;
        let x: Vec<f32> = (0..24_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        let y: Vec<f32> = x.iter().map(|x| x / 2.0).collect();
        let found = mel_distance(&x, &y, 24_000).expect("a number");
        assert!((found - 2f64.log10()).abs() < 1e-6, "{found}");
        assert_eq!(mel_distance(&x, &x, 24_000), Some(0.0));
        assert_eq!(mel_distance(&x[..1000], &y[..1000], 24_000), None);
    }
}
