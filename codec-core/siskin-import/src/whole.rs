//! Networks written as graphs that take a signal of any length at once, where a stream of frames is no way to run them:
//! normalizations over all of the signal.

use siskin_graph::onnx::{Attribute, Value, Writer};
use siskin_model::bundle::GraphSpec;

use crate::bundle::Network;
use crate::checkpoint::Tensor;
use crate::stream::Lstm;

/// A signal `[1, channels, length]`.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    value: Value,
    channels: usize,
}

/// A normalization over time and channels together, with a factor and a term for each channel.
#[derive(Debug, Clone)]
pub(crate) struct TimeNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

/// PyTorch's default.
const EPSILON: f32 = 1e-5;

/// A convolution `[out, in, taps]` that pads as many samples as its taps are more than its stride, half of them on each side and
/// mirrored, and at the end as many more as fill the last stride.
#[derive(Debug, Clone)]
pub(crate) struct WholeConv {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) stride: usize,
    pub(crate) norm: TimeNorm,
}

/// A transposed convolution `[in, out, taps]` that cuts off as much again.
#[derive(Debug, Clone)]
pub(crate) struct WholeTransposed {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) stride: usize,
    pub(crate) norm: TimeNorm,
}

/// A graph that is being written.
pub(crate) struct WholeGraph {
    writer: Writer,
    input: String,
}

impl WholeGraph {
    pub(crate) fn new(name: &str) -> Self {
        Self { writer: Writer::new(name), input: String::new() }
    }

    /// The main input.
    pub(crate) fn input(&mut self, name: &str, channels: usize) -> Whole {
        self.input = name.into();
        Whole { value: self.writer.add_named_input(name, &[1, channels], "input_samples"), channels }
    }

    /// Ends the graph with its main output; gives the file and what the manifest says about it.
    pub(crate) fn finish(mut self, name: &str, output: &Whole, file: &str) -> Network {
        self.writer.set_named_output(name, &[1, output.channels], "output_samples", &output.value);
        let (input, output) = (self.input, name.into());
        let spec = GraphSpec { file: file.into(), input, output, states: Vec::new(), blocks: None };
        (self.writer.to_bytes(), spec)
    }

