//! SECTION:element-siskinvideoenc
//!
//! `siskinvideoenc` codes video by fitting a network to each group of pictures. That takes long and is for files. Its latency is
//! the length of a group and the time that the slowest fit so far took.
//!
//! With `preset=realtime` a network trained beforehand codes each picture as it comes; the latency is the time of the slowest.
//! `gop-size` is then the most from one key picture to the next, `steps` how often the latents of a picture are refined. Where
//! downstream says that pictures come too late, fewer steps are taken, and then pictures left out.
//!
//! A group ends after `gop-size` frames, before a frame for which a key unit is asked (`GstForceKeyUnit`), and where the
//! pictures of a group would take more than a gigabyte. At the end of the stream the group at hand is finished; a
//! flush or a stop abandons it at once.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.mp4 ! decodebin ! videoconvert ! siskinvideoenc preset=fast bitrate=200000 \
//!     ! siskinmux ! filesink location=a.mkv
//! gst-launch-1.0 autovideosrc ! videoconvert ! siskinvideoenc preset=realtime bitrate=500000 \
//!     ! rtpsiskinvideopay ! udpsink host=127.0.0.1 port=5006
//! ```
//!
//! # Properties
//! - `preset`: `realtime`, or how often a fit passes over the frames; `steps` sets the passes themselves;
//! - `model`: the bundle of the preset `realtime`;
//! - `bitrate`: bits a second, 0 for a constant `quality`;
//! - `gop-size`, `key-interval`: frames that share a network, and how many groups until one decodes alone again;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;
use gst::prelude::*;

mod group;
mod imp;
mod load;
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
