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

/// What the blocks of one graph have in common: the turns of this run's queries and keys, and which keys a query sees.
struct Shared {
    turns: [Value; 2],
    mask: Value,
}

impl StreamGraph {
    /// Causal self-attention over the last steps.
    pub(crate) fn transformer(&mut self, x: &Signal, blocks: &[Block], shape: Attention) -> Signal {
        let (steps, past) = (x.frame, shape.context - 1);
        let width = x.channels / shape.heads;
        let shared = Shared {
            turns: self.running_turns(steps, width, shape.theta),
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
        let (past, heads) = (shape.context - 1, shape.heads);
        let width = of.channels / heads;
        let mut split = |weight: &Tensor| {
            let all = self.dense(x, weight);
            let split = self.reshape_to(&all, &[Some(1), None, Some(heads), Some(width)]);
            self.transpose(&split, &[0, 2, 1, 3])
        };
        let (query, key, value) = (split(&block.query), split(&block.key), split(&block.value));
        let (query, key) = (self.turn(&query, &shared.turns, width), self.turn(&key, &shared.turns, width));
        // Kept as the product below reads them, so that the long past is not turned or transposed in each run.
        let key = self.transpose(&key, &[0, 1, 3, 2]);
        let keys = self.remember(&key, [1, heads, width, past], 3);
        let values = self.remember(&value, [1, heads, past, width], 2);
        let scores = self.node("MatMul", &[&query, &keys], &[]);
        let scale = self.writer.add_floats(&[1], &[1.0 / (width as f32).sqrt()]);
        let scores = self.node("Mul", &[&scores, &scale], &[]);
        let scores = self.node("Add", &[&scores, &shared.mask], &[]);
        let shares = self.node("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let heard = self.node("MatMul", &[&shares, &values], &[]);
        let heard = self.transpose(&heard, &[0, 2, 1, 3]);
        let heard = self.reshape_to(&heard, &[Some(1), None, Some(of.channels)]);
        self.dense(&heard, &block.output)
    }

    /// The last steps of earlier runs, in a state of `shape` with the steps along `axis`, then those of this one.
    fn remember(&mut self, x: &Value, shape: [usize; 4], axis: usize) -> Value {
        let (number, state) = self.open_state(&shape);
        let zeros = || vec![0.0; shape.iter().product()];
        let state = state.unwrap_or_else(|| self.writer.add_floats(&shape, &zeros()));
        let all = self.node("Concat", &[&state, x], &[Attribute::Int("axis", axis as i64)]);
        let next = self.end_of(&all, axis as i64, shape[axis]);
        self.close_state(number, &next);
        all
    }

    /// Cosines and sines `[1, 1, steps, width / 2]` of this run's places in the stream. The place is a state that each run turns
    /// by the same small angles: what counts is the angle between two places, whose error grows with their distance alone,
    /// where angles computed from the place itself are off by .005 after an hour.
    fn running_turns(&mut self, steps: usize, width: usize, theta: f64) -> [Value; 2] {
        let shape = [1, 1, 1, width / 2];
        let (c_number, c) = self.open_state(&shape);
        let (s_number, s) = self.open_state(&shape);
        let (one, zero) = (self.writer.add_floats(&[1], &[1.0]), self.writer.add_floats(&[1], &[0.0]));
        // States begin at zero, and the place 0 has the cosine 1.
        let (c, s) = match (c, s) {
            (Some(c), Some(s)) => (self.node("Add", &[&c, &one], &[]), s),
            _ => {
                let ones = self.writer.add_floats(&shape, &vec![1.0; width / 2]);
                (ones, self.writer.add_floats(&shape, &vec![0.0; width / 2]))
            }
        };
        let turn = |g: &mut Self, [c, s]: [&Value; 2], [by_c, by_s]: &[Value; 2]| {
            let product = |g: &mut Self, x: &Value, y: &Value| g.node("Mul", &[x, y], &[]);
            let (cc, ss) = (product(g, c, by_c), product(g, s, by_s));
            let (cs, sc) = (product(g, c, by_s), product(g, s, by_c));
            [g.node("Sub", &[&cc, &ss], &[]), g.node("Add", &[&cs, &sc], &[])]
        };
        let within = self.run_turns(0.0, steps, width, theta);
        let turns = turn(self, [&c, &s], &within);
        let ahead = self.end_turns(steps, width, theta);
        let [c, s] = turn(self, [&c, &s], &ahead);
        // Rounding would let the length drift; half the error of its square, taken off, keeps it at 1.
        let (cc, ss) = (self.node("Mul", &[&c, &c], &[]), self.node("Mul", &[&s, &s], &[]));
        let square = self.node("Add", &[&cc, &ss], &[]);
        let half = self.writer.add_floats(&[1], &[0.5]);
        let (three, halved) =
            (self.writer.add_floats(&[1], &[1.5]), self.node("Mul", &[&square, &half], &[]));
        let factor = self.node("Sub", &[&three, &halved], &[]);
        let (c, s) = (self.node("Mul", &[&c, &factor], &[]), self.node("Mul", &[&s, &factor], &[]));
        let (c, s) = (self.node("Sub", &[&c, &one], &[]), self.node("Add", &[&s, &zero], &[]));
        self.close_state(c_number, &c);
        self.close_state(s_number, &s);
        turns
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

    /// Cosines and sines `[1, 1, count, width / 2]` of the places of a run's steps, counted from its first.
    fn run_turns(&mut self, first: f32, steps: usize, width: usize, theta: f64) -> [Value; 2] {
        let places = self.places(first, steps, 0);
        let places = self.reshape_to(&places, &[Some(1), Some(1), None, Some(1)]);
        self.turns_at(&places, width, theta)
    }

    /// The same of the first step after the run, `[1, 1, 1, width / 2]`.
    fn end_turns(&mut self, steps: usize, width: usize, theta: f64) -> [Value; 2] {
        let (count, steps) = (self.count(), self.writer.add_floats(&[1], &[steps as f32]));
        let place = self.node("Mul", &[&count, &steps], &[]);
        let place = self.reshape_to(&place, &[Some(1), Some(1), Some(1), Some(1)]);
        self.turns_at(&place, width, theta)
    }

    fn turns_at(&mut self, places: &Value, width: usize, theta: f64) -> [Value; 2] {
        let half = width / 2;
        let speeds: Vec<f32> =
            (0..half).map(|pair| theta.powf(-((2 * pair) as f64) / width as f64) as f32).collect();
        let speeds = self.writer.add_floats(&[1, 1, 1, half], &speeds);
        let angles = self.node("Mul", &[places, &speeds], &[]);
        [self.node("Cos", &[&angles], &[]), self.node("Sin", &[&angles], &[])]
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

    /// 0 where a query sees a key and very low elsewhere, `[queries, keys]`.
    fn attention_mask(&mut self, past: usize, steps: usize) -> Value {
        const UNSEEN: f32 = -1e9;
        let number = |g: &mut Self, value: f32| g.writer.add_floats(&[1], &[value]);
        let (low, high) = (self.writer.add_floats(&[], &[0.0]), self.writer.add_floats(&[], &[1.0]));
        let (one, reach) = (number(self, 1.0), number(self, past as f32 + 1.0));
        let (queries, keys) = (self.places(0.0, steps, 0), self.places(0.0, steps, past));
        // A query sees itself and the `past` keys before it: keys 0 to `past` places beyond its own number.
        let queries = self.reshape_to(&queries, &[None, Some(1)]);
        let beyond = self.node("Sub", &[&keys, &queries], &[]);
        let (after, before) =
            (self.node("Add", &[&beyond, &one], &[]), self.node("Sub", &[&reach, &beyond], &[]));
        let after = self.node("Clip", &[&after, &low, &high], &[]);
        let before = self.node("Clip", &[&before, &low, &high], &[]);
        let seen = self.node("Mul", &[&after, &before], &[]);
        // Of the keys kept, those before the start of the stream are none.
        let (age, per_frame) = (self.age(), number(self, steps as f32));
        let gone = self.node("Mul", &[&age, &per_frame], &[]);
        let places = self.places(1.0 - past as f32, steps, past);
        let places = self.node("Add", &[&places, &gone], &[]);
        let exists = self.node("Clip", &[&places, &low, &high], &[]);
        let seen = self.node("Mul", &[&seen, &exists], &[]);
        let missing = self.node("Sub", &[&one, &seen], &[]);
        let unseen = number(self, UNSEEN);
        self.node("Mul", &[&missing, &unseen], &[])
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
