//! SECTION:element-siskinvideoparse
//!
//! `siskinvideoparse` turns what a stock demuxer passes on for a codec id that it does not know into packets that
//! `siskinvideodec` and `siskinmux` take. Such buffers come as `video/x-unknown, codec-id=(string)V_SISKIN`, without codec data
//! and with times in whole milliseconds; the parser reads the stream header in the packets, sets full caps and counts times
//! and durations exactly. `playbin` plugs it by itself.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.mkv ! matroskademux ! siskinvideoparse ! siskinmux ! filesink location=b.mkv
//! ```

use gst::glib;

mod imp;
mod timeline;

glib::wrapper! {
    /// The video parser.
    pub struct SiskinVideoParse(ObjectSubclass<imp::SiskinVideoParse>)
        @extends gst::Element, gst::Object;
}
