//! SECTION:element-siskinaudioenc
//!
//! `siskinaudioenc` encodes sound with the neural codec of a model bundle. Its sink takes 32-bit floats at the bundle's rate, in
//! one channel or two as the bundle has, so `audioconvert ! audioresample` before it makes it take anything. The length of a stream
//! is kept to the sample.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.wav ! wavparse ! audioconvert ! audioresample \
//!     ! siskinaudioenc bitrate=6000 ! siskinmux ! filesink location=a.mka
//! gst-launch-1.0 audiotestsrc is-live=true ! siskinaudioenc ! siskinaudiodec ! autoaudiosink
//! ```
//!
//! # Properties
//! - `model`: name or directory of the bundle, `speech-24k` by default;
//! - `bitrate`: bits per second, 0 for the bundle's default; may change while playing;
//! - `rate-control`: `constant`, where `bitrate` caps the rate of the codes and range coding undercuts it, or `vbr`, where
//!   packets take `bitrate` on average and frames as many stages as they gain from; may change while playing;
//! - `stages`: residual stages per frame, 0 to derive them from `bitrate`; may change while playing;
//! - `frames-per-packet`: codec frames per packet, 0 for 1 behind a live source, else 50. Each frame is one hop of delay
//!   and a packet costs about 10 bytes in a file;
//! - `redundancy`, `redundancy-stages`: how many earlier frames each packet repeats, and with how many stages;
//! - `dtx`: discontinuous transmission: SID frames for comfort noise in pauses, off by default. Gap events fill the gaps;
//! - `execution-provider`, `device`, `threads`, `engine-cache-path`: how the network runs;
//! - `active-provider`, `stats`: read-only.

use gst::glib;

mod continuity;
mod imp;
mod session;

glib::wrapper! {
    /// The audio encoder.
    pub struct SiskinAudioEnc(ObjectSubclass<imp::SiskinAudioEnc>)
        @extends gst_audio::AudioEncoder, gst::Element, gst::Object,
        @implements gst::Preset, gst::TagSetter;
}
