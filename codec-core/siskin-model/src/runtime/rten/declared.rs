//! The shapes that a graph states of its outputs.
//!
//! rten 0.27 puts what it infers in their place, and of a graph that takes any number of frames it infers formulas: the last 240 of
//! 240 + n samples have a length that it does not work out. The messages are those of `onnx.proto3`, as far as outputs stand in
//! them.

use std::collections::HashMap;

use prost::Message;
use rten::Dimension;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorKind {
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    value: i64,
    #[prost(string, tag = "2")]
    name: String,
}

/// The shapes of outputs by their names.
///
/// # Errors
/// Why this is no graph, in words.
pub(super) fn output_shapes(graph: &[u8]) -> Result<HashMap<String, Vec<Dimension>>, String> {
    let model = Model::decode(graph).map_err(|e| format!("no ONNX model: {e}"))?;
    let outputs = model.graph.map(|graph| graph.output).unwrap_or_default();
    let shapes = outputs.into_iter().filter_map(|output| {
        let dims = output.kind?.tensor?.shape?.dim.into_iter();
        let size = |dim: Dim| match usize::try_from(dim.value) {
            Ok(size) if dim.name.is_empty() => Dimension::Fixed(size),
            _ => Dimension::Symbolic(dim.name),
        };
        Some((output.name, dims.map(size).collect()))
    });
    Ok(shapes.collect())
}
