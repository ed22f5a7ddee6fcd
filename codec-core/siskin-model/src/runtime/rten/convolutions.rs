//! Writes out the attributes of convolutions that ONNX lets a graph leave out.
//!
//! rten 0.27 takes the number of spatial dimensions from `kernel_shape`, and where that is missing for 0: a 1-D `Conv`
//! that states only `group`, as in the bundles up to 0.2.2, then fails with "expected 2 pad values". The shape of
//! the weights has what is missing.
//!
//! The messages are those of `onnx.proto3` as far as rten reads them; what is not changed is carried as bytes.

use std::collections::HashMap;

use prost::Message;

/// `AttributeProto.AttributeType.INTS`.
const INTS: i32 = 7;

/// Casts that may lie between a convolution and its weights: bundles keep 16-bit floats and widen them in the graph.
const MAX_CASTS: usize = 4;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    opset_import: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "25")]
    functions: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "vec", repeated, tag = "5")]
    initializer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    input: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "12")]
    output: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "13")]
    value_info: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "15")]
    sparse_initializer: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(bytes = "vec", repeated, tag = "5")]
    attribute: Vec<Vec<u8>>,
    #[prost(string, tag = "7")]
    domain: String,
}

/// An attribute of integers; of others the name.
#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    // One by one: rten 0.27 reads the form of `onnx.proto` alone, not the packed one of `onnx.proto3`.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

/// What of a tensor says its shape.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
}

/// The graph with `kernel_shape`, `pads`, `strides` and `dilations` in every convolution whose weights are in the graph.
///
/// # Errors
/// Why this is no graph, in words.
pub(super) fn write_out_attributes(graph: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |e| format!("no ONNX model: {e}");
    let mut model = Model::decode(graph).map_err(wrong)?;
    let Some(graph) = &mut model.graph else { return Err("no ONNX model: it has no graph".to_owned()) };
    let mut shapes: HashMap<String, Vec<i64>> = HashMap::new();
    for tensor in &graph.initializer {
        let tensor = Tensor::decode(tensor.as_slice()).map_err(wrong)?;
        shapes.insert(tensor.name, tensor.dims);
    }
    let casts: HashMap<String, String> = (graph.node.iter())
        .filter(|n| matches!(n.op_type.as_str(), "Cast" | "Identity"))
        .filter_map(|n| Some((n.output.first()?.clone(), n.input.first()?.clone())))
        .collect();
    for node in &mut graph.node {
        if matches!(node.op_type.as_str(), "Conv" | "ConvTranspose")
            && let Some(kernel) = kernel_of(node, &shapes, &casts)
        {
            node.write_out(&kernel).map_err(wrong)?;
        }
    }
    Ok(model.encode_to_vec())
}

/// The shape of a convolution's kernel, if its weights are in the graph: the dimensions behind those of the channels.
fn kernel_of(
    node: &Node,
    shapes: &HashMap<String, Vec<i64>>,
    casts: &HashMap<String, String>,
) -> Option<Vec<i64>> {
    let mut weights = node.input.get(1)?;
    for _ in 0..MAX_CASTS {
        if let Some(shape) = shapes.get(weights) {
            return shape.get(2..).map(<[i64]>::to_vec);
        }
        weights = casts.get(weights)?;
    }
    None
}

impl Node {
    /// Adds what is missing, with the values that ONNX defines for it.
    fn write_out(&mut self, kernel: &[i64]) -> Result<(), prost::DecodeError> {
        let given = (self.attribute.iter()).map(|a| Attribute::decode(a.as_slice()).map(|a| a.name));
        let given = given.collect::<Result<Vec<_>, _>>()?;
        let defaults = [
            ("kernel_shape", kernel.to_vec()),
            ("pads", vec![0; 2 * kernel.len()]),
            ("strides", vec![1; kernel.len()]),
            ("dilations", vec![1; kernel.len()]),
        ];
        // With `auto_pad` the graph must not state pads.
        let is_missing = |name: &str| {
            let rival = if name == "pads" { "auto_pad" } else { name };
            given.iter().all(|g| g != name && g != rival)
        };
        for (name, ints) in defaults.into_iter().filter(|d| is_missing(d.0)) {
            self.attribute.push(Attribute { name: name.to_owned(), ints, kind: INTS }.encode_to_vec());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, ints: &[i64]) -> Attribute {
        Attribute { name: name.into(), ints: ints.to_vec(), kind: INTS }
    }

    fn convolution(weights: &str, attributes: &[Attribute]) -> Node {
        Node {
            input: vec!["x".into(), weights.into()],
            output: vec!["y".into()],
            op_type: "Conv".into(),
            attribute: attributes.iter().map(Message::encode_to_vec).collect(),
            ..Default::default()
        }
    }

    fn written(nodes: Vec<Node>) -> Vec<Vec<Attribute>> {
        let weights = Tensor { dims: vec![8, 1, 7], name: "w".into() };
        let graph = Graph { node: nodes, initializer: vec![weights.encode_to_vec()], ..Default::default() };
        let model = Model { graph: Some(graph), ..Default::default() };
        let model =
            Model::decode(&*write_out_attributes(&model.encode_to_vec()).expect("a model")).expect("one");
        let decode = |a: &Vec<u8>| Attribute::decode(a.as_slice()).expect("an attribute");
        let nodes = model.graph.expect("a graph").node;
        nodes.iter().map(|n| n.attribute.iter().map(decode).collect()).collect()
    }

    #[test]
    fn what_is_missing_is_written_and_what_is_there_stays() {
        let group = attribute("group", &[8]);
        let found = written(vec![convolution("w", &[group.clone(), attribute("strides", &[2])])]);
        let expected = [
            group,
            attribute("strides", &[2]),
            attribute("kernel_shape", &[7]),
            attribute("pads", &[0, 0]),
            attribute("dilations", &[1]),
        ];
        assert_eq!(found, [expected]);
    }

    #[test]
    fn weights_are_found_behind_casts_and_pads_not_set_beside_auto_pad() {
        let cast = Node {
            input: vec!["w".into()],
            output: vec!["wide".into()],
            op_type: "Cast".into(),
            ..Default::default()
        };
        let auto = attribute("auto_pad", &[]);
        let found =
            written(vec![cast, convolution("wide", std::slice::from_ref(&auto)), convolution("x", &[])]);
        let names: Vec<Vec<&str>> =
            found.iter().map(|n| n.iter().map(|a| a.name.as_str()).collect()).collect();
        assert_eq!(names[1], ["auto_pad", "kernel_shape", "strides", "dilations"]);
        // Weights that are computed have no shape here.
        assert!(names[2].is_empty());
        assert!(write_out_attributes(&[0x3a, 0xff]).is_err_and(|e| e.contains("no ONNX model")));
        assert!(write_out_attributes(&[]).is_err_and(|e| e.contains("no graph")));
    }
}
