//! The shapes that a graph states of its outputs.
//!
//! rten 0.27 puts what it infers in their place, and of a graph that takes any number of frames it infers formulas: the last 240 of
//! 240 + n samples have a length that it does not work out.

use std::collections::HashMap;

use rten::Dimension;

use crate::runtime::onnx_messages::{Dim, DimSize, Model};

/// The shapes of outputs by their names, of those whose dimensions all have a size or a name. Of the others what rten infers is all
/// that is known.
pub(super) fn output_shapes(model: &Model) -> HashMap<String, Vec<Dimension>> {
    let outputs = model.graph.iter().flat_map(|graph| &graph.output);
    let shapes = outputs.filter_map(|output| {
        let shape = output.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
        Some((output.name.clone(), shape.dim.iter().map(dimension).collect::<Option<_>>()?))
    });
    shapes.collect()
}

fn dimension(dim: &Dim) -> Option<Dimension> {
    match dim.size.as_ref()? {
        DimSize::Value(size) => usize::try_from(*size).ok().map(Dimension::Fixed),
        DimSize::Name(name) => Some(Dimension::Symbolic(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::onnx_messages::{Graph, Kind, Shape, TensorKind, ValueInfo};

    #[test]
    fn a_dimension_of_any_size_is_not_one_of_size_0() {
        let output = |name: &str, dims: &[Option<DimSize>]| {
            let dim = dims.iter().map(|size| Dim { size: size.clone() }).collect();
            let kind = Some(Kind { tensor: Some(TensorKind { shape: Some(Shape { dim }) }) });
            ValueInfo { name: name.into(), kind }
        };
        let value = |n| Some(DimSize::Value(n));
        let name = Some(DimSize::Name("output_samples".into()));
        let output = vec![
            output("stated", &[value(1), value(0), name.clone()]),
            output("any", &[value(1), None]),
            output("negative", &[value(-1), name]),
            ValueInfo { name: "unknown".into(), kind: None },
        ];
        let model = Model { graph: Some(Graph { output, ..Default::default() }) };
        let shape =
            vec![Dimension::Fixed(1), Dimension::Fixed(0), Dimension::Symbolic("output_samples".into())];
        assert_eq!(output_shapes(&model), HashMap::from([("stated".to_owned(), shape)]));
    }
}
