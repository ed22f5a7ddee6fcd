//! SECTION:element-rtpsiskinaudiopay
//!
//! `rtpsiskinaudiopay` puts coded audio into RTP packets (`docs/rtp-payload.md`), with coarse copies of earlier frames
//! if `redundancy` asks for them. `min-ptime` and `max-ptime`, and `ptime` and `maxptime` of the peer (in caps or SDP), say how
//! long a payload lasts: frames of several packets share one, or those of a packet are split.
//!
//! ```text
//! gst-launch-1.0 autoaudiosrc ! audioconvert ! audioresample ! siskinaudioenc bitrate=6000 \
//!     ! rtpsiskinaudiopay redundancy=2 ! udpsink host=127.0.0.1 port=5004
//! ```

use gst::glib;

mod imp;
mod packet_time;

glib::wrapper! {
    /// The audio payloader.
    pub struct RtpSiskinAudioPay(ObjectSubclass<imp::RtpSiskinAudioPay>)
        @extends gst_rtp::RTPBasePayload, gst::Element, gst::Object;
}
