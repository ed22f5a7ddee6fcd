//! SECTION:element-siskinvideoenc
//!
//! `siskinvideoenc` encodes video. By default it works in real time: each frame is encoded as it comes, one packet per frame, by the
//! block codec or, with `model`, by the network of a bundle, and the latency is the time that the slowest frame took.
//! `keyframe-interval` is the maximum from one keyframe to the next, `refine` the work on each frame. Where QoS events say that
//! frames are late, less is done, and then frames are left out.
//!
//! With the presets `nerv-fast` to `nerv-placebo` it fits a network to each group of pictures (GOP), in the streaming thread. That takes
//! minutes to hours per GOP and is for files. The latency is the length of a GOP and the time of the slowest fit so far. A GOP
//! ends after `gop-size` frames, before a frame for which a keyframe is requested (`GstForceKeyUnit`), and where its frames
//! would take more than a gigabyte of memory. At the end of the stream the current GOP is finished; a flush or a stop abandons
//! it at once. Messages of the type `progress` with the code `fit` say once a second how far the fit is; a GOP and its percentage
//! are fields of them.
//!
//! ```text
//! gst-launch-1.0 autovideosrc ! videoconvert ! siskinvideoenc bitrate=500000 \
//!     ! rtpsiskinvideopay ! udpsink host=127.0.0.1 port=5006
//! gst-launch-1.0 filesrc location=a.mp4 ! decodebin ! videoconvert ! siskinvideoenc preset=nerv-fast bitrate=200000 \
//!     ! siskinmux ! filesink location=a.mkv
//! ```
//!
//! # Properties
//! - `preset`: `realtime`, `fast`, `medium` or `slow` by the work on each frame, or how many epochs a network is fitted to each GOP;
//! - `bitrate`: bits per second, 0 for a constant `quality`;
//! - `model`, `refine`, `keyframe-interval`: of presets without a fit, the bundle of a network to use, the work on each frame and
//!   the maximum frames from one keyframe to the next;
//! - `epochs`, `gop-size`, `key-interval`: of a fit, the passes over the frames of a GOP, the frames that share a network, and
//!   the GOPs from one that decodes alone to the next;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod group;
mod imp;
mod load;
mod lookahead;
mod progress;
mod session;
mod settings;

pub use settings::VideoPreset;

glib::wrapper! {
    /// The video encoder.
    pub struct SiskinVideoEnc(ObjectSubclass<imp::SiskinVideoEnc>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object,
        @implements gst::Preset, gst::TagSetter;
}
