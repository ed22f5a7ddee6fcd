//! What applications do to a player beside playing: start it again and again, seek to the end, change tracks.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use gst::prelude::*;
use siskin_core::bitstream::VideoHeader;

const SECONDS: u64 = 4;

/// A file with one track of video and two of sound, `SECONDS` long; the video ends after `video_seconds`.
fn film(video_seconds: u64) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("film.mkv");
    let queue = "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux.";
    let sound = |wave: &str| {
        format!(
            "audiotestsrc num-buffers={} samplesperbuffer=240 wave={wave} ! {RAW} ! siskinaudioenc ! {queue}",
            SECONDS * 100
        )
    };
    let pipeline = launch(&format!(
        "siskinmux name=mux ! filesink name=out \
         videotestsrc num-buffers={} pattern=ball ! video/x-raw,width=64,height=48,framerate=25/1 ! \
         siskinvideoenc keyframe-interval=25 ! {queue} {} {}",
        video_seconds * 25,
        sound("sine"),
        sound("ticks")
    ));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    let said = play(&pipeline);
    assert_eq!((said.error, said.warnings), (None, vec![]));
    (folder, path)
}

/// A player whose sinks drop what they get at its time.
fn player(kind: &str, path: &Path) -> gst::Element {
    init();
    let sink =
        || gst::ElementFactory::make("fakesink").property("sync", true).build().expect("a stock element");
    gst::ElementFactory::make(kind)
        .property("uri", uri(path))
        .property("audio-sink", sink())
        .property("video-sink", sink())
        .build()
        .expect("a stock element")
}

/// Errors and warnings since the last call.
fn complaints(player: &gst::Element) -> Vec<String> {
    let bus = player.bus().expect("a player has a bus");
    std::iter::from_fn(|| bus.pop())
        .filter_map(|m| match m.view() {
            gst::MessageView::Error(e) => Some(format!("{e:?}")),
            gst::MessageView::Warning(w) => Some(format!("{w:?}")),
            _ => None,
        })
        .collect()
}

#[test]
fn a_player_that_starts_again_and_again_has_nothing_to_complain_about() {
    let (_folder, path) = film(SECONDS);
    for kind in ["playbin", "playbin3"] {
        let player = player(kind, &path);
        // Without it playbin3 itself loses the first stream now and then on a busy machine, of whatever codec
        // (docs/gstreamer.md).
        start_decoders_first(&player);
        for turn in 0..20 {
            // Left as soon as it is reached, while the streams still negotiate behind the first frames.
            for state in [gst::State::Ready, gst::State::Paused] {
                player.set_state(state).expect("a change of state");
                let (result, reached, _) = player.state(gst::ClockTime::from_seconds(30));
                assert!(result.is_ok() && reached == state, "{kind} {turn}: {result:?} {reached:?}");
            }
            assert_eq!(complaints(&player), Vec::<String>::new(), "{kind} {turn}");
        }
        player.set_state(gst::State::Null).expect("stopping never fails");
    }
}

/// Starts the decoders of a `playbin3` before its source, which `uridecodebin3` does the other way round (docs/gstreamer.md).
fn start_decoders_first(player: &gst::Element) {
    let is = |element: &gst::Element, name| element.factory().is_some_and(|f| f.name() == name);
    let bin = player.downcast_ref::<gst::Bin>().expect("a player is a bin");
    bin.connect_deep_element_added(move |_, parent, element| {
        if is(element, "urisourcebin") {
            let decoders = parent.children().into_iter().filter(|child| is(child, "decodebin3"));
            decoders.for_each(|d| assert!(d.set_state(gst::State::Paused).is_ok()));
        }
    });
}

/// A new player each time, as a gallery of files makes them.
#[test]
fn new_players_preroll() {
    let (_folder, path) = film(SECONDS);
    for turn in 0..15 {
        let player = player("playbin3", &path);
        start_decoders_first(&player);
        player.set_state(gst::State::Paused).expect("a change of state");
        let (result, reached, _) = player.state(gst::ClockTime::from_seconds(30));
        let said = complaints(&player);
        player.set_state(gst::State::Null).expect("stopping never fails");
        assert!(result.is_ok() && reached == gst::State::Paused, "{turn}: {result:?} {reached:?}");
        assert_eq!(said, Vec::<String>::new(), "{turn}");
    }
}

