//! Convolutions of numbers and of integers, as products of matrices: a frame has 20 samples at the most, and 2 where the layers
//! are widest, for which ONNX Runtime's `Conv` takes four times as long (16 and 4 µs for 256 channels of 2 samples).

use siskin_graph::onnx::{Attribute, Value};

use super::{Form, Held, Translation};
use crate::checkpoint::Tensor;
use crate::checkpoint::tflite::Element;

/// A layer's weights, and how its sums become the output.
pub(super) struct Layer {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    /// For integers: what one unit of a sum stands for, one factor or one for each output.
    pub(super) factors: Option<Vec<f32>>,
}

impl Layer {
    /// The weights of a transposed layer: `[out][tap][in]` there, `[in][tap][out]` here.
    pub(super) fn turn_transposed(&self) -> Vec<f32> {
        let (outputs, taps, inputs) = (self.weight.shape[0], self.weight.shape[1], self.weight.shape[3]);
        let at = |i: usize| {
            let (c, tap, o) = (i / (taps * outputs), i / outputs % taps, i % outputs);
            self.weight.values[(o * taps + tap) * inputs + c]
        };
        (0..self.weight.values.len()).map(at).collect()
    }
}

/// Largest integer below which 32-bit floats hold all integers.
const MAX_SUM: f32 = 16_777_216.0;

/// Times that a layer moves along its input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moves {
    pub(super) stride: usize,
    pub(super) dilation: usize,
}

