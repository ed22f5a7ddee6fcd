//! Transposed convolutions of groups. TensorFlow Lite has none, so a graph splits the channels, runs a layer with a variable of
//! its own on each part and joins the results. Here that is one layer again: 16 nodes of a graph in place of 48.

use std::collections::{BTreeMap, BTreeSet};

use siskin_graph::onnx::{Attribute, Value};
use siskin_model::bundle::StateSpec;

use super::layers::Layer;
use super::{Form, Held, Scale, Translation, Variable};
use crate::checkpoint::tflite::{Op, Operator};

/// One part: a transposed convolution, whose end reaches into the next frame.
struct Branch {
    weight: usize,
    bias: usize,
    stride: usize,
    /// The layer's output, and what is subtracted from the part of it that is kept.
    sums: usize,
    kept_bias: usize,
    handle: usize,
    /// The variable's values, and the zeros behind them.
    found: usize,
    zeros: usize,
    /// Samples that are given out, and those that are kept.
    head: [usize; 2],
    tail: [usize; 2],
    joined_by: usize,
    operators: Vec<usize>,
}

/// All parts of a signal, in its order.
pub(super) struct Branches {
    x: usize,
    parts: Vec<Branch>,
    out: usize,
    /// What is computed in one with the splitting.
    pub(super) operators: BTreeSet<usize>,
}

/// Which operators make and take a tensor.
struct Links<'a> {
    made_by: BTreeMap<usize, usize>,
    taken_by: BTreeMap<usize, Vec<usize>>,
    operators: &'a [Operator],
}

impl<'a> Links<'a> {
    fn new(operators: &'a [Operator]) -> Self {
        let (mut made_by, mut taken_by) = (BTreeMap::new(), BTreeMap::<usize, Vec<usize>>::new());
        for (i, operator) in operators.iter().enumerate() {
            made_by.extend(operator.outputs.iter().map(|&t| (t, i)));
            operator.inputs.iter().flatten().for_each(|&t| taken_by.entry(t).or_default().push(i));
        }
        Self { made_by, taken_by, operators }
    }

    /// The only operator that takes a tensor.
    fn only_user(&self, tensor: usize) -> Option<(usize, &'a Operator)> {
        match self.taken_by.get(&tensor)?[..] {
            [i] => Some((i, &self.operators[i])),
            _ => None,
        }
    }

    fn maker(&self, tensor: usize) -> Option<(usize, &'a Operator)> {
        let &i = self.made_by.get(&tensor)?;
        Some((i, &self.operators[i]))
    }
}

