//! Split computing: a device sends not its frames but the features of them that a server's networks need.
//!
//! A bundle of kind `feature` has a small *device half*, whose latents are rounded to integers and range coded with learned
//! tables, and *heads*, which a server runs on the latents. After Entropic Student (Matsubara et al., "Supervised Compression
//! for Resource-Constrained Edge Computing Systems", WACV 2022): the latents keep what a teacher network's results depend on,
//! and little else.
//!
//! Each packet is the features of one frame and needs no other one, so a lost packet costs that frame alone. The format is in
//! `docs/features.md`.
//!
//! ```no_run
//! use siskin_features::{Decoder, DecoderOptions, Encoder};
//! use siskin_media::{PixelFormat, Size, VideoFrame};
//! use siskin_model::bundle::FeatureBundle;
//! use siskin_model::runtime::Runtime;
//!
//! # fn example(runtime: Runtime) -> siskin_features::Result<()> {
//! let bundle = FeatureBundle::find("text-features")?;
//! let mut encoder = Encoder::new(&bundle, &runtime)?;
//! let frame = VideoFrame::new(PixelFormat::I420, Size::new(640, 480)?);
//! let packet = encoder.encode(&frame.view())?.to_vec();
//!
//! let mut decoder = Decoder::new(&bundle, &runtime, &DecoderOptions::default())?;
//! for text in decoder.decode(&packet)?.objects() {
//!     println!("{:?} {:.2}", text.corners, text.score);
//! }
//! # Ok(())
//! # }
//! ```

mod boxes;
mod decoder;
mod encoder;
mod latents;
mod packing;
mod tables;
#[cfg(test)]
mod tests;

pub use boxes::{FoundObject, Map, find_boxes};
pub use decoder::{Decoded, Decoder, DecoderOptions, FrameReport, VideoPlane, inspect};
pub use encoder::{Encoder, read_frame};
pub use latents::MAX_LATENT;
pub use packing::COLORIMETRY;
pub use siskin_bitstream::feature::{FeatureHead, FeatureHeader};
pub use siskin_error::{Error, Limits, Result};
