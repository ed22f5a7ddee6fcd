//! SECTION:element-siskinaudioparse
//!
//! `siskinaudioparse` turns what a stock demuxer passes on for a codec id that it does not know into packets that
//! `siskinaudiodec` takes. Such buffers come as `audio/x-unknown, codec-id=(string)A_SISKIN`, without rate or codec
//! data and with times in whole milliseconds; the parser reads the stream header in the packets, sets full caps and
//! counts times and durations exactly. `playbin` plugs it by itself.
//!
//! Seeks (other than to key units) are passed on with a target that lies earlier by the decoder's receptive field, and
//! the segment that answers them is set right again: so the samples after a seek are those of an unbroken decoding.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.mka ! matroskademux ! siskinaudioparse ! siskinaudiodec \
//!     ! audioconvert ! audioresample ! autoaudiosink
//! ```

use gst::glib;

mod imp;
mod preroll;
mod timeline;

glib::wrapper! {
    /// The audio parser.
    pub struct SiskinAudioParse(ObjectSubclass<imp::SiskinAudioParse>)
        @extends gst::Element, gst::Object;
}
