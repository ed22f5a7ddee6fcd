use super::hashed_graph::HashedGraph;
use super::network::{StepNetwork, TensorNetwork, WholeNetwork};
use super::options::RuntimeOptions;
use super::spec::{GraphSpec, TensorSpec};
use crate::Result;

/// What opens networks: ONNX Runtime, or whatever a program brings of its own ([`Runtime::with_backend`]).
///
/// [`Runtime::with_backend`]: super::Runtime::with_backend
pub trait Backend: Send + Sync {
    /// Name, version and build, for people.
    fn info(&self) -> String;

    /// Opens a network that runs `frames` frames at once: one, or as many as the graph takes ([`GraphSpec::blocks`]), with the same
    /// states. [`Runtime::open_hashed_network`](super::Runtime::open_hashed_network) says what may fail.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network), [`Error::Provider`](crate::Error::Provider), and what reading the graph returns.
    // Bytes and not a path: what runs is what the bundle has hashed. By their hash, so that a backend need not read a graph again
    // that other streams have open.
    fn open_step(
        &self,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>>;

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

    /// Opens a network that is run on whole inputs; `name` is what errors call it. `is_checked` says that
    /// weights which are not finite are an error; a backend may refuse them anyway.
    ///
    /// # Errors
    /// As for [`open_step`](Self::open_step).
    fn open_whole(
        &self,
        options: &RuntimeOptions,
        name: &str,
        graph: &HashedGraph<'_>,
        is_checked: bool,
    ) -> Result<Box<dyn WholeNetwork>>;
}
