//! Playing samples in order, from anywhere, on a sound device that may go and come back.

mod output;
mod ring;

pub(crate) use output::Output;
pub(crate) use ring::Ring;
