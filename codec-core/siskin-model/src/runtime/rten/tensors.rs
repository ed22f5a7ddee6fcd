//! A [`TensorNetwork`] on rten.

use rten::{NodeId, ValueOrView};
use rten_tensor::TensorView;
use rten_tensor::prelude::*;

use super::graph::{Graph, Outlet};
use crate::runtime::hashed_graph::HashedGraph;
use crate::runtime::network::TensorNetwork;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::runtime::spec::TensorSpec;
use crate::{Error, Result};

/// A tensor of the network's own, in row-major order.
struct Held {
    id: NodeId,
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Held {
    fn view(&self) -> (NodeId, ValueOrView<'_>) {
        (self.id, TensorView::from_data(&self.shape[..], &self.data[..]).into())
    }
}

/// A graph with several inputs and outputs. Where the graph does not state an output's shape, the first run gives it;
/// before that the output is empty.
pub(super) struct RtenTensorNetwork {
    graph: Graph,
    inputs: Vec<Held>,
    states: Vec<Held>,
    outputs: Vec<Vec<f32>>,
    /// Outputs, then next states.
    asked: Vec<NodeId>,
}

impl RtenTensorNetwork {
    pub(super) fn new(
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &HashedGraph<'_>,
    ) -> Result<Self> {
        let graph = Graph::open(options, spec.name, graph)?;
        let (inputs, outputs) = (graph.inputs(), graph.outputs());
        let held = |name: &str| -> Result<Held> {
            let outlet = Outlet::find(&inputs, spec.name, name)?;
            let shape = outlet
                .fixed_shape(sizes)
                .ok_or_else(|| Error::network(spec.name, format!("no tensor {name} of known shape")))?;
            Ok(Held { id: outlet.id, data: vec![0.0; shape.iter().product()], shape })
        };
        let find = |name: &str| Outlet::find(&outputs, spec.name, name);
        let asked = spec.outputs.iter().copied().chain(spec.states.iter().map(|s| s.1));
        let len = |o: &Outlet| o.fixed_shape(sizes).map_or(0, |shape| shape.iter().product());
        Ok(Self {
            inputs: spec.inputs.iter().map(|name| held(name)).collect::<Result<_>>()?,
            states: spec.states.iter().map(|s| held(s.0)).collect::<Result<_>>()?,
            outputs: (spec.outputs.iter())
                .map(|name| Ok(vec![0.0; len(find(name)?)]))
                .collect::<Result<_>>()?,
            asked: asked.map(|name| Ok(find(name)?.id)).collect::<Result<_>>()?,
            graph,
        })
    }
}

impl TensorNetwork for RtenTensorNetwork {
    fn input(&mut self, index: usize) -> &mut [f32] {
        &mut self.inputs[index].data
    }

    fn output(&self, index: usize) -> &[f32] {
        &self.outputs[index]
    }

    fn state(&mut self, index: usize) -> &mut [f32] {
        &mut self.states[index].data
    }

    fn run(&mut self) -> Result<()> {
        let inputs = self.inputs.iter().chain(&self.states).map(Held::view).collect();
        let values = self.graph.run(inputs, &self.asked)?;
        let wrong =
            || Error::network(self.graph.name(), "an output is not the 32-bit floats that it should be");
        let floats = values.into_iter().map(|v| v.into_tensor::<f32>().map(|t| t.to_vec()).ok_or_else(wrong));
        let mut floats = floats.collect::<Result<Vec<_>>>()?;
        let states = floats.split_off(self.outputs.len());
        if !self.states.iter().map(|s| s.data.len()).eq(states.iter().map(Vec::len)) {
            return Err(wrong());
        }
        self.outputs = floats;
        for (state, next) in self.states.iter_mut().zip(states) {
            state.data = next;
        }
        Ok(())
    }

    fn provider(&self) -> Provider {
        Provider::Cpu
    }
}
