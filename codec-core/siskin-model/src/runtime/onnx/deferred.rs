//! ONNX Runtime that is loaded when the first network is opened.

use std::sync::OnceLock;

use super::OnnxRuntime;
use crate::Result;
use crate::runtime::backend::Backend;
use crate::runtime::network::{StepNetwork, TensorNetwork, WholeNetwork};
use crate::runtime::options::RuntimeOptions;
use crate::runtime::spec::{GraphSpec, TensorSpec};

/// Loads ONNX Runtime on demand.
#[derive(Default)]
pub(in crate::runtime) struct DeferredOnnxRuntime(OnceLock<OnnxRuntime>);

impl DeferredOnnxRuntime {
    fn backend(&self) -> Result<&OnnxRuntime> {
        if let Some(loaded) = self.0.get() {
            return Ok(loaded);
        }
        // An error is not kept: the library may be installed meanwhile. The process has one environment, so it does not matter
        // which of two threads is first.
        let loaded = OnnxRuntime::load()?;
        Ok(self.0.get_or_init(|| loaded))
    }
}

impl Backend for DeferredOnnxRuntime {
    fn info(&self) -> String {
        self.0.get().map_or_else(|| "ONNX Runtime, not loaded".to_owned(), Backend::info)
    }

    fn open_step(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &[u8],
    ) -> Result<Box<dyn StepNetwork>> {
        self.backend()?.open_step(options, spec, graph)
    }

    fn open_tensor(
        &self,
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        self.backend()?.open_tensor(options, spec, sizes, graph)
    }

    fn open_whole(
        &self,
        options: &RuntimeOptions,
        name: &str,
        graph: &[u8],
    ) -> Result<Box<dyn WholeNetwork>> {
        self.backend()?.open_whole(options, name, graph)
    }
}
