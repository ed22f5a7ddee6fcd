use super::{Dice, Whole, assert_close, stream};
use crate::checkpoint::Tensor;
use crate::stream::Lstm;

/// `W x`, a row for each output.
fn product(weights: &Tensor, x: &[f64]) -> Vec<f64> {
    let row = |w: &[f32]| w.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum();
    weights.values.chunks_exact(x.len()).map(row).collect()
}

/// The layer on a whole signal, by PyTorch's formula.
fn run_layer(x: &Whole, layer: &Lstm) -> Whole {
    let units = layer.hidden.shape[1];
    let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
    let mut y: Whole = vec![Vec::new(); units];
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    for t in 0..x[0].len() {
        let now: Vec<f64> = x.iter().map(|channel| channel[t]).collect();
        let (from_input, from_hidden) = (product(&layer.input, &now), product(&layer.hidden, &h));
        let gate = |g: usize, u: usize| {
            let i = g * units + u;
            from_input[i]
                + from_hidden[i]
                + f64::from(layer.input_bias.values[i])
                + f64::from(layer.hidden_bias.values[i])
        };
        for u in 0..units {
            let (input, forget, cell, output) = (gate(0, u), gate(1, u), gate(2, u), gate(3, u));
            c[u] = sigmoid(forget) * c[u] + sigmoid(input) * cell.tanh();
            h[u] = sigmoid(output) * c[u].tanh();
        }
        y.iter_mut().zip(&h).for_each(|(y, &h)| y.push(h));
    }
    y
}

#[test]
fn a_recurrent_layer_equals_that_of_the_whole() {
    let mut dice = Dice(6);
    for (inputs, units) in [(3, 3), (2, 5)] {
        let layer = Lstm {
            input: dice.tensor(&[4 * units, inputs]),
            hidden: dice.tensor(&[4 * units, units]),
            input_bias: dice.tensor(&[4 * units]),
            hidden_bias: dice.tensor(&[4 * units]),
        };
        let x = dice.signal(inputs, 60);
        for frame in [1, 4, 60] {
            let y = stream(&x, frame, |g, x| g.lstm(x, &layer));
            assert_close(
                &y,
                &run_layer(&x, &layer),
                &format!("{inputs} inputs, {units} units, frame {frame}"),
            );
        }
    }
}
