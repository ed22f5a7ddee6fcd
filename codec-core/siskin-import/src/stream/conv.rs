use siskin_graph::onnx::{Attribute, Value, Writer};

use super::{Signal, Start, StreamGraph};
use crate::checkpoint::Tensor;

/// What a layer sees before the start of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Zeros.
    Zero,
    /// The first sample, held.
    Replicate,
    /// The samples after the first, mirrored at it. Only a graph that [starts with padding](Start::Padding) can look so far
    /// ahead; one that starts from states takes zeros.
    Reflect,
}

/// A convolution: weights `[out, in / groups, taps]`.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) groups: usize,
    /// Samples that the published network pads on the left.
    pub(crate) left: usize,
    pub(crate) padding: Padding,
}

impl Conv {
    /// Samples that one output sees.
    fn span(&self) -> usize {
        (self.weight.shape[2] - 1) * self.dilation + 1
    }
}

/// A transposed convolution: weights `[in, out / groups, taps]`.
#[derive(Debug, Clone)]
pub(crate) struct Transposed {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) stride: usize,
    pub(crate) groups: usize,
    /// Samples that the published network cuts off on the left.
    pub(crate) cut: usize,
}

impl StreamGraph {
    pub(crate) fn conv(&mut self, x: &Signal, conv: &Conv) -> Signal {
        let (span, stride) = (conv.span(), conv.stride);
        // So many samples of the frames before are seen by the first output of a frame.
        let carry = span - stride;
        // A layer that pads more than it looks back has its outputs before the frame is full: they wait for the frame.
        let x = self.delay(x, conv.left.saturating_sub(carry + x.lag));
        // The output lies on the grid of the published one if its lag is a whole number of strides.
        let short = (carry + x.lag - conv.left) % stride;
        let x = self.delay(&x, (stride - short) % stride);
        let lag = (carry + x.lag - conv.left) / stride;
        let x = self.cut_ends(&x);
        let joined = self.prepend(&x, carry, conv);
        let value = self.convolve(&joined, conv);
        let (channels, frame) = (conv.weight.shape[0], x.frame / stride);
        Signal { value, channels, frame, lag, has_lead: lag > 0 }
    }

    fn convolve(&mut self, x: &Value, conv: &Conv) -> Value {
        let weight = self.constant(&conv.weight);
        let bias = conv.bias.as_ref().map_or_else(Writer::no_value, |b| self.constant(b));
        let attributes = [
            Attribute::Ints("kernel_shape", vec![conv.weight.shape[2] as i64]),
            Attribute::Ints("strides", vec![conv.stride as i64]),
            Attribute::Ints("dilations", vec![conv.dilation as i64]),
            Attribute::Int("group", conv.groups as i64),
        ];
        // ONNX counts inputs, so one that is left out at the end is not named.
        let inputs = [x, &weight, &bias];
        self.node("Conv", &inputs[..if conv.bias.is_some() { 3 } else { 2 }], &attributes)
    }

    /// The frame behind the last `carry` samples before it.
    fn prepend(&mut self, x: &Signal, carry: usize, conv: &Conv) -> Value {
        if carry == 0 {
            return x.value.clone();
        }
        let padding = conv.padding;
        let (number, state) = self.open_state(&[1, x.channels, carry]);
        let joined = match state {
            Some(state) => {
                let state =
                    if padding == Padding::Replicate { self.hold_first(x, &state, carry) } else { state };
                self.node("Concat", &[&state, &x.value], &[Attribute::Int("axis", 2)])
            }
            None => {
                let mode = match padding {
                    Padding::Zero => "constant",
                    Padding::Replicate => "edge",
                    Padding::Reflect => "reflect",
                };
                // Less than what the layer looks back on where it looks ahead as well.
                let pads = self.writer.add_integers(&[0, 0, conv.left as i64, 0, 0, 0]);
                self.node("Pad", &[&x.value, &pads], &[Attribute::Text("mode", mode)])
            }
        };
        let next = self.end_of(&joined, 2, carry);
        self.close_state(number, &next);
        joined
    }

    /// The state, or in the first run the first sample in its place.
    fn hold_first(&mut self, x: &Signal, state: &Value, carry: usize) -> Value {
        debug_assert_eq!(self.start, Start::States);
        let age = self.age();
        let one = self.writer.add_floats(&[1], &[1.0]);
        let is_first = self.node("Less", &[&age, &one], &[]);
        let first = self.slice(&x.value, 2, 0, 1);
        let shape = self.writer.add_integers(&[1, x.channels as i64, carry as i64]);
        let held = self.node("Expand", &[&first, &shape], &[]);
        self.node("Where", &[&is_first, &held, state], &[])
    }

    pub(crate) fn conv_transpose(&mut self, x: &Signal, conv: &Transposed) -> Signal {
        let (taps, stride) = (conv.weight.shape[2], conv.stride);
        let channels = conv.weight.shape[1] * conv.groups;
        let x = self.cut_ends(x);
        let (frame, tail) = (x.frame * stride, taps - stride);
        let weight = self.constant(&conv.weight);
        let attributes = [
            Attribute::Ints("kernel_shape", vec![taps as i64]),
            Attribute::Ints("strides", vec![stride as i64]),
            Attribute::Int("group", conv.groups as i64),
        ];
        // Without the bias, which the samples that two frames share would get twice.
        let mut value = self.node("ConvTranspose", &[&x.value, &weight], &attributes);
        if tail > 0 {
            let (number, state) = self.open_state(&[1, channels, tail]);
            if let Some(state) = state {
                // A frame's samples are at least as many as those that it shares with the one before.
                let (head, rest) = (self.slice(&value, 2, 0, tail), self.from(&value, 2, tail));
                let head = self.node("Add", &[&head, &state], &[]);
                value = self.node("Concat", &[&head, &rest], &[Attribute::Int("axis", 2)]);
            }
            let (head, next) = self.split_end(&value, 2, tail);
            self.close_state(number, &next);
            value = head;
        }
        if self.start == Start::Padding && conv.cut > 0 {
            // What is cut off comes before the start.
            value = self.from(&value, 2, conv.cut);
        }
        if let Some(bias) = &conv.bias {
            let bias = self.writer.add_floats(&[1, channels, 1], &bias.values);
            value = self.node("Add", &[&value, &bias], &[]);
        }
        let lag = x.lag * stride + conv.cut;
        Signal { value, channels, frame, lag, has_lead: lag > 0 }
    }
}
