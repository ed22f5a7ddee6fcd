//! Graphs of TensorFlow Lite as graphs that carry their states as inputs and outputs.
//!
//! Signals `[1, time, 1, channels]` of those become `[time, channels]`, variables become states, and integers stay integers:
//! a tensor of int8 is computed as 32-bit floats that hold its integers less their zero point, by the arithmetic of XNNPACK, with
//! which TensorFlow Lite runs such graphs unless told otherwise. Measured on 1,500 frames of speech through Lyra V2, every
//! integer of every layer is then the same; its reference kernels, by comparison, give other latents in each of these frames.

mod branches;
mod layers;
mod rearrange;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::layers::Moves;
use siskin_graph::onnx::{Attribute, Value, Writer};
use siskin_model::bundle::{GraphSpec, StateSpec};

use crate::bundle::Network;
use crate::checkpoint::tflite::{Element, Entry, Graph, Model, Op, Operator};

/// A signal: `[length, channels]`.
#[derive(Debug, Clone)]
struct Held {
    form: Form,
    channels: usize,
    length: usize,
}

/// What the values of a signal are.
#[derive(Debug, Clone)]
enum Form {
    /// Numbers.
    Real(Value),
    /// Integers `q` less the zero point, as floats. They stand for `scale * (q - zero_point)`.
    Steps(Value, Scale),
}

/// How integers of a tensor stand for numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    scale: f32,
    zero_point: i64,
}

impl Scale {
    /// The least and the largest integer, less the zero point.
    fn range(&self) -> [f32; 2] {
        [-128 - self.zero_point, 127 - self.zero_point].map(|x| x as f32)
    }
}

/// A variable of the graph: what its values are, and the state that holds them.
struct Variable {
    /// Integers, if it is written with integers that were made numbers.
    scale: Option<Scale>,
    state: Option<StateSpec>,
    is_written: bool,
}

/// Longest signal, in samples, that a graph may have.
const MAX_VALUES: usize = 1 << 20;

struct Translation<'a> {
    model: &'a Model,
    graph: &'a Graph,
    writer: Writer,
    held: BTreeMap<usize, Held>,
    /// Which variable a handle is of.
    handles: BTreeMap<usize, String>,
    variables: BTreeMap<String, Variable>,
    states: Vec<String>,
}

/// Translates the first graph of `model`: its input, whose elements are one signal of `input` channels, gets the first name and
/// its output the second.
///
/// # Errors
/// The operator or tensor that is not as in the graphs that are known, in words.
pub(crate) fn translate(
    model: &Model,
    input: usize,
    names: [&str; 2],
    file: &str,
) -> Result<Network, String> {
    let Some(graph) = model.graphs.first() else { return Err("no graph".into()) };
    let ([from], [to]) = (&graph.inputs[..], &graph.outputs[..]) else {
        return Err(format!(
            "{} inputs and {} outputs, expected: 1 and 1",
            graph.inputs.len(),
            graph.outputs.len()
        ));
    };
    let mut t = Translation {
        model,
        graph,
        writer: Writer::new(names[1]),
        held: BTreeMap::new(),
        handles: BTreeMap::new(),
        variables: BTreeMap::new(),
        states: Vec::new(),
    };
    t.add_input(*from, input, names[0])?;
    t.find_variables()?;
    let branches = t.find_branches();
    let joined: BTreeSet<usize> = branches.values().flat_map(|b| b.operators.iter().copied()).collect();
    for (i, operator) in graph.operators.iter().enumerate() {
        let added = match branches.get(&i) {
            Some(all) => t.add_branches(all),
            None if joined.contains(&i) => Ok(()),
            None => t.add_operator(operator),
        };
        added.map_err(|e| format!("operator {i} ({:?}): {e}", operator.op))?;
    }
    t.finish(*to, names, file)
}

