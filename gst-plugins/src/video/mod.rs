//! What the elements of video have in common.

pub(crate) mod caps;
mod colorimetry;
pub(crate) mod frames;
pub(crate) mod rtp;
pub(crate) mod times;
