//! Networks written as graphs that run one frame at a time.
//!
//! Every layer that looks back carries what it needs as a state; a layer that looks ahead makes its output late instead, and
//! the other branch of a sum is delayed as much. So the graph computes what the whole network computes on the whole signal,
//! with each product once.

mod attention;
mod conv;
mod noise;
mod norm;
mod recurrent;
mod shape;
mod spectrum;
#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests;
mod window;

pub(crate) use attention::{Attention, Block};
pub(crate) use conv::{Conv, Padding, Transposed};
pub(crate) use norm::GroupNorm;
pub(crate) use recurrent::Lstm;
pub(crate) use spectrum::Synthesis;
pub(crate) use window::Window;

use std::collections::BTreeMap;

use siskin_graph::onnx::{Attribute, Value, Writer};
use siskin_model::bundle::{BlockSpec, GraphSpec, StateSpec};

use crate::checkpoint::Tensor;

/// A signal `[1, channels, frame]` of which each run sees one frame.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    value: Value,
    pub(crate) channels: usize,
    /// Samples in a frame, at this signal's rate.
    pub(crate) frame: usize,
    /// Samples by which the signal comes late: sample `i` of run `t` is sample `t * frame + i - lag` of the whole. In a run that
    /// begins with padding so many are missing at its end instead, and it begins with the first of the whole.
    pub(crate) lag: usize,
    /// Whether what lies before the start of the whole may be other than zero.
    has_lead: bool,
}

/// What a run begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The states of the run before.
    States,
    /// Nothing: the run is the first, and its layers pad as the published network does at the start of a file. Its states are
    /// outputs only.
    Padding,
}

/// A graph that is being written.
pub(crate) struct StreamGraph {
    writer: Writer,
    start: Start,
    states: Vec<StateSpec>,
    /// Frames since the reset, in the graph's arithmetic.
    age: Option<Value>,
    /// One more than the frames since the end of the whole, likewise; 0 before it.
    beyond: Option<Value>,
    /// Masks by frame and lag.
    masks: BTreeMap<(usize, usize), Value>,
    /// The number of frames of this run, if runs differ in it; else a run has one, or those of the opening.
    count: Option<Value>,
    opening: usize,
    /// The main input's name and the samples of its frame.
    input: (String, usize),
}

/// Names of the dimensions that follow from the number of frames in a run.
const INPUT_SAMPLES: &str = "input_samples";
const OUTPUT_SAMPLES: &str = "output_samples";
/// ONNX's numbers of types.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// The state that says whether a stream has ended: the host sets it to 1 before the first frame beyond the end.
const END_STATE: &str = "end";

/// Runs after which a graph counts no further: no layer's lead is as long, and floats count so far exactly.
const MAX_AGE: f32 = 65_536.0;

impl StreamGraph {
    pub(crate) fn new(name: &str, start: Start) -> Self {
        let writer = Writer::new(name);
        Self {
            writer,
            start,
            states: Vec::new(),
            age: None,
            beyond: None,
            masks: BTreeMap::new(),
            count: None,
            opening: 1,
            input: (String::new(), 0),
        }
    }

    /// One whose only run takes the first `frames` frames, and begins with padding.
    pub(crate) fn opening(name: &str, frames: usize) -> Self {
        Self { opening: frames, ..Self::new(name, Start::Padding) }
    }

    /// The main input.
    pub(crate) fn input(&mut self, name: &str, channels: usize, frame: usize) -> Signal {
        self.input = (name.into(), frame);
        let value = self.writer.add_input(name, &[1, channels, frame]);
        Signal { value, channels, frame, lag: 0, has_lead: false }
    }

    /// The main input of a graph that takes any whole number of frames in a run.
    pub(crate) fn block_input(&mut self, name: &str, channels: usize, frame: usize) -> Signal {
        self.input = (name.into(), frame);
        let value = self.writer.add_named_input(name, &[1, channels], INPUT_SAMPLES);
        let shape = self.node("Shape", &[&value], &[Attribute::Int("start", 2)]);
        let samples = self.node("Cast", &[&shape], &[Attribute::Int("to", FLOAT)]);
        let per_frame = self.writer.add_floats(&[1], &[frame as f32]);
        self.count = Some(self.node("Div", &[&samples, &per_frame], &[]));
        Signal { value, channels, frame, lag: 0, has_lead: false }
    }

    /// Ends the graph with its main output; gives the file and what the manifest says about it.
    pub(crate) fn finish(mut self, name: &str, output: &Signal, file: &str) -> (Vec<u8>, GraphSpec) {
        let blocks = self.count.is_some().then_some(BlockSpec {
            input: self.input.1,
            output: output.frame,
            max_frames: BlockSpec::USUAL_FRAMES,
        });
        match blocks {
            Some(_) => {
                self.writer.set_named_output(name, &[1, output.channels], OUTPUT_SAMPLES, &output.value);
            }
            None => {
                let missing = if self.start == Start::Padding { output.lag } else { 0 };
                self.writer.set_output(name, &[1, output.channels, output.frame - missing], &output.value);
            }
        }
        let (input, output, states) = (self.input.0, name.into(), self.states);
        let spec = GraphSpec { file: file.into(), input, output, states, blocks };
        (self.writer.to_bytes(), spec)
    }

