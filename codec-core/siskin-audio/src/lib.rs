//! The streaming audio codec: samples to packets and back.
//!
//! [`FrameEncoder`] and [`FrameDecoder`] turn one frame of `hop` samples into codes and back; [`Encoder`] and
//! [`Decoder`] add framing, packets, exact lengths and concealment. Output does not depend on how the input was cut:
//! networks always see whole frames, one at a time.

mod activity;
mod conceal;
mod decoder;
mod encoder;
mod floor;
mod frame;
mod history;
mod latents;
mod levels;
mod noise;
mod quantizer;
mod rate;
mod search;
mod spectrum;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
pub mod tokens;

pub use decoder::{Decoded, Decoder};
pub use encoder::{EncodedPacket, Encoder, EncoderConfig};
pub use frame::{FrameDecoder, FrameEncoder, Snapshot};
pub use latents::{LatentEncoder, Latents};
pub(crate) use levels::HighPass;
pub use quantizer::{ResidualQuantizer, codebooks};
pub use rate::RateControl;
pub use search::{BeamSearch, DEFAULT_BIT_WEIGHT, DEFAULT_SEARCH_WIDTH};
pub use siskin_error::{Error, Limits, Result};
pub use tables::entropy_tables;
