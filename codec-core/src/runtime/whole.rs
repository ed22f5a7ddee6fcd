//! Networks that take a whole input of any length at once, such as a sentence.

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::onnx::open;
use super::{Provider, RuntimeOptions};
use crate::{Error, Result};

/// An input of a [`WholeNetwork`], in the row-major layout of its shape.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// 32-bit floats.
    F32(&'a [usize], &'a [f32]),
    /// 64-bit integers.
    I64(&'a [usize], &'a [i64]),
}

/// A network without states whose tensors have lengths that change from run to run. Each run allocates.
pub struct WholeNetwork {
    name: String,
    session: Session,
    provider: Provider,
}

impl WholeNetwork {
    pub(super) fn new(
        environment: &Environment,
        options: &RuntimeOptions,
        name: &str,
        graph: &[u8],
    ) -> Result<Self> {
        let (session, provider) = open(environment, options, name, graph)?;
        Ok(Self { name: name.to_owned(), session, provider })
    }

    /// Whether the graph has an output of this name.
    pub fn has_output(&self, name: &str) -> bool {
        self.session.outputs().iter().any(|o| o.name() == name)
    }

    /// Runs the network and gives the outputs named, each with its shape.
    ///
    /// # Errors
    /// [`Error::Network`] if an input does not fit the graph, an output is not of 32-bit floats, or the run fails.
    pub fn run(
        &mut self,
        inputs: &[(&str, Value<'_>)],
        outputs: &[&str],
    ) -> Result<Vec<(Vec<usize>, Vec<f32>)>> {
        let fail = |e: ort::Error| Error::network(&self.name, e);
        let mut given: Vec<(String, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (name, value) in inputs {
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

    /// The provider that runs the network.
    pub fn provider(&self) -> Provider {
        self.provider
    }
}
