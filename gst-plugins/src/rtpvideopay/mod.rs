//! SECTION:element-rtpsiskinvideopay
//!
//! `rtpsiskinvideopay` puts coded video into RTP packets (`docs/rtp-payload.md`), each within the MTU.
//!
//! ```text
//! gst-launch-1.0 autovideosrc ! videoconvert ! siskinvideoenc preset=realtime bitrate=500000 \
//!     ! rtpsiskinvideopay ! udpsink host=127.0.0.1 port=5006
//! ```

use gst::glib;

mod imp;

glib::wrapper! {
    /// The video payloader.
    pub struct RtpSiskinVideoPay(ObjectSubclass<imp::RtpSiskinVideoPay>)
        @extends gst_rtp::RTPBasePayload, gst::Element, gst::Object;
}
