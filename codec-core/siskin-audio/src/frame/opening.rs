use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, GraphSpec};
use siskin_model::runtime::{Runtime, Value, WholeNetwork};

/// The network of a stream's first frames, where those are padded by mirroring what comes after them. It is loaded when the
/// first stream begins.
pub(super) struct Opening {
    bundle: Bundle,
    runtime: Runtime,
    spec: GraphSpec,
    frames: usize,
    network: Option<Box<dyn WholeNetwork>>,
    states: Vec<Vec<f32>>,
}

impl Opening {
    pub(super) fn new(bundle: &Bundle, runtime: &Runtime, spec: &GraphSpec, frames: usize) -> Self {
        let (bundle, runtime, spec) = (bundle.clone(), runtime.clone(), spec.clone());
        Self { bundle, runtime, spec, frames, network: None, states: Vec::new() }
    }

    /// Frames that it takes at once.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Runs the network on `input` of `shape`; the output has to have `expected` values.
    pub(super) fn run(&mut self, shape: &[usize], input: &[f32], expected: usize) -> Result<Vec<f32>> {
        let file = &self.spec.file;
        let mut network = match self.network.take() {
            Some(network) => network,
            None => self.bundle.open_whole_network(&self.runtime, file)?,
        };
        let states = self.spec.states.iter().map(|s| s.output.as_str());
        let names: Vec<&str> = std::iter::once(self.spec.output.as_str()).chain(states).collect();
        let mut outputs =
            network.run(&[(self.spec.input.as_str(), Value::F32(shape, input))], &names)?.into_iter();
        let output = outputs.next().map(|(_, values)| values).unwrap_or_default();
        if output.len() != expected {
            let reason = format!("{} values, the manifest says {expected}", output.len());
            return Err(Error::network(file, reason));
        }
        self.states = outputs.map(|(_, values)| values).collect();
        self.network = Some(network);
        Ok(output)
    }

    /// The states after the last run, for the network that goes on.
    pub(super) fn states(&self) -> &[Vec<f32>] {
        &self.states
    }
}
