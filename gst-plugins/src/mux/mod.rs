//! SECTION:element-siskinmux
//!
//! `siskinmux` writes Matroska with any number of Siskin audio and video tracks, which stock muxers refuse as they do not know the codec. Any
//! Matroska reader lists the tracks; with this plugin `playbin` plays them.
//!
//! Pads `text_%u` take words or longer pieces of text with their times and durations (`text/x-raw`), which become a
//! subtitle track; pads `tokens_%u` take tokens (`application/x-siskin-tokens`), which become a metadata track that
//! players leave alone. Nobody waits for either: what comes late is written late, with its time.
//!
//! With video a reader begins at its key packets, which the index lists. Since a video encoder keeps back a whole group of
//! pictures, the queue of an audio branch beside it must hold as much: `queue max-size-time=0 max-size-buffers=0`.
//!
//! A file gets known sizes, an index and its duration when the stream ends; it is playable all along. With
//! `streamable`, or where downstream cannot seek, nothing is gone back to and each packet is pushed at once; the
//! caps then carry the file's head as `streamheader` for network sinks.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.flac ! decodebin ! audioconvert ! audioresample \
//!     ! siskinaudioenc ! siskinmux ! filesink location=a.mka
//! gst-launch-1.0 -e autoaudiosrc ! audioconvert ! audioresample ! siskinaudioenc \
//!     ! siskinmux streamable=true ! tcpserversink port=5000 sync-method=next-keyframe
//! ```

use gst::glib;

mod imp;
mod segmenter;
mod streams;
mod tags;
mod toc;

glib::wrapper! {
    /// The Matroska muxer.
    pub struct SiskinMux(ObjectSubclass<imp::SiskinMux>)
        @extends gst_base::Aggregator, gst::Element, gst::Object,
        @implements gst::TagSetter, gst::ChildProxy;
}
