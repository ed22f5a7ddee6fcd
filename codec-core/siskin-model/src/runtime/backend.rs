use super::hashed_graph::HashedGraph;
use super::network::{StepNetwork, TensorNetwork, WholeNetwork};
use super::options::RuntimeOptions;
use super::spec::{GraphSpec, TensorSpec};
use crate::{Error, Result};

/// What opens networks: ONNX Runtime, or whatever a program brings of its own ([`Runtime::with_backend`]).
///
/// [`Runtime::with_backend`]: super::Runtime::with_backend
pub trait Backend: Send + Sync {
    /// Name, version and build, for people.
    fn info(&self) -> String;

    /// Opens a network that is run frame by frame; [`Runtime::open_network`](super::Runtime::open_network) says what may fail.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network), [`Error::Provider`](crate::Error::Provider).
    // Bytes and not a path: what runs is what the bundle has hashed.
    fn open_step(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &[u8],
    ) -> Result<Box<dyn StepNetwork>>;

    /// Opens a network that is run on `frames` frames at once, whose graph takes any number ([`GraphSpec::blocks`]). Its states
    /// are those of the network of one frame.
    ///
    /// # Errors
    /// As for [`open_step`](Self::open_step).
    fn open_block(
        &self,
        _options: &RuntimeOptions,
        spec: &GraphSpec,
        _graph: &[u8],
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        Err(Error::network(&spec.file, format!("{frames} frames in a run, this backend runs one")))
    }

    /// As [`open_step`](Self::open_step) for one frame and [`open_block`](Self::open_block) for several, for a backend that does
    /// not read a graph again that other streams have open.
    ///
    /// # Errors
    /// As for [`open_step`](Self::open_step), and what reading the graph returns.
    fn open_hashed(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        let graph = graph.read()?;
        if frames == 1 {
            return self.open_step(options, spec, &graph);
        }
        self.open_block(options, spec, &graph, frames)
    }

    /// Opens a network with several inputs and outputs. `sizes` are name and size of the dimensions that the graph names
    /// instead of stating them.
    ///
    /// # Errors
    /// As for [`open_step`](Self::open_step).
    fn open_tensor(
        &self,
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Box<dyn TensorNetwork>>;

    /// Opens a network that is run on whole inputs; `name` is what errors call it.
    ///
    /// # Errors
    /// As for [`open_step`](Self::open_step).
    fn open_whole(&self, options: &RuntimeOptions, name: &str, graph: &[u8])
    -> Result<Box<dyn WholeNetwork>>;
}
