//! ONNX models written node by node, for graphs that are not differentiated: networks of published checkpoints.

use prost::Message;

use crate::emit::{IR_VERSION, OPSET};
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};

/// An attribute of a node: its name and its value.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute<'a> {
    /// An integer.
    Int(&'a str, i64),
    /// Integers.
    Ints(&'a str, Vec<i64>),
    /// A 32-bit float.
    Float(&'a str, f32),
    /// A text.
    Text(&'a str, &'a str),
}

impl Attribute<'_> {
    fn to_proto(&self) -> AttributeProto {
        match self {
            Self::Int(name, value) => AttributeProto::int(name, *value),
            Self::Ints(name, values) => AttributeProto::ints(name, values.iter().copied()),
            Self::Float(name, value) => AttributeProto::float(name, *value),
            Self::Text(name, value) => AttributeProto::string(name, value),
        }
    }
}

/// The name of a value: an input, a constant or a node's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The name in the file.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A model that is being written.
///
/// ```
/// use siskin_graph::onnx::Writer;
///
/// let mut writer = Writer::new("double");
/// let x = writer.add_input("x", &[1, 3]);
/// let two = writer.add_floats(&[1], &[2.0]);
/// let y = writer.add_node("Mul", &[&x, &two], &[]);
/// writer.set_output("y", &[1, 3], &y);
/// assert!(!writer.to_bytes().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Writer {
    graph: GraphProto,
    count: usize,
}

impl Writer {
    /// An empty model.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: name.into(), ..Default::default() }, count: 0 }
    }

    fn next_name(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    /// An input of 32-bit floats of a static shape.
    pub fn add_input(&mut self, name: &str, shape: &[usize]) -> Value {
        self.graph.input.push(ValueInfoProto::float(name, shape));
        Value(name.into())
    }

    /// An input of 32-bit floats whose last dimension has a name instead of a size.
    pub fn add_named_input(&mut self, name: &str, shape: &[usize], last: &str) -> Value {
        let dims = shape.iter().map(|&d| Ok(d)).chain([Err(last)]);
        self.graph.input.push(ValueInfoProto::float_dims(name, dims));
        Value(name.into())
    }

    /// A constant of 32-bit floats; `values` has as many as `shape` says.
    pub fn add_floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let name = self.next_name();
        self.graph.initializer.push(TensorProto::floats(name.clone(), shape, values));
        Value(name)
    }

    /// A constant of 64-bit integers in one dimension: shapes, axes, places.
    pub fn add_integers(&mut self, values: &[i64]) -> Value {
        let name = self.next_name();
        self.graph.initializer.push(TensorProto::int64s(name.clone(), values));
        Value(name)
    }

    /// A constant of 64-bit integers; `values` has as many as `shape` says.
    pub fn add_integer_tensor(&mut self, shape: &[usize], values: &[i64]) -> Value {
        let name = self.next_name();
        let dims = shape.iter().map(|&d| d as i64).collect();
        self.graph.initializer.push(TensorProto { dims, ..TensorProto::int64s(name.clone(), values) });
        Value(name)
    }

    /// A node with one output. An input whose name is empty is one that is left out: see [`Writer::no_value`].
    pub fn add_node(&mut self, op: &str, inputs: &[&Value], attributes: &[Attribute<'_>]) -> Value {
        let name = self.next_name();
        self.push_node(op, inputs, vec![name.clone()], attributes);
        Value(name)
    }

    /// A node with several outputs.
    pub fn add_node_with<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: &[Attribute<'_>],
    ) -> [Value; N] {
        let outputs: [Value; N] = std::array::from_fn(|_| Value(self.next_name()));
        self.push_node(op, inputs, outputs.iter().map(|v| v.0.clone()).collect(), attributes);
        outputs
    }

    fn push_node(&mut self, op: &str, inputs: &[&Value], output: Vec<String>, attributes: &[Attribute<'_>]) {
        let name = output.first().cloned().unwrap_or_default();
        let input = inputs.iter().map(|v| v.0.clone()).collect();
        let attribute = attributes.iter().map(Attribute::to_proto).collect();
        self.graph.node.push(NodeProto { input, output, name, op_type: op.into(), attribute });
    }

    /// What stands for an optional input that a node does without.
    pub fn no_value() -> Value {
        Value(String::new())
    }

    /// Makes `value` an output of the model, of 32-bit floats in `shape`.
    pub fn set_output(&mut self, name: &str, shape: &[usize], value: &Value) {
        // A value may be an input or an output under another name; the runtime removes the copies.
        self.push_node("Identity", &[value], vec![name.into()], &[]);
        self.graph.output.push(ValueInfoProto::float(name, shape));
    }

    /// A node whose only output is an output of the model too, of 32-bit floats in `shape`: other nodes read it without a copy.
    pub fn add_output_node(&mut self, name: &str, shape: &[usize], op: &str, inputs: &[&Value]) -> Value {
        self.push_node(op, inputs, vec![name.into()], &[]);
        self.graph.output.push(ValueInfoProto::float(name, shape));
        Value(name.into())
    }

    /// As [`set_output`](Self::set_output), with a name in the place of the last dimension's size.
    pub fn set_named_output(&mut self, name: &str, shape: &[usize], last: &str, value: &Value) {
        self.push_node("Identity", &[value], vec![name.into()], &[]);
        let dims = shape.iter().map(|&d| Ok(d)).chain([Err(last)]);
        self.graph.output.push(ValueInfoProto::float_dims(name, dims));
    }

    /// The bytes of the file.
    pub fn to_bytes(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "siskin".into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        };
        model.encode_to_vec()
    }
}
