use siskin_graph::onnx::Attribute;

use super::{Signal, StreamGraph};
use crate::checkpoint::Tensor;

/// Attention of the steps of a frame to one another, after a normalization and added to its input. A frame is one window.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) norm: [Tensor; 2],
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
    pub(crate) output: Tensor,
    /// Dimension of a head.
    pub(crate) width: usize,
}

/// Base of the rotary embedding's wavelengths.
const THETA: f64 = 10_000.0;
/// PyTorch's default.
const EPSILON: f32 = 1e-5;

impl StreamGraph {
    pub(crate) fn attend_window(&mut self, x: &Signal, window: &Window) -> Signal {
        // Windows lie at multiples of their length from the start.
        let x = self.align(x);
        let (steps, width) = (x.frame, window.width);
        let heads = x.channels / width;
        let turned = self.transpose(&x.value, &[0, 2, 1]);
        // Each frame of the run by itself.
        let turned = self.reshape_to(&turned, &[None, Some(steps), Some(x.channels)]);
        let normed = self.layer_norm(&turned, &window.norm, EPSILON);
        let mut split = |weight: &Tensor| {
            let all = self.dense(&normed, weight);
            let split = self.reshape_to(&all, &[None, Some(steps), Some(heads), Some(width)]);
            self.transpose(&split, &[0, 2, 1, 3])
        };
        let (query, key, values) = (split(&window.query), split(&window.key), split(&window.value));
        let turns = self.turns(0, steps, width, THETA);
        let (query, key) = (self.turn(&query, &turns, width), self.turn(&key, &turns, width));
        let key = self.transpose(&key, &[0, 1, 3, 2]);
        let scores = self.node("MatMul", &[&query, &key], &[]);
        let scale = self.writer.add_floats(&[1], &[1.0 / (width as f32).sqrt()]);
        let scores = self.node("Mul", &[&scores, &scale], &[]);
        let shares = self.node("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let heard = self.node("MatMul", &[&shares, &values], &[]);
        let heard = self.transpose(&heard, &[0, 2, 1, 3]);
        let heard = self.reshape_to(&heard, &[Some(1), None, Some(x.channels)]);
        let heard = self.dense(&heard, &window.output);
        let heard = self.transpose(&heard, &[0, 2, 1]);
        Signal { value: self.node("Add", &[&x.value, &heard], &[]), ..x }
    }

    /// The signal with a lag of whole frames.
    pub(crate) fn align(&mut self, x: &Signal) -> Signal {
        self.delay(x, x.lag.next_multiple_of(x.frame) - x.lag)
    }
}
