use std::sync::Arc;

use super::backend::Backend;
use super::hashed_graph::HashedGraph;
use super::network::{StepNetwork, TensorNetwork, WholeNetwork};
#[cfg(feature = "onnxruntime")]
use super::onnx::OnnxRuntime;
use super::options::RuntimeOptions;
#[cfg(feature = "onnxruntime")]
use super::provider::Provider;
#[cfg(feature = "rten")]
use super::rten::Rten;
use super::spec::{GraphSpec, TensorSpec};
use crate::{Error, Result};

/// A backend with options for the networks that it opens.
#[derive(Clone)]
pub struct Runtime {
    backend: Arc<dyn Backend>,
    options: RuntimeOptions,
}

impl Runtime {
    /// ONNX Runtime, whose library is loaded if this process has not yet, from the first of: `ORT_DYLIB_PATH`, the
    /// file given to [`prefer_library`](super::prefer_library), `.siskin/ort` of the checkout that `SISKIN_DEV_ROOT` names,
    /// `lib/siskin` and `lib` in the installation of the program or plugin, the same in `/usr/local` and `/usr`, the system's
    /// loader. The working directory is never searched.
    ///
    /// # Errors
    /// [`Error::RuntimeLibrary`] with the places tried, [`Error::Provider`] if an explicit provider is not in the
    /// library, [`Error::Parameter`] for zero threads.
    #[cfg(feature = "onnxruntime")]
    pub fn load(options: &RuntimeOptions) -> Result<Self> {
        check_options(options)?;
        let backend = OnnxRuntime::load()?;
        // An explicit provider fails here, before any bundle is read; `auto` passes over what is missing.
        backend.check_provider(options.provider)?;
        Self::with_backend(Arc::new(backend), options)
    }

    /// As [`Runtime::load`], but the library is loaded only when the first network is opened, if the options name no provider
    /// that has to be checked: streams without networks then play where there is no ONNX Runtime.
    ///
    /// # Errors
    /// As for [`Runtime::load`]; what concerns the library comes from the first network that is opened.
    #[cfg(feature = "onnxruntime")]
    pub fn load_when_needed(options: &RuntimeOptions) -> Result<Self> {
        match options.provider {
            Provider::Auto | Provider::Cpu => Self::with_backend(Arc::new(OnnxRuntime), options),
            _ => Self::load(options),
        }
    }

    /// rten, which is part of the program: no library is loaded. It runs on the processor alone, and gives samples within
    /// 1e-5 of those of ONNX Runtime (`docs/web.md`).
    ///
    /// # Errors
    /// [`Error::Parameter`] for zero threads; [`Error::Provider`] comes from the first network that is opened.
    #[cfg(feature = "rten")]
    pub fn with_rten(options: &RuntimeOptions) -> Result<Self> {
        Self::with_backend(Arc::new(Rten), options)
    }

    /// A runtime that opens networks with `backend`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for zero threads.
    pub fn with_backend(backend: Arc<dyn Backend>, options: &RuntimeOptions) -> Result<Self> {
        check_options(options)?;
        Ok(Self { backend, options: options.clone() })
    }

    /// Threads of one network on the CPU.
    pub fn threads(&self) -> usize {
        self.options.threads
    }

    /// The same with another number of threads, at least 1.
    #[must_use]
    pub fn with_threads(&self, threads: usize) -> Self {
        // The backend is shared: threads belong to sessions, and those that are open keep theirs.
        Self { options: RuntimeOptions { threads: threads.max(1), ..self.options.clone() }, ..self.clone() }
    }

    /// Name, version and build of the backend.
    pub fn library_info(&self) -> String {
        self.backend.info()
    }

    /// Makes a network that runs frame by frame from the bytes of its graph.
    ///
    /// # Errors
    /// [`Error::Network`] if the graph is not as `spec` says or holds weights that are not finite, [`Error::Provider`] if
    /// an explicit provider cannot take it.
    pub fn open_network(&self, spec: &GraphSpec, graph: &[u8]) -> Result<Box<dyn StepNetwork>> {
        self.open_hashed_network(spec, &HashedGraph::from_bytes(graph), 1)
    }

    /// Makes a network that runs `frames` frames at once, of a graph that takes any number of them.
    ///
    /// # Errors
    /// As for [`Runtime::open_network`]; [`Error::Network`] if the graph or the backend runs one frame only.
    pub fn open_block_network(
        &self,
        spec: &GraphSpec,
        graph: &[u8],
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        self.open_hashed_network(spec, &HashedGraph::from_bytes(graph), frames)
    }

    /// As [`Runtime::open_network`] for one frame and [`Runtime::open_block_network`] for several, without reading a graph that
    /// other streams have open.
    ///
    /// # Errors
    /// As for [`Runtime::open_block_network`], and what reading the graph returns.
    pub fn open_hashed_network(
        &self,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        if frames == 0 || spec.blocks.is_none() && frames != 1 {
            return Err(Error::network(&spec.file, format!("{frames} frames in a run, the graph takes one")));
        }
        self.backend.open_step(&self.options, spec, graph, frames)
    }

    /// Makes a network with several inputs and outputs from the bytes of its graph.
    ///
    /// # Errors
    /// As for [`Runtime::open_network`].
    pub fn open_tensor_network(&self, spec: &TensorSpec<'_>, graph: &[u8]) -> Result<Box<dyn TensorNetwork>> {
        self.open_sized_tensor_network(spec, &[], graph)
    }

    /// As [`Runtime::open_tensor_network`], for a graph that names dimensions instead of stating them: `sizes` says what they
    /// are, as name and size.
    ///
    /// # Errors
    /// As for [`Runtime::open_network`].
    pub fn open_sized_tensor_network(
        &self,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        self.backend.open_tensor(&self.options, spec, sizes, graph)
    }

    /// Makes a network that is run on whole inputs of any length; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Network`] if the graph does not load, [`Error::Provider`] if an explicit provider cannot take it.
    pub fn open_whole_network(&self, name: &str, graph: &[u8]) -> Result<Box<dyn WholeNetwork>> {
        self.backend.open_whole(&self.options, name, &HashedGraph::from_bytes(graph), false)
    }

    /// As [`Runtime::open_whole_network`], for a codec's network, whose weights have to be finite as those of a network that is
    /// run frame by frame. A graph that other streams have open may not be read.
    ///
    /// # Errors
    /// As for [`Runtime::open_network`], and what reading the graph returns.
    pub fn open_checked_whole_network(
        &self,
        name: &str,
        graph: &HashedGraph<'_>,
    ) -> Result<Box<dyn WholeNetwork>> {
        self.backend.open_whole(&self.options, name, graph, true)
    }
}

fn check_options(options: &RuntimeOptions) -> Result<()> {
    if options.threads == 0 {
        return Err(Error::parameter("threads", 0, "1 and more"));
    }
    Ok(())
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("options", &self.options).finish_non_exhaustive()
    }
}
