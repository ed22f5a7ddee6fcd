//! SECTION:element-siskintokensink
//!
//! `siskintokensink` turns speech into tokens for an application, a file, or both. Its sink takes samples, which it
//! codes with the bundle's network, or coded audio, whose codes it takes as they are.
//!
//! The application gets tokens as samples of `application/x-siskin-tokens` (signed 32-bit, little-endian, in the order
//! of `layout`) from the action signal `pull-tokens`, which waits for as many nanoseconds as it is given and returns
//! nothing at the end. `new-tokens` tells of them if `emit-signals` is on. Without a `location` a full queue makes the
//! pipeline wait for the application; with one it drops the oldest.
//!
//! The file at `location` (`.safetensors`, `.npy`, `.jsonl`) is written when the stream ends.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.wav ! wavparse ! audioconvert ! audioresample \
//!     ! siskintokensink location=a.safetensors
//! ```
//!
//! # Properties
//! - `location`: token file;
//! - `layout`: order of the tokens, `parallel` by default; `docs/tokens.md` names the others;
//! - `stages`: residual stages, 0 for the bundle's default or all that coded audio has;
//! - `max-buffers`, `emit-signals`: the queue of the application;
//! - `model`, `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod imp;
mod session;

glib::wrapper! {
    /// The token sink.
    pub struct SiskinTokenSink(ObjectSubclass<imp::SiskinTokenSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}
