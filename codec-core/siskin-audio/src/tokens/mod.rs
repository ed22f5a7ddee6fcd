//! Tokens: a codec's codes in the layouts of language models and speech synthesizers.
//!
//! Models disagree on the order of a frame's codes, on special ids and on how a stream ends. A [`Format`] states it: codes
//! per frame, the size of a codebook, a [`Layout`] and special ids ([`Specials`]). From there
//!
//! - [`Packer`] and [`Unpacker`] turn frames of codes into tokens and back, incrementally;
//! - [`Tokenizer`] turns samples into tokens, [`TokenStream`] tokens into samples as soon as a frame is complete, and
//!   [`Slots`] does so for many streams on one network;
//! - [`CodePackets`] turns codes into packets of the bitstream, without any network;
//! - [`TokenFile`] keeps codes in safetensors, `.npy` and JSON lines.
//!
//! How the tokens are cut into calls does not change the samples. Bad tokens are refused with a [`TokenError`] or
//! concealed, as [`OnBadToken`] says.
//!
//! ```
//! use siskin_audio::tokens::{Format, Layout, OnBadToken, Packer, Unit, Unpacker};
//!
//! // Three codebooks of 10 entries, codebook k one step later than codebook k - 1 (MusicGen).
//! let layout = Layout::parse("delayed", 3, 10)?;
//! let format = Format::new(3, 10, layout, &Default::default())?;
//! let (mut packer, mut tokens) = (Packer::new(format.clone()), Vec::new());
//! packer.push_frame(&[1, 2, 3], &mut tokens)?;
//! packer.push_frame(&[4, 5, 6], &mut tokens)?;
//! packer.finish_stream(false, &mut tokens);
//! let pad = format.special_ids().pad();
//! assert_eq!(tokens, [1, pad, pad, 4, 2, pad, pad, 5, 3, pad, pad, 6]);
//!
//! let (mut unpacker, mut frames) = (Unpacker::new(format, OnBadToken::Refuse), Vec::new());
//! let mut keep = |unit: Unit<'_>| {
//!     if let Unit::Frame(codes) = unit {
//!         frames.push(codes.to_vec());
//!     }
//!     Ok(())
//! };
//! unpacker.push_tokens(&tokens, &mut keep)?;
//! assert_eq!(frames, [[1, 2, 3], [4, 5, 6]]);
//! # Ok::<(), siskin_audio::Error>(())
//! ```

mod file;
mod format;
mod layout;
mod layout_name;
mod packer;
mod packets;
mod segment_assembler;
mod segment_packets;
mod segment_plan;
mod slots;
mod stream;
#[cfg(test)]
mod tests;
mod tokenizer;
mod unit_decoder;
mod unpack;
mod words;

pub use file::{CodeType, FileFormat, TokenFile, TokenMeta};
pub use format::Format;
pub use layout::{Column, Layout, MAX_HELD_FRAMES, Role};
pub use packer::Packer;
pub use packets::{CodePackets, PackedCodes, codes_and_scale_from_packet, codes_from_packet};
pub use siskin_error::TokenError;
pub use siskin_model::bundle::Specials;
pub use slots::Slots;
pub use stream::{StreamSnapshot, TokenStream};
pub use tokenizer::Tokenizer;
pub use unit_decoder::{Ending, TextToken};
pub use unpack::{OnBadToken, Unit, Unpacker};
pub use words::Word;
