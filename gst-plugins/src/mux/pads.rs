//! Pads of the muxer: their templates.

use gst::glib::prelude::*;

use super::other;
use crate::video::caps as video;
use crate::{caps, features, tokens};

/// Siskin's own video, and features of video.
fn video_template() -> gst::Caps {
    let mut caps = video::coded_template();
    caps.merge(features::template());
    caps
}

/// The templates of the muxer's pads.
pub(super) fn templates() -> Vec<gst::PadTemplate> {
    let template = |name, direction, presence, caps: &gst::Caps| {
        let kind = gst_base::AggregatorPad::static_type();
        gst::PadTemplate::with_gtype(name, direction, presence, caps, kind)
            .expect("names and caps of pad templates are constants, and valid")
    };
    let request =
        |name, caps: &gst::Caps| template(name, gst::PadDirection::Sink, gst::PadPresence::Request, caps);
    let others = |text: &str| text.parse::<gst::Caps>().expect("constants, and valid");
    let with = |mut own: gst::Caps, more: &str| {
        own.merge(others(more));
        own
    };
    let matroska = others("audio/x-matroska; video/x-matroska");
    let subtitles = others(other::SUBTITLES);
    vec![
        request("audio_%u", &with(caps::audio_template(), other::AUDIO)),
        request("video_%u", &with(video_template(), other::VIDEO)),
        request("subtitle_%u", &subtitles),
        request("text_%u", &subtitles),
        request("tokens_%u", &tokens::template()),
        template("src", gst::PadDirection::Src, gst::PadPresence::Always, &matroska),
    ]
}
