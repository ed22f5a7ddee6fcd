//! Video as neural representations: a decoder network, conditioned on the frame's time, is fitted to a group of pictures,
//! and its quantised parameters are what is coded.
//!
//! [`Encoder`] fits a network of the Boosting-NeRV family ([`Architecture`]) by steps that are ONNX graphs like any other
//! ([`graph`]), learns how coarsely each part of it may be quantised, and writes one packet a group. [`Decoder`] reads the
//! packet and gives any frame of the group. Pictures are RGB of 8 bits.
//!
//! [`realtime`] is the other mode: one trained network for all streams, a packet a picture, fast enough for live use. The
//! same [`Decoder`] reads it.

mod ahead;
mod arch;
mod check;
mod decoder;
mod encoder;
mod fit;
#[cfg(test)]
mod golden_tests;
mod gop;
pub mod graph;
mod loss;
mod network;
#[cfg(test)]
mod network_tests;
mod optimiser;
mod preset;
mod preview;
mod quantiser;
mod random;
pub mod realtime;
mod stem;
mod step_graph;
#[cfg(test)]
mod tests;

pub use arch::{Architecture, Block, Kind, Modulation};
pub use check::Checker;
pub use decoder::Decoder;
pub use encoder::{CodedGop, Encoder, EncoderConfig, Target};
pub use fit::FitProgress;
pub use gop::{Coding, GopInfo, inspect};
pub use optimiser::Optimiser;
pub use preset::{Preset, lambda_of_quality};

/// The PSNR between two pictures of the same size, over all their bytes, in dB; 100 dB where they are equal.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(&x, &y)| u64::from(x.abs_diff(y)).pow(2)).sum();
    if sum == 0 || a.is_empty() {
        return 100.0;
    }
    10.0 * (255.0 * 255.0 * a.len() as f64 / sum as f64).log10()
}
