//! Neural codecs as streamable media formats.
//!
//! The crate holds everything between samples and bytes, and nothing of GStreamer, FFmpeg or a sound card:
//!
//! - [`bundle`]: a model bundle on disk: manifest, networks, codebooks, hashes;
//! - [`runtime`]: the one trait through which every network runs, and its ONNX Runtime implementation;
//! - [`audio`]: the streaming encoder and decoder, residual vector quantization, concealment;
//! - [`video`]: video as fitted neural representations: networks, fitting, coding, decoding;
//! - [`entropy`]: range coding with integer probabilities, for audio those of a bundle's tables;
//! - [`bitstream`]: stream headers and packets, written and parsed;
//! - [`container`]: Matroska with private codec ids;
//! - [`tokens`]: codes as language models and speech synthesisers lay them out, and token files;
//! - `import` (feature of that name): bundles from the checkpoints of published codecs;
//! - `corpus` (feature `corpus`): manifests of corpora in, shards of tokens that trainers read out;
//! - [`tts`]: text to speech with bundles of voices;
//! - [`features`]: split computing: a device sends the features that a server's network needs.
//!
//! Data walks one way, samples to [`audio`] to codes to [`bitstream`] to [`container`], and the same road back.
//!
//! ```no_run
//! use siskin_core::{audio, bundle::Bundle, runtime::Runtime};
//!
//! # fn main() -> siskin_core::Result<()> {
//! let bundle = Bundle::find("speech-24k")?;
//! let runtime = Runtime::load(&Default::default())?;
//! let mut encoder = audio::Encoder::new(&bundle, &runtime, &Default::default())?;
//! let mut decoder = audio::Decoder::new(&bundle, &runtime)?;
//! let (mut packets, mut pcm) = (Vec::new(), Vec::new());
//! let mut keep = |packet: audio::EncodedPacket<'_>| -> siskin_core::Result<()> {
//!     packets.push(packet.data.to_vec());
//!     Ok(())
//! };
//! encoder.push_samples(&[0.0; 24_000], &mut keep)?;
//! encoder.finish_stream(&mut keep)?;
//! for packet in &packets {
//!     decoder.decode(packet, &mut pcm)?;
//! }
//! assert_eq!(pcm.len(), 24_000);
//! # Ok(())
//! # }
//! ```

pub use siskin_bitstream::container;
pub use siskin_entropy as entropy;
pub use siskin_error::{Error, Limits, OffsetUnit, Result};
pub use siskin_media as media;
pub use siskin_model::{bundle, keep_unused_for, runtime, search_near};

/// Stream headers and packets, written and parsed.
// A module of chosen names and not the crate: `container` has a path of its own, as before the core was split.
pub mod bitstream {
    pub use siskin_bitstream::{
        BundleId, CodeCoder, Colorimetry, ComfortNoise, Frames, PacketShape, StreamHeader, VideoHeader,
        bytes, feature, packet, redundancy, rtp, rtp_video, video_packet,
    };
}

#[cfg(feature = "audio")]
pub use siskin_audio as audio;
#[cfg(feature = "audio")]
pub use siskin_audio::tokens;

#[cfg(feature = "import")]
pub use siskin_import as import;

#[cfg(feature = "tts")]
pub use siskin_tts as tts;

#[cfg(feature = "corpus")]
pub use siskin_corpus as corpus;

#[cfg(feature = "features")]
pub use siskin_features as features;

/// Video: fitted networks and the real-time mode.
#[cfg(feature = "video")]
pub mod video {
    // One module for both crates, so that paths stay whether or not the training code is built.
    #[cfg(feature = "fit")]
    pub use siskin_fit::*;
    pub use siskin_video::*;
}