    /// Frames of this run, `[1]`.
    fn count(&mut self) -> Value {
        match &self.count {
            Some(count) => count.clone(),
            None => self.writer.add_floats(&[1], &[self.opening as f32]),
        }
    }

    /// The numbers from `first` on, `per_frame` for each frame of this run and `more`: `[count]`.
    fn places(&mut self, first: f32, per_frame: usize, more: usize) -> Value {
        let Some(count) = self.count.clone() else {
            let places: Vec<f32> = (0..per_frame + more).map(|i| first + i as f32).collect();
            return self.writer.add_floats(&[per_frame + more], &places);
        };
        let per_frame = self.writer.add_floats(&[1], &[per_frame as f32]);
        let end = self.writer.add_floats(&[1], &[first + more as f32]);
        let samples = self.node("Mul", &[&count, &per_frame], &[]);
        let end = self.node("Add", &[&samples, &end], &[]);
        let end = self.node("Squeeze", &[&end], &[]);
        let (first, step) = (self.writer.add_floats(&[], &[first]), self.writer.add_floats(&[], &[1.0]));
        self.node("Range", &[&first, &end, &step], &[])
    }

    fn constant(&mut self, tensor: &Tensor) -> Value {
        self.writer.add_floats(&tensor.shape, &tensor.values)
    }

