//! The streaming audio codec: samples to packets and back.
//!
//! [`FrameEncoder`] and [`FrameDecoder`] turn one frame of `hop` samples into codes and back; [`Encoder`] and
//! [`Decoder`] add packets, exact lengths, rate control, DTX, redundancy and concealment. Output does not depend on how
//! the input was cut: networks always see whole frames, one at a time or in blocks that follow from the stream.

mod any_quantizer;
mod comfort_noise;
mod conceal;
mod config;
mod content;
mod decoder;
mod dtx;
mod encoder;
pub mod file;
mod frame;
mod history;
mod latents;
mod levels;
mod noise_floor;
mod packet_writer;
mod part_quantizer;
mod quantizer;
mod rate;
mod search;
mod select;
mod sid;
mod spectrum;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
pub mod tokens;
mod vad;

pub use any_quantizer::{LatentQuantizer, check_codebooks};
pub use config::{EncoderConfig, file_frames_per_packet};
pub use content::{Content, ContentDetector};
pub use decoder::{Decoded, Decoder};
pub use encoder::{Encoder, EncoderNetwork};
pub use frame::{FrameDecoder, FrameEncoder, MAX_BLOCK, SegmentEncoder, Snapshot};
pub use latents::{LatentEncoder, Latents};
pub use packet_writer::EncodedPacket;
pub use quantizer::{ResidualQuantizer, load_codebooks};
pub use rate::RateMode;
pub use search::{BeamSearch, DEFAULT_LAMBDA, DEFAULT_SEARCH_WIDTH};
pub use siskin_error::{Error, Limits, Result};
pub use tables::load_entropy_tables;
