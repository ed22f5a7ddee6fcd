//! Networks on ONNX Runtime.

mod library;
mod session;
mod sessions;
mod step;
mod tensors;
mod whole;

pub use library::prefer_library;

use super::backend::Backend;
use super::hashed_graph::HashedGraph;
use super::network::{StepNetwork, TensorNetwork, WholeNetwork};
use super::options::RuntimeOptions;
use super::provider::Provider;
use super::spec::{GraphSpec, TensorSpec};
use crate::Result;

/// ONNX Runtime, which the first network that is opened loads, once a process.
pub(super) struct OnnxRuntime;

impl OnnxRuntime {
    /// Loads the library now.
    pub(super) fn load() -> Result<Self> {
        library::shared_environment().map(|_| Self)
    }

    /// Fails if the library, which has been loaded, was built without this provider.
    pub(super) fn check_provider(&self, provider: Provider) -> Result<()> {
        session::check_compiled_in(provider)
    }
}

impl Backend for OnnxRuntime {
    fn info(&self) -> String {
        if library::is_loaded() { ort::info().to_owned() } else { "ONNX Runtime, not loaded".to_owned() }
    }

    fn open_step(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        Ok(Box::new(step::OnnxNetwork::new(library::shared_environment()?, options, spec, graph, frames)?))
    }

    fn open_tensor(
        &self,
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        Ok(Box::new(tensors::OnnxTensorNetwork::new(
            library::shared_environment()?,
            options,
            spec,
            sizes,
            graph,
        )?))
    }

    fn open_whole(
        &self,
        options: &RuntimeOptions,
        name: &str,
        graph: &HashedGraph<'_>,
        is_checked: bool,
    ) -> Result<Box<dyn WholeNetwork>> {
        let environment = library::shared_environment()?;
        Ok(Box::new(whole::OnnxWholeNetwork::new(environment, options, name, graph, is_checked)?))
    }
}
