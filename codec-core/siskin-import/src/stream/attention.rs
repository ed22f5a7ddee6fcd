use siskin_graph::onnx::{Attribute, Value};

use super::{Signal, StreamGraph};
use crate::checkpoint::Tensor;

/// What all blocks of a transformer share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Steps that a step sees, itself among them.
    pub(crate) context: usize,
    /// Base of the rotary embedding's wavelengths.
    pub(crate) theta: f64,
    /// Added to the variance in the normalization.
    pub(crate) epsilon: f32,
}

/// A block: attention and two dense layers, each after a normalization and scaled channel by channel.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) norm1: [Tensor; 2],
    pub(crate) norm2: [Tensor; 2],
    /// `[out, in]`, each head's rows ordered as two halves that turn together.
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
    pub(crate) output: Tensor,
    pub(crate) scale1: Tensor,
    pub(crate) scale2: Tensor,
    pub(crate) dense1: Tensor,
    pub(crate) dense2: Tensor,
}

/// What the blocks of one graph have in common: the turns of queries and keys, and which keys a query sees.
struct Shared {
    query: [Value; 2],
    key: [Value; 2],
    mask: Value,
}

impl StreamGraph {
    /// Causal self-attention over the last steps. Keys are kept as they are and turned by their distance from the newest in
    /// each run, so that a stream of any length computes with the same small angles.
    pub(crate) fn transformer(&mut self, x: &Signal, blocks: &[Block], shape: Attention) -> Signal {
        let (steps, past) = (x.frame, shape.context - 1);
        let width = x.channels / shape.heads;
        let shared = Shared {
            query: self.turns(past, steps, width, shape.theta),
            key: self.turns(0, past + steps, width, shape.theta),
            mask: self.attention_mask(past, steps),
        };
        let mut value = self.transpose(&x.value, &[0, 2, 1]);
        for block in blocks {
            let normed = self.layer_norm(&value, &block.norm1, shape.epsilon);
            let heard = self.attend(&normed, block, shape, &shared, x);
            let scaled = self.weigh(&heard, &block.scale1);
            value = self.node("Add", &[&value, &scaled], &[]);
            let normed = self.layer_norm(&value, &block.norm2, shape.epsilon);
            let hidden = self.dense(&normed, &block.dense1);
            let hidden = self.node("Gelu", &[&hidden], &[]);
            let dense = self.dense(&hidden, &block.dense2);
            let scaled = self.weigh(&dense, &block.scale2);
            value = self.node("Add", &[&value, &scaled], &[]);
        }
        Signal { value: self.transpose(&value, &[0, 2, 1]), ..x.clone() }
    }

