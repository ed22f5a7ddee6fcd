use siskin_graph::onnx::{Attribute, Value, Writer};

use super::{Signal, StreamGraph};
use crate::checkpoint::Tensor;

/// A layer of long short-term memory with PyTorch's weights: `[4 units, units]`, gates in the order input, forget, cell,
/// output.
#[derive(Debug, Clone)]
pub(crate) struct Lstm {
    pub(crate) input: Tensor,
    pub(crate) hidden: Tensor,
    pub(crate) input_bias: Tensor,
    pub(crate) hidden_bias: Tensor,
}

/// PyTorch's gates in ONNX's order: input, output, forget, cell.
const GATES: [usize; 4] = [0, 3, 1, 2];

fn reorder(values: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let gate = values.len() / 4;
    GATES.into_iter().flat_map(move |g| values[g * gate..(g + 1) * gate].iter().copied())
}

impl Lstm {
    pub(crate) fn units(&self) -> usize {
        self.hidden.shape[1]
    }

    /// The layer's weights, recurrent weights and biases as ONNX takes them.
    pub(crate) fn constants(&self, writer: &mut Writer) -> [Value; 3] {
        let units = self.units();
        let mut weights = |t: &Tensor| {
            let values: Vec<f32> = reorder(&t.values).collect();
            writer.add_floats(&[1, 4 * units, t.shape[1]], &values)
        };
        let (input, hidden) = (weights(&self.input), weights(&self.hidden));
        let biases: Vec<f32> =
            reorder(&self.input_bias.values).chain(reorder(&self.hidden_bias.values)).collect();
        [input, hidden, writer.add_floats(&[1, 8 * units], &biases)]
    }
}

impl StreamGraph {
    pub(crate) fn lstm(&mut self, x: &Signal, layer: &Lstm) -> Signal {
        let units = layer.units();
        let [w, r, b] = layer.constants(&mut self.writer);
        // ONNX has time first.
        let steps = self.transpose(&x.value, &[2, 0, 1]);
        let (h_number, h) = self.open_state(&[1, 1, units]);
        let (c_number, c) = self.open_state(&[1, 1, units]);
        let (h, c) = (h.unwrap_or_else(Writer::no_value), c.unwrap_or_else(Writer::no_value));
        let [y, h_next, c_next] = self.writer.add_node_with(
            "LSTM",
            &[&steps, &w, &r, &b, &Writer::no_value(), &h, &c],
            &[Attribute::Int("hidden_size", units as i64)],
        );
        self.close_state(h_number, &h_next);
        self.close_state(c_number, &c_next);
        // [time, direction, batch, units]: batch and direction are one each.
        let y = self.reshape_to(&y, &[None, Some(1), Some(units)]);
        Signal { value: self.transpose(&y, &[1, 2, 0]), channels: units, ..x.clone() }
    }
}
