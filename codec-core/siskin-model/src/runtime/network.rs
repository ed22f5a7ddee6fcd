//! Networks as the codecs see them, whatever runs them.

use super::provider::Provider;
use crate::Result;

/// A network that is run frame by frame and carries named states from one run to the next.
///
/// A run may allocate inside the backend, so it has no place in an audio device's callback.
pub trait StepNetwork: Send {
    /// The main input of the next run, in the layout of its graph.
    fn input(&mut self) -> &mut [f32];
    /// Runs one step: reads the input and the states, replaces the output and the states.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network) if the backend fails; the states are then undefined until [`StepNetwork::reset`].
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
    /// [`Error::Parameter`](crate::Error::Parameter) if the shapes differ.
    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()>;
    /// The provider that runs the network; never [`Provider::Auto`].
    fn provider(&self) -> Provider;
    /// The same network with a state of its own, for blocks of `frames` frames, on the same weights: for a stream that runs now
    /// one, now several frames, never both at once. None where each has to be opened by itself.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network) if the graph does not take so many frames.
    fn resized(&self, _frames: usize) -> Option<Result<Box<dyn StepNetwork>>> {
        None
    }
}

/// A network with any number of inputs and outputs, and with states that a run replaces: a training step, or a decoder
/// with several inputs. Everything is addressed by its place in the [`TensorSpec`](super::TensorSpec).
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
    /// [`Error::Network`](crate::Error::Network) if the backend fails; the states are then undefined.
    fn run(&mut self) -> Result<()>;
    /// The provider that runs the network; never [`Provider::Auto`].
    fn provider(&self) -> Provider;
}

/// An input of a [`WholeNetwork`], in the row-major layout of its shape.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// 32-bit floats.
    F32(&'a [usize], &'a [f32]),
    /// 64-bit integers.
    I64(&'a [usize], &'a [i64]),
}

/// An output of a [`WholeNetwork`]: its shape and its values.
pub type Output = (Vec<usize>, Vec<f32>);

/// A network without states whose tensors have lengths that change from run to run, such as a sentence. Each run
/// allocates.
pub trait WholeNetwork: Send {
    /// Whether the graph has an output of this name.
    fn has_output(&self, name: &str) -> bool;
    /// Runs the network and gives the outputs named, each with its shape.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network) if an input does not fit the graph, an output is not of 32-bit floats, or the run
    /// fails.
    fn run(&mut self, inputs: &[(&str, Value<'_>)], outputs: &[&str]) -> Result<Vec<Output>>;
    /// The provider that runs the network; never [`Provider::Auto`].
    fn provider(&self) -> Provider;
}
