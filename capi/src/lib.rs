//! The Siskin audio codec for C and every language that calls C (`include/siskin.h`, `docs/c-api.md`).
//!
//! - [`model`]: a model bundle and the runtime that computes its networks;
//! - [`encoder`], [`decoder`]: samples to packets and back, with concealment of what was lost;
//! - [`tokenizer`]: samples to the codes that language models work with;
//! - [`reader`], [`writer`]: Matroska files.
//!
//! Every function that can fail returns a [`SiskinStatus`](status::SiskinStatus); [`status::siskin_last_error`] has the reason in
//! words. An object may be handed from thread to thread, but is used by one at a time; a model may be used by many. No panic leaves
//! a function: it is [`SISKIN_ERROR_INTERNAL`](status::SiskinStatus::SISKIN_ERROR_INTERNAL).

pub mod decoder;
pub mod encoder;
pub mod model;
mod pointers;
pub mod reader;
pub mod status;
pub mod tokenizer;
pub mod version;
pub mod writer;
