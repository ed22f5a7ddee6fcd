//! Video as neural representations: a decoder network, conditioned on the frame's time, is fitted to a group of frames,
//! and its quantized parameters are what is coded.
//!
//! [`Encoder`] fits a network of the Boosting-NeRV family ([`Architecture`](siskin_video::Architecture)) by steps that are
//! ONNX graphs like any other ([`siskin_graph`]), learns how coarsely each part of it may be quantized, and writes one
//! packet a group. Frames are RGB of 8 bits.

mod encoder;
mod fit;
#[cfg(test)]
mod golden_tests;
mod loss;
#[cfg(test)]
mod network_tests;
mod optimizer;
mod preset;
mod preview;
mod random;
mod step_graph;
mod target;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod threads_tests;

pub use encoder::{CodedGop, Encoder, EncoderConfig};
pub use fit::FitProgress;
pub use optimizer::Optimizer;
pub use preset::{Preset, lambda_of_quality};
pub use siskin_error::{Error, Limits, Result};
pub use target::Target;
