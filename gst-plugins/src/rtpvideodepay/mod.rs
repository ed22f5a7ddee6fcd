//! SECTION:element-rtpsiskinvideodepay
//!
//! `rtpsiskinvideodepay` takes coded video out of RTP packets (`docs/rtp-payload.md`). Where a packet is lost, what was cut into it
//! is skipped with all that follows up to the next keyframe, which upstream is asked for; the decoder shows the last frame
//! meanwhile. The request, an event `GstForceKeyUnit` that `rtpbin` and `webrtcbin` turn into a PLI, goes out at once, also where a
//! receiver joins late, and again every 100 ms until a keyframe is there.
//!
//! # Properties
//! - `request-keyframe`: whether a keyframe is asked for, on by default;
//! - `wait-for-keyframe`: whether frames that refer to lost ones are dropped, on by default; a relay turns it off;
//! - `siskin-stats`: read-only.
//!
//! ```text
//! gst-launch-1.0 udpsrc port=5006 caps="application/x-rtp,media=video,clock-rate=90000,encoding-name=SISKIN" \
//!     ! rtpjitterbuffer latency=100 ! rtpsiskinvideodepay ! siskinvideodec ! videoconvert ! autovideosink
//! ```

use gst::glib;

mod imp;
mod requests;

glib::wrapper! {
    /// The video depayloader.
    pub struct RtpSiskinVideoDepay(ObjectSubclass<imp::RtpSiskinVideoDepay>)
        @extends gst_rtp::RTPBaseDepayload, gst::Element, gst::Object;
}
