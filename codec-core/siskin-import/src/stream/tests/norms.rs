use std::f64::consts::PI;

use super::convs::convolve;
use super::{Dice, Whole, assert_close, stream};
use crate::checkpoint::Tensor;
use crate::stream::{Conv, GroupNorm, Padding, Synthesis};

#[test]
fn channels_are_normalized_sample_by_sample() {
    let mut dice = Dice(12);
    let x = dice.signal(6, 24);
    let norm = [dice.tensor(&[6]), dice.tensor(&[6])];
    let (mut affine, mut unit) = (x.clone(), x.clone());
    for t in 0..24 {
        let column: Vec<f64> = x.iter().map(|c| c[t]).collect();
        let mean = column.iter().sum::<f64>() / 6.0;
        let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 6.0;
        let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
        for (c, v) in column.iter().enumerate() {
            let normed = (v - mean) / (variance + 1e-6).sqrt();
            affine[c][t] = normed * f64::from(norm[0].values[c]) + f64::from(norm[1].values[c]);
            unit[c][t] = v / length * 3.0;
        }
    }
    for frame in [1, 8] {
        assert_close(&stream(&x, frame, |g, x| g.channel_norm(x, &norm, 1e-6)), &affine, "mean and variance");
        assert_close(&stream(&x, frame, |g, x| g.unit_norm(x, 3.0)), &unit, "length");
    }
    let silence = vec![vec![0.0; 8]; 6];
    assert_close(&stream(&silence, 4, |g, x| g.unit_norm(x, 3.0)), &silence, "length of nothing");
}

/// What the last `frames` frames of `frame` samples up to each have in common.
fn normalize_groups(x: &Whole, norm: &GroupNorm, frame: usize) -> Whole {
    let per_group = x.len() / norm.groups;
    let value = |c: usize, t: usize| {
        let group = &x[c / per_group * per_group..][..per_group];
        let end = (t / frame + 1) * frame;
        let from = end.saturating_sub(norm.frames * frame);
        let seen: Vec<f64> = group.iter().flat_map(|c| c[from..end].iter().copied()).collect();
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        let variance = seen.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / seen.len() as f64;
        let normed = (x[c][t] - mean) / (variance + f64::from(norm.epsilon)).sqrt();
        normed * f64::from(norm.weight.values[c]) + f64::from(norm.bias.values[c])
    };
    (0..x.len()).map(|c| (0..x[0].len()).map(|t| value(c, t)).collect()).collect()
}

#[test]
fn groups_are_normalized_over_the_last_frames() {
    let mut dice = Dice(13);
    let x: Whole = dice.signal(6, 60).into_iter().map(|c| c.into_iter().map(|v| v + 1.5).collect()).collect();
    // A layer before it that looks ahead, whose output is not zero beyond the ends.
    let layer = Conv {
        weight: dice.tensor(&[6, 6, 5]),
        bias: Some(dice.tensor(&[6])),
        stride: 1,
        dilation: 1,
        groups: 1,
        left: 2,
        padding: Padding::Zero,
    };
    for (groups, frames, frame) in [(1, 3, 4), (2, 1, 6), (3, 50, 4), (6, 4, 1)] {
        let (weight, bias) = (dice.tensor(&[6]), dice.tensor(&[6]));
        let norm = GroupNorm { groups, weight, bias, epsilon: 1e-6, frames };
        let what = format!("{groups} groups, {frames} frames of {frame}");
        let y = stream(&x, frame, |g, x| g.group_norm(x, &norm));
        assert_close(&y, &normalize_groups(&x, &norm, frame), &what);
        let y = stream(&x, frame, |g, x| {
            let y = g.conv(x, &layer);
            let y = g.group_norm(&y, &norm);
            g.conv(&y, &layer)
        });
        let expected = convolve(&normalize_groups(&convolve(&x, &layer), &norm, frame), &layer);
        assert_close(&y, &expected, &format!("{what}, between layers that look ahead"));
    }
}

/// A transform whose windows end with the first sample of each hop pads by more than it looks back.
#[test]
fn windows_that_end_within_a_frame_equal_those_of_the_whole() {
    let mut dice = Dice(14);
    for (size, hop) in [(8, 1), (8, 2), (16, 5), (16, 8)] {
        let layer = Conv {
            weight: dice.tensor(&[6, 1, size]),
            bias: None,
            stride: hop,
            dilation: 1,
            groups: 1,
            left: size - 1,
            padding: Padding::Zero,
        };
        for frame in [hop, 3 * hop] {
            let x = dice.signal(1, frame * 8);
            let y = stream(&x, frame, |g, x| {
                let y = g.conv(x, &layer);
                assert_eq!(y.lag, 0);
                g.log_magnitude(&y, 1e-3)
            });
            let spectrum = convolve(&x, &layer);
            let log = |bin: usize, t: usize| {
                let power = spectrum[bin][t].powi(2) + spectrum[bin + 3][t].powi(2);
                0.5 * power.max(1e-3).ln()
            };
            let expected = (0..3).map(|bin| (0..spectrum[0].len()).map(|t| log(bin, t)).collect()).collect();
            assert_close(&y, &expected, &format!("size {size}, hop {hop}, frame {frame}"));
        }
    }
}

#[test]
fn spectra_are_overlapped_and_added() {
    let mut dice = Dice(15);
    for (size, hop) in [(16usize, 4usize), (12, 4), (8, 2)] {
        let bins = size / 2 + 1;
        let values: Vec<f32> =
            (0..size).map(|t| (0.5 - 0.5 * (2.0 * PI * t as f64 / size as f64).cos()) as f32).collect();
        let window: Vec<f64> = values.iter().map(|&w| w.into()).collect();
        let synthesis = Synthesis { window: Tensor { shape: vec![size], values }, hop };
        let frames = 9;
        let mut x = dice.signal(2 * bins, frames);
        x[0][3] = 9.0; // louder than the bound
        let cut = (size - hop) / 2;
        let (mut sum, mut squares) = (vec![0.0; frames * hop + size], vec![0.0; frames * hop + size]);
        for f in 0..frames {
            for t in 0..size {
                // The whole spectrum, with the conjugates that stand for the negative frequencies.
                let of = |k: usize| {
                    (x[k][f].exp().min(2.0), x[bins + k][f], k as f64 * t as f64 * 2.0 * PI / size as f64)
                };
                let part = |k: usize| {
                    let (m, p, a) = of(k);
                    m * (p.cos() * a.cos() - p.sin() * a.sin())
                };
                let edge = |k: usize| {
                    let (m, p, a) = of(k);
                    m * p.cos() * a.cos()
                };
                let inner: f64 = (1..bins - 1).map(|k| 2.0 * part(k)).sum();
                let sample = (edge(0) + edge(bins - 1) + inner) / size as f64;
                sum[f * hop + t] += sample * window[t];
                squares[f * hop + t] += window[t].powi(2);
            }
        }
        let expected: Whole =
            vec![(cut..cut + frames * hop).map(|t| sum[t] / squares[t].max(1e-11)).collect()];
        for frame in [1, 3] {
            let y = stream(&x, frame, |g, x| g.synthesize(x, &synthesis, 2.0));
            assert_close(&y, &expected, &format!("size {size}, hop {hop}, frame {frame}"));
            let late = stream(&x, frame, |g, x| {
                let late = g.delay(x, 2);
                g.synthesize(&late, &synthesis, 2.0)
            });
            assert_close(&late, &expected, &format!("size {size}, hop {hop}, frame {frame}, late"));
        }
    }
}