    fn attend(&mut self, x: &Value, block: &Block, shape: Attention, shared: &Shared, of: &Signal) -> Value {
        let (steps, past, heads) = (of.frame, shape.context - 1, shape.heads);
        let width = of.channels / heads;
        let mut split = |weight: &Tensor| {
            let all = self.dense(x, weight);
            let split = self.reshape(&all, &[1, steps, heads, width]);
            self.transpose(&split, &[0, 2, 1, 3])
        };
        let (query, key, value) = (split(&block.query), split(&block.key), split(&block.value));
        let keys = self.remember(&key, heads, past, steps, width);
        let values = self.remember(&value, heads, past, steps, width);
        let query = self.turn(&query, &shared.query, width);
        let keys = self.turn(&keys, &shared.key, width);
        let keys = self.transpose(&keys, &[0, 1, 3, 2]);
        let scores = self.node("MatMul", &[&query, &keys], &[]);
        let scale = self.writer.add_floats(&[1], &[1.0 / (width as f32).sqrt()]);
        let scores = self.node("Mul", &[&scores, &scale], &[]);
        let scores = self.node("Add", &[&scores, &shared.mask], &[]);
        let shares = self.node("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let heard = self.node("MatMul", &[&shares, &values], &[]);
        let heard = self.transpose(&heard, &[0, 2, 1, 3]);
        let heard = self.reshape(&heard, &[1, steps, of.channels]);
        self.dense(&heard, &block.output)
    }

    /// The last `past` steps of earlier runs, then those of this one.
    fn remember(&mut self, x: &Value, heads: usize, past: usize, steps: usize, width: usize) -> Value {
        let shape = [1, heads, past, width];
        let (number, state) = self.open_state(&shape);
        let state = state.unwrap_or_else(|| self.writer.add_floats(&shape, &vec![0.0; heads * past * width]));
        let all = self.node("Concat", &[&state, x], &[Attribute::Int("axis", 2)]);
        let next = self.slice(&all, 2, steps, past + steps);
        self.close_state(number, &next);
        all
    }

    /// Cosines and sines `[1, 1, count, width / 2]` of the places from `first` on.
    pub(super) fn turns(&mut self, first: usize, count: usize, width: usize, theta: f64) -> [Value; 2] {
        let half = width / 2;
        let angle = |i: usize| {
            let (place, pair) = (first + i / half, i % half);
            place as f64 * theta.powf(-((2 * pair) as f64) / width as f64)
        };
        let shape = [1, 1, count, half];
        let values = |f: fn(f64) -> f64| (0..count * half).map(|i| f(angle(i)) as f32).collect::<Vec<_>>();
        [self.writer.add_floats(&shape, &values(f64::cos)), self.writer.add_floats(&shape, &values(f64::sin))]
    }

    /// Turns the pairs of a head: its first half against its second.
    pub(super) fn turn(&mut self, x: &Value, [cos, sin]: &[Value; 2], width: usize) -> Value {
        let (a, b) = (self.slice(x, 3, 0, width / 2), self.slice(x, 3, width / 2, width));
        let product = |g: &mut Self, x: &Value, y: &Value| g.node("Mul", &[x, y], &[]);
        let (ac, bs) = (product(self, &a, cos), product(self, &b, sin));
        let (bc, as_) = (product(self, &b, cos), product(self, &a, sin));
        let (first, second) = (self.node("Sub", &[&ac, &bs], &[]), self.node("Add", &[&bc, &as_], &[]));
        self.node("Concat", &[&first, &second], &[Attribute::Int("axis", 3)])
    }

    /// 0 where a query sees a key and very low elsewhere, `[1, 1, steps, past + steps]`.
    fn attention_mask(&mut self, past: usize, steps: usize) -> Value {
        const UNSEEN: f32 = -1e9;
        let keys = past + steps;
        // A query sees itself and the `past` keys before it.
        let in_window = |q: usize, k: usize| (q..=q + past).contains(&k);
        let window: Vec<f32> =
            (0..steps * keys).map(|i| if in_window(i / keys, i % keys) { 0.0 } else { UNSEEN }).collect();
        let window = self.writer.add_floats(&[1, 1, steps, keys], &window);
        // Of the keys kept, those before the start of the stream are none.
        let age = self.age();
        let per_run = self.writer.add_floats(&[1], &[steps as f32]);
        let count = self.node("Mul", &[&age, &per_run], &[]);
        let places: Vec<f32> = (0..keys).map(|k| k as f32 - past as f32 + 1.0).collect();
        let places = self.writer.add_floats(&[1, 1, 1, keys], &places);
        let places = self.node("Add", &[&places, &count], &[]);
        let (low, high) = (self.writer.add_floats(&[], &[0.0]), self.writer.add_floats(&[], &[1.0]));
        let exists = self.node("Clip", &[&places, &low, &high], &[]);
        let one = self.writer.add_floats(&[1], &[1.0]);
        let missing = self.node("Sub", &[&one, &exists], &[]);
        let unseen = self.writer.add_floats(&[1], &[UNSEEN]);
        let missing = self.node("Mul", &[&missing, &unseen], &[]);
        self.node("Add", &[&window, &missing], &[])
    }

    /// Normalizes the last axis.
    pub(super) fn layer_norm(&mut self, x: &Value, [weight, bias]: &[Tensor; 2], epsilon: f32) -> Value {
        let (weight, bias) = (self.constant(weight), self.constant(bias));
        let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", epsilon)];
        self.node("LayerNormalization", &[x, &weight, &bias], &attributes)
    }

    /// `x W^T` over the last axis.
    pub(super) fn dense(&mut self, x: &Value, weight: &Tensor) -> Value {
        let turned = weight.transposed();
        let weight = self.constant(&turned);
        self.node("MatMul", &[x, &weight], &[])
    }

    fn weigh(&mut self, x: &Value, factors: &Tensor) -> Value {
        let factors = self.constant(factors);
        self.node("Mul", &[x, &factors], &[])
    }
}