impl Translation<'_> {
    /// The weights of a layer in their file's order, whose outputs lie along `axis`, for the input `x`.
    pub(super) fn layer(&self, x: &Held, [weight, bias]: [usize; 2], axis: usize) -> Result<Layer, String> {
        let [w, b] = [weight, bias].map(|t| self.entry(t));
        let (weight, bias) = (self.model.constant(w)?, self.model.constant(b)?);
        let outputs = if weight.shape.len() == 4 { weight.shape[axis] } else { 0 };
        if outputs == 0 || bias.shape != [outputs] {
            return Err(format!("weights {:?} and biases {:?}", weight.shape, bias.shape));
        }
        let Form::Steps(_, from) = x.form else {
            if (w.element, b.element) != (Element::F32, Element::F32) {
                return Err(format!("weights of {:?} and biases of {:?} for numbers", w.element, b.element));
            }
            return Ok(Layer { weight, bias, factors: None });
        };
        let scaled = |q: &&crate::checkpoint::tflite::Quantized| {
            q.zero_point == 0 && (q.scales.len() == 1 || q.scales.len() == outputs)
        };
        let Some(q) = w.quantized.as_ref().filter(scaled) else {
            return Err(format!("weights {}: no scales, or a zero point", w.name));
        };
        if (w.element, b.element) != (Element::I8, Element::I32) {
            return Err(format!("weights of {:?} and biases of {:?} for integers", w.element, b.element));
        }
        // Sums of more would not come out exactly.
        let most = from.range().map(f32::abs).into_iter().fold(0.0, f32::max);
        let mut sums: Vec<f32> = bias.values.iter().map(|b| b.abs()).collect();
        let inner: usize = weight.shape[axis + 1..].iter().product();
        weight.values.iter().enumerate().for_each(|(i, w)| sums[i / inner % outputs] += w.abs() * most);
        if let Some(sum) = sums.iter().find(|&&s| s >= MAX_SUM) {
            return Err(format!("weights {}: sums up to {sum}, allowed: up to {MAX_SUM}", w.name));
        }
        let factors = q.scales.iter().map(|s| s * from.scale).collect();
        Ok(Layer { weight, bias, factors: Some(factors) })
    }

    /// A layer's output `[length, channels]` from its sums.
    fn end_layer(
        &mut self,
        sums: &Value,
        layer: &Layer,
        sides: [usize; 2],
        out: usize,
    ) -> Result<Held, String> {
        let [length, channels] = sides;
        let form = match &layer.factors {
            Some(factors) => {
                let to = self.scale(out)?;
                self.requantize(sums, factors, sides, to)
            }
            None => Form::Real(sums.clone()),
        };
        Ok(Held { form, channels, length })
    }

    /// The values that a layer multiplies: numbers, or integers.
    fn operand(&mut self, x: &Held) -> Value {
        match &x.form {
            Form::Steps(value, _) => value.clone(),
            Form::Real(value) => value.clone(),
        }
    }

    /// Weights `[out, taps, 1, in / groups]`.
    pub(super) fn conv(
        &mut self,
        [x, weight, bias]: [usize; 3],
        moves: Moves,
        out: usize,
    ) -> Result<Held, String> {
        let x = self.signal(x)?;
        let layer = self.layer(&x, [weight, bias], 0)?;
        let [outputs, taps, 1, inputs] = layer.weight.shape[..] else {
            return Err(format!("weights {:?}", layer.weight.shape));
        };
        let groups = x.channels.checked_div(inputs).unwrap_or(0);
        if groups * inputs != x.channels || groups == 0 || !outputs.is_multiple_of(groups) {
            return Err(format!("weights {:?} for {} channels", layer.weight.shape, x.channels));
        }
        let room = taps.checked_sub(1).and_then(|t| x.length.checked_sub(t * moves.dilation + 1));
        let Some(room) = room else { return Err(format!("{taps} taps for {} samples", x.length)) };
        let length = room / moves.stride + 1;
        let rows = self.rows(&x, taps, moves, length);
        let sums = if length == 1 && groups > 1 {
            self.multiply_groups(&rows, &layer, [taps, groups, inputs])
        } else {
            let wide = x.channels;
            // A layer of groups as one that has zeros elsewhere: still faster than a product for each group.
            let mut dense = vec![0.0; taps * wide * outputs];
            for (i, &w) in layer.weight.values.iter().enumerate() {
                let (o, tap, c) = (i / (taps * inputs), i / inputs % taps, i % inputs);
                let group = o / (outputs / groups);
                dense[(tap * wide + group * inputs + c) * outputs + o] = w;
            }
            let weight = self.floats(&[taps * wide, outputs], &dense);
            let bias = self.floats(&[outputs], &layer.bias.values);
            self.node("Gemm", &[&rows, &weight, &bias], &[])
        };
        self.end_layer(&sums, &layer, [length, outputs], out)
    }

    /// What each output sees, a row each: `[length, taps * channels]`.
    fn rows(&mut self, x: &Held, taps: usize, moves: Moves, length: usize) -> Value {
        let (value, channels) = (self.operand(x), x.channels);
        let Moves { stride, dilation } = moves;
        if taps == 1 && stride == 1 {
            return value;
        }
        let is_joined = dilation == 1 || taps == 1;
        if is_joined && length == 1 && x.length == taps {
            return self.reshape(&value, &[1, taps * channels]);
        }
        let seen = (length - 1) * stride + taps;
        let parts: Vec<Value> = if is_joined && taps.is_multiple_of(stride) && x.length == seen {
            // Blocks of a stride: fewer and longer copies.
            let blocks = self.reshape(&value, &[seen / stride, stride * channels]);
            (0..taps / stride).map(|i| self.slice(&blocks, 0, [i, i + length, 1])).collect()
        } else {
            let part = |t: usize| [t * dilation, t * dilation + (length - 1) * stride + 1, stride];
            (0..taps).map(|t| self.slice(&value, 0, part(t))).collect()
        };
        if let [part] = &parts[..] {
            return part.clone();
        }
        self.node("Concat", &parts.iter().collect::<Vec<_>>(), &[Attribute::Int("axis", 1)])
    }

    /// One output of a layer of groups, from `[1, taps * channels]`.
    fn multiply_groups(&mut self, rows: &Value, layer: &Layer, [taps, groups, inputs]: [usize; 3]) -> Value {
        let outputs = layer.weight.shape[0];
        let each = outputs / groups;
        let mut turned = rows.clone();
        if taps > 1 {
            let split = self.reshape(rows, &[taps, groups, inputs]);
            turned = self.node("Transpose", &[&split], &[Attribute::Ints("perm", vec![1, 0, 2])]);
        }
        let turned = self.reshape(&turned, &[groups, 1, taps * inputs]);
        // [out][tap * in] there, [group][tap * in][out] here.
        let seen = taps * inputs;
        let at =
            |i: usize| layer.weight.values[(i / (seen * each) * each + i % each) * seen + i / each % seen];
        let weights: Vec<f32> = (0..outputs * seen).map(at).collect();
        let weights = self.floats(&[groups, seen, each], &weights);
        let product = self.node("MatMul", &[&turned, &weights], &[]);
        let flat = self.reshape(&product, &[1, outputs]);
        let bias = self.floats(&[1, outputs], &layer.bias.values);
        self.node("Add", &[&flat, &bias], &[])
    }

    /// A filter of its own for each channel: weights `[1, taps, 1, channels]`.
    pub(super) fn depthwise(
        &mut self,
        [x, weight, bias]: [usize; 3],
        dilation: usize,
        out: usize,
    ) -> Result<Held, String> {
        let x = self.signal(x)?;
        let layer = self.layer(&x, [weight, bias], 3)?;
        let [1, taps, 1, channels] = layer.weight.shape[..] else {
            return Err(format!("weights {:?}", layer.weight.shape));
        };
        let length = taps.checked_sub(1).and_then(|t| x.length.checked_sub(t * dilation));
        let (Some(length), true) = (length.filter(|&l| l > 0), channels == x.channels) else {
            return Err(format!("{taps} taps and {channels} channels for {:?}", [x.length, x.channels]));
        };
        // A row of each tap, once more for each output: [tap][output][channel].
        let seen: Vec<i64> =
            (0..taps * length).map(|i| (i / length * dilation + i % length) as i64).collect();
        let seen = self.writer.add_integer_tensor(&[taps, length], &seen);
        let rows = layer.weight.values.chunks_exact(channels).map(|row| row.repeat(length));
        let weight = self.floats(&[taps, length, channels], &rows.collect::<Vec<_>>().concat());
        let (value, axis) = (self.operand(&x), self.writer.add_integers(&[0]));
        let parts = self.node("Gather", &[&value, &seen], &[Attribute::Int("axis", 0)]);
        let products = self.node("Mul", &[&parts, &weight], &[]);
        let sum = self.node("ReduceSum", &[&products, &axis], &[Attribute::Int("keepdims", 0)]);
        let sum = self.add_bias(&sum, &layer.bias.values, length);
        self.end_layer(&sum, &layer, [length, channels], out)
    }

    pub(super) fn add_bias(&mut self, x: &Value, bias: &[f32], length: usize) -> Value {
        if bias.iter().all(|&b| b == 0.0) {
            return x.clone();
        }
        let bias = self.spread(bias, length);
        self.node("Add", &[x, &bias], &[])
    }

    /// Weights `[out, taps, 1, in]`.
    pub(super) fn conv_transpose(
        &mut self,
        [x, weight, bias]: [usize; 3],
        stride: usize,
        out: usize,
    ) -> Result<Held, String> {
        let x = self.signal(x)?;
        let layer = self.layer(&x, [weight, bias], 0)?;
        let [outputs, taps, 1, inputs] = layer.weight.shape[..] else {
            return Err(format!("weights {:?}", layer.weight.shape));
        };
        if inputs != x.channels || taps < stride || !taps.is_multiple_of(stride) || x.length == 0 {
            return Err(format!(
                "weights {:?}, stride {stride} for {} channels",
                layer.weight.shape, x.channels
            ));
        }
        let turned = layer.turn_transposed();
        let (value, weight) = (self.operand(&x), self.floats(&[inputs, taps * outputs], &turned));
        let products = self.node("MatMul", &[&value, &weight], &[]);
        let sums = self.overlap(&products, [0, 1], x.length, taps / stride, stride * outputs);
        let length = (x.length - 1) * stride + taps;
        let sums = self.reshape(&sums, &[length, outputs]);
        let sums = self.add_bias(&sums, &layer.bias.values, length);
        self.end_layer(&sums, &layer, [length, outputs], out)
    }

    /// Rows of `count` blocks of `block` values, each row a block behind the one before it, as their sum. `axes` are those of the
    /// rows and of the values, the last two.
    pub(super) fn overlap(
        &mut self,
        rows: &Value,
        axes: [usize; 2],
        length: usize,
        count: usize,
        block: usize,
    ) -> Value {
        if length == 1 || count == 1 {
            return rows.clone();
        }
        let mut sum: Option<Value> = None;
        for i in 0..count {
            let part = self.slice(rows, axes[1] as i64, [i * block, (i + 1) * block, 1]);
            // Before all axes, then behind them.
            let mut pads = vec![0; 2 * (axes[1] + 1)];
            (pads[axes[0]], pads[axes[1] + 1 + axes[0]]) = (i as i64, (count - 1 - i) as i64);
            let pads = self.writer.add_integers(&pads);
            let part = self.node("Pad", &[&part, &pads], &[]);
            sum = Some(match sum {
                Some(sum) => self.node("Add", &[&sum, &part], &[]),
                None => part,
            });
        }
        sum.unwrap_or_else(|| rows.clone())
    }
}
