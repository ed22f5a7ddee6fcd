//! GStreamer elements of the Siskin neural codecs, in one plugin, `libgstsiskin.so`.
//!
//! - [`audioenc`]: `siskinaudioenc`, samples to packets;
//! - [`audiodec`]: `siskinaudiodec`, packets to samples;
//! - [`audioparse`]: `siskinaudioparse`, what a stock demuxer passes on to packets with caps and exact times;
//! - [`videoenc`], [`videodec`] and [`videoparse`]: `siskinvideoenc`, `siskinvideodec` and `siskinvideoparse`, the same for video;
//! - [`featureenc`] and [`featuredec`]: `siskinfeatureenc` and `siskinfeaturedec`, video to features and those to results;
//! - [`mux`]: `siskinmux`, packets to Matroska;
//! - [`tokensink`] and [`tokensrc`]: `siskintokensink` and `siskintokensrc`, speech to tokens and back;
//! - [`rtpaudiopay`] and [`rtpaudiodepay`]: `rtpsiskinaudiopay` and `rtpsiskinaudiodepay`, packets to RTP and back;
//! - [`rtpvideopay`] and [`rtpvideodepay`]: `rtpsiskinvideopay` and `rtpsiskinvideodepay`, the same for video;
//! - [`tts`]: `siskintts`, text to speech.
//!
//! The elements hold no codec logic: that is in `siskin-core`. Packets travel as `audio/x-siskin`, one packet a
//! buffer, or `video/x-siskin`, one video frame of the real-time mode or one fitted GOP a buffer, with the stream header in the
//! caps fields `streamheader` and `codec_data`.
//!
//! ```text
//! gst-launch-1.0 filesrc location=a.wav ! wavparse ! audioconvert ! audioresample \
//!     ! siskinaudioenc bitrate=6000 ! siskinmux ! filesink location=a.mka
//! gst-play-1.0 a.mka
//! ```

// The macros of the bindings expand to it, in code that this crate cannot change.
#![allow(clippy::non_send_fields_in_send_ty)]

pub mod audiodec;
pub mod audioenc;
pub mod audioparse;
mod caps;
mod element;
mod errors;
pub mod featuredec;
pub mod featureenc;
mod features;
mod inference;
pub mod mux;
mod parse;
mod plugin;
mod properties;
pub mod rtpaudiodepay;
pub mod rtpaudiopay;
pub mod rtpvideodepay;
pub mod rtpvideopay;
mod sync;
mod time;
mod tokens;
pub mod tokensink;
pub mod tokensrc;
pub mod tts;
mod video;
pub mod videodec;
pub mod videoenc;
pub mod videoparse;

pub use inference::ExecutionProvider;
pub use plugin::plugin_register_static;
pub use tokens::BadToken;
pub use videoenc::VideoPreset;
