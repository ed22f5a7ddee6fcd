//! One module a verb: its arguments and what it does.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod features;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod latents;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod play;
pub(crate) mod share;
pub(crate) mod speak;
pub(crate) mod tokens;
pub(crate) mod verify;
pub(crate) mod voices;
