//! Running networks: one trait that the codecs see, and ONNX Runtime behind it.
//!
//! A codec never sees a session, only a [`StepNetwork`]: an input buffer, an output buffer and states that carry
//! over by themselves. So everything but inference is tested without a model, and a second backend is one more
//! implementation.

mod library;
mod onnx;
mod provider;
mod tensors;
mod weights;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;

pub use library::prefer_library;
pub use provider::Provider;
pub use whole::{Value, WholeNetwork};

use crate::bundle::GraphSpec;
use crate::{Error, Result};

/// A network that is run frame by frame and carries named states from one run to the next.
///
/// A run may allocate inside the backend, so it has no place in an audio device's callback.
pub trait StepNetwork: Send {
    /// The main input of the next run, in the layout of its graph.
    fn input(&mut self) -> &mut [f32];
    /// Runs one step: reads the input and the states, replaces the output and the states.
    ///
    /// # Errors
    /// [`Error::Network`] if the backend fails; the states are then undefined until [`StepNetwork::reset`].
    fn run(&mut self) -> Result<()>;
    /// The main output of the last run.
    fn output(&self) -> &[f32];
    /// Sets every state to zero, as in a new instance.
    fn reset(&mut self);
    /// Copies the states into `into`, in the order of the manifest; buffers are reused.
    fn save(&self, into: &mut Vec<Vec<f32>>);
    /// Puts back what [`StepNetwork::save`] gave.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shapes differ.
    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()>;
    /// The provider that runs the network; never [`Provider::Auto`].
    fn provider(&self) -> Provider;
}

/// A network with any number of inputs and outputs, and with states that a run replaces: a training step, or a decoder
/// with several inputs. Everything is addressed by its place in the [`TensorSpec`].
pub trait TensorNetwork: Send {
    /// An input of the next run; it stays as it is until it is changed.
    fn input(&mut self, index: usize) -> &mut [f32];
    /// An output of the last run.
    fn output(&self, index: usize) -> &[f32];
    /// A state as the next run will read it.
    fn state(&mut self, index: usize) -> &mut [f32];
    /// Reads inputs and states, replaces outputs and states.
    ///
    /// # Errors
    /// [`Error::Network`] if the backend fails; the states are then undefined.
    fn run(&mut self) -> Result<()>;
    /// The provider that runs the network; never [`Provider::Auto`].
    fn provider(&self) -> Provider;
}

/// The names of a [`TensorNetwork`]'s tensors, whose shapes the graph states.
#[derive(Debug, Clone, Copy)]
pub struct TensorSpec<'a> {
    /// What the network is called in errors.
    pub name: &'a str,
    /// Inputs.
    pub inputs: &'a [&'a str],
    /// Outputs.
    pub outputs: &'a [&'a str],
    /// States: the input that is read and the output that replaces it.
    pub states: &'a [(&'a str, &'a str)],
}

/// How networks are to be run.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The execution provider; `Auto` takes the first that works of TensorRT, CUDA and CPU.
    pub provider: Provider,
    /// Device number for CUDA and TensorRT.
    pub device: i32,
    /// Threads of one network on the CPU, at least 1. One is best for a frame of audio.
    pub threads: usize,
    /// Folder in which TensorRT keeps built engines; without it each start builds them anew.
    pub engine_cache: Option<PathBuf>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { provider: Provider::Auto, device: 0, threads: 1, engine_cache: None }
    }
}

/// ONNX Runtime, loaded once a process, with options for the networks that it makes.
#[derive(Clone)]
pub struct Runtime {
    environment: Arc<ort::environment::Environment>,
    options: RuntimeOptions,
}

impl Runtime {
    /// Loads ONNX Runtime's library if this process has not yet, from the first of: `ORT_DYLIB_PATH`, the
    /// file given to [`prefer_library`], `.siskin/ort` of the checkout that `SISKIN_DEV_ROOT` names, `lib/siskin` and
    /// `lib` in the installation of the program or plugin, the same in `/usr/local` and `/usr`, the system's loader. The
    /// working directory is never searched.
    ///
    /// # Errors
    /// [`Error::RuntimeLibrary`] with the places tried, [`Error::Provider`] if an explicit provider is not in the
    /// library, [`Error::Parameter`] for zero threads.
    pub fn load(options: &RuntimeOptions) -> Result<Self> {
        if options.threads == 0 {
            return Err(Error::parameter("threads", 0, "1 and more"));
        }
        let environment = library::environment()?;
        options.provider.check_compiled_in()?;
        Ok(Self { environment, options: options.clone() })
    }

    /// Threads of one network on the CPU.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads
    }

    /// The same with another number of threads, at least 1.
    pub(crate) fn with_threads(&self, threads: usize) -> Self {
        Self { options: RuntimeOptions { threads: threads.max(1), ..self.options.clone() }, ..self.clone() }
    }

    /// The version and build of the ONNX Runtime in use.
    pub fn library_info(&self) -> &'static str {
        ort::info()
    }

    /// Makes a network from the bytes of its graph.
    ///
    /// # Errors
    /// [`Error::Network`] if the graph is not as `spec` says or holds weights that are not finite, [`Error::Provider`] if an explicit provider cannot
    /// take it.
    pub fn network(&self, spec: &GraphSpec, graph: &[u8]) -> Result<Box<dyn StepNetwork>> {
        onnx::OnnxNetwork::new(&self.environment, &self.options, spec, graph)
            .map(|n| Box::new(n) as Box<dyn StepNetwork>)
    }

    /// Makes a network with several inputs and outputs from the bytes of its graph.
    ///
    /// # Errors
    /// As for [`Runtime::network`].
    pub fn tensor_network(&self, spec: &TensorSpec<'_>, graph: &[u8]) -> Result<Box<dyn TensorNetwork>> {
        self.sized_tensor_network(spec, &[], graph)
    }

    /// As [`Runtime::tensor_network`], for a graph that names dimensions instead of stating them: `sizes` says what they
    /// are, as name and size.
    ///
    /// # Errors
    /// As for [`Runtime::network`].
    pub fn sized_tensor_network(
        &self,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>> {
        tensors::OnnxTensorNetwork::new(&self.environment, &self.options, spec, sizes, graph)
            .map(|n| Box::new(n) as Box<dyn TensorNetwork>)
    }

    /// Makes a network that is run on whole inputs of any length; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Network`] if the graph does not load, [`Error::Provider`] if an explicit provider cannot take it.
    pub fn whole_network(&self, name: &str, graph: &[u8]) -> Result<WholeNetwork> {
        WholeNetwork::new(&self.environment, &self.options, name, graph)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("options", &self.options).finish_non_exhaustive()
    }
}
