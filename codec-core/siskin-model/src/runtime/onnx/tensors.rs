//! A [`TensorNetwork`] on ONNX Runtime with bound, preallocated buffers.

use ort::environment::Environment;
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, ValueType};

use super::session::{open_sized, zeros};
use crate::runtime::network::TensorNetwork;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::runtime::spec::{TensorSpec, is_bounded};
use crate::runtime::weights::check_weights;
use crate::{Error, Result};

/// As in a network that runs step by step, two bindings over two sets of states: a run reads one set and writes the
/// other, so a state moves without a copy.
pub(super) struct OnnxTensorNetwork {
    name: String,
    session: Session,
    provider: Provider,
    inputs: Vec<Tensor<f32>>,
    outputs: Vec<Tensor<f32>>,
    states: [Vec<Tensor<f32>>; 2],
    bindings: [IoBinding; 2],
    /// Which set of states the next run reads.
    phase: usize,
}

impl OnnxTensorNetwork {
    pub(super) fn new(
        environment: &Environment,
        options: &RuntimeOptions,
        spec: &TensorSpec<'_>,
        sizes: &[(&str, usize)],
        graph: &[u8],
    ) -> Result<Self> {
        check_weights(spec.name, graph)?;
        let (session, provider) = open_sized(environment, options, spec.name, graph, sizes)?;
        let make = |names: &mut dyn Iterator<Item = &str>, outlets: &[Outlet]| -> Result<Vec<Tensor<f32>>> {
            names
                .map(|name| {
                    zeros(&shape(spec, sizes, outlets, name)?).map_err(|e| Error::network(spec.name, e))
                })
                .collect()
        };
        // Allocated once and bound: a run then moves no memory between Rust and ONNX Runtime.
        let inputs = make(&mut spec.inputs.iter().copied(), session.inputs())?;
        let mut outputs = make(&mut spec.outputs.iter().copied(), session.outputs())?;
        let mut states = [
            make(&mut spec.states.iter().map(|s| s.0), session.inputs())?,
            make(&mut spec.states.iter().map(|s| s.1), session.outputs())?,
        ];
        let [a, b] = &mut states;
        let forth = bind_tensors(&session, spec, &inputs, &mut outputs, a, b);
        let back = bind_tensors(&session, spec, &inputs, &mut outputs, b, a);
        let fail = |e: ort::Error| Error::network(spec.name, e);
        let bindings = [forth.map_err(fail)?, back.map_err(fail)?];
        // No run ahead as in `step`: it would replace the states, which callers set.
        Ok(Self {
            name: spec.name.to_owned(),
            session,
            provider,
            inputs,
            outputs,
            states,
            bindings,
            phase: 0,
        })
    }
}

impl TensorNetwork for OnnxTensorNetwork {
    fn input(&mut self, index: usize) -> &mut [f32] {
        self.inputs[index].extract_tensor_mut().1
    }

    fn output(&self, index: usize) -> &[f32] {
        self.outputs[index].extract_tensor().1
    }

    fn state(&mut self, index: usize) -> &mut [f32] {
        self.states[self.phase][index].extract_tensor_mut().1
    }

    fn run(&mut self) -> Result<()> {
        self.session.run_binding(&self.bindings[self.phase]).map_err(|e| Error::network(&self.name, e))?;
        // After a failed run the phase stays; the states are undefined, as the trait says.
        self.phase ^= 1;
        Ok(())
    }

    fn provider(&self) -> Provider {
        self.provider
    }
}

fn bind_tensors(
    session: &Session,
    spec: &TensorSpec<'_>,
    inputs: &[Tensor<f32>],
    outputs: &mut [Tensor<f32>],
    read: &[Tensor<f32>],
    write: &mut [Tensor<f32>],
) -> ort::Result<IoBinding> {
    let mut binding = session.create_binding()?;
    for (name, tensor) in spec.inputs.iter().zip(inputs) {
        binding.bind_input(*name, tensor)?;
    }
    for (name, tensor) in spec.outputs.iter().zip(outputs) {
        binding.bind_output(*name, tensor)?;
    }
    for (((input, output), from), to) in spec.states.iter().zip(read).zip(write) {
        binding.bind_input(*input, from)?;
        binding.bind_output(*output, to)?;
    }
    Ok(binding)
}

/// The shape of a tensor, whose dimensions are numbers or have one of the names in `sizes`.
fn shape(
    spec: &TensorSpec<'_>,
    sizes: &[(&str, usize)],
    outlets: &[Outlet],
    name: &str,
) -> Result<Vec<usize>> {
    let missing = || Error::network(spec.name, format!("no tensor {name} of known shape"));
    let outlet = outlets.iter().find(|o| o.name() == name).ok_or_else(missing)?;
    fixed_shape(outlet, sizes).ok_or_else(missing)
}

/// The shape of a tensor in numbers; `sizes` are those of the dimensions that the graph names.
pub(super) fn fixed_shape(outlet: &Outlet, sizes: &[(&str, usize)]) -> Option<Vec<usize>> {
    let ValueType::Tensor { shape, dimension_symbols, .. } = outlet.dtype() else { return None };
    let named = |symbol: &str| sizes.iter().find(|s| s.0 == symbol).map(|s| s.1);
    let symbols = dimension_symbols.iter();
    // -1 stands for a dimension with a name.
    let sizes =
        shape.iter().zip(symbols).map(|(&d, symbol)| usize::try_from(d).ok().or_else(|| named(symbol)));
    sizes.collect::<Option<_>>().filter(|shape: &Vec<usize>| is_bounded(shape))
}
