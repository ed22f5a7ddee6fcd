//! Tokens: a codec's codes as the models see them that write and read speech.
//!
//! Language models and speech synthesisers disagree on the order of a frame's codes, on special ids and on where a
//! stream ends. A [`Format`] says it: codebooks, their size, a [`Layout`] and special ids ([`Specials`]). From there
//!
//! - [`Packer`] and [`Unpacker`] turn frames of codes into tokens and back, incrementally;
//! - [`Tokenizer`] turns samples into tokens, [`TokenStream`] tokens into samples as soon as a frame is whole, and
//!   [`Slots`] does so for many streams on one network;
//! - [`CodePackets`] turns codes into packets of the bitstream, without any network;
//! - [`TokenFile`] keeps codes in safetensors, `.npy` and JSON lines.
//!
//! In whatever pieces tokens come, the samples are the same. Bad tokens are refused with a [`TokenError`] or concealed,
//! as [`OnBadToken`] says.

mod file;
mod format;
mod layout;
mod packer;
mod packets;
mod slots;
mod stream;
#[cfg(test)]
mod tests;
mod tokenizer;
mod unpack;
mod words;

pub use file::{FileFormat, TokenFile, TokenMeta};
pub use format::Format;
pub use layout::{Column, Layout, Role};
pub use packer::Packer;
pub use packets::{CodePackets, PackedCodes, codes_of_packet};
pub use siskin_error::TokenError;
pub use siskin_model::bundle::Specials;
pub use slots::Slots;
pub use stream::{Ending, StreamSnapshot, TextToken, TokenStream};
pub use tokenizer::Tokenizer;
pub use unpack::{OnBadToken, Unit, Unpacker};
pub use words::Word;

/// Most frames that a layout which cannot stream holds back: 5.8 hours at 50 Hz.
pub const MOST_HELD: u64 = 1 << 20;
