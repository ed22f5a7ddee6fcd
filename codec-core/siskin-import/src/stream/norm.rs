use siskin_graph::onnx::{Attribute, Value};

use super::{Signal, StreamGraph};
use crate::checkpoint::Tensor;

/// Normalization over groups of channels and over time. The published networks take mean and variance of all of a file, or of
/// a segment when they are trained; here they are those of the last `frames` frames, the one that is normalized among them.
#[derive(Debug, Clone)]
pub(crate) struct GroupNorm {
    pub(crate) groups: usize,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    /// Added to the variance.
    pub(crate) epsilon: f32,
    pub(crate) frames: usize,
}

impl StreamGraph {
    /// Normalizes the channels of each sample, then takes them times `weight` plus `bias`.
    pub(crate) fn channel_norm(&mut self, x: &Signal, norm: &[Tensor; 2], epsilon: f32) -> Signal {
        let turned = self.transpose(&x.value, &[0, 2, 1]);
        let normed = self.layer_norm(&turned, norm, epsilon);
        // What was zero is the bias now.
        Signal { value: self.transpose(&normed, &[0, 2, 1]), has_lead: x.lag > 0, ..x.clone() }
    }

    /// The channels of each sample as a vector of the length `length`.
    pub(crate) fn unit_norm(&mut self, x: &Signal, length: f32) -> Signal {
        // PyTorch's bound below the length that `normalize` divides by.
        const MIN_LENGTH: f32 = 1e-12;
        let square = self.node("Mul", &[&x.value, &x.value], &[]);
        let sum = self.sum(&square, &[1]);
        let root = self.node("Sqrt", &[&sum], &[]);
        let least = self.writer.add_floats(&[1], &[MIN_LENGTH]);
        let root = self.node("Max", &[&root, &least], &[]);
        let value = self.node("Div", &[&x.value, &root], &[]);
        let length = self.writer.add_floats(&[1], &[length]);
        Signal { value: self.node("Mul", &[&value, &length], &[]), ..x.clone() }
    }

    /// The sum along axes, each of which stays with one value.
    fn sum(&mut self, x: &Value, axes: &[i64]) -> Value {
        let axes = self.writer.add_integers(axes);
        self.node("ReduceSum", &[x, &axes], &[Attribute::Int("keepdims", 1)])
    }

    pub(crate) fn group_norm(&mut self, x: &Signal, norm: &GroupNorm) -> Signal {
        // Frames of the whole, whose sums later runs can take as they are.
        let x = self.align(x);
        let x = self.cut_ends(&x);
        let (groups, per_group) = (norm.groups, x.channels / norm.groups);
        // [group][channel][frame][sample], and of each group and frame one number.
        let grouped = self.reshape_to(&x.value, &[Some(groups), Some(per_group), None, Some(x.frame)]);
        let square = self.node("Mul", &[&grouped, &grouped], &[]);
        let (sums, squares) = (self.sum(&grouped, &[1, 3]), self.sum(&square, &[1, 3]));
        // Before its start and after its end the whole has no samples that would count.
        let mask = self.mask(x.frame, x.lag);
        let mask = self.reshape_to(&mask, &[Some(1), Some(1), None, Some(x.frame)]);
        let samples = self.sum(&mask, &[3]);
        let per_sample = self.writer.add_floats(&[1], &[per_group as f32]);
        let count = self.node("Mul", &[&samples, &per_sample], &[]);
        let rows = 2 * groups + 1;
        let stats = self.node("Concat", &[&sums, &squares, &count], &[Attribute::Int("axis", 0)]);
        let total = self.sum_over_frames(&stats, rows, norm.frames);
        let part = |g: &mut Self, from, to| g.slice(&total, 0, from, to);
        let (sums, squares) = (part(self, 0, groups), part(self, groups, 2 * groups));
        let count = part(self, 2 * groups, rows);
        let (zero, one) = (self.writer.add_floats(&[1], &[0.0]), self.writer.add_floats(&[1], &[1.0]));
        let count = self.node("Max", &[&count, &one], &[]);
        let mean = self.node("Div", &[&sums, &count], &[]);
        let mean_square = self.node("Div", &[&squares, &count], &[]);
        let square_mean = self.node("Mul", &[&mean, &mean], &[]);
        let variance = self.node("Sub", &[&mean_square, &square_mean], &[]);
        // Rounding may leave a constant signal with less than nothing.
        let variance = self.node("Max", &[&variance, &zero], &[]);
        let epsilon = self.writer.add_floats(&[1], &[norm.epsilon]);
        let variance = self.node("Add", &[&variance, &epsilon], &[]);
        let deviation = self.node("Sqrt", &[&variance], &[]);
        let centred = self.node("Sub", &[&grouped, &mean], &[]);
        let normed = self.node("Div", &[&centred, &deviation], &[]);
        let normed = self.reshape_to(&normed, &[Some(1), Some(x.channels), None]);
        let shape = [1, x.channels, 1];
        let weight = self.writer.add_floats(&shape, &norm.weight.values);
        let bias = self.writer.add_floats(&shape, &norm.bias.values);
        let scaled = self.node("Mul", &[&normed, &weight], &[]);
        Signal { value: self.node("Add", &[&scaled, &bias], &[]), has_lead: x.lag > 0, ..x }
    }

    /// For each frame of `x`, `[rows, 1, frames, 1]`, the sum over the last `frames` frames.
    fn sum_over_frames(&mut self, x: &Value, rows: usize, frames: usize) -> Value {
        let past = frames - 1;
        if past == 0 {
            return x.clone();
        }
        let shape = [rows, 1, past];
        let now = self.reshape_to(x, &[Some(rows), Some(1), None]);
        let (number, state) = self.open_state(&shape);
        let state = state.unwrap_or_else(|| self.writer.add_floats(&shape, &vec![0.0; rows * past]));
        let all = self.node("Concat", &[&state, &now], &[Attribute::Int("axis", 2)]);
        let next = self.end_of(&all, 2, past);
        self.close_state(number, &next);
        let ones = self.writer.add_floats(&[1, 1, frames], &vec![1.0; frames]);
        let sums = self.node("Conv", &[&all, &ones], &[Attribute::Ints("kernel_shape", vec![frames as i64])]);
        self.reshape_to(&sums, &[Some(rows), Some(1), None, Some(1)])
    }
}
