//! Running networks: the traits that the codecs see, and ONNX Runtime or rten behind them.
//!
//! A codec never sees a session, only a [`StepNetwork`]: an input buffer, an output buffer and states that carry
//! over by themselves. So everything but inference is tested without a model, and another backend is one more
//! implementation of [`Backend`].

mod backend;
mod hashed_graph;
mod network;
#[cfg(feature = "onnxruntime")]
mod onnx;
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
mod onnx_messages;
mod open;
mod options;
mod provider;
#[cfg(feature = "rten")]
mod rten;
mod spec;
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
mod weights;

pub use backend::Backend;
pub use hashed_graph::{GraphFile, HashedGraph};
pub use network::{Output, StepNetwork, TensorNetwork, Value, WholeNetwork};
#[cfg(feature = "onnxruntime")]
pub use onnx::prefer_library;
pub use open::Runtime;
pub use options::RuntimeOptions;
pub use provider::Provider;
pub use spec::{BlockSpec, GraphSpec, StateSpec, TensorSpec};
