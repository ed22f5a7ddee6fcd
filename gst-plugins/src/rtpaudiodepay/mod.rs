//! SECTION:element-rtpsiskinaudiodepay
//!
//! `rtpsiskinaudiodepay` takes coded audio out of RTP packets (`docs/rtp-payload.md`). Lost frames of which a later
//! packet carries a copy are recovered; for the others downstream is told of a gap, which `siskinaudiodec` conceals.
//!
//! ```text
//! gst-launch-1.0 udpsrc port=5004 caps="application/x-rtp, media=audio, clock-rate=24000, encoding-name=SISKIN" \
//!     ! rtpjitterbuffer latency=60 do-lost=true ! rtpsiskinaudiodepay ! siskinaudiodec \
//!     ! audioconvert ! audioresample ! autoaudiosink
//! ```

use gst::glib;

mod comfort;
mod imp;

glib::wrapper! {
    /// The audio depayloader.
    pub struct RtpSiskinAudioDepay(ObjectSubclass<imp::RtpSiskinAudioDepay>)
        @extends gst_rtp::RTPBaseDepayload, gst::Element, gst::Object;
}
