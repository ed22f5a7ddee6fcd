//! What a network's tensors are called.

use serde::Deserialize;

/// One network of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GraphSpec {
    /// ONNX file.
    pub file: String,
    /// Name of the main input.
    pub input: String,
    /// Name of the main output.
    pub output: String,
    /// What the network carries from one frame to the next; all zero at the start.
    pub states: Vec<StateSpec>,
}

/// One carried tensor, f32.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateSpec {
    /// Name of the input that takes the state.
    pub name: String,
    /// Name of the output that gives the next one.
    pub output: String,
    /// Shape, the same for both.
    pub shape: Vec<usize>,
}

/// The names of a [`TensorNetwork`](super::TensorNetwork)'s tensors, whose shapes the graph states.
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
