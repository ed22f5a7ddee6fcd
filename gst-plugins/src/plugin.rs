//! The plugin's entry points.

// The macro's items carry no documentation of their own.
#![allow(missing_docs)]

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // The program that has loaded the plugin lies elsewhere than what belongs to the plugin.
    if let Some(file) = plugin.filename() {
        siskin_core::search_near(&file);
    }
    crate::audioenc::register(plugin)?;
    crate::audiodec::register(plugin)?;
    crate::audioparse::register(plugin)?;
    crate::videoenc::register(plugin)?;
    crate::videodec::register(plugin)?;
    crate::videoparse::register(plugin)?;
    crate::mux::register(plugin)?;
    crate::tokensink::register(plugin)?;
    crate::tokensrc::register(plugin)?;
    crate::rtpaudiopay::register(plugin)?;
    crate::rtpaudiodepay::register(plugin)?;
    crate::rtpvideopay::register(plugin)?;
    crate::rtpvideodepay::register(plugin)?;
    crate::tts::register(plugin)
}

gst::plugin_define!(
    siskin,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
