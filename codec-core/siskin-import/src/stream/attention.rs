use siskin_graph::onnx::{Attribute, Value};
use siskin_model::bundle::BlockSpec;

use super::{INT64, Signal, StreamGraph};
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

/// What the blocks of one graph have in common: the turns of this run's queries and keys, where its keys and values are kept,
/// and which keys a query sees.
struct Shared {
    turns: [Value; 2],
    slots: Value,
    mask: Value,
}

impl StreamGraph {
    /// Causal self-attention over the last steps.
    pub(crate) fn transformer(&mut self, x: &Signal, blocks: &[Block], shape: Attention) -> Signal {
        let (steps, past) = (x.frame, shape.context - 1);
        let ring = ring_len(past, steps);
        let at = self.ring_place(steps, ring);
        let shared = Shared {
            turns: self.running_turns(steps, x.channels / shape.heads, shape.theta),
            slots: self.ring_slots(&at, steps, ring, shape.heads),
            mask: self.attention_mask(&at, past, steps, ring),
        };
        let mut value = self.transpose(&x.value, &[0, 2, 1]);
        for block in blocks {
            let normed = self.layer_norm(&value, &block.norm1, shape.epsilon);
            let heard = self.attend(&normed, block, shape, &shared, x);
            value = self.node("Add", &[&value, &heard], &[]);
            let normed = self.layer_norm(&value, &block.norm2, shape.epsilon);
            let hidden = self.dense(&normed, &block.dense1);
            let hidden = self.node("Gelu", &[&hidden], &[]);
            let dense = self.dense(&hidden, &scale_rows(&block.dense2, &block.scale2.values));
            value = self.node("Add", &[&value, &dense], &[]);
        }
        Signal { value: self.transpose(&value, &[0, 2, 1]), ..x.clone() }
    }

