//! Finds weights that are no numbers, which ONNX Runtime and rten would run with.

use half::{bf16, f16};

use super::onnx_messages::{Graph, Model, Node, Tensor, parse_model};
use crate::{Error, Result};

/// `TensorProto.DataType` of the types that can hold what is not finite.
const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

impl Tensor {
    fn is_finite(&self) -> bool {
        let (pairs, _) = self.raw_data.as_chunks::<2>();
        match self.data_type {
            FLOAT => {
                let (raw, _) = self.raw_data.as_chunks::<4>();
                self.float_data.iter().all(|x| x.is_finite())
                    && raw.iter().all(|&b| f32::from_le_bytes(b).is_finite())
            }
            FLOAT16 => {
                // `onnx.proto3` keeps 16-bit floats in `int32_data`, one in each, where they are not raw.
                self.int32_data.iter().all(|&x| f16::from_bits(x as u16).is_finite())
                    && pairs.iter().all(|&b| f16::from_le_bytes(b).is_finite())
            }
            BFLOAT16 => {
                self.int32_data.iter().all(|&x| bf16::from_bits(x as u16).is_finite())
                    && pairs.iter().all(|&b| bf16::from_le_bytes(b).is_finite())
            }
            DOUBLE => {
                let (raw, _) = self.raw_data.as_chunks::<8>();
                self.double_data.iter().all(|x| x.is_finite())
                    && raw.iter().all(|&b| f64::from_le_bytes(b).is_finite())
            }
            // Integers and strings are always finite.
            _ => true,
        }
    }
}

impl Graph {
    /// The name of the first weight that is not finite: a tensor's, or the output of the node that holds it.
    fn not_finite(&self) -> Option<&str> {
        let initializer = self.initializer.iter().find(|t| !t.is_finite()).map(|t| t.name.as_str());
        initializer.or_else(|| self.node.iter().find_map(Node::not_finite))
    }
}

impl Node {
    fn not_finite(&self) -> Option<&str> {
        let name = self.output.first().map_or("a node", String::as_str);
        self.attribute.iter().find_map(|a| {
            let own = a.float.is_finite()
                && a.floats.iter().all(|x| x.is_finite())
                && a.tensor.as_ref().is_none_or(Tensor::is_finite);
            // Bodies of `If` and `Loop` have nodes and weights of their own.
            if own { a.graph.as_deref().and_then(Graph::not_finite) } else { Some(name) }
        })
    }
}

/// Checks that all weights of the graph called `name` are finite.
///
/// # Errors
/// [`Error::Network`] that says which are not, or why this is no graph.
pub(super) fn check_weights(name: &str, graph: &[u8]) -> Result<()> {
    let checked = parse_model(graph).and_then(|model| check_finite(&model));
    checked.map_err(|reason| Error::network(name, reason))
}

/// Checks that all weights of a graph are finite.
///
/// # Errors
/// Which are not, in words.
pub(super) fn check_finite(model: &Model) -> std::result::Result<(), String> {
    match model.graph.as_ref().and_then(Graph::not_finite) {
        Some(name) => Err(format!("the weights {name} hold values that are not finite")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::onnx_messages::Attribute;

    fn raw(data_type: i32, raw_data: &[u8]) -> Tensor {
        Tensor { data_type, name: "w".into(), raw_data: raw_data.to_vec(), ..Default::default() }
    }

    fn check(graph: Graph) -> std::result::Result<(), String> {
        check_finite(&Model { graph: Some(graph) })
    }

    #[test]
    fn values_that_are_not_finite_are_found_in_each_type() {
        let (nan, inf) = (f32::NAN, f64::NEG_INFINITY);
        let bad = [
            raw(FLOAT, &[[0; 4], nan.to_le_bytes()].concat()),
            raw(FLOAT16, &[[0; 2], f16::INFINITY.to_le_bytes()].concat()),
            raw(BFLOAT16, &bf16::NAN.to_le_bytes()),
            raw(DOUBLE, &inf.to_le_bytes()),
            Tensor { float_data: vec![0.0, nan], ..raw(FLOAT, &[]) },
            Tensor { int32_data: vec![0x7c00], ..raw(FLOAT16, &[]) },
            Tensor { double_data: vec![inf], ..raw(DOUBLE, &[]) },
        ];
        for tensor in bad {
            let result =
                check(Graph { initializer: vec![raw(FLOAT, &[0; 8]), tensor.clone()], ..Default::default() });
            assert!(result.is_err_and(|e| e.contains("weights w hold")), "{tensor:?}");
        }
        let integers = raw(7, &[0xff; 8]);
        let initializer = vec![integers, raw(FLOAT16, &[0; 4])];
        assert_eq!(check(Graph { initializer, ..Default::default() }), Ok(()));
    }

    #[test]
    fn constants_of_nodes_and_inner_graphs_count() {
        let node = |attribute| Node { output: vec!["c".into()], attribute: vec![attribute] };
        let inner = Graph {
            node: vec![node(Attribute { float: f32::NAN, ..Default::default() })],
            ..Default::default()
        };
        let attributes = [
            Attribute { tensor: Some(raw(FLOAT, &f32::INFINITY.to_le_bytes())), ..Default::default() },
            Attribute { floats: vec![1.0, f32::NAN], ..Default::default() },
            Attribute { graph: Some(Box::new(inner)), ..Default::default() },
        ];
        for attribute in attributes {
            let result = check(Graph { node: vec![node(attribute)], ..Default::default() });
            assert!(result.is_err_and(|e| e.contains("weights c hold")));
        }
    }
}
