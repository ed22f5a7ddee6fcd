//! Networks on rten, which is Rust and part of the program: in browsers, and where there is no ONNX Runtime.

mod convolutions;
mod declared;
mod graph;
mod step;
mod tensors;
mod whole;

use super::backend::Backend;
use super::hashed_graph::HashedGraph;
use super::network::{StepNetwork, TensorNetwork, WholeNetwork};
use super::options::RuntimeOptions;
use super::spec::{GraphSpec, TensorSpec};
use crate::Result;

/// rten, on the processor alone.
pub(super) struct Rten;

impl Backend for Rten {
    fn info(&self) -> String {
        // rten does not tell its version; this one is what Cargo.toml asks for.
        "rten 0.27".to_owned()
    }

    fn open_step(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        Ok(Box::new(step::RtenNetwork::new(options, spec, graph, frames)?))
    }

    fn open_tensor(
        &self,
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        Ok(Box::new(tensors::RtenTensorNetwork::new(options, spec, sizes, &HashedGraph::from_bytes(graph))?))
    }

    fn open_whole(
        &self,
        options: &RuntimeOptions,
        name: &str,
        graph: &HashedGraph<'_>,
        // It looks at the weights of each graph, once a process.
        _is_checked: bool,
    ) -> Result<Box<dyn WholeNetwork>> {
        Ok(Box::new(whole::RtenWholeNetwork::new(options, name, graph)?))
    }
}
