//! SECTION:element-siskintokensrc
//!
//! `siskintokensrc` turns the tokens or latents of a speech model into coded audio. An application pushes them with
//! action signals as they are generated, each any number of tokens, and packets leave as soon as their frames are whole:
//!
//! - `push-tokens (GstBuffer)`: signed 32-bit integers, little-endian, in the order of `layout`;
//! - `push-latents (GstBuffer)`: 32-bit floats in the machine's order, `[frame][dimension]`;
//! - `end-of-stream ()`: nothing more comes;
//! - `clear ()`: forgets what has not been sent yet, so that the next tokens begin another stream: a listener cut in.
//!
//! Each returns a `GstFlowReturn`. Bad tokens are an error of the call and a warning on the bus, and the stream waits for
//! the right ones; with `on-bad-token=conceal` their frames are left out, which decoders bridge.
//!
//! With a `location` the tokens come from a file instead.
//!
//! ```text
//! gst-launch-1.0 siskintokensrc location=a.safetensors ! siskinaudiodec ! audioconvert ! autoaudiosink
//! ```
//!
//! # Properties
//! - `location`: token file to read;
//! - `model`, `stages`, `layout`: what the tokens are;
//! - `on-bad-token`: `refuse` or `conceal`;
//! - `frames-per-packet`: codec frames per packet; 0 is 1 from an application and 50 from a file;
//! - `max-buffers`: packets that wait before a push waits;
//! - `is-live`, `stats`.

use gst::glib;

mod imp;
mod session;

glib::wrapper! {
    /// The token source.
    pub struct SiskinTokenSrc(ObjectSubclass<imp::SiskinTokenSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}
