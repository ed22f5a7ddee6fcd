//! SECTION:element-siskinfeatureenc
//!
//! `siskinfeatureenc` is the device half of split computing: it turns each frame into a packet of the features that a server's
//! network needs, a few hundred bytes in place of the picture. Packets are independent of each other, so a lost one costs its
//! frame alone. `siskinfeaturedec` reads them.
//!
//! ```text
//! gst-launch-1.0 autovideosrc ! videoconvert ! siskinfeatureenc level=2 ! rtpgstpay config-interval=1 \
//!     ! udpsink host=127.0.0.1 port=5008
//! ```
//!
//! # Properties
//! - `level`: quality, 0 the finest; -1 is the bundle's default; may change while the element runs;
//! - `model`: name or directory of the bundle;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod imp;

glib::wrapper! {
    /// The encoder of features.
    pub struct SiskinFeatureEnc(ObjectSubclass<imp::SiskinFeatureEnc>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object,
        @implements gst::Preset;
}