impl Translation<'_> {
    fn node(&mut self, op: &str, inputs: &[&Value], attributes: &[Attribute<'_>]) -> Value {
        self.writer.add_node(op, inputs, attributes)
    }

    fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        self.writer.add_floats(shape, values)
    }

    fn entry(&self, tensor: usize) -> &Entry {
        &self.graph.tensors[tensor]
    }

    fn add_input(&mut self, tensor: usize, channels: usize, name: &str) -> Result<(), String> {
        let entry = self.entry(tensor);
        let count = count(entry)?;
        if entry.element != Element::F32 || count == 0 || !count.is_multiple_of(channels) {
            return Err(format!(
                "an input of {:?} {:?}, expected: numbers of {channels} channels",
                entry.element, entry.shape
            ));
        }
        let length = count / channels;
        let value = self.writer.add_input(name, &[1, channels, length]);
        let value = self.turn(&value, [channels, length], &[length, channels])?;
        self.held.insert(tensor, Held { form: Form::Real(value), channels, length });
        Ok(())
    }

    /// The values of an end of the graph, `[1, channels, length]` outside and `[length, channels]` inside: one of the two is 1, so
    /// nothing moves.
    fn turn(&mut self, x: &Value, [channels, length]: [usize; 2], shape: &[usize]) -> Result<Value, String> {
        if channels != 1 && length != 1 {
            return Err(format!(
                "an end of {channels} channels and {length} samples, expected: one of either"
            ));
        }
        Ok(self.reshape(x, shape))
    }

    /// Finds the graph's variables, which begin with zeros.
    fn find_variables(&mut self) -> Result<(), String> {
        let graph = self.graph;
        let made_by: BTreeMap<usize, &Operator> =
            graph.operators.iter().flat_map(|o| o.outputs.iter().map(move |&t| (t, o))).collect();
        let mut handles = BTreeMap::new();
        for operator in &graph.operators {
            match (&operator.op, &operator.inputs[..], &operator.outputs[..]) {
                (Op::Variable { name }, [], [out]) => {
                    handles.insert(*out, name.clone());
                }
                (Op::CallOnce { graph }, [], []) => self.check_start(*graph)?,
                (Op::AssignVariable, [Some(handle), Some(value)], []) => {
                    let name = handles.get(handle).ok_or("a variable that is not named")?;
                    let source = made_by.get(value).filter(|o| o.op == Op::Dequantize);
                    let scale = source.and_then(|o| *o.inputs.first()?).map(|t| self.scale(t)).transpose()?;
                    let variable = Variable { scale, state: None, is_written: false };
                    if self.variables.insert(name.clone(), variable).is_some() {
                        return Err(format!("the variable {name} is written twice"));
                    }
                }
                _ => {}
            }
        }
        self.handles = handles;
        Ok(())
    }

    /// Checks that the graph that runs once sets variables to zero.
    fn check_start(&self, graph: usize) -> Result<(), String> {
        let graph = &self.model.graphs[graph];
        for operator in &graph.operators {
            match (&operator.op, &operator.inputs[..]) {
                (Op::Variable { .. }, []) => {}
                (Op::AssignVariable, [Some(_), Some(value)]) => {
                    let start = self.model.constant(&graph.tensors[*value])?;
                    if start.values.iter().any(|&v| v != 0.0) {
                        return Err("a variable that does not begin with zeros".into());
                    }
                }
                (op, _) => return Err(format!("{op:?} where variables are set up")),
            }
        }
        Ok(())
    }

    fn add_operator(&mut self, operator: &Operator) -> Result<(), String> {
        let inputs = &operator.inputs[..];
        let [out] = operator.outputs[..] else {
            return match (&operator.op, inputs) {
                (Op::CallOnce { .. }, []) => Ok(()),
                (Op::AssignVariable, &[Some(handle), Some(value)]) => self.write_variable(handle, value),
                (Op::Split, &[Some(axis), Some(x)]) => self.split(axis, x, &operator.outputs),
                (_, inputs) => Err(format!("{} inputs, {} outputs", inputs.len(), operator.outputs.len())),
            };
        };
        let made = match (&operator.op, inputs) {
            (Op::Variable { .. }, []) => return Ok(()),
            (Op::ReadVariable, &[Some(handle)]) => self.read_variable(handle, out)?,
            (Op::Reshape, &[Some(x), ..]) => self.signal(x)?,
            (Op::Dequantize, &[Some(x)]) => self.signal(x)?,
            (Op::Quantize, &[Some(x)]) => self.quantize(x, out)?,
            (Op::Concat { axis }, _) => self.concat(inputs, *axis)?,
            (Op::Slice { begin_mask, end_mask }, &[Some(x), Some(begin), Some(end), Some(step)]) => {
                self.slice_time(x, [begin, end, step], [*begin_mask, *end_mask])?
            }
            (Op::LeakyRelu { slope }, &[Some(x)]) => self.leaky_relu(x, *slope, out)?,
            (Op::Add, &[Some(a), Some(b)]) => self.add(a, b, out)?,
            (Op::Sub, &[Some(a), Some(b)]) => self.subtract(a, b)?,
            (Op::Conv { stride, dilation }, &[Some(x), Some(w), Some(b)]) => {
                self.conv([x, w, b], Moves { stride: *stride, dilation: *dilation }, out)?
            }
            (Op::Depthwise { stride: 1, dilation }, &[Some(x), Some(w), Some(b)]) => {
                self.depthwise([x, w, b], *dilation, out)?
            }
            (Op::TransposedConv { stride }, &[Some(_), Some(w), Some(x), Some(b)]) => {
                self.conv_transpose([x, w, b], *stride, out)?
            }
            _ => return Err("not one of the operators that are known, or in another form".into()),
        };
        self.hold(out, made)
    }

    /// Keeps a signal, if it is as the file says.
    fn hold(&mut self, tensor: usize, made: Held) -> Result<(), String> {
        let entry = self.entry(tensor);
        let is_last = self.graph.outputs.contains(&tensor);
        let fits = match entry.shape[..] {
            [1, length, 1, channels] => [channels, length] == [made.channels, made.length],
            // The shape of the input and the output of the whole graph is the caller's to know.
            _ => count(entry)? == made.channels * made.length && (is_last || entry.element == Element::I8),
        };
        let is_integer = matches!(made.form, Form::Steps(..));
        let is_known = entry.element == Element::F32 || (entry.element == Element::I8 && is_integer);
        if !fits || !is_known {
            let got = (made.channels, made.length);
            return Err(format!(
                "tensor {}: {:?} {:?}, computed: {got:?}",
                entry.name, entry.element, entry.shape
            ));
        }
        self.held.insert(tensor, made);
        Ok(())
    }

    fn finish(mut self, output: usize, [input, name]: [&str; 2], file: &str) -> Result<Network, String> {
        let last = self.signal(output)?;
        let value = self.real(&last);
        if let Some((name, _)) = self.variables.iter().find(|(_, v)| !v.is_written || v.state.is_none()) {
            return Err(format!("the variable {name} is not read, or not written"));
        }
        let shape = [1, last.channels, last.length];
        let value = self.turn(&value, [last.channels, last.length], &shape)?;
        self.writer.set_output(name, &shape, &value);
        let states = self.states.iter().filter_map(|n| self.variables.get(n)?.state.clone()).collect();
        let spec =
            GraphSpec { file: file.into(), input: input.into(), output: name.into(), states, blocks: None };
        Ok((self.writer.to_bytes(), spec))
    }
}

/// Elements of a tensor.
fn count(entry: &Entry) -> Result<usize, String> {
    let count = entry.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_VALUES);
    count.ok_or_else(|| {
        format!("tensor {}: the shape {:?}, allowed: {MAX_VALUES} values", entry.name, entry.shape)
    })
}
