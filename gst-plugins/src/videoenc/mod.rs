//! SECTION:element-siskinvideoenc
//!
//! `siskinvideoenc` codes video by fitting a network to each group of pictures. That takes long: the element is for files, and
//! a live source needs `preset=fast`, few `steps` and a small picture to be kept up with. Its latency is the length of a group
//! and the time that the slowest fit so far took.
//!
//! A group ends after `gop-size` frames, before a frame for which a key unit is asked (`GstForceKeyUnit`), and where the
//! pictures of a group would take more than a gigabyte. At the end of the stream the group at hand is finished; a
//! flush or a stop abandons it at once.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.mp4 ! decodebin ! videoconvert ! siskinvideoenc preset=fast bitrate=200000 \
//!     ! siskinmux ! filesink location=a.mkv
//! ```
//!
//! # Properties
//! - `preset`: how often a fit passes over the frames; `steps` sets the passes themselves;
//! - `bitrate`: bits a second, 0 for a constant `quality`;
//! - `gop-size`, `key-interval`: frames that share a network, and how many groups until one decodes alone again;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;
use gst::prelude::*;

mod group;
mod imp;
mod session;
mod settings;

pub use settings::VideoPreset;

glib::wrapper! {
    /// The video encoder.
    pub struct SiskinVideoEnc(ObjectSubclass<imp::SiskinVideoEnc>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object,
        @implements gst::Preset;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "siskinvideoenc", gst::Rank::PRIMARY, SiskinVideoEnc::static_type())
}