    fn attend(&mut self, x: &Value, block: &Block, shape: Attention, shared: &Shared, of: &Signal) -> Value {
        let heads = shape.heads;
        let width = of.channels / heads;
        // One product for all three: a run of one frame is little more than reading weights, and each node costs time too.
        let factor = 1.0 / (width as f32).sqrt();
        let query = scale_rows(&block.query, &vec![factor; of.channels]);
        let all = self.dense(x, &stack_rows([&query, &block.key, &block.value]));
        let all = self.reshape_to(&all, &[Some(1), None, Some(3 * heads), Some(width)]);
        let all = self.transpose(&all, &[0, 2, 1, 3]);
        let turned = self.slice(&all, 1, 0, 2 * heads);
        let turned = self.turn(&turned, &shared.turns, width);
        let (query, key) = (self.slice(&turned, 1, 0, heads), self.slice(&turned, 1, heads, 2 * heads));
        let value = self.slice(&all, 1, 2 * heads, 3 * heads);
        let kept = [1, heads, ring_len(shape.context - 1, of.frame), width];
        let (keys, values) =
            (self.remember(&key, kept, &shared.slots), self.remember(&value, kept, &shared.slots));
        let keys = self.transpose(&keys, &[0, 1, 3, 2]);
        let scores = self.node("MatMul", &[&query, &keys], &[]);
        let scores = self.node("Add", &[&scores, &shared.mask], &[]);
        let shares = self.node("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let heard = self.node("MatMul", &[&shares, &values], &[]);
        let heard = self.transpose(&heard, &[0, 2, 1, 3]);
        let heard = self.reshape_to(&heard, &[Some(1), None, Some(of.channels)]);
        self.dense(&heard, &scale_rows(&block.output, &block.scale1.values))
    }

    /// A ring of the last steps, `[1, heads, ring, width]`, with those of this run in their slots. It is a state that the runtime
    /// may write where it reads it: of the long past nothing moves.
    fn remember(&mut self, x: &Value, shape: [usize; 4], slots: &Value) -> Value {
        let (number, state) = self.open_state(&shape);
        let zeros = || vec![0.0; shape.iter().product()];
        let state = state.unwrap_or_else(|| self.writer.add_floats(&shape, &zeros()));
        self.replace_state(number, "ScatterND", &[&state, slots, x])
    }

    /// The slot of a ring that this run's first step gets, `[1]`.
    fn ring_place(&mut self, steps: usize, ring: usize) -> Value {
        let (number, at) = self.open_state(&[1]);
        let at = at.unwrap_or_else(|| self.writer.add_floats(&[1], &[0.0]));
        let run = self.run_steps(steps);
        let next = self.node("Add", &[&at, &run], &[]);
        let next = self.modulo(&next, ring);
        self.close_state(number, &next);
        at
    }

    /// Steps of this run, `[1]`.
    fn run_steps(&mut self, steps: usize) -> Value {
        let (count, steps) = (self.count(), self.writer.add_floats(&[1], &[steps as f32]));
        self.node("Mul", &[&count, &steps], &[])
    }

    /// What is left of whole numbers divided by `by`. Exact, as the quotient of a multiple is, and that of its neighbors is not
    /// rounded past it.
    fn modulo(&mut self, x: &Value, by: usize) -> Value {
        let by = self.writer.add_floats(&[1], &[by as f32]);
        let quotient = self.node("Div", &[x, &by], &[]);
        let quotient = self.node("Floor", &[&quotient], &[]);
        let whole = self.node("Mul", &[&quotient, &by], &[]);
        self.node("Sub", &[x, &whole], &[])
    }

    /// Batch, head and slot of each head's step in a run, `[1, heads, steps, 3]`.
    fn ring_slots(&mut self, at: &Value, steps: usize, ring: usize, heads: usize) -> Value {
        let places = self.places(0.0, steps, 0);
        let slots = self.node("Add", &[&places, at], &[]);
        let slots = self.modulo(&slots, ring);
        let slots = self.reshape_to(&slots, &[Some(1), Some(1), None, Some(1)]);
        let zero = self.writer.add_floats(&[1, heads, 1, 1], &vec![0.0; heads]);
        let numbers: Vec<f32> = (0..heads).map(|h| h as f32).collect();
        let numbers = self.writer.add_floats(&[1, heads, 1, 1], &numbers);
        let batch = self.node("Mul", &[&slots, &zero], &[]);
        let (head, slot) =
            (self.node("Add", &[&batch, &numbers], &[]), self.node("Add", &[&slots, &zero], &[]));
        let all = self.node("Concat", &[&batch, &head, &slot], &[Attribute::Int("axis", 3)]);
        self.node("Cast", &[&all], &[Attribute::Int("to", INT64)])
    }

    /// Factors `[1, 1, steps, width]` of this run's places in the stream, as [`turn`](Self::turn) takes them. The place is a state that each run turns
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
        let [cos, sin] = turns;
        let minus = self.node("Neg", &[&sin], &[]);
        let axis = [Attribute::Int("axis", 3)];
        [self.node("Concat", &[&cos, &cos], &axis), self.node("Concat", &[&minus, &sin], &axis)]
    }

