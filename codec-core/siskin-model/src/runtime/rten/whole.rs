//! A [`WholeNetwork`] on rten.

use rten::{NodeId, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use super::graph::{Graph, Outlet};
use crate::runtime::hashed_graph::HashedGraph;
use crate::runtime::network::{Output, Value, WholeNetwork};
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::{Error, Result};

/// A graph that takes whole inputs of any length.
pub(super) struct RtenWholeNetwork {
    graph: Graph,
    inputs: Vec<Outlet>,
    outputs: Vec<Outlet>,
}

impl RtenWholeNetwork {
    pub(super) fn new(options: &RuntimeOptions, name: &str, graph: &HashedGraph<'_>) -> Result<Self> {
        let graph = Graph::open(options, name, graph)?;
        Ok(Self { inputs: graph.inputs(), outputs: graph.outputs(), graph })
    }

    /// An input of a run, in rten's types.
    fn value(&self, value: &Value<'_>) -> Result<ValueOrView<'static>> {
        let wrong = |e: String| Error::network(self.graph.name(), e);
        match *value {
            Value::F32(shape, data) => {
                let tensor = Tensor::try_from_data(shape, data.to_vec()).map_err(|e| wrong(e.to_string()))?;
                Ok(tensor.into())
            }
            Value::I64(shape, data) => {
                // rten counts with 32 bits; a number that does not fit must not become another.
                let narrow: std::result::Result<Vec<i32>, _> =
                    data.iter().map(|&x| i32::try_from(x)).collect();
                let narrow =
                    narrow.map_err(|_| wrong("an integer is beyond 32 bits, which rten has".into()))?;
                let tensor = Tensor::try_from_data(shape, narrow).map_err(|e| wrong(e.to_string()))?;
                Ok(tensor.into())
            }
        }
    }
}

impl WholeNetwork for RtenWholeNetwork {
    fn has_output(&self, name: &str) -> bool {
        self.outputs.iter().any(|o| o.name == name)
    }

    fn run(&mut self, inputs: &[(&str, Value<'_>)], outputs: &[&str]) -> Result<Vec<Output>> {
        let mut given: Vec<(NodeId, ValueOrView<'_>)> = Vec::with_capacity(inputs.len());
        for (name, value) in inputs {
            given.push((Outlet::find(&self.inputs, self.graph.name(), name)?.id, self.value(value)?));
        }
        let ids = outputs.iter().map(|name| Ok(Outlet::find(&self.outputs, self.graph.name(), name)?.id));
        let values = self.graph.run(given, &ids.collect::<Result<Vec<_>>>()?)?;
        let floats = values.into_iter().map(|value| {
            let tensor = value.into_tensor::<f32>();
            let tensor = tensor
                .ok_or_else(|| Error::network(self.graph.name(), "an output is not of 32-bit floats"))?;
            Ok((tensor.shape().to_vec(), tensor.to_vec()))
        });
        floats.collect()
    }

    fn provider(&self) -> Provider {
        Provider::Cpu
    }
}
