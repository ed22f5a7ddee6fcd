//! What the elements of video have in common.

pub(crate) mod caps;
mod colour;
pub(crate) mod pictures;
pub(crate) mod rtp;
pub(crate) mod times;
