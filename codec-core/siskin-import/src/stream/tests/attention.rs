use super::{Dice, Whole, assert_close, stream};
use crate::checkpoint::Tensor;
use crate::stream::{Attention, Block, Window};

type Step = Vec<f64>;

fn product(weights: &Tensor, x: &Step) -> Step {
    let row = |w: &[f32]| w.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum();
    weights.values.chunks_exact(x.len()).map(row).collect()
}

fn normalize(x: &Step, [weight, bias]: &[Tensor; 2], epsilon: f32) -> Step {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
    let affine = weight.values.iter().zip(&bias.values);
    x.iter().zip(affine).map(|(v, (&w, &b))| (v - mean) * scale * f64::from(w) + f64::from(b)).collect()
}

/// Turns the two halves of a head by the angles of `place`.
fn turn(head: &[f64], place: usize, theta: f64) -> Step {
    let half = head.len() / 2;
    let angle = |i: usize| place as f64 * theta.powf(-(i as f64) / half as f64);
    let first = (0..half).map(|i| head[i] * angle(i).cos() - head[half + i] * angle(i).sin());
    let second = (0..half).map(|i| head[half + i] * angle(i).cos() + head[i] * angle(i).sin());
    first.chain(second).collect()
}

/// Attention of each step to those that `sees` says, places counted from the start of `steps`.
fn attend(
    steps: &[Step],
    [query, key, value, output]: [&Tensor; 4],
    heads: usize,
    theta: f64,
    sees: impl Fn(usize, usize) -> bool,
) -> Vec<Step> {
    let width = steps[0].len() / heads;
    let project = |weights: &Tensor| -> Vec<Step> { steps.iter().map(|s| product(weights, s)).collect() };
    let (queries, keys, values) = (project(query), project(key), project(value));
    let heard = |t: usize| {
        let mut heard = Vec::new();
        for h in 0..heads {
            let part = h * width..(h + 1) * width;
            let asked = turn(&queries[t][part.clone()], t, theta);
            let seen: Vec<usize> = (0..steps.len()).filter(|&k| sees(t, k)).collect();
            let score = |&k: &usize| {
                let key = turn(&keys[k][part.clone()], k, theta);
                (asked.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (width as f64).sqrt()).exp()
            };
            let scores: Step = seen.iter().map(score).collect();
            let sum: f64 = scores.iter().sum();
            heard.extend(
                part.map(|d| seen.iter().zip(&scores).map(|(&k, s)| s / sum * values[k][d]).sum::<f64>()),
            );
        }
        product(output, &heard)
    };
    (0..steps.len()).map(heard).collect()
}

fn to_steps(x: &Whole) -> Vec<Step> {
    (0..x[0].len()).map(|t| x.iter().map(|c| c[t]).collect()).collect()
}

fn to_whole(steps: &[Step]) -> Whole {
    (0..steps[0].len()).map(|c| steps.iter().map(|s| s[c]).collect()).collect()
}

/// An approximation of the error function, within 1.2e-7 (Numerical Recipes, section 6.2).
fn erf(x: f64) -> f64 {
    const C: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let sum = C.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let tail = t * (-x * x + sum).exp();
    if x >= 0.0 { 1.0 - tail } else { tail - 1.0 }
}

fn run_block(steps: &[Step], block: &Block, shape: Attention) -> Vec<Step> {
    let scaled = |x: &Step, y: &Step, scale: &Tensor| -> Step {
        x.iter().zip(y).zip(&scale.values).map(|((x, y), &s)| x + y * f64::from(s)).collect()
    };
    let normed: Vec<Step> = steps.iter().map(|s| normalize(s, &block.norm1, shape.epsilon)).collect();
    let weights = [&block.query, &block.key, &block.value, &block.output];
    let heard =
        attend(&normed, weights, shape.heads, shape.theta, |t, k| (k..k + shape.context).contains(&t));
    let x: Vec<Step> = steps.iter().zip(&heard).map(|(x, y)| scaled(x, y, &block.scale1)).collect();
    let dense = |x: &Step| {
        let hidden = product(&block.dense1, &normalize(x, &block.norm2, shape.epsilon));
        let hidden = hidden.iter().map(|&v| 0.5 * v * (1.0 + erf(v / std::f64::consts::SQRT_2))).collect();
        product(&block.dense2, &hidden)
    };
    x.iter().map(|x| scaled(x, &dense(x), &block.scale2)).collect()
}

#[test]
fn a_transformer_sees_its_context_and_no_more() {
    let mut dice = Dice(7);
    let (channels, hidden) = (8, 12);
    let mut block = || Block {
        norm1: [dice.tensor(&[channels]), dice.tensor(&[channels])],
        norm2: [dice.tensor(&[channels]), dice.tensor(&[channels])],
        query: dice.tensor(&[channels, channels]),
        key: dice.tensor(&[channels, channels]),
        value: dice.tensor(&[channels, channels]),
        output: dice.tensor(&[channels, channels]),
        scale1: dice.tensor(&[channels]),
        scale2: dice.tensor(&[channels]),
        dense1: dice.tensor(&[hidden, channels]),
        dense2: dice.tensor(&[channels, hidden]),
    };
    let blocks = [block(), block()];
    let x = dice.signal(channels, 36);
    // A context that the signal fills several times, one that it never fills, and steps that see the one before.
    for (heads, context) in [(2, 5), (1, 100), (4, 2), (2, 12)] {
        let shape = Attention { heads, context, theta: 100.0, epsilon: 1e-5 };
        let expected = blocks.iter().fold(to_steps(&x), |steps, block| run_block(&steps, block, shape));
        for frame in [1, 2, 9] {
            let y = stream(&x, frame, |g, x| g.transformer(x, &blocks, shape));
            assert_close(
                &y,
                &to_whole(&expected),
                &format!("{heads} heads, context {context}, frame {frame}"),
            );
        }
    }
}

#[test]
fn a_window_sees_itself() {
    let mut dice = Dice(8);
    let (channels, width, steps) = (8, 4, 6);
    let mut weight = || dice.tensor(&[channels, channels]);
    let (query, key, value, output) = (weight(), weight(), weight(), weight());
    let norm = [dice.tensor(&[channels]), dice.tensor(&[channels])];
    let window = Window { norm, query, key, value, output, width };
    let x = dice.signal(channels, 4 * steps);
    let expected: Vec<Step> = to_steps(&x)
        .chunks(steps)
        .flat_map(|part| {
            let normed: Vec<Step> = part.iter().map(|s| normalize(s, &window.norm, 1e-5)).collect();
            let weights = [&window.query, &window.key, &window.value, &window.output];
            let heard = attend(&normed, weights, channels / width, 10_000.0, |_, _| true);
            part.iter()
                .zip(heard)
                .map(|(x, y)| x.iter().zip(y).map(|(x, y)| x + y).collect())
                .collect::<Vec<Step>>()
        })
        .collect();
    let y = stream(&x, steps, |g, x| g.attend_window(x, &window));
    assert_close(&y, &to_whole(&expected), "windows");
    // What comes late is put back on the windows' grid.
    let late = stream(&x, steps, |g, x| {
        let late = g.delay(x, 2);
        g.attend_window(&late, &window)
    });
    assert_close(&late, &to_whole(&expected), "windows of a signal that comes late");
}