impl Translation<'_> {
    /// Finds what can be joined, by the number of the operator that splits.
    pub(super) fn find_branches(&self) -> BTreeMap<usize, Branches> {
        let links = Links::new(&self.graph.operators);
        let split = |(i, o): (usize, &Operator)| Some((i, self.follow_split(&links, i, o)?));
        self.graph.operators.iter().enumerate().filter_map(split).collect()
    }

    fn follow_split(&self, links: &Links<'_>, number: usize, split: &Operator) -> Option<Branches> {
        let (Op::Split, &[Some(_), Some(x)]) = (&split.op, &split.inputs[..]) else { return None };
        let parts: Vec<Branch> =
            split.outputs.iter().map(|&part| self.follow_branch(links, part)).collect::<Option<_>>()?;
        let first = parts.first()?;
        let shape = |b: &Branch| (&self.entry(b.weight).shape, b.stride, b.head, b.tail, b.joined_by);
        let join = &self.graph.operators[first.joined_by];
        let (Op::Concat { axis: -1 | 3 }, [out]) = (&join.op, &join.outputs[..]) else { return None };
        if join.inputs.len() != parts.len() || parts.iter().any(|b| shape(b) != shape(first)) {
            return None;
        }
        let mut operators: BTreeSet<usize> = parts.iter().flat_map(|b| b.operators.iter().copied()).collect();
        operators.extend([number, first.joined_by]);
        Some(Branches { x, out: *out, operators, parts })
    }

    fn follow_branch(&self, links: &Links<'_>, part: usize) -> Option<Branch> {
        let (layer, conv) = links.only_user(part)?;
        let (&Op::TransposedConv { stride }, &[_, Some(weight), _, Some(bias)]) =
            (&conv.op, &conv.inputs[..])
        else {
            return None;
        };
        let &[sums] = &conv.outputs[..] else { return None };
        let (real, dequantize) = links.only_user(sums).filter(|(_, o)| o.op == Op::Dequantize)?;
        let (add, sum) = links.only_user(*dequantize.outputs.first()?).filter(|(_, o)| o.op == Op::Add)?;
        let &[Some(_), Some(padded)] = &sum.inputs[..] else { return None };
        let (pad, concat) = links.maker(padded).filter(|(_, o)| o.op == Op::Concat { axis: 1 })?;
        let &[Some(found), Some(zeros)] = &concat.inputs[..] else { return None };
        let (read, reading) = links.maker(found).filter(|(_, o)| o.op == Op::ReadVariable)?;
        let handle = (*reading.inputs.first()?)?;
        links.only_user(padded)?;
        let (ends, length) = (links.taken_by.get(sum.outputs.first()?)?, *self.entry(sums).shape.get(1)?);
        let mut operators = vec![layer, real, add, pad, read];
        let (mut head, mut tail) = (None, None);
        for &end in ends {
            let operator = &self.graph.operators[end];
            let (Op::Slice { begin_mask, end_mask }, &[Some(_), Some(from), Some(to), Some(step)]) =
                (&operator.op, &operator.inputs[..])
            else {
                return None;
            };
            let bounds = self.bounds(length, [from, to, step], [*begin_mask, *end_mask]).ok()?;
            let (next, user) = links.only_user(*operator.outputs.first()?)?;
            operators.push(end);
            match user.op {
                Op::Concat { .. } => head = Some((bounds, next)),
                Op::Sub => {
                    let (write, writing) = links.only_user(*user.outputs.first()?)?;
                    if writing.op != Op::AssignVariable || writing.inputs.first() != Some(&Some(handle)) {
                        return None;
                    }
                    operators.extend([next, write]);
                    tail = Some((bounds, (*user.inputs.get(1)?)?));
                }
                _ => return None,
            }
        }
        let ((head, joined_by), (tail, kept_bias)) = (head?, tail?);
        Some(Branch {
            weight,
            bias,
            stride,
            sums,
            kept_bias,
            handle,
            found,
            zeros,
            head,
            tail,
            joined_by,
            operators,
        })
    }

    /// Computes all parts at once.
    pub(super) fn add_branches(&mut self, all: &Branches) -> Result<(), String> {
        let (x, count) = (self.signal(all.x)?, all.parts.len());
        let Form::Steps(value, _) = x.form.clone() else { return Err("parts of numbers".into()) };
        if !x.channels.is_multiple_of(count) {
            return Err(format!("{} channels in {count} parts", x.channels));
        }
        let inputs = x.channels / count;
        let part = Held { channels: inputs, ..x.clone() };
        let mut layers = Vec::new();
        for b in &all.parts {
            layers.push(self.layer(&part, [b.weight, b.bias], 0)?);
        }
        let first = &all.parts[0];
        let (sums, [length, outputs]) = self.multiply_parts(&value, &part, &layers, first.stride)?;
        let real = self.round_parts(&sums, all, &layers, [length, outputs])?;
        // What the frame before left, and zeros behind it.
        let [1, kept, 1, channels] = self.entry(first.found).shape[..] else {
            return Err(format!("a variable {:?}", self.entry(first.found).shape));
        };
        let wide = count * outputs;
        if channels != outputs || kept > length || first.tail[1] - first.tail[0] != kept {
            return Err(format!("{kept} samples of {channels} channels are kept of {length} of {outputs}"));
        }
        let state = self.join_variables(all, [kept, wide])?;
        let zeros = self.floats(&[length - kept, wide], &vec![0.0; (length - kept) * wide]);
        let carried = self.writer.add_input(&state.name, &state.shape);
        let padded = self.node("Concat", &[&carried, &zeros], &[Attribute::Int("axis", 0)]);
        let sum = self.node("Add", &[&real, &padded], &[]);
        let tail = self.slice(&sum, 0, [first.tail[0], first.tail[1], 1]);
        let mut biases = Vec::new();
        for b in &all.parts {
            let bias = self.model.constant(self.entry(b.kept_bias))?;
            if bias.shape != [outputs] {
                return Err(format!("{:?} biases of {outputs} channels", bias.shape));
            }
            biases.extend(bias.values);
        }
        let biases = self.spread(&biases, kept);
        let next = self.node("Sub", &[&tail, &biases], &[]);
        self.writer.set_output(&state.output, &state.shape, &next);
        let value = self.slice(&sum, 0, [first.head[0], first.head[1], 1]);
        let made = Held { form: Form::Real(value), channels: wide, length: first.head[1] - first.head[0] };
        self.hold(all.out, made)
    }

    /// Sums `[length, parts * outputs]`, and their sides for one part.
    fn multiply_parts(
        &mut self,
        value: &Value,
        part: &Held,
        layers: &[Layer],
        stride: usize,
    ) -> Result<(Value, [usize; 2]), String> {
        let (count, inputs, frames) = (layers.len(), part.channels, part.length);
        let [outputs, taps, 1, in_weights] = layers[0].weight.shape[..] else {
            return Err(format!("weights {:?}", layers[0].weight.shape));
        };
        if in_weights != inputs || taps < stride || !taps.is_multiple_of(stride) || frames == 0 {
            return Err(format!(
                "weights {:?}, stride {stride} for {inputs} channels",
                layers[0].weight.shape
            ));
        }
        let wide = taps * outputs;
        let products = if frames == 1 {
            let weights: Vec<f32> = layers.iter().flat_map(Layer::turn_transposed).collect();
            let weights = self.floats(&[count, inputs, wide], &weights);
            let rows = self.reshape(value, &[count, 1, inputs]);
            self.node("MatMul", &[&rows, &weights], &[])
        } else {
            // ONNX Runtime lays weights out for its kernels at opening only if they are a matrix: 4 µs in place of 8.
            let mut products = Vec::new();
            for (i, layer) in layers.iter().enumerate() {
                let rows = self.slice(value, 1, [i * inputs, (i + 1) * inputs, 1]);
                let weights = self.floats(&[inputs, wide], &layer.turn_transposed());
                products.push(self.node("MatMul", &[&rows, &weights], &[]));
            }
            let axis = Attribute::Int("axis", 0);
            let products = self.node("Concat", &products.iter().collect::<Vec<_>>(), &[axis]);
            self.reshape(&products, &[count, frames, wide])
        };
        let sums = self.overlap(&products, [1, 2], frames, taps / stride, stride * outputs);
        let length = (frames - 1) * stride + taps;
        let sums = self.reshape(&sums, &[count, length, outputs]);
        let sums = self.node("Transpose", &[&sums], &[Attribute::Ints("perm", vec![1, 0, 2])]);
        let sums = self.reshape(&sums, &[length, count * outputs]);
        let biases: Vec<f32> = layers.iter().flat_map(|l| l.bias.values.iter().copied()).collect();
        Ok((self.add_bias(&sums, &biases, length), [length, outputs]))
    }

    /// The numbers that the sums stand for after each part's rounding to its own integers.
    fn round_parts(
        &mut self,
        sums: &Value,
        all: &Branches,
        layers: &[Layer],
        sides: [usize; 2],
    ) -> Result<Value, String> {
        let [length, outputs] = sides;
        let scales: Vec<Scale> = all.parts.iter().map(|b| self.scale(b.sums)).collect::<Result<_, _>>()?;
        let mut factors = Vec::new();
        for (layer, to) in layers.iter().zip(&scales) {
            let Some(from) = &layer.factors else { return Err("a part of numbers".into()) };
            factors.extend((0..outputs).map(|o| from[o % from.len()] / to.scale));
        }
        let each = |f: fn(&Scale) -> f32| scales.iter().flat_map(|s| vec![f(s); outputs]).collect::<Vec<_>>();
        let [factors, low, high, steps] =
            [factors, each(|s| s.range()[0]), each(|s| s.range()[1]), each(|s| s.scale)]
                .map(|values| self.spread(&values, length));
        let mut value = self.node("Mul", &[sums, &factors], &[]);
        value = self.node("Round", &[&value], &[]);
        value = self.node("Max", &[&value, &low], &[]);
        value = self.node("Min", &[&value, &high], &[]);
        Ok(self.node("Mul", &[&value, &steps], &[]))
    }

    /// One state in place of a variable of each part.
    fn join_variables(&mut self, all: &Branches, shape: [usize; 2]) -> Result<StateSpec, String> {
        let (number, mut names) = (self.states.len(), Vec::new());
        for b in &all.parts {
            let zeros = self.model.constant(self.entry(b.zeros))?;
            if zeros.values.iter().any(|&z| z != 0.0) {
                return Err("other values than zeros behind a variable".into());
            }
            let name = self.variable_name(b.handle)?;
            self.variables
                .remove(&name)
                .filter(|v| v.scale.is_none())
                .ok_or("a variable of integers, or of two parts")?;
            names.push(name);
        }
        let name = names.join(" ");
        let state = StateSpec {
            name: format!("s{number}"),
            output: format!("s{number}_next"),
            shape: shape.to_vec(),
            in_place: false,
        };
        let variable = Variable { scale: None, state: Some(state.clone()), is_written: true };
        self.variables.insert(name.clone(), variable);
        self.states.push(name);
        Ok(state)
    }
}
