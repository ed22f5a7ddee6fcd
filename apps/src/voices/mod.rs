//! Bundles of voices made from published packages.

mod fetch;
mod kokoro;
mod packages;
mod safetensors;

pub(crate) use kokoro::{Sources, import_kokoro};