/// A decoder that gives nothing until the end is an error to its base class.
#[test]
fn a_seek_to_where_the_video_is_over_plays_the_sound_to_its_end() {
    let (_folder, path) = film(1);
    let (zero, from, end) =
        (gst::ClockTime::ZERO, gst::ClockTime::from_seconds(3), gst::ClockTime::from_seconds(4));
    // Forwards, backwards in the sound alone, and backwards from there into the video.
    for (rate, start, stop) in [(1.0, from, end), (-1.0, from, end), (-2.0, zero, end)] {
        let player = player("playbin", &path);
        player.set_state(gst::State::Paused).expect("a change of state");
        let (result, ..) = player.state(gst::ClockTime::from_seconds(30));
        assert!(result.is_ok(), "{:?}", complaints(&player));
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let set = gst::SeekType::Set;
        player.seek(rate, flags, set, start, set, stop).expect("a seek");
        player.set_state(gst::State::Playing).expect("a change of state");
        let bus = player.bus().expect("a player has a bus");
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
        // Before anything can fail: a player must not be dropped while it plays.
        player.set_state(gst::State::Null).expect("stopping never fails");
        let is_end = message.as_ref().is_some_and(|m| m.type_() == gst::MessageType::Eos);
        assert!(is_end, "at {rate}: {message:?}");
    }
}

/// A player in PAUSED, which a seek has been made in.
fn seek_in(path: &Path, rate: f64, start: gst::ClockTime) -> gst::Element {
    // Of playbin3 `new_players_preroll` tells.
    let player = player("playbin", path);
    player.set_state(gst::State::Paused).expect("a change of state");
    let (result, ..) = player.state(gst::ClockTime::from_seconds(30));
    assert!(result.is_ok(), "{:?}", complaints(&player));
    let (flags, set) = (gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, gst::SeekType::Set);
    let none = gst::SeekType::None;
    player.seek(rate, flags, set, start, none, gst::ClockTime::NONE).expect("a seek");
    player
}

