//! Video decoding in both of Siskin's modes, and encoding in real time.
//!
//! A *fitted* group of frames brings a decoder network of its own, conditioned on the frame's time: [`Architecture`],
//! [`gop`], [`inference`]. The [`realtime`] mode has one trained network for all streams and a packet a frame. [`Decoder`]
//! reads both; fitting is `siskin_fit`.

pub mod arch;
pub mod blocks;
mod checker;
mod decoder;
mod encoding;
mod frame_threads;
pub mod gop;
pub mod inference;
mod layout;
pub mod network;
pub mod quantizer;
pub mod realtime;
mod sizing;
mod stem;

pub use arch::{Architecture, Block, Kind, Modulation};
pub use checker::Checker;
pub use decoder::{Decoded, Decoder};
pub use siskin_bitstream::video_packet::{Coding, GopInfo, inspect};
pub use siskin_error::{Error, Limits, Result};
pub use siskin_graph as graph;

use siskin_media::VideoFrameView;

/// The PSNR between two frames of one format and size, over all their samples, in dB; 100 dB where they are equal.
pub fn frame_psnr(a: &VideoFrameView<'_>, b: &VideoFrameView<'_>) -> f64 {
    let rows = a.planes().iter().zip(b.planes()).flat_map(|(a, b)| a.rows().zip(b.rows()));
    let sum = rows.map(|(a, b)| squared_error(a, b)).sum();
    decibels(sum, a.format().frame_bytes(a.size()))
}

/// The PSNR between the bytes of two frames of one size, in dB; 100 dB where they are equal.
///
/// ```
/// // An error of 1 in every sample: 20 log10(255).
/// let psnr = siskin_video::psnr(&[16; 12], &[17; 12]);
/// assert!((psnr - 48.13).abs() < 0.01);
/// assert_eq!(siskin_video::psnr(&[16; 12], &[16; 12]), 100.0);
/// ```
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    decibels(squared_error(a, b), a.len())
}

pub(crate) fn squared_error(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).map(|(&x, &y)| u64::from(x.abs_diff(y)).pow(2)).sum()
}

fn decibels(squared_error: u64, samples: usize) -> f64 {
    if squared_error == 0 {
        // Finite, so that means over frames stay finite. No coded frame comes near: one sample off by 1 at 480x270
        // gives 104 dB.
        return 100.0;
    }
    10.0 * (255.0 * 255.0 * samples as f64 / squared_error as f64).log10()
}
