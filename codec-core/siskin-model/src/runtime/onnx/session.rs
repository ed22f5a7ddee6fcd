//! Opening graphs: execution providers, optimization, threads.

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::memory::Allocator;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::Tensor;

use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::{Error, Result};

pub(super) fn zeros(shape: &[usize]) -> ort::Result<Tensor<f32>> {
    // The allocator's memory is not cleared.
    let mut tensor = Tensor::new(&Allocator::default(), shape.to_vec())?;
    tensor.extract_tensor_mut().1.fill(0.0);
    Ok(tensor)
}

/// Opens the graph with the first provider that takes it.
pub(super) fn open_session(
    environment: &Environment,
    options: &RuntimeOptions,
    file: &str,
    graph: &[u8],
) -> Result<(Session, Provider)> {
    open_sized(environment, options, file, graph, &[])
}

/// As [`open_session`], with sizes for dimensions that the graph names.
pub(super) fn open_sized(
    environment: &Environment,
    options: &RuntimeOptions,
    file: &str,
    graph: &[u8],
    sizes: &[(&str, usize)],
) -> Result<(Session, Provider)> {
    let mut reasons = Vec::new();
    for &provider in provider_candidates(options.provider) {
        // Passed over without a reason for the error: a library for CPUs alone is the usual case.
        if !is_compiled_in(provider) {
            continue;
        }
        match open_with(environment, options, provider, graph, sizes) {
            Ok(session) => return Ok((session, provider)),
            // The CPU takes every valid graph, so its error is the graph's and worth more than those of the others.
            Err(e) if provider == Provider::Cpu => return Err(Error::network(file, e)),
            Err(e) => reasons.push(e.to_string()),
        }
    }
    Err(Error::Provider { provider: options.provider.name(), reason: reasons.join("; ") })
}

fn open_with(
    environment: &Environment,
    options: &RuntimeOptions,
    provider: Provider,
    graph: &[u8],
    sizes: &[(&str, usize)],
) -> ort::Result<Session> {
    let mut builder = Session::builder(environment)?
        // Costs at opening only, and a graph is opened once for many frames.
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(options.threads)?
        // A frame is a chain of small operators: there is nothing to run side by side, and spinning threads would take cores from
        // the pipeline.
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?;
    for &(name, size) in sizes {
        // Fixed before the graph is optimized, so that memory is laid out once and shapes are folded.
        builder = builder.with_dimension_override(name, size as i64)?;
    }
    register_provider(provider, &mut builder, options)?;
    builder.commit_from_memory(graph)
}

/// The providers to try, in order, when `provider` is asked for.
fn provider_candidates(provider: Provider) -> &'static [Provider] {
    match provider {
        // Fastest first; a provider that the library or the machine lacks is passed over.
        Provider::Auto => &[Provider::TensorRt, Provider::Cuda, Provider::Cpu],
        Provider::Cpu => &[Provider::Cpu],
        Provider::Cuda => &[Provider::Cuda],
        Provider::TensorRt => &[Provider::TensorRt],
    }
}

/// Whether the loaded library was built with this provider.
fn is_compiled_in(provider: Provider) -> bool {
    match provider {
        Provider::Auto | Provider::Cpu => true,
        Provider::Cuda => ep::CUDA::is_available().unwrap_or(false),
        Provider::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
    }
}

pub(super) fn check_compiled_in(provider: Provider) -> Result<()> {
    if is_compiled_in(provider) {
        return Ok(());
    }
    let reason = "the loaded ONNX Runtime was built without it: set ORT_DYLIB_PATH to the library of an \
                  onnxruntime-gpu package";
    Err(Error::Provider { provider: provider.name(), reason: reason.into() })
}

/// Registers the provider with a session that is being built; CPU needs no registration.
fn register_provider(
    provider: Provider,
    builder: &mut SessionBuilder,
    options: &RuntimeOptions,
) -> ort::Result<()> {
    match provider {
        Provider::Auto | Provider::Cpu => Ok(()),
        Provider::Cuda => ep::CUDA::default().with_device_id(options.device).register(builder),
        Provider::TensorRt => {
            // Building an engine takes from seconds to minutes, so it is kept where a folder is given.
            let mut tensorrt = ep::TensorRT::default().with_device_id(options.device);
            if let Some(folder) = &options.engine_cache {
                tensorrt = tensorrt
                    .with_engine_cache(true)
                    .with_engine_cache_path(folder.display())
                    .with_timing_cache(true)
                    .with_timing_cache_path(folder.display());
            }
            tensorrt.register(builder)
        }
    }
}
