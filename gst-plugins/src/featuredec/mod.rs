//! SECTION:element-siskinfeaturedec
//!
//! `siskinfeaturedec` is the server half of split computing: it reads the packets of `siskinfeatureenc` and runs a network on
//! each. What it gives is up to the elements behind it:
//!
//! - `text/x-raw`: one JSON object per frame with what was found in it, ended by a newline;
//! - `video/x-raw, format=GRAY8`: the map of the head `head` at the size of the frame, 255 for a probability of 1, with a
//!   `GstVideoRegionOfInterestMeta` for each object.
//!
//! A lost packet is a frame without results. A damaged one is dropped with a warning.
//!
//! ```text
//! gst-launch-1.0 -q udpsrc port=5008 caps="application/x-rtp,media=application,clock-rate=90000,encoding-name=X-GST" \
//!     ! rtpjitterbuffer latency=50 ! rtpgstdepay ! siskinfeaturedec ! fdsink
//! ```
//!
//! # Properties
//! - `model`: the bundle; by default the one that the stream names;
//! - `head`: whose map is given as video; by default the first head's;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod imp;

glib::wrapper! {
    /// The decoder of features.
    pub struct SiskinFeatureDec(ObjectSubclass<imp::SiskinFeatureDec>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}
