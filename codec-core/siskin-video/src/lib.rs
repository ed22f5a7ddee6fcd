//! Video decoding in both of Siskin's modes, and encoding in real time.
//!
//! A *fitted* group of frames brings a decoder network of its own, conditioned on the frame's time: [`Architecture`],
//! [`gop`], [`inference`]. The [`realtime`] mode has one trained network for all streams and a packet a frame. [`Decoder`]
//! reads both; fitting is `siskin_fit`.

mod ahead;
pub mod arch;
mod check;
mod decoder;
pub mod gop;
pub mod inference;
pub mod network;
pub mod quantizer;
pub mod realtime;
mod stem;

pub use arch::{Architecture, Block, Kind, Modulation};
pub use check::Checker;
pub use decoder::{Decoded, Decoder};
pub use siskin_bitstream::video_packet::{Coding, GopInfo, inspect};
pub use siskin_error::{Error, Limits, Result};
pub use siskin_graph as graph;

/// The PSNR between two pictures of the same size, over all their bytes, in dB; 100 dB where they are equal.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(&x, &y)| u64::from(x.abs_diff(y)).pow(2)).sum();
    if sum == 0 || a.is_empty() {
        return 100.0;
    }
    10.0 * (255.0 * 255.0 * a.len() as f64 / sum as f64).log10()
}
