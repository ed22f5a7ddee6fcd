//! Short-time objective intelligibility (Taal et al., ICASSP 2010), with the same choices as the Python package pystoi
//! 0.4, whose figures it gives.

use super::spectrum::{Spectrum, hann_window};

/// The rate at which the measure is defined.
pub(crate) const STOI_RATE: u32 = 10_000;
// All numbers here are those of the paper: changing one makes another measure.
const FRAME: usize = 256;
const HOP: usize = 128;
const SIZE: usize = 512;
const BANDS: usize = 15;
const LOWEST_CENTRE: f64 = 150.0;
/// Frames of the stretch over which envelopes are correlated.
const STRETCH: usize = 30;
/// Frames this much below the loudest count as silence, in dB.
const DYNAMIC_RANGE: f64 = 40.0;
/// Lower bound of the signal-to-distortion ratio of a band, in dB.
const LOWEST_SDR: f64 = -15.0;

/// STOI of two signals of one length at [`STOI_RATE`]; `None` if less than about 0.4 s of them is not silence.
pub(crate) fn stoi(reference: &[f32], output: &[f32]) -> Option<f64> {
    let count = reference.len().min(output.len());
    let (x, y) = without_silence(&reference[..count], &output[..count]);
    let (x, y) = (band_envelopes(&x), band_envelopes(&y));
    let frames = x.first().map_or(0, Vec::len);
    if frames < STRETCH {
        return None;
    }
    let mut sum = 0.0;
    for (x, y) in x.iter().zip(&y) {
        for (x, y) in x.windows(STRETCH).zip(y.windows(STRETCH)) {
            sum += clipped_correlation(x, y);
        }
    }
    Some(sum / ((frames - STRETCH + 1) * BANDS) as f64)
}

/// Both signals without the frames in which the reference is silent.
fn without_silence(x: &[f32], y: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let window = hann_window(FRAME);
    let framed = |s: &[f32]| -> Vec<Vec<f64>> {
        // pystoi leaves out a last frame that just fits, and so does this.
        let starts = (0..s.len().saturating_sub(FRAME)).step_by(HOP);
        starts
            .map(|i| s[i..i + FRAME].iter().zip(&window).map(|(&s, w)| f64::from(s) * w).collect())
            .collect()
    };
    let (x, y) = (framed(x), framed(y));
    let level = |f: &Vec<f64>| 20.0 * (euclidean_norm(f) + f64::EPSILON).log10();
    let levels: Vec<f64> = x.iter().map(level).collect();
    let loudest = levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Overlapped and added again: with this window and hop the frames add up to the signal.
    let joined = |frames: &[Vec<f64>]| {
        let kept = frames.iter().zip(&levels).filter(|&(_, &l)| loudest - DYNAMIC_RANGE - l < 0.0);
        let mut out = Vec::new();
        for (i, (frame, _)) in kept.enumerate() {
            out.resize(i * HOP + FRAME, 0.0);
            out[i * HOP..].iter_mut().zip(frame).for_each(|(o, f)| *o += f);
        }
        out
    };
    (joined(&x), joined(&y))
}

/// The magnitude of each third-octave band, `[band][frame]`.
fn band_envelopes(samples: &[f64]) -> Vec<Vec<f64>> {
    let bands = third_octave_bands();
    let mut spectrum = Spectrum::new(hann_window(FRAME), SIZE);
    let (mut power, mut out) = (Vec::new(), vec![Vec::new(); BANDS]);
    for start in (0..samples.len().saturating_sub(FRAME)).step_by(HOP) {
        spectrum.power(&samples[start..start + FRAME], &mut power);
        for (band, envelope) in bands.iter().zip(&mut out) {
            envelope.push(power[band.clone()].iter().sum::<f64>().sqrt());
        }
    }
    out
}

/// The bins of each band; edges are moved to the nearest bin.
fn third_octave_bands() -> Vec<std::ops::Range<usize>> {
    let bin = |f: f64| (f * SIZE as f64 / f64::from(STOI_RATE)).round() as usize;
    let edge = |sixths: i32| bin(LOWEST_CENTRE * 2f64.powf(f64::from(sixths) / 6.0));
    (0..BANDS as i32).map(|k| edge(2 * k - 1)..edge(2 * k + 1)).collect()
}

/// Correlation of two stretches of an envelope after the output's has been scaled and clipped.
fn clipped_correlation(x: &[f64], y: &[f64]) -> f64 {
    let scale = euclidean_norm(x) / (euclidean_norm(y) + f64::EPSILON);
    // Clipped, so that a few frames of loud noise cannot outweigh all others.
    let most = 1.0 + 10f64.powf(-LOWEST_SDR / 20.0);
    let clipped: Vec<f64> = x.iter().zip(y).map(|(x, y)| (y * scale).min(x * most)).collect();
    let (x, y) = (remove_mean(x), remove_mean(&clipped));
    let dot: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    dot / ((euclidean_norm(&x) + f64::EPSILON) * (euclidean_norm(&y) + f64::EPSILON))
}

fn remove_mean(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter().map(|v| v - mean).collect()
}

fn euclidean_norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise in bursts, integers only, so that Python makes the same samples.
    fn bursts(count: usize, mut seed: u32) -> Vec<f32> {
        (0..count)
            .map(|i| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (seed >> 16) as f32 / 65_536.0 - 0.5;
                noise * [1.0, 0.25, 0.001, 0.5][i / 1500 % 4]
            })
            .collect()
    }

    /// Values of pystoi 0.4.1 for the same samples, `stoi(x, x + gain * n, 10000)`.
    #[test]
    fn figures_are_those_of_pystoi() {
        let (x, n) = (bursts(30_000, 1), bursts(30_000, 77));
        for (gain, expected) in PYSTOI {
            let y: Vec<f32> = x.iter().zip(n.iter().rev()).map(|(x, n)| x + gain * n).collect();
            let found = stoi(&x, &y).expect("long enough");
            assert!((found - expected).abs() < 1e-6, "gain {gain}: {found}, pystoi {expected}");
        }
    }

    const PYSTOI: [(f32, f64); 3] =
        [(0.1, 0.996_650_533_748_522_5), (1.0, 0.717_687_134_852_191_6), (4.0, 0.346_553_109_570_781_95)];

    #[test]
    fn the_same_is_one_and_short_signals_have_none() {
        let x = bursts(20_000, 5);
        assert!((stoi(&x, &x).expect("long enough") - 1.0).abs() < 1e-9);
        assert_eq!(stoi(&x[..3000], &x[..3000]), None);
        assert_eq!(stoi(&[], &[]), None);
        assert!(stoi(&[0.0; 20_000], &x).is_some_and(|d| d.is_finite()));
    }
}
