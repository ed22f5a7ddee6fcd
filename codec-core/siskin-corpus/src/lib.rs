//! Corpora as tokens: what a trainer wants tokenized, in the files that it reads.
//!
//! - [`read_manifest`] turns a manifest of Lhotse, Kaldi or NeMo into [`Utterance`]s: where the sound is, text, speaker;
//! - [`ShardWriter`] writes the codes of utterances as one shard of Lhotse Shar, WebDataset or Parquet ([`ShardFormat`]);
//! - [`Export`] is a whole run: it plans shards, encodes utterances on several threads in a fixed order, skips the shards that
//!   an earlier run has finished, and keeps an index of what failed; [`Overview`] tells how far a corpus is.
//!
//! The crate decodes no sound and runs no network: the caller of [`Export::run`] gives a function from an utterance to its
//! codes. A shard's bytes depend on its utterances alone, so a run that was killed and goes on, a run on more threads and
//! a run on other machines write the same files.

mod export;
mod failure;
mod manifest;
mod ordered;
mod overview;
mod shard;
mod spec;
mod utterance;

pub use export::{Event, Export, Fault, Totals};
pub use failure::Failure;
pub use manifest::{Manifest, ManifestFormat, read_manifest};
pub use overview::Overview;
pub use shard::{ShardFormat, ShardName, ShardSummary, ShardWriter};
pub use siskin_error::{Error, Result};
pub use spec::Spec;
pub use utterance::{Encoded, Sound, Utterance};