    fn node(&mut self, op: &str, inputs: &[&Value], attributes: &[Attribute<'_>]) -> Value {
        self.writer.add_node(op, inputs, attributes)
    }

    /// The state of a layer as this run finds it; none where a run begins with padding.
    fn open_state(&mut self, shape: &[usize]) -> (usize, Option<Value>) {
        let number = self.states.len();
        let (name, output) = (format!("s{number}"), format!("s{number}_next"));
        let value = (self.start == Start::States).then(|| self.writer.add_input(&name, shape));
        self.states.push(StateSpec { name, output, shape: shape.to_vec(), in_place: false });
        (number, value)
    }

    fn close_state(&mut self, number: usize, next: &Value) {
        let StateSpec { output, shape, .. } = self.states[number].clone();
        self.writer.set_output(&output, &shape, next);
    }

    /// Makes the next state of a layer what `op` makes of `inputs`, the first of which is the state, which nothing else reads: so
    /// it may be written where it is read.
    fn replace_state(&mut self, number: usize, op: &str, inputs: &[&Value]) -> Value {
        let state = &mut self.states[number];
        state.in_place = self.start == Start::States;
        self.writer.add_output_node(&state.output, &state.shape, op, inputs)
    }

    /// The number of frames before this run, `[1]`.
    fn age(&mut self) -> Value {
        if let Some(age) = &self.age {
            return age.clone();
        }
        let (number, found) = self.open_state(&[1]);
        let (zero, count) = (self.writer.add_floats(&[1], &[0.0]), self.count());
        let age = found.unwrap_or(zero);
        let next = self.node("Add", &[&age, &count], &[]);
        let most = self.writer.add_floats(&[1], &[MAX_AGE]);
        let next = self.node("Min", &[&next, &most], &[]);
        self.close_state(number, &next);
        self.age = Some(age.clone());
        age
    }

    /// One more than the frames since the end of the whole: 0 until the host sets the state [`END_STATE`] to 1.
    fn beyond(&mut self) -> Value {
        if let Some(beyond) = &self.beyond {
            return beyond.clone();
        }
        let number = self.states.len();
        let (name, output) = (END_STATE.to_owned(), format!("{END_STATE}_next"));
        let beyond = match self.start {
            Start::States => self.writer.add_input(&name, &[1]),
            Start::Padding => self.writer.add_floats(&[1], &[0.0]),
        };
        self.states.push(StateSpec { name, output, shape: vec![1], in_place: false });
        let one = self.writer.add_floats(&[1], &[1.0]);
        let is_over = self.node("Min", &[&beyond, &one], &[]);
        let count = self.count();
        let passed = self.node("Mul", &[&is_over, &count], &[]);
        let next = self.node("Add", &[&beyond, &passed], &[]);
        self.close_state(number, &next);
        self.beyond = Some(beyond.clone());
        beyond
    }

    /// 1 for the samples of the whole, 0 before its start and after its end.
    fn mask(&mut self, frame: usize, lag: usize) -> Value {
        if let Some(mask) = self.masks.get(&(frame, lag)) {
            return mask.clone();
        }
        let (age, beyond) = (self.age(), self.beyond());
        let (low, high) = (self.writer.add_floats(&[], &[0.0]), self.writer.add_floats(&[], &[1.0]));
        let length = self.writer.add_floats(&[1], &[frame as f32]);
        // Sample `i` is `age * frame + i - lag` of the whole: 1 from 0 on.
        let samples = self.node("Mul", &[&age, &length], &[]);
        let places = self.places(1.0 - lag as f32, frame, 0);
        let places = self.node("Add", &[&places, &samples], &[]);
        let begun = self.node("Clip", &[&places, &low, &high], &[]);
        // In the first run beyond the end it is `i - lag` from the end: 1 below 0. Before that all are, since MAX_AGE is added.
        let one = self.writer.add_floats(&[1], &[1.0]);
        let (is_over, runs) =
            (self.node("Min", &[&beyond, &one], &[]), self.node("Sub", &[&beyond, &one], &[]));
        let passed = self.node("Mul", &[&runs, &length], &[]);
        let far = self.writer.add_floats(&[1], &[MAX_AGE]);
        let not_over = self.node("Sub", &[&one, &is_over], &[]);
        let spare = self.node("Mul", &[&not_over, &far], &[]);
        let places = self.places(-(lag as f32), frame, 0);
        let places = self.node("Neg", &[&places], &[]);
        let places = self.node("Sub", &[&places, &passed], &[]);
        let places = self.node("Add", &[&places, &spare], &[]);
        let goes_on = self.node("Clip", &[&places, &low, &high], &[]);
        let mask = self.node("Mul", &[&begun, &goes_on], &[]);
        self.masks.insert((frame, lag), mask.clone());
        mask
    }

    /// Sets what lies before the start and after the end of the whole to zero, as the published network's padding does.
    fn cut_ends(&mut self, x: &Signal) -> Signal {
        if !x.has_lead || x.lag == 0 {
            return x.clone();
        }
        if self.start == Start::Padding {
            // There is nothing before the start; the states are there for the graph that goes on.
            self.age();
            self.beyond();
            return Signal { has_lead: false, ..x.clone() };
        }
        let mask = self.mask(x.frame, x.lag);
        Signal { value: self.node("Mul", &[&x.value, &mask], &[]), has_lead: false, ..x.clone() }
    }

    /// The signal `samples` samples later.
    pub(crate) fn delay(&mut self, x: &Signal, samples: usize) -> Signal {
        if samples == 0 {
            return x.clone();
        }
        let (number, state) = self.open_state(&[1, x.channels, samples]);
        // In a run that begins with padding the last samples are left for the next run.
        let joined = match state {
            Some(state) => self.node("Concat", &[&state, &x.value], &[Attribute::Int("axis", 2)]),
            None => x.value.clone(),
        };
        let (value, next) = self.split_end(&joined, 2, samples);
        self.close_state(number, &next);
        Signal { value, lag: x.lag + samples, ..x.clone() }
    }

    /// The sum of two branches, the earlier one delayed.
    pub(crate) fn add(&mut self, a: &Signal, b: &Signal) -> Signal {
        let lag = a.lag.max(b.lag);
        let (a, b) = (self.delay(a, lag - a.lag), self.delay(b, lag - b.lag));
        let value = self.node("Add", &[&a.value, &b.value], &[]);
        Signal { value, has_lead: a.has_lead || b.has_lead, ..a }
    }

    fn map(&mut self, x: &Signal, op: &str, attributes: &[Attribute<'_>]) -> Signal {
        Signal { value: self.node(op, &[&x.value], attributes), ..x.clone() }
    }

    pub(crate) fn elu(&mut self, x: &Signal) -> Signal {
        self.map(x, "Elu", &[])
    }

    pub(crate) fn tanh(&mut self, x: &Signal) -> Signal {
        self.map(x, "Tanh", &[])
    }

    pub(crate) fn gelu(&mut self, x: &Signal) -> Signal {
        self.map(x, "Gelu", &[])
    }

    pub(crate) fn leaky_relu(&mut self, x: &Signal, slope: f32) -> Signal {
        self.map(x, "LeakyRelu", &[Attribute::Float("alpha", slope)])
    }

    /// `x` times a factor of its own for each channel.
    pub(crate) fn scale(&mut self, x: &Signal, factors: &[f32]) -> Signal {
        let factors = self.writer.add_floats(&[1, x.channels, 1], factors);
        Signal { value: self.node("Mul", &[&x.value, &factors], &[]), ..x.clone() }
    }

    /// `x + sin(a x)^2 / (a + 1e-9)` with one `a` for each channel: the activation of DAC (arXiv 2306.06546, section 3.1).
    pub(crate) fn snake(&mut self, x: &Signal, alpha: &Tensor) -> Signal {
        let shape = [1, x.channels, 1];
        let by = self.writer.add_floats(&shape, &alpha.values);
        let inverse: Vec<f32> = alpha.values.iter().map(|a| 1.0 / (a + 1e-9)).collect();
        let inverse = self.writer.add_floats(&shape, &inverse);
        let angle = self.node("Mul", &[&x.value, &by], &[]);
        let sine = self.node("Sin", &[&angle], &[]);
        let square = self.node("Mul", &[&sine, &sine], &[]);
        let scaled = self.node("Mul", &[&square, &inverse], &[]);
        Signal { value: self.node("Add", &[&x.value, &scaled], &[]), ..x.clone() }
    }
}
