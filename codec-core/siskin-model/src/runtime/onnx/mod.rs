//! Networks on ONNX Runtime.

mod deferred;
mod library;
mod session;
mod sessions;
mod step;
mod tensors;
mod weights;
mod whole;

use std::sync::Arc;

use ort::environment::Environment;

pub(super) use deferred::DeferredOnnxRuntime;
pub use library::prefer_library;

use super::backend::Backend;
use super::network::{StepNetwork, TensorNetwork, WholeNetwork};
use super::options::RuntimeOptions;
use super::provider::Provider;
use super::spec::{GraphSpec, TensorSpec};
use crate::Result;

/// ONNX Runtime, loaded once a process.
pub(super) struct OnnxRuntime(Arc<Environment>);

impl OnnxRuntime {
    pub(super) fn load() -> Result<Self> {
        library::shared_environment().map(Self)
    }

    /// Fails if the library was built without this provider.
    pub(super) fn check_provider(&self, provider: Provider) -> Result<()> {
        session::check_compiled_in(provider)
    }
}

impl Backend for OnnxRuntime {
    fn info(&self) -> String {
        ort::info().to_owned()
    }

    fn open_step(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &[u8],
    ) -> Result<Box<dyn StepNetwork>> {
        Ok(Box::new(step::OnnxNetwork::new(&self.0, options, spec, graph)?))
    }

    fn open_tensor(
        &self,
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        Ok(Box::new(tensors::OnnxTensorNetwork::new(&self.0, options, spec, sizes, graph)?))
    }

    fn open_whole(
        &self,
        options: &RuntimeOptions,
        name: &str,
        graph: &[u8],
    ) -> Result<Box<dyn WholeNetwork>> {
        Ok(Box::new(whole::OnnxWholeNetwork::new(&self.0, options, name, graph)?))
    }
}
