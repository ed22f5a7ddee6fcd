//! Playing a file with video: GStreamer's `playbin` with the elements of this project, in the sinks that the system has.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use gst::prelude::*;

use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::keyboard::{Key, Keys};
use crate::report::{Progress, Report};
use crate::units;

/// How often keys and the position are looked at.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// Where video is played.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Playing video")]
pub(crate) struct SinkArgs {
    /// GStreamer element that shows the video [default: chosen by GStreamer]
    #[arg(long, value_name = "ELEMENT")]
    video_sink: Option<String>,
    /// GStreamer element that plays the audio of a video file
    #[arg(long, value_name = "ELEMENT")]
    audio_sink: Option<String>,
}

/// Plays the file at `path` from `start` seconds on.
pub(crate) fn run(
    path: &Path,
    start: Option<f64>,
    sinks: &SinkArgs,
    report: &mut Report,
) -> Result<ExitCode> {
    gst::init().context("GStreamer cannot be started")?;
    // Linked in, so that files play even where the plugin is not installed.
    gstsiskin::plugin_register_static().context("the elements cannot be registered")?;
    // A URI has no relative paths.
    let whole = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let uri = gst::glib::filename_to_uri(&whole, None).with_context(|| path.display().to_string())?;
    let player = gst::ElementFactory::make("playbin").property("uri", uri.as_str()).build();
    let player = player.context("GStreamer's base plugins are not installed")?;
    for (name, sink) in [("video-sink", &sinks.video_sink), ("audio-sink", &sinks.audio_sink)] {
        if let Some(sink) = sink {
            let element = gst::parse::bin_from_description(sink, true);
            let element = element.map_err(|e| usage_error(format!("--{name} {sink}: {}", e.message())))?;
            player.set_property(name, &element);
        }
    }
    let played = play_until_end(&player, path, start, report);
    // Also after an error, or threads would outlive the elements.
    player.set_state(gst::State::Null).ok();
    let seconds = played?;
    report.done(&format!("Played {}", units::format_time(seconds)), &events::VideoPlay { seconds })?;
    Ok(ExitCode::SUCCESS)
}

fn play_until_end(
    player: &gst::Element,
    path: &Path,
    start: Option<f64>,
    report: &mut Report,
) -> Result<f64> {
    let bus = player.bus().ok_or_else(|| anyhow!("playbin has no bus"))?;
    let name = path.display();
    let failed = |e: &gst::message::Error| anyhow!("{name}: {}", e.error().message());
    // Its reason is on the bus.
    player.set_state(gst::State::Paused).ok();
    while let Some(message) = bus.timed_pop(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Error(e) => return Err(failed(e)),
            // Pre-rolled: only now are length and seeks to be had.
            gst::MessageView::AsyncDone(_) => break,
            _ => (),
        }
    }
    let total = player.query_duration::<gst::ClockTime>();
    if let Some(start) = start {
        let end = total.map_or(f64::MAX, |t| t.nseconds() as f64 / 1e9);
        if !(0.0..=end).contains(&start) {
            return Err(usage_error(format!("--start is {start}, {name} goes from 0 to {end:.2}")));
        }
        seek_to(player, gst::ClockTime::from_nseconds((start * 1e9) as u64));
    }
    if player.set_state(gst::State::Playing).is_err() {
        bail!("{name}: playing cannot be started");
    }
    let mut keys = Keys::open();
    if keys.is_some() {
        report.note("Space pauses, arrows seek by 5 and 30 s, q quits");
    }
    let (mut paused, mut position) = (false, gst::ClockTime::ZERO);
    loop {
        interrupt::check_interrupt()?;
        while let Some(key) = keys.as_mut().and_then(Keys::next_key) {
            let by = match key {
                Key::Letter(' ') => {
                    paused = !paused;
                    player.set_state(if paused { gst::State::Paused } else { gst::State::Playing })?;
                    continue;
                }
                Key::Letter('q') => return Ok(position.nseconds() as f64 / 1e9),
                Key::Left => -5,
                Key::Right => 5,
                Key::Up => 30,
                Key::Down => -30,
                Key::Letter(_) => continue,
            };
            let step = gst::ClockTime::from_seconds(i64::unsigned_abs(by));
            let target = if by < 0 { position.saturating_sub(step) } else { position.saturating_add(step) };
            seek_to(player, total.map_or(target, |end| target.min(end)));
        }
        // The wait of the loop: messages are handled at once.
        let message = bus.timed_pop(TICK);
        match message.as_ref().map(|m| m.view()) {
            Some(gst::MessageView::Eos(_)) => break,
            Some(gst::MessageView::Error(e)) => return Err(failed(e)),
            Some(gst::MessageView::Warning(w)) => report.warn(&format!("{name}: {}", w.error().message()))?,
            _ => (),
        }
        // During a seek there is none; the last one stays.
        position = player.query_position::<gst::ClockTime>().unwrap_or(position);
        let seconds = |time: gst::ClockTime| time.nseconds() as f64 / 1e9;
        report.progress(Progress { seconds: seconds(position), total: total.map(seconds), bytes: 0 })?;
    }
    Ok(total.unwrap_or(position).nseconds() as f64 / 1e9)
}

/// Goes to a time; what cannot be sought plays on.
fn seek_to(player: &gst::Element, target: gst::ClockTime) {
    // Accurate, since key units may be far apart.
    player.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, target).ok();
}
