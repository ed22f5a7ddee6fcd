//! Video frames and time, as every part of Siskin passes them on. The crate knows no codec and no bitstream.

mod colorimetry;
mod yuv;

pub use colorimetry::Colorimetry;
pub use siskin_error::{Error, Limits, Result};
pub use yuv::{YuvMatrix, i420_to_rgb, rgb_to_i420};
