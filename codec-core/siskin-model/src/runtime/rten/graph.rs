//! A graph in rten: opened once for all streams of a process, run by name.

use std::collections::HashMap;
use std::sync::Arc;

use rten::{Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};

use super::convolutions::write_out_attributes;
use super::declared::output_shapes;
use crate::runtime::hashed_graph::HashedGraph;
use crate::runtime::onnx_messages::parse_model;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::runtime::spec::is_bounded;
use crate::runtime::weights::check_finite;
use crate::{Error, Result, SharedCache};

/// Open graphs, by the SHA-256 of their bytes. Streams of a bundle share its weights; a run changes nothing in them.
static GRAPHS: SharedCache<[u8; 32], SharedGraph> = SharedCache::new();

struct SharedGraph {
    model: Model,
    /// The shapes that the graph states of its outputs.
    output_shapes: HashMap<String, Vec<Dimension>>,
}

/// A graph with the threads that run it for one stream.
pub(super) struct Graph {
    name: String,
    shared: Arc<SharedGraph>,
    // Each stream has its own: on a shared pool of one thread all streams of a process would wait for each other.
    threads: Arc<ThreadPool>,
}

/// An input or output of a graph.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    pub(super) id: NodeId,
    pub(super) name: String,
    /// None if the graph does not state it.
    pub(super) shape: Option<Vec<Dimension>>,
}

impl Graph {
    /// Opens a graph; `name` is what errors call it.
    pub(super) fn open(options: &RuntimeOptions, name: &str, graph: &HashedGraph<'_>) -> Result<Self> {
        if !matches!(options.provider, Provider::Auto | Provider::Cpu) {
            let reason = "rten runs on the processor alone".to_owned();
            return Err(Error::Provider { provider: options.provider.name(), reason });
        }
        let shared = GRAPHS.share(graph.hash(), || {
            let wrong = |reason: String| Error::network(name, reason);
            let graph = &graph.read()?;
            let messages = parse_model(graph).map_err(wrong)?;
            check_finite(&messages).map_err(wrong)?;
            let output_shapes = output_shapes(&messages);
            // Before rten loads its own: the weights are in memory twice as it is.
            drop(messages);
            let graph = write_out_attributes(graph).map_err(wrong)?;
            // Packed once instead of in each run: a frame is so small that packing would be a good part of it.
            let mut how = ModelOptions::with_all_ops();
            let model = how.prepack_weights(true).load(graph).map_err(|e| Error::network(name, e))?;
            Ok::<_, Error>(SharedGraph { model, output_shapes })
        })?;
        let threads = Arc::new(ThreadPool::with_num_threads(options.threads));
        Ok(Self { name: name.to_owned(), shared, threads })
    }

    /// What errors call the graph.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn inputs(&self) -> Vec<Outlet> {
        self.outlets(self.shared.model.input_ids())
    }

    pub(super) fn outputs(&self) -> Vec<Outlet> {
        self.outlets(self.shared.model.output_ids())
    }

    fn outlets(&self, ids: &[NodeId]) -> Vec<Outlet> {
        let outlet = |&id: &NodeId| {
            let info = self.shared.model.node_info(id);
            let name = info.as_ref().and_then(|i| i.name()).unwrap_or_default().to_owned();
            let declared = self.shared.output_shapes.get(&name).cloned();
            Outlet { id, name, shape: declared.or_else(|| info.and_then(|i| i.shape())) }
        };
        ids.iter().map(outlet).collect()
    }

    /// Runs the graph and returns the outputs asked for, in their order.
    pub(super) fn run(
        &self,
        inputs: Vec<(NodeId, ValueOrView<'_>)>,
        outputs: &[NodeId],
    ) -> Result<Vec<Value>> {
        let how = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        self.shared.model.run(inputs, outputs, Some(how)).map_err(|e| Error::network(&self.name, e))
    }
}

impl Outlet {
    /// The one called `name`.
    pub(super) fn find<'a>(outlets: &'a [Self], graph: &str, name: &str) -> Result<&'a Self> {
        let found = outlets.iter().find(|o| o.name == name);
        found.ok_or_else(|| Error::network(graph, format!("no tensor {name}")))
    }

    /// The shape in numbers; `sizes` are those of the dimensions that the graph names.
    pub(super) fn fixed_shape(&self, sizes: &[(&str, usize)]) -> Option<Vec<usize>> {
        let size = |d: &Dimension| match d {
            Dimension::Fixed(n) => Some(*n),
            Dimension::Symbolic(name) => sizes.iter().find(|s| s.0 == name).map(|s| s.1),
        };
        let sizes = self.shape.as_ref()?.iter().map(size);
        sizes.collect::<Option<_>>().filter(|shape: &Vec<usize>| is_bounded(shape))
    }
}
