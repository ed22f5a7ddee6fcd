//! Files of several tracks: what is left out, what tracks say of themselves, and faults of either.

mod common;

use std::path::Path;

use common::{assert_fails, ffmpeg, folder, good, json, ndjson, probe, run, stderr, text};
use gst::prelude::*;
use siskin_core::Limits;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Reader};

/// Runs a pipeline of GStreamer to its end.
fn pipeline(description: &str) {
    gst::init().expect("GStreamer");
    gstsiskin::plugin_register_static().expect("the elements");
    let pipeline = gst::parse::launch(description).expect("a pipeline");
    pipeline.set_state(gst::State::Playing).expect("a start");
    let bus = pipeline.bus().expect("a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("an end");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    pipeline.set_state(gst::State::Null).expect("a stop");
}

/// A film of a second with sound, as FFmpeg writes it.
fn film(path: &Path, options: &[&str]) {
    let video = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=1"];
    let sound = ["-f", "lavfi", "-i", "sine=duration=1:sample_rate=24000"];
    ffmpeg(&[&video[..], &sound, options, &[text(path)]].concat());
}

#[test]
fn sound_that_is_not_siskins_is_named() {
    let folder = folder();
    let (coded, back) = (folder.path().join("in.mkv"), folder.path().join("back.mkv"));
    pipeline(&format!(
        "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=64,height=48,framerate=10/1 ! siskinvideoenc ! siskinmux \
         name=m ! filesink location={} audiotestsrc num-buffers=40 ! audioconvert ! opusenc ! m.",
        text(&coded)
    ));
    let decoded = run(["decode", text(&coded), text(&back)]);
    assert!(decoded.status.success(), "{}", stderr(&decoded));
    assert!(stderr(&decoded).contains("Leaving out other tracks: track 2 A_OPUS"), "{}", stderr(&decoded));
    let info = json(&["info", "--json", text(&coded)]);
    assert_eq!(info["other_tracks"], serde_json::json!(["track 2 A_OPUS"]));
    assert!(String::from_utf8_lossy(&good(["info", text(&coded)])).contains("track 2 A_OPUS"));
}

#[test]
fn frames_of_another_size_are_scaled_and_told_of() {
    let folder = folder();
    let (coded, raw) = (folder.path().join("in.mkv"), folder.path().join("back.rgb"));
    let source = |size: (u32, u32)| {
        format!(
            "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width={},height={},framerate=10/1 ! c. ",
            size.0, size.1
        )
    };
    let (first, second) = (source((64, 48)), source((128, 96)));
    let out = text(&coded);
    pipeline(&format!(
        "concat name=c ! siskinvideoenc ! siskinmux ! filesink location={out} {first} {second}"
    ));
    let decoded = run(["decode", text(&coded), text(&raw)]);
    assert!(decoded.status.success(), "{}", stderr(&decoded));
    assert!(
        stderr(&decoded).contains("128x96 at packet 10: they are scaled to 64x48"),
        "{}",
        stderr(&decoded)
    );
    let frames = std::fs::read(&raw).expect("frames");
    assert_eq!(frames.len(), 20 * 64 * 48 * 3);
    // The same picture in both sizes, but for its noise.
    let frame = |number: usize| &frames[number * 64 * 48 * 3..][..64 * 48 * 3];
    let off: u64 = frame(9).iter().zip(frame(10)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(off / (64 * 48 * 3) < 25, "{off}");
    let verified = String::from_utf8(good(["verify", text(&coded)])).expect("text");
    assert!(verified.contains("size changes from 64x48 to 128x96"), "{verified}");
    let info = json(&["info", "--json", text(&coded)]);
    assert_eq!(info["other_sizes"], serde_json::json!([[128, 96]]));
}

#[test]
fn damaged_sound_of_a_film_is_found() {
    let folder = folder();
    let (source, coded) = (folder.path().join("in.mkv"), folder.path().join("coded.mkv"));
    film(&source, &["-c:v", "ffv1", "-c:a", "flac"]);
    good(["encode", text(&source), text(&coded)]);
    let whole = ndjson(&good(["verify", "--json", text(&coded)]));
    assert_eq!(whole.last().expect("a result")["faults"], 0);
    let mut data = std::fs::read(&coded).expect("a file");
    let mut reader =
        Reader::open_file(std::io::Cursor::new(data.clone()), Limits::default()).expect("a file");
    let track = reader.tracks().iter().find(|t| t.codec_id == AUDIO_CODEC_ID).expect("sound").number;
    let mut block = Block::default();
    while reader.next_block(&mut block).expect("a block") && block.track != track {}
    let at = data.windows(block.data.len()).position(|w| w == block.data).expect("the packet");
    data[at..at + 4].iter_mut().for_each(|byte| *byte ^= 0xff);
    std::fs::write(&coded, data).expect("a file");
    let damaged = run(["verify", "--json", text(&coded)]);
    assert_eq!(damaged.status.code(), Some(1));
    let lines = ndjson(&damaged.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["track"]), (&"fault".into(), &"audio".into()));
    assert_eq!(lines.last().expect("a result")["ok"], false);
}

#[test]
fn tracks_keep_their_language_and_title() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let said = ["-metadata:s:a:0", "language=deu", "-metadata:s:a:0", "title=Main", "-metadata", "title=All"];
    let codecs = ["-c:v", "ffv1", "-c:a", "flac"];
    film(&path("in.mkv"), &[&codecs[..], &said].concat());
    good(["encode", text(&path("in.mkv")), text(&path("coded.mkv"))]);
    good(["decode", text(&path("coded.mkv")), text(&path("back.mkv"))]);
    good(["encode", text(&path("in.mkv")), text(&path("coded.mka")), "--audio", "speech"]);
    good(["decode", text(&path("coded.mka")), text(&path("back.mka"))]);
    for name in ["coded.mkv", "back.mkv", "coded.mka", "back.mka"] {
        let tags = &probe(&path(name), "a", "stream=index:stream_tags=language,title")[0]["tags"];
        assert_eq!((&tags["language"], &tags["title"]), (&"deu".into(), &"Main".into()), "{name}");
    }
    let info = json(&["info", "--json", text(&path("coded.mka"))]);
    assert_eq!(
        (&info["tags"]["TITLE"], &info["tags"]["LANGUAGE"]),
        (&"All".into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_last_frame_that_lasts_is_kept() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let pictures = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=1"];
    ffmpeg(&[&pictures[..], &["-c:v", "mpeg4", "-bf", "2", text(&path("plain.mp4"))]].concat());
    // The table gives two seconds to the packet that is decoded last.
    let held = ["-c", "copy", "-bsf:v", "setts=duration='if(eq(N,9),20*DURATION,DURATION)'"];
    ffmpeg(&[&["-i", text(&path("plain.mp4"))], &held[..], &[text(&path("in.mp4"))]].concat());
    let encoded = run(["encode", text(&path("in.mp4")), text(&path("coded.mkv"))]);
    assert!(encoded.status.success(), "{}", stderr(&encoded));
    let seconds = json(&["info", "--json", text(&path("coded.mkv"))])["seconds"].as_f64();
    assert!(seconds.is_some_and(|s| s > 2.6), "{seconds:?}");
}

#[test]
fn frames_of_any_size_become_a_movie() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for size in ["2x2", "16x3", "3x20", "1x64", "8x8"] {
        let pictures = format!("testsrc=size={size}:rate=10:duration=0.3");
        ffmpeg(&["-f", "lavfi", "-i", &pictures, "-pix_fmt", "yuv420p", text(&path("in.y4m"))]);
        good(["encode", "-y", text(&path("in.y4m")), text(&path("coded.mkv"))]);
        good(["decode", "-y", text(&path("coded.mkv")), text(&path("back.mkv"))]);
        good(["decode", "-y", text(&path("coded.mkv")), text(&path("straight.y4m"))]);
        ffmpeg(&["-i", text(&path("back.mkv")), text(&path("back.y4m"))]);
        let frames = |name: &str| {
            let data = std::fs::read(path(name)).expect("a file");
            let head = data.iter().position(|&byte| byte == b'\n').expect("a line");
            data[head..].to_vec()
        };
        assert!(frames("back.y4m") == frames("straight.y4m"), "{size}");
    }
}

#[test]
fn mistakes_that_the_parser_finds_are_in_the_json() {
    let failed = run(["encode", "a", "b.mkv", "--json", "--bogus"]);
    assert_eq!(failed.status.code(), Some(2));
    let lines = ndjson(&failed.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["exit_code"]), (&"error".into(), &2.into()));
    assert!(lines[0]["message"].as_str().is_some_and(|m| m.contains("--bogus")), "{lines:?}");
    let plain = run(["encode", "a", "b.mkv", "--bogus"]);
    assert!(plain.stdout.is_empty());
    assert_fails(&run(["decode", "none.mkv", "b.wav"]), 1, "none.mkv");
}
