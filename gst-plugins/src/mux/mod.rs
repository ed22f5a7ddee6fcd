//! SECTION:element-siskinmux
//!
//! `siskinmux` writes Matroska with any number of Siskin audio and video tracks, which stock muxers refuse as they do not know the
//! codec. Any Matroska reader lists the tracks; with this plugin `playbin` plays them.
//!
//! Beside them it takes what films have otherwise: Opus, Vorbis, AAC, MP3, FLAC, AC-3 and PCM, VP8, VP9, AV1, H.264, H.265, Theora
//! and JPEG, and subtitles as text, ASS or SSA.
//!
//! Pads `subtitle_%u`, also named `text_%u`, take words or longer pieces of text with their times and durations
//! (`text/x-raw`), which become a subtitle track; pads `tokens_%u` take tokens (`application/x-siskin-tokens`), which become a
//! metadata track that players leave alone. What comes late is written late, with its time. With live sources no pad is waited for longer
//! than `latency`, so a stream that pauses holds up nobody; otherwise every pad is, by the base class, until it has something, a GAP event or
//! its end. One element that feeds several pads needs queues without a limit of time behind it.
//!
//! Tags of a stream (`GST_TAG_SCOPE_STREAM`) become those of its track, its language and title among them; others, and those of
//! `GstTagSetter`, those of the file. Chapters come from `GstTocSetter` or an event of upstream.
//!
//! With video a reader begins at its key packets, which the index lists. Since a video encoder keeps back a whole group of
//! pictures, the queue of an audio branch beside it must hold as much: `queue max-size-time=0 max-size-buffers=0`.
//!
//! A file gets known sizes, an index and its duration when the stream ends; it is playable all along. Of a live recording that is
//! killed, or whose machine loses power, all but the last second is on disk. Video may change its size, rate and colour. With
//! `streamable`, or where downstream cannot seek, nothing is rewritten and each packet is pushed at once; the
//! caps then carry the file's head as `streamheader` for network sinks.
//!
//! Parts that `splitmuxsink muxer-factory=siskinmux` makes begin with a whole packet of sound: with the packets of a second that
//! `siskinaudioenc` makes for files their sound begins up to 0.99 s behind their pictures, with `frames-per-packet=5` 0.09 s, with 1 0.01 s.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.flac ! decodebin ! audioconvert ! audioresample \
//!     ! siskinaudioenc ! siskinmux ! filesink location=a.mka
//! gst-launch-1.0 -e autoaudiosrc ! audioconvert ! audioresample ! siskinaudioenc \
//!     ! siskinmux streamable=true ! tcpserversink port=5000 sync-method=next-keyframe
//! ```

use gst::glib;

mod imp;
mod other;
mod pads;
mod private;
mod segmenter;
mod streams;
mod tags;
mod toc;

glib::wrapper! {
    /// The Matroska muxer.
    pub struct SiskinMux(ObjectSubclass<imp::SiskinMux>)
        @extends gst_base::Aggregator, gst::Element, gst::Object,
        @implements gst::TagSetter, gst::TocSetter;
}
