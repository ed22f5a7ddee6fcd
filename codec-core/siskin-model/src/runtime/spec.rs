//! What a network's tensors are called.

#[cfg(any(feature = "onnxruntime", feature = "rten"))]
use std::collections::BTreeSet;

use serde::Deserialize;

#[cfg(any(feature = "onnxruntime", feature = "rten"))]
use crate::{Error, Result};

/// Values of a tensor that a graph states at most: a gigabyte of them. A graph may state any, and they are allocated when it is
/// opened.
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
const MAX_VALUES: usize = 1 << 28;

/// Whether a tensor of this shape can be allocated.
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
pub(super) fn is_bounded(shape: &[usize]) -> bool {
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    count.is_some_and(|count| count <= MAX_VALUES)
}

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
    /// For a graph that takes any whole number of frames in a run: see [`BlockSpec`].
    #[serde(default)]
    pub blocks: Option<BlockSpec>,
}

/// How the sizes of a graph's input and output follow from the number of frames in a run. Their last dimensions are named
/// `input_samples` and `output_samples` in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct BlockSpec {
    /// Size of the input's last dimension for one frame.
    pub input: usize,
    /// Size of the output's.
    pub output: usize,
    /// Frames of a run at most, where files are coded in blocks.
    #[serde(default = "usual_frames")]
    pub max_frames: usize,
}

impl BlockSpec {
    /// Frames of a run at most, whatever a bundle says: buffers grow with them.
    pub const MAX_FRAMES: usize = 64;
    /// Frames of a run at most where a bundle says nothing: with 16 Mimi takes half the time, and more gain little.
    pub const USUAL_FRAMES: usize = 16;
}

fn usual_frames() -> usize {
    BlockSpec::USUAL_FRAMES
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
    /// Whether the output may be written where the input is read: one node reads the input, and it leaves what it does not
    /// replace as it is. A runtime that cannot do that copies the tensor.
    #[serde(default)]
    pub in_place: bool,
}

#[cfg(any(feature = "onnxruntime", feature = "rten"))]
impl GraphSpec {
    /// Name and size of the dimensions that follow from the number of frames in a run.
    pub(super) fn block_sizes(&self, frames: usize) -> Vec<(&'static str, usize)> {
        let sizes =
            |b: BlockSpec| [("input_samples", frames * b.input), ("output_samples", frames * b.output)];
        self.blocks.map(sizes).into_iter().flatten().collect()
    }

    /// Checks that a graph has the states of the manifest and no others, in their shapes, and gives the shapes of the main
    /// input and output. `inputs` and `outputs` are the graph's tensors; a shape that is not stated in numbers is none.
    pub(super) fn check_tensors(
        &self,
        inputs: &[(String, Option<Vec<usize>>)],
        outputs: &[(String, Option<Vec<usize>>)],
    ) -> Result<[Vec<usize>; 2]> {
        let names = |main, state: fn(&StateSpec) -> &str| {
            self.states.iter().map(state).chain([main]).collect::<BTreeSet<&str>>()
        };
        let known_in = names(self.input.as_str(), |s| &s.name);
        let known_out = names(self.output.as_str(), |s| &s.output);
        for (side, tensors, known) in [("input", inputs, known_in), ("output", outputs, known_out)] {
            // Of two states of one name only the last would be used.
            if known.len() != self.states.len() + 1 {
                return Err(Error::network(&self.file, format!("the manifest names an {side} twice")));
            }
            if let Some((name, _)) = tensors.iter().find(|(name, _)| !known.contains(name.as_str())) {
                let reason = format!("the manifest does not name the {side} {name} as a state's");
                return Err(Error::network(&self.file, reason));
            }
        }
        let shape = |tensors: &[(String, Option<Vec<usize>>)], name: &str| -> Result<Vec<usize>> {
            let found = tensors.iter().find(|t| t.0 == name).and_then(|t| t.1.clone());
            let allowed = format!("no tensor {name} of static shape, of up to {MAX_VALUES} values");
            found.ok_or_else(|| Error::network(&self.file, allowed))
        };
        for StateSpec { name, output, shape: expected, .. } in &self.states {
            let found = [shape(inputs, name)?, shape(outputs, output)?];
            if found.iter().any(|s| s != expected) {
                let reason = format!("state {name} has the shapes {found:?}, the manifest says {expected:?}");
                return Err(Error::network(&self.file, reason));
            }
        }
        Ok([shape(inputs, &self.input)?, shape(outputs, &self.output)?])
    }
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
