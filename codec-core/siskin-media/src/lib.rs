//! Video frames and time, as every part of Siskin passes them on. The crate knows no codec and no bitstream.
//!
//! - [`VideoFrame`] owns the samples of a frame, [`VideoFrameView`] borrows them, gaps between rows and all; their planes
//!   are [`Plane`]s, of a [`Size`] whose chroma rounds up for odd sides;
//! - [`Colorimetry`] and [`YuvMatrix`] say what the samples mean and convert between RGB and 4:2:0;
//! - [`TimeBase`] converts between samples, frames or ticks of a clock and nanoseconds.

mod colorimetry;
mod frame;
mod plane;
mod size;
mod time;
mod yuv;

pub use colorimetry::Colorimetry;
pub use frame::{PixelFormat, VideoFrame, VideoFrameView};
pub use plane::{Plane, PlaneMut};
pub use siskin_error::{Error, Limits, Result};
pub use size::Size;
pub use time::{Rounding, TimeBase};
pub use yuv::YuvMatrix;
