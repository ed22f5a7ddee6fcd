//! Scale-invariant signal-to-distortion ratio (Le Roux et al., arXiv 1811.02508, equation 3).

/// SI-SDR in dB of two signals of one length; `None` where it is not defined, as on silence.
pub(crate) fn si_sdr(reference: &[f32], output: &[f32]) -> Option<f64> {
    let count = reference.len().min(output.len());
    // A constant offset is inaudible.
    let (x, y) = (remove_mean(&reference[..count]), remove_mean(&output[..count]));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let energy = dot(&x, &x);
    if energy <= f64::EPSILON {
        return None;
    }
    // The best gain, so that loudness does not count.
    let scale = dot(&x, &y) / energy;
    let target = scale * scale * energy;
    let noise: f64 = x.iter().zip(&y).map(|(x, y)| (y - scale * x).powi(2)).sum();
    let ratio = 10.0 * (target / noise).log10();
    (!ratio.is_nan()).then_some(ratio)
}

fn remove_mean(samples: &[f32]) -> Vec<f64> {
    let mean = samples.iter().map(|&s| f64::from(s)).sum::<f64>() / samples.len().max(1) as f64;
    samples.iter().map(|&s| f64::from(s) - mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_of_a_tenth_is_twenty_decibels_at_any_scale() {
        // Orthogonal by construction, so the ratio is exact.
        let x: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let n: Vec<f32> = (0..1000).map(|i| if i % 4 < 2 { 0.1 } else { -0.1 }).collect();
        for scale in [1.0, 0.3, 7.0] {
            let y: Vec<f32> = x.iter().zip(&n).map(|(x, n)| scale * (x + n)).collect();
            let found = si_sdr(&x, &y).expect("a number");
            assert!((found - 20.0).abs() < 1e-4, "{found}");
        }
    }

    #[test]
    fn the_same_is_infinite_and_silence_is_nothing() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32 * 0.3).sin()).collect();
        assert!(si_sdr(&x, &x).expect("a number") > 100.0);
        assert_eq!(si_sdr(&[0.0; 100], &x), None);
        assert_eq!(si_sdr(&[], &[]), None);
    }
}
