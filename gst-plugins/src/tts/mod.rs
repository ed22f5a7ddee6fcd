//! SECTION:element-siskintts
//!
//! `siskintts` speaks: UTF-8 text in, mono 32-bit floats out, sentence by sentence as the text comes. Buffers may cut the
//! text anywhere; a sentence is spoken once its end is seen, the last one at the end of the stream or at a gap. A buffer
//! with a timestamp later than what has been spoken so far moves the sound there, as subtitles want it.
//!
//! The request pad `words` gives each word as a buffer of text with the time and duration in which it is spoken.
//!
//! Phonemes come from espeak-ng, which must be installed. Control characters and sentences without a sound are left out
//! and counted in `stats`; the rest is spoken.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.txt ! text/x-raw,format=utf8 ! siskintts voice=af_heart \
//!     ! siskinaudioenc ! siskinmux ! filesink location=a.mka
//! ```
//!
//! # Properties
//! - `engine`: `kokoro` or `wavthruvec`, as `siskin speak --engine`; without it Kokoro, or an engine that has the voice;
//! - `model`: name or folder of a bundle of voices, which then decides (`siskin speak --voices`);
//! - `voice`: name of the voice, without it the bundle's default;
//! - `speed`: pace, 0.5 to 2;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the networks run;
//! - `stats`: read-only.

use gst::glib;

mod imp;
mod session;

glib::wrapper! {
    /// The speech synthesizer.
    pub struct SiskinTts(ObjectSubclass<imp::SiskinTts>) @extends gst::Element, gst::Object;
}
