//! SECTION:element-rtpsiskinvideodepay
//!
//! `rtpsiskinvideodepay` takes coded video out of RTP packets (`docs/rtp-payload.md`). Where a packet is lost, what was cut into it
//! is skipped with all that follows up to the next packet that decodes alone, which upstream is asked for; the decoder
//! shows the last picture meanwhile.
//!
//! ```text
//! gst-launch-1.0 udpsrc port=5006 caps="application/x-rtp,media=video,clock-rate=90000,encoding-name=SISKIN" \
//!     ! rtpjitterbuffer latency=100 ! rtpsiskinvideodepay ! siskinvideodec ! videoconvert ! autovideosink
//! ```

use gst::glib;

mod imp;

glib::wrapper! {
    /// The video depayloader.
    pub struct RtpSiskinVideoDepay(ObjectSubclass<imp::RtpSiskinVideoDepay>)
        @extends gst_rtp::RTPBaseDepayload, gst::Element, gst::Object;
}
