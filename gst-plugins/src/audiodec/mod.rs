//! SECTION:element-siskinaudiodec
//!
//! `siskinaudiodec` decodes `audio/x-siskin` to 32-bit floats in the stream's channels, one or two. It finds the model bundle by
//! the stream header and says which one is missing if it is not installed. What it gives has exactly the length of what was
//! encoded.
//!
//! Lost audio (a gap event, or a gap between the timestamps of two packets) and broken packets are concealed for
//! as long as they lasted, up to ten seconds, unless `plc` is off: with the copies of lost frames that the next packet
//! brings, else the last sound is held and fades into the background noise. Pauses are filled with the noise described.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.mka ! matroskademux ! siskinaudioparse ! siskinaudiodec \
//!     ! audioconvert ! audioresample ! autoaudiosink
//! gst-launch-1.0 audiotestsrc is-live=true ! siskinaudioenc ! identity drop-probability=0.05 \
//!     ! siskinaudiodec ! autoaudiosink
//! ```
//!
//! # Properties
//! - `model`: name or folder of the bundle to use instead of searching;
//! - `plc`: conceal losses, on by default;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod imp;
mod stream;

glib::wrapper! {
    /// The audio decoder.
    pub struct SiskinAudioDec(ObjectSubclass<imp::SiskinAudioDec>)
        @extends gst_audio::AudioDecoder, gst::Element, gst::Object;
}