/// Plays to the end; how long the clock of the sinks has run.
fn play_to_end(player: &gst::Element) -> Result<gst::ClockTime, String> {
    player.set_state(gst::State::Playing).expect("a change of state");
    let bus = player.bus().expect("a player has a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
    let ran = player.current_running_time();
    player.set_state(gst::State::Null).expect("stopping never fails");
    let is_end = message.as_ref().is_some_and(|m| m.type_() == gst::MessageType::Eos);
    ran.filter(|_| is_end).ok_or_else(|| format!("{message:?}"))
}

#[test]
fn a_seek_to_the_end_ends_and_fast_playback_takes_less_time() {
    let (_folder, path) = film(SECONDS);
    let end = gst::ClockTime::from_seconds(SECONDS);
    for start in [end - gst::ClockTime::from_nseconds(1), end, end + gst::ClockTime::SECOND] {
        let ran = play_to_end(&seek_in(&path, 1.0, start)).expect("an end");
        assert!(ran < end, "to {start}: {ran}");
    }
    for (rate, seconds) in [(2.0, 2), (4.0, 1)] {
        // The clock of the sinks, to which a busy machine adds; at the usual rate it would run for all of the film.
        let ran = play_to_end(&seek_in(&path, rate, gst::ClockTime::ZERO)).expect("an end");
        assert!(ran >= gst::ClockTime::from_mseconds(seconds * 1000 - 100), "at {rate}: {ran}");
        assert!(ran < end, "at {rate}: {ran}");
    }
}

#[test]
fn the_language_changes_while_it_plays() {
    let (_folder, path) = film(SECONDS);
    let player = seek_in(&path, 1.0, gst::ClockTime::ZERO);
    assert_eq!(player.property::<i32>("n-audio"), 2);
    player.set_state(gst::State::Playing).expect("a change of state");
    for track in [1, 0, 1] {
        std::thread::sleep(std::time::Duration::from_millis(500));
        player.set_property("current-audio", track);
        assert_eq!(player.property::<i32>("current-audio"), track);
    }
    play_to_end(&player).expect("an end");
    assert_eq!(complaints(&player), Vec::<String>::new());
}

/// The types of events that wait in the harness.
fn events(harness: &mut gst_check::Harness) -> Vec<gst::Event> {
    std::iter::from_fn(|| harness.try_pull_event()).collect()
}

fn video_caps() -> (gst::Caps, VideoHeader, gst::Buffer) {
    let (said, coded) = watch(
        "videotestsrc num-buffers=1 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! siskinvideoenc name=last",
        "video/x-siskin",
    );
    assert_eq!(said.error, None);
    let structure = coded[0].caps.structure(0).expect("caps");
    let header = structure.get::<gst::Buffer>("codec_data").expect("a header");
    let (header, _) = VideoHeader::parse(&bytes_of(&header), &Default::default()).expect("a header");
    let mut buffer = gst::Buffer::from_slice(coded[0].data.clone());
    buffer.make_mut().set_pts(gst::ClockTime::ZERO);
    (coded[0].caps.clone(), header, buffer)
}

/// Stock decoders push caps with the first frame, and players rely on it: they put converters in when the caps come.
#[test]
fn the_video_decoder_pushes_caps_with_the_first_frame() {
    let (caps, header, packet) = video_caps();
    let mut harness = gst_check::Harness::new("siskinvideodec");
    harness.play();
    harness.set_src_caps(caps.clone());
    let early: Vec<_> = events(&mut harness).iter().map(|e| e.type_()).collect();
    assert!(!early.contains(&gst::EventType::Caps), "{early:?}");
    harness.push(packet).expect("a push");
    let sent = events(&mut harness);
    let sizes: Vec<_> = sent
        .iter()
        .filter_map(|e| match e.view() {
            gst::EventView::Caps(c) => gst_video::VideoInfo::from_caps(c.caps()).ok(),
            _ => None,
        })
        .map(|info| (info.width(), info.height()))
        .collect();
    assert_eq!(sizes, [(header.width, header.height)]);
}

/// Where a gap comes before any frame its caps are the stream's, not the base class's 1280x720.
#[test]
fn a_gap_before_the_first_frame_has_the_streams_caps() {
    let (caps, header, packet) = video_caps();
    let mut harness = gst_check::Harness::new("siskinvideodec");
    harness.play();
    harness.set_src_caps(caps);
    let gap = gst::event::Gap::builder(gst::ClockTime::ZERO).duration(gst::ClockTime::SECOND).build();
    assert!(harness.push_event(gap));
    harness.push(packet).expect("a push");
    let infos: Vec<_> = events(&mut harness)
        .iter()
        .filter_map(|e| match e.view() {
            gst::EventView::Caps(c) => gst_video::VideoInfo::from_caps(c.caps()).ok(),
            _ => None,
        })
        .collect();
    assert_eq!(infos.len(), 1, "{infos:?}");
    assert_eq!((infos[0].width(), infos[0].height()), (header.width, header.height));
    assert_eq!(infos[0].fps(), gst::Fraction::new(25, 1));
}

#[test]
fn chroma_lies_where_the_source_had_it() {
    for site in ["mpeg2", "jpeg"] {
        // Without a colorimetry GStreamer goes by the height, whatever the caps say.
        let raw = "video/x-raw,format=I420,width=64,height=48,framerate=25/1,colorimetry=bt601";
        let raw = format!("{raw},chroma-site={site}");
        let text = format!("videotestsrc num-buffers=2 ! {raw} ! siskinvideoenc ! siskinvideodec name=last");
        let (said, seen) = watch(&text, "video/x-raw");
        assert_eq!(said.error, None);
        let found = seen[0].caps.structure(0).and_then(|s| s.get::<String>("chroma-site").ok());
        assert_eq!(found.as_deref(), Some(site));
    }
}
