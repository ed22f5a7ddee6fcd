//! The plugin's entry points.

// The macro's items carry no documentation of their own.
#![allow(missing_docs)]

use gst::glib;
use gst::prelude::*;

use crate::{
    audiodec, audioenc, audioparse, featuredec, featureenc, mux, rtpaudiodepay, rtpaudiopay, rtpvideodepay,
    rtpvideopay, tokensink, tokensrc, tts, videodec, videoenc, videoparse,
};

/// Name, rank and type of each element.
fn list_elements() -> [(&'static str, gst::Rank, glib::Type); 16] {
    [
        ("siskinaudioenc", gst::Rank::PRIMARY, audioenc::SiskinAudioEnc::static_type()),
        ("siskinaudiodec", gst::Rank::PRIMARY, audiodec::SiskinAudioDec::static_type()),
        ("siskinaudioparse", gst::Rank::PRIMARY, audioparse::SiskinAudioParse::static_type()),
        ("siskinvideoenc", gst::Rank::PRIMARY, videoenc::SiskinVideoEnc::static_type()),
        ("siskinvideodec", gst::Rank::PRIMARY, videodec::SiskinVideoDec::static_type()),
        ("siskinvideoparse", gst::Rank::PRIMARY, videoparse::SiskinVideoParse::static_type()),
        // Below matroskamux, which stays the first choice for files without Siskin tracks.
        ("siskinmux", gst::Rank::SECONDARY, mux::SiskinMux::static_type()),
        ("siskintokensink", gst::Rank::NONE, tokensink::SiskinTokenSink::static_type()),
        ("siskintokensrc", gst::Rank::NONE, tokensrc::SiskinTokenSrc::static_type()),
        // As most payloaders of GStreamer are ranked: found by their caps, but after any that an application prefers.
        ("rtpsiskinaudiopay", gst::Rank::SECONDARY, rtpaudiopay::RtpSiskinAudioPay::static_type()),
        ("rtpsiskinaudiodepay", gst::Rank::SECONDARY, rtpaudiodepay::RtpSiskinAudioDepay::static_type()),
        ("rtpsiskinvideopay", gst::Rank::SECONDARY, rtpvideopay::RtpSiskinVideoPay::static_type()),
        ("rtpsiskinvideodepay", gst::Rank::SECONDARY, rtpvideodepay::RtpSiskinVideoDepay::static_type()),
        // Nor should a bin choose these: what they give is no picture to be shown.
        ("siskinfeatureenc", gst::Rank::NONE, featureenc::SiskinFeatureEnc::static_type()),
        ("siskinfeaturedec", gst::Rank::NONE, featuredec::SiskinFeatureDec::static_type()),
        // No bin should choose this by itself: text on its way to be shown would be spoken.
        ("siskintts", gst::Rank::NONE, tts::SiskinTts::static_type()),
    ]
}

/// How long what elements share outlives the last of them. Players make their decoders anew for each file and each restart; behind
/// a list of short files, or a restart in which a user does something else, nothing is opened again. It is 20 MB for a decoder.
const KEEP_UNUSED: std::time::Duration = std::time::Duration::from_secs(10);

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // The bundles lie beside the plugin, and the program that loaded it is elsewhere.
    if let Some(file) = plugin.filename() {
        siskin_core::search_near(&file);
    }
    siskin_core::keep_unused_for(KEEP_UNUSED);
    list_elements()
        .into_iter()
        .try_for_each(|(name, rank, kind)| gst::Element::register(Some(plugin), name, rank, kind))
}

gst::plugin_define!(
    siskin,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    // So called in the list of licences that GStreamer knows.
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    // As GStreamer's own build calls it where the builder names none.
    "Unknown package origin",
    env!("BUILD_REL_DATE")
);