    /// Factors `[1, 1, count, width]` of the places from `first` on, as [`turn`](Self::turn) takes them.
    pub(super) fn turns(&mut self, first: usize, count: usize, width: usize, theta: f64) -> [Value; 2] {
        let half = width / 2;
        let angle = |i: usize| {
            let (place, pair) = (first + i / width, i % half);
            place as f64 * theta.powf(-((2 * pair) as f64) / width as f64)
        };
        let cos: Vec<f32> = (0..count * width).map(|i| angle(i).cos() as f32).collect();
        let sign = |i: usize| if i % width < half { -1.0 } else { 1.0 };
        let sin: Vec<f32> = (0..count * width).map(|i| (sign(i) * angle(i).sin()) as f32).collect();
        let shape = [1, 1, count, width];
        [self.writer.add_floats(&shape, &cos), self.writer.add_floats(&shape, &sin)]
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

    /// Turns the pairs of a head, its first half against its second: `cos` has the cosines of both, `sin` the sines, negative
    /// ones first.
    pub(super) fn turn(&mut self, x: &Value, [cos, sin]: &[Value; 2], width: usize) -> Value {
        let (a, b) = (self.slice(x, 3, 0, width / 2), self.slice(x, 3, width / 2, width));
        let swapped = self.node("Concat", &[&b, &a], &[Attribute::Int("axis", 3)]);
        let (straight, crossed) = (self.node("Mul", &[x, cos], &[]), self.node("Mul", &[&swapped, sin], &[]));
        self.node("Add", &[&straight, &crossed], &[])
    }

    /// 0 where a query sees a key of the ring and very low elsewhere, `[queries, ring]`.
    fn attention_mask(&mut self, at: &Value, past: usize, steps: usize, ring: usize) -> Value {
        const UNSEEN: f32 = -1e9;
        let number = |g: &mut Self, value: f32| g.writer.add_floats(&[1], &[value]);
        let (low, high) = (self.writer.add_floats(&[], &[0.0]), self.writer.add_floats(&[], &[1.0]));
        let (one, reach) = (number(self, 1.0), number(self, past as f32 + 1.0));
        let run = self.run_steps(steps);
        // How many steps the key of each slot is older than the run's last.
        let slots: Vec<f32> = (0..ring).map(|slot| (2 * ring - 1 - slot) as f32).collect();
        let slots = self.writer.add_floats(&[ring], &slots);
        let end = self.node("Add", &[at, &run], &[]);
        let key_age = self.node("Add", &[&end, &slots], &[]);
        let key_age = self.modulo(&key_age, ring);
        // The same of the queries, and one more.
        let places = self.places(0.0, steps, 0);
        let places = self.reshape_to(&places, &[None, Some(1)]);
        let query_age = self.node("Sub", &[&run, &places], &[]);
        // How far a key lies before a query, which sees itself and the `past` keys before it.
        let before = self.node("Sub", &[&key_age, &query_age], &[]);
        let before = self.node("Add", &[&before, &one], &[]);
        let not_after = self.node("Add", &[&before, &one], &[]);
        let near = self.node("Sub", &[&reach, &before], &[]);
        let not_after = self.node("Clip", &[&not_after, &low, &high], &[]);
        let near = self.node("Clip", &[&near, &low, &high], &[]);
        let seen = self.node("Mul", &[&not_after, &near], &[]);
        // Of the keys in the ring, those before the start of the stream are none.
        let (age, per_frame) = (self.age(), number(self, steps as f32));
        let gone = self.node("Mul", &[&age, &per_frame], &[]);
        let all = self.node("Add", &[&gone, &run], &[]);
        let exists = self.node("Sub", &[&all, &key_age], &[]);
        let exists = self.node("Clip", &[&exists, &low, &high], &[]);
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
}

/// Slots of a ring that keeps `past` steps and those of any run: none is written that a query of the same run still sees.
fn ring_len(past: usize, steps: usize) -> usize {
    past + BlockSpec::USUAL_FRAMES * steps
}

/// The weights, each row times its factor.
fn scale_rows(weight: &Tensor, factors: &[f32]) -> Tensor {
    let rows = weight.values.chunks_exact(weight.shape[1]).zip(factors);
    let values = rows.flat_map(|(row, factor)| row.iter().map(move |w| w * factor)).collect();
    Tensor { shape: weight.shape.clone(), values }
}

/// The rows of one after those of the other.
fn stack_rows(weights: [&Tensor; 3]) -> Tensor {
    let rows = weights.iter().map(|w| w.shape[0]).sum();
    let values = weights.iter().flat_map(|w| w.values.iter().copied()).collect();
    Tensor { shape: vec![rows, weights[0].shape[1]], values }
}
