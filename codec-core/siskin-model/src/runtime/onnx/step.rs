//! A [`StepNetwork`] on ONNX Runtime with bound, preallocated buffers.

use std::sync::Arc;

use ort::environment::Environment;
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor};

use super::session::{open_session, zeros};
use super::sessions::{SessionKey, SessionUser};
use super::tensors;
use crate::runtime::hashed_graph::HashedGraph;
use crate::runtime::network::StepNetwork;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::runtime::spec::{GraphSpec, StateSpec};
use crate::runtime::weights::check_weights;
use crate::{Error, Result};

/// Two bindings over two sets of state tensors: a run reads one set and writes the other, the next run the other way
/// round, so states move without copies. A state that is [written in place](StateSpec::in_place) is one tensor in both sets. The
/// session may have other streams too; all tensors are this one's own.
pub(super) struct OnnxNetwork {
    spec: GraphSpec,
    /// With the networks of the same stream for other blocks, of which one runs at a time.
    session: Arc<SessionUser>,
    provider: Provider,
    input: Tensor<f32>,
    output: Tensor<f32>,
    states: Vec<State>,
    bindings: [IoBinding; 2],
    /// Which set of states the next run reads.
    phase: usize,
}

/// The tensors of a state: one for each set, or one for both.
struct State(Vec<Tensor<f32>>);

impl State {
    fn zeros(spec: &StateSpec) -> ort::Result<Self> {
        let count = if spec.in_place { 1 } else { 2 };
        (0..count).map(|_| zeros(&spec.shape)).collect::<ort::Result<_>>().map(Self)
    }

    /// The tensor of a set.
    fn of_set(&mut self, set: usize) -> &mut Tensor<f32> {
        let count = self.0.len();
        &mut self.0[set % count]
    }

    fn values(&self, set: usize) -> &[f32] {
        self.0[set % self.0.len()].extract_tensor().1
    }
}

impl OnnxNetwork {
    pub(super) fn new(
        environment: &Environment,
        options: &RuntimeOptions,
        spec: &GraphSpec,
        graph: &HashedGraph<'_>,
        frames: usize,
    ) -> Result<Self> {
        let (session, provider) = SessionUser::acquire(&SessionKey::new(options, graph.hash()), || {
            let graph = &graph.read()?;
            // ONNX Runtime runs with NaN weights without an error, so they are looked for before.
            check_weights(&spec.file, graph)?;
            open_session(environment, options, &spec.file, graph)
        })?;
        Self::on_session(Arc::new(session), provider, spec, frames)
    }

    fn on_session(
        session: Arc<SessionUser>,
        provider: Provider,
        spec: &GraphSpec,
        frames: usize,
    ) -> Result<Self> {
        let fail = |e: ort::Error| Error::network(&spec.file, e);
        // Here and not in the first run, whose errors do not name the manifest.
        let shapes = session.with(&spec.file, |open| Ok(check_shapes(spec, open, frames)))?;
        let [main_in, main_out] = shapes?;
        let input = zeros(&main_in).map_err(fail)?;
        let mut output = zeros(&main_out).map_err(fail)?;
        let mut states =
            spec.states.iter().map(State::zeros).collect::<ort::Result<Vec<_>>>().map_err(fail)?;
        let bindings = session.with(&spec.file, |open| {
            let mut bind = |from| bind_tensors(open, spec, &input, &mut output, &mut states, from);
            Ok([bind(0)?, bind(1)?])
        })?;
        let mut network =
            Self { spec: spec.clone(), session, provider, input, output, states, bindings, phase: 0 };
        // The first run lays out the memory; do it before real time begins.
        network.run()?;
        network.reset();
        Ok(network)
    }
}

impl StepNetwork for OnnxNetwork {
    fn input(&mut self) -> &mut [f32] {
        self.input.extract_tensor_mut().1
    }

    fn run(&mut self) -> Result<()> {
        let binding = &self.bindings[self.phase];
        self.session.with(&self.spec.file, |session| session.run_binding(binding).map(drop))?;
        // The set that was written is read next.
        self.phase ^= 1;
        Ok(())
    }

    fn output(&self) -> &[f32] {
        self.output.extract_tensor().1
    }

    fn reset(&mut self) {
        // Both sets, so that a network after a reset is like a new one whichever is read first.
        for state in self.states.iter_mut().flat_map(|state| &mut state.0) {
            state.extract_tensor_mut().1.fill(0.0);
        }
        self.input().fill(0.0);
        self.phase = 0;
    }

    fn save(&self, into: &mut Vec<Vec<f32>>) {
        // The set that the next run reads; the other holds what is one frame older.
        into.resize_with(self.states.len(), Vec::new);
        for (copy, state) in into.iter_mut().zip(&self.states) {
            copy.clear();
            copy.extend_from_slice(state.values(self.phase));
        }
    }

    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()> {
        let sizes = || self.states.iter().map(|s| s.values(self.phase).len());
        // All sizes before the first copy: states that fit in part would be of two moments.
        if !sizes().eq(from.iter().map(Vec::len)) {
            let given: Vec<usize> = from.iter().map(Vec::len).collect();
            let allowed: Vec<usize> = sizes().collect();
            return Err(Error::parameter("states", format!("{given:?}"), format!("{allowed:?}")));
        }
        for (state, copy) in self.states.iter_mut().zip(from) {
            state.of_set(self.phase).extract_tensor_mut().1.copy_from_slice(copy);
        }
        Ok(())
    }

    fn provider(&self) -> Provider {
        self.provider
    }

    fn resized(&self, frames: usize) -> Option<Result<Box<dyn StepNetwork>>> {
        self.spec.blocks?;
        let network = Self::on_session(self.session.clone(), self.provider, &self.spec, frames);
        Some(network.map(|network| Box::new(network) as Box<dyn StepNetwork>))
    }
}

/// Binds what reads the states of set `from` and writes those of the other.
fn bind_tensors(
    session: &Session,
    spec: &GraphSpec,
    input: &Tensor<f32>,
    output: &mut Tensor<f32>,
    states: &mut [State],
    from: usize,
) -> ort::Result<IoBinding> {
    let mut binding = session.create_binding()?;
    binding.bind_input(spec.input.as_str(), input)?;
    binding.bind_output(spec.output.as_str(), output)?;
    for (spec, state) in spec.states.iter().zip(states) {
        binding.bind_input(spec.name.as_str(), &*state.of_set(from))?;
        binding.bind_output(spec.output.as_str(), state.of_set(from ^ 1))?;
    }
    Ok(binding)
}

/// Checks the graph's tensors against the manifest, and gives the shapes of the main input and output.
fn check_shapes(spec: &GraphSpec, session: &Session, frames: usize) -> Result<[Vec<usize>; 2]> {
    let sizes = spec.block_sizes(frames);
    // A dimension that is neither stated nor named in the manifest leaves the tensor without a shape
    // (`docs/model-bundle.md`).
    let shape = |o: &Outlet| tensors::fixed_shape(o, &sizes);
    let list =
        |outlets: &[Outlet]| outlets.iter().map(|o| (o.name().to_owned(), shape(o))).collect::<Vec<_>>();
    spec.check_tensors(&list(session.inputs()), &list(session.outputs()))
}