    fn node(&mut self, op: &str, inputs: &[&Value], attributes: &[Attribute<'_>]) -> Value {
        self.writer.add_node(op, inputs, attributes)
    }

    fn integer(&mut self, value: i64) -> Value {
        self.writer.add_integers(&[value])
    }

    /// The part of `x` from `from` to `to` in time.
    fn slice(&mut self, x: &Value, from: &Value, to: &Value) -> Value {
        let axis = self.integer(2);
        self.node("Slice", &[x, from, to, &axis], &[])
    }

    /// `x` with so many samples more in time, at the start and at the end.
    fn pad(&mut self, x: &Value, left: i64, right: &Value, mode: &str) -> Value {
        let left = self.writer.add_integers(&[0, 0, left, 0, 0]);
        let pads = self.node("Concat", &[&left, right], &[Attribute::Int("axis", 0)]);
        self.node("Pad", &[x, &pads], &[Attribute::Text("mode", mode)])
    }

    pub(crate) fn conv(&mut self, x: &Whole, conv: &WholeConv) -> Whole {
        let (taps, stride) = (conv.weight.shape[2], conv.stride);
        let padded = self.mirror(&x.value, taps, stride);
        let weight = self.writer.add_floats(&conv.weight.shape, &conv.weight.values);
        let bias = self.writer.add_floats(&conv.bias.shape, &conv.bias.values);
        let attributes = [
            Attribute::Ints("kernel_shape", vec![taps as i64]),
            Attribute::Ints("strides", vec![stride as i64]),
        ];
        let value = self.node("Conv", &[&padded, &weight, &bias], &attributes);
        self.time_norm(&Whole { value, channels: conv.weight.shape[0] }, &conv.norm)
    }

    /// Pads a layer's input as the published layers do.
    fn mirror(&mut self, x: &Value, taps: usize, stride: usize) -> Value {
        let total = (taps - stride) as i64;
        if total == 0 && stride == 1 {
            return x.clone();
        }
        let (right, left) = (total / 2, total - total / 2);
        let length = self.node("Shape", &[x], &[Attribute::Int("start", 2)]);
        let right = self.integer(right);
        let right = if stride == 1 {
            right
        } else {
            // As far as the last output reaches beyond the end.
            let (stride, most) = (self.integer(stride as i64), self.integer(stride as i64 - 1));
            let filled = self.node("Add", &[&length, &most], &[]);
            let filled = self.node("Div", &[&filled, &stride], &[]);
            let filled = self.node("Mul", &[&filled, &stride], &[]);
            let extra = self.node("Sub", &[&filled, &length], &[]);
            self.node("Add", &[&extra, &right], &[])
        };
        // A signal that is too short to be mirrored is filled up with zeros first, which are cut off afterwards.
        let (zero, one, least) = (self.integer(0), self.integer(1), self.integer(left));
        let needed = self.node("Max", &[&right, &least], &[]);
        let needed = self.node("Add", &[&needed, &one], &[]);
        let missing = self.node("Sub", &[&needed, &length], &[]);
        let missing = self.node("Max", &[&missing, &zero], &[]);
        let filled = self.pad(x, 0, &missing, "constant");
        let padded = self.pad(&filled, left, &right, "reflect");
        let end = self.node("Add", &[&length, &right], &[]);
        let end = self.node("Add", &[&end, &least], &[]);
        self.slice(&padded, &zero, &end)
    }

    pub(crate) fn conv_transpose(&mut self, x: &Whole, conv: &WholeTransposed) -> Whole {
        let (taps, stride) = (conv.weight.shape[2], conv.stride);
        let weight = self.writer.add_floats(&conv.weight.shape, &conv.weight.values);
        let bias = self.writer.add_floats(&conv.bias.shape, &conv.bias.values);
        let attributes = [
            Attribute::Ints("kernel_shape", vec![taps as i64]),
            Attribute::Ints("strides", vec![stride as i64]),
        ];
        let value = self.node("ConvTranspose", &[&x.value, &weight, &bias], &attributes);
        // Before the ends are cut off, which count in the mean.
        let y = self.time_norm(&Whole { value, channels: conv.weight.shape[1] }, &conv.norm);
        let total = (taps - stride) as i64;
        let (right, left) = (total / 2, total - total / 2);
        let (from, to) = (self.integer(left), self.integer(if right == 0 { i64::MAX } else { -right }));
        Whole { value: self.slice(&y.value, &from, &to), ..y }
    }

    fn time_norm(&mut self, x: &Whole, norm: &TimeNorm) -> Whole {
        let flat = self.writer.add_integers(&[1, 1, -1]);
        let flat = self.node("Reshape", &[&x.value, &flat], &[]);
        let (one, zero) = (self.writer.add_floats(&[1], &[1.0]), self.writer.add_floats(&[1], &[0.0]));
        let epsilon = [Attribute::Float("epsilon", EPSILON)];
        let normed = self.node("InstanceNormalization", &[&flat, &one, &zero], &epsilon);
        let shape = self.writer.add_integers(&[1, x.channels as i64, -1]);
        let normed = self.node("Reshape", &[&normed, &shape], &[]);
        let shape = [1, x.channels, 1];
        let weight = self.writer.add_floats(&shape, &norm.weight.values);
        let bias = self.writer.add_floats(&shape, &norm.bias.values);
        let scaled = self.node("Mul", &[&normed, &weight], &[]);
        Whole { value: self.node("Add", &[&scaled, &bias], &[]), channels: x.channels }
    }

    pub(crate) fn elu(&mut self, x: &Whole) -> Whole {
        Whole { value: self.node("Elu", &[&x.value], &[]), ..x.clone() }
    }

    pub(crate) fn add(&mut self, a: &Whole, b: &Whole) -> Whole {
        Whole { value: self.node("Add", &[&a.value, &b.value], &[]), ..a.clone() }
    }

    /// Layers of long short-term memory, one after another, over all of the signal.
    pub(crate) fn lstm(&mut self, x: &Whole, layers: &[Lstm]) -> Whole {
        // ONNX has time first.
        let mut steps = self.node("Transpose", &[&x.value], &[Attribute::Ints("perm", vec![2, 0, 1])]);
        for layer in layers {
            let units = layer.units();
            let [w, r, b] = layer.constants(&mut self.writer);
            let hidden = [Attribute::Int("hidden_size", units as i64)];
            let [y] = self.writer.add_node_with("LSTM", &[&steps, &w, &r, &b], &hidden);
            // [time, direction, batch, units]: one direction.
            let shape = self.writer.add_integers(&[-1, 1, units as i64]);
            steps = self.node("Reshape", &[&y, &shape], &[]);
        }
        Whole {
            value: self.node("Transpose", &[&steps], &[Attribute::Ints("perm", vec![1, 2, 0])]),
            ..x.clone()
        }
    }
}
