//! Networks that take a whole input of any length at once, such as a sentence.

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::session::open_session;
use crate::runtime::hashed_graph::HashedGraph;
use crate::runtime::network::{Output, Value, WholeNetwork};
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::runtime::weights::check_weights;
use crate::{Error, Result};

/// A [`WholeNetwork`] on ONNX Runtime.
pub(super) struct OnnxWholeNetwork {
    name: String,
    session: Session,
    provider: Provider,
}

impl OnnxWholeNetwork {
    pub(super) fn new(
        environment: &Environment,
        options: &RuntimeOptions,
        name: &str,
        graph: &HashedGraph<'_>,
        is_checked: bool,
    ) -> Result<Self> {
        let graph = &graph.read()?;
        if is_checked {
            check_weights(name, graph)?;
        }
        let (session, provider) = open_session(environment, options, name, graph)?;
        Ok(Self { name: name.to_owned(), session, provider })
    }
}

impl WholeNetwork for OnnxWholeNetwork {
    fn has_output(&self, name: &str) -> bool {
        self.session.outputs().iter().any(|o| o.name() == name)
    }

    fn run(&mut self, inputs: &[(&str, Value<'_>)], outputs: &[&str]) -> Result<Vec<Output>> {
        let fail = |e: ort::Error| Error::network(&self.name, e);
        let mut given: Vec<(String, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (name, value) in inputs {
            // Copied in and out: lengths change from run to run, so no buffer could stay bound.
            let tensor: SessionInputValue<'_> = match *value {
                Value::F32(shape, data) => {
                    Tensor::from_array((shape.to_vec(), data.to_vec())).map_err(fail)?.into()
                }
                Value::I64(shape, data) => {
                    Tensor::from_array((shape.to_vec(), data.to_vec())).map_err(fail)?.into()
                }
            };
            given.push(((*name).to_owned(), tensor));
        }
        let found = self.session.run(given).map_err(|e| Error::network(&self.name, e))?;
        outputs
            .iter()
            .map(|&name| {
                let value = found
                    .get(name)
                    .ok_or_else(|| Error::network(&self.name, format!("there is no output {name}")))?;
                let (shape, data) =
                    value.try_extract_tensor::<f32>().map_err(|e| Error::network(&self.name, e))?;
                Ok((shape.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect(), data.to_vec()))
            })
            .collect()
    }

    fn provider(&self) -> Provider {
        self.provider
    }
}
