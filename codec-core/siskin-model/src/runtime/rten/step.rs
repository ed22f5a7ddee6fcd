//! A [`StepNetwork`] on rten.

use rten::{NodeId, Value, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use super::graph::{Graph, Outlet};
use crate::runtime::hashed_graph::HashedGraph;
use crate::runtime::network::StepNetwork;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::runtime::spec::GraphSpec;
use crate::{Error, Result};

/// A graph that is run frame by frame: what it gives as the next states is given to it in the next run.
pub(super) struct RtenNetwork {
    graph: Graph,
    input: Tensor<f32>,
    output: Vec<f32>,
    states: Vec<Tensor<f32>>,
    /// The main input, then the states.
    inputs: Vec<NodeId>,
    /// The main output, then the next states.
    outputs: Vec<NodeId>,
}

impl RtenNetwork {
    pub(super) fn new(
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Self> {
        let graph = Graph::open(options, &spec.file, graph)?;
        let (inputs, outputs) = (graph.inputs(), graph.outputs());
        let sizes = spec.block_sizes(frames);
        let list = |outlets: &[Outlet]| -> Vec<(String, Option<Vec<usize>>)> {
            outlets.iter().map(|o| (o.name.clone(), o.fixed_shape(&sizes))).collect()
        };
        let [main_in, main_out] = spec.check_tensors(&list(&inputs), &list(&outputs))?;
        let ids = |outlets: &[Outlet], names: &mut dyn Iterator<Item = &str>| -> Result<Vec<NodeId>> {
            names.map(|name| Ok(Outlet::find(outlets, &spec.file, name)?.id)).collect()
        };
        let mut names_in =
            [spec.input.as_str()].into_iter().chain(spec.states.iter().map(|s| s.name.as_str()));
        let mut names_out =
            [spec.output.as_str()].into_iter().chain(spec.states.iter().map(|s| s.output.as_str()));
        let mut network = Self {
            input: Tensor::zeros(&main_in),
            output: vec![0.0; main_out.iter().product()],
            states: spec.states.iter().map(|s| Tensor::zeros(&s.shape)).collect(),
            inputs: ids(&inputs, &mut names_in)?,
            outputs: ids(&outputs, &mut names_out)?,
            graph,
        };
        // What a graph states of its outputs is not checked when it is loaded, but here.
        network.run()?;
        network.reset();
        Ok(network)
    }

    /// A tensor of 32-bit floats as long as `len`, in row-major order.
    fn floats(&self, value: Value, len: usize) -> Result<Tensor<f32>> {
        let tensor = value.into_tensor::<f32>().filter(|t| t.len() == len);
        let wrong = || Error::network(self.graph.name(), format!("an output is not {len} 32-bit floats"));
        tensor
            .map(|mut t| {
                t.make_contiguous();
                t
            })
            .ok_or_else(wrong)
    }
}

impl StepNetwork for RtenNetwork {
    fn input(&mut self) -> &mut [f32] {
        // Made here and never permuted, so it is contiguous.
        self.input.data_mut().unwrap_or_default()
    }

    fn run(&mut self) -> Result<()> {
        let tensors = [&self.input].into_iter().chain(&self.states);
        let inputs: Vec<(NodeId, ValueOrView<'_>)> =
            self.inputs.iter().copied().zip(tensors.map(ValueOrView::from)).collect();
        let mut values = self.graph.run(inputs, &self.outputs)?.into_iter();
        let missing = || Error::network(self.graph.name(), "an output is missing");
        let output = self.floats(values.next().ok_or_else(missing)?, self.output.len())?;
        let mut states = Vec::with_capacity(self.states.len());
        for (value, old) in values.zip(&self.states) {
            states.push(self.floats(value, old.len())?);
        }
        self.output.copy_from_slice(output.data().unwrap_or_default());
        self.states = states;
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn reset(&mut self) {
        self.input().fill(0.0);
        for state in &mut self.states {
            state.data_mut().unwrap_or_default().fill(0.0);
        }
    }

    fn save(&self, into: &mut Vec<Vec<f32>>) {
        into.resize_with(self.states.len(), Vec::new);
        for (copy, state) in into.iter_mut().zip(&self.states) {
            copy.clear();
            copy.extend_from_slice(state.data().unwrap_or_default());
        }
    }

    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()> {
        // All sizes before the first copy: states that fit in part would be of two moments.
        if !self.states.iter().map(Tensor::len).eq(from.iter().map(Vec::len)) {
            let given: Vec<usize> = from.iter().map(Vec::len).collect();
            let allowed: Vec<usize> = self.states.iter().map(Tensor::len).collect();
            return Err(Error::parameter("states", format!("{given:?}"), format!("{allowed:?}")));
        }
        for (state, copy) in self.states.iter_mut().zip(from) {
            state.data_mut().unwrap_or_default().copy_from_slice(copy);
        }
        Ok(())
    }

    fn provider(&self) -> Provider {
        Provider::Cpu
    }
}
