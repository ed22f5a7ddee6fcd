//! SECTION:element-siskinvideodec
//!
//! `siskinvideodec` decodes `video/x-siskin` to RGB or I420 in the color matrix and range of the source. A packet is a frame of
//! the real-time mode, or a fitted group of pictures, any of which can be had without the others: there a seek decodes at most
//! one frame before its target. A decoder that is late skips frames and catches up.
//!
//! A packet that is damaged, or whose predecessor is missing, is a warning, and the last good frame is held for as long as
//! its frames would have lasted.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.mkv ! matroskademux ! siskinvideoparse ! siskinvideodec ! videoconvert ! autovideosink
//! ```
//!
//! # Properties
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod imp;
mod splitter;
mod stream;

glib::wrapper! {
    /// The video decoder.
    pub struct SiskinVideoDec(ObjectSubclass<imp::SiskinVideoDec>)
        @extends gst_video::VideoDecoder, gst::Element, gst::Object;
}
