//! Plays a coded file, sound or video, with GStreamer's `playbin`, which finds the demuxer, parser and decoder by rank. The
//! plugin must be installed (`./x install`) or on `GST_PLUGIN_PATH` (`eval "$(./x env)"`).
//!
//! `cargo run --release -p siskin-examples --example gst_player -- FILE [SINK]`; SINK is an element that takes the sound
//! instead of the system's sink, such as `fakesink`.

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let file = args.next().context("usage: gst_player FILE [SINK]")?;
    let sink = args.next();

    gst::init()?;
    let uri = gst::glib::filename_to_uri(std::path::absolute(&file)?, None)?;
    let player = gst::ElementFactory::make("playbin").property("uri", uri.as_str()).build()?;
    if let Some(sink) = sink {
        player.set_property("audio-sink", gst::ElementFactory::make(&sink).build()?);
        player.set_property("video-sink", gst::ElementFactory::make(&sink).build()?);
    }

    let bus = player.bus().context("playbin has a bus")?;
    player.set_state(gst::State::Playing)?;
    let played = wait(&bus, &player);
    player.set_state(gst::State::Null)?;
    played
}

/// Tells what happens until the end, or an error.
fn wait(bus: &gst::Bus, player: &gst::Element) -> Result<()> {
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => {
                let position = player.query_position::<gst::ClockTime>();
                eprintln!("played {}", position.map_or("to the end".into(), |p| p.to_string()));
                return Ok(());
            }
            gst::MessageView::Error(error) => {
                let source = message.src().map(|s| s.path_string().to_string()).unwrap_or_default();
                return Err(anyhow!("{source}: {}", error.error().message()));
            }
            gst::MessageView::Tag(tag) => {
                if let Some(codec) = tag.tags().get::<gst::tags::AudioCodec>() {
                    eprintln!("audio codec: {}", codec.get());
                }
            }
            _ => {}
        }
    }
    Err(anyhow!("the bus was closed"))
}
