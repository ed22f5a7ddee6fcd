//! SECTION:element-rtpsiskinaudiopay
//!
//! `rtpsiskinaudiopay` puts coded audio into RTP packets (`docs/rtp-payload.md`), with coarse copies of earlier frames
//! if `redundancy` asks for them.
//!
//! ```text
//! gst-launch-1.0 autoaudiosrc ! audioconvert ! audioresample ! siskinaudioenc bitrate=6000 \
//!     ! rtpsiskinaudiopay redundancy=2 ! udpsink host=127.0.0.1 port=5004
//! ```

use gst::glib;

mod imp;

glib::wrapper! {
    /// The audio payloader.
    pub struct RtpSiskinAudioPay(ObjectSubclass<imp::RtpSiskinAudioPay>)
        @extends gst_rtp::RTPBasePayload, gst::Element, gst::Object;
}
