use super::{Dice, Whole, assert_close, stream};
use crate::stream::noise::noise_table;

fn map(x: &Whole, f: impl Fn(usize, usize, f64) -> f64) -> Whole {
    let channel =
        |(c, values): (usize, &Vec<f64>)| values.iter().enumerate().map(|(t, &v)| f(c, t, v)).collect();
    x.iter().enumerate().map(channel).collect()
}

#[test]
fn activations_equal_their_formulas() {
    let mut dice = Dice(9);
    let x = map(&dice.signal(3, 40), |_, _, v| 3.0 * v);
    let alpha = dice.tensor(&[1, 3, 1]);
    let a = |c: usize| f64::from(alpha.values[c]);
    let y = stream(&x, 8, |g, x| g.snake(x, &alpha));
    assert_close(&y, &map(&x, |c, _, v| v + (a(c) * v).sin().powi(2) / (a(c) + 1e-9)), "snake");
    let y = stream(&x, 8, |g, x| g.elu(x));
    assert_close(&y, &map(&x, |_, _, v| if v > 0.0 { v } else { v.exp() - 1.0 }), "ELU");
    let y = stream(&x, 8, |g, x| g.tanh(x));
    assert_close(&y, &map(&x, |_, _, v| v.tanh()), "tanh");
    let y = stream(&x, 8, |g, x| g.leaky_relu(x, 0.1));
    assert_close(&y, &map(&x, |_, _, v| if v > 0.0 { v } else { 0.1 * v }), "leaky ReLU");
    let y = stream(&x, 8, |g, x| g.scale(x, &[2.0, -1.0, 0.5]));
    assert_close(&y, &map(&x, |c, _, v| [2.0, -1.0, 0.5][c] * v), "factors");
}

#[test]
fn delays_and_sums_meet_again() {
    let mut dice = Dice(10);
    let x = dice.signal(2, 60);
    for samples in [1, 5, 6, 17] {
        let y = stream(&x, 6, |g, x| {
            let late = g.delay(x, samples);
            let later = g.delay(&late, 3);
            g.add(&late, &later)
        });
        assert_close(&y, &map(&x, |_, _, v| 2.0 * v), &format!("{samples} samples"));
    }
}

#[test]
fn noise_follows_from_the_place_in_the_stream() {
    let mut dice = Dice(11);
    let weight = dice.tensor(&[2, 2, 1]);
    let (frame, period) = (5, 32);
    let x = dice.signal(2, frame * 70);
    let table = noise_table(3, period * frame);
    let w = |i: usize| f64::from(weight.values[i]);
    let noisy = |c: usize, t: usize, v: f64| {
        v + f64::from(table[t % table.len()]) * (w(2 * c) * x[0][t] + w(2 * c + 1) * x[1][t])
    };
    let expected = map(&x, noisy);
    let y = stream(&x, frame, |g, x| g.add_noise(x, &weight, 3));
    assert_close(&y, &expected, "noise");
    // The same noise for the same sample when it comes late.
    let late = stream(&x, frame, |g, x| {
        let late = g.delay(x, 7);
        g.add_noise(&late, &weight, 3)
    });
    assert_close(&late, &expected, "noise on a signal that comes late");
    let table = noise_table(1, 100_000);
    let mean = table.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
    let square = table.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 1e5;
    assert!(mean.abs() < 0.015 && (square - 1.0).abs() < 0.02, "mean {mean}, mean square {square}");
}
