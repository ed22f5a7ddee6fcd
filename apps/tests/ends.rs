//! Where sound, frames and chapters end, and what was never there: last durations, late starts, frames that a recorder dropped.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{ffmpeg, folder, good, json, text};
use serde_json::Value;
use siskin_core::Limits;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::{Block, Mode, Reader, Track, Writer, WriterOptions};

/// Matroska rounds to milliseconds, and a track ends with the frame or packet that reaches its end.
const NEAR: f64 = 0.045;

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|v| v.parse().ok()).unwrap_or(f64::NAN)
}

/// How long a file says it is, in seconds.
fn length(path: &Path) -> f64 {
    probe_format(path)["format"]["duration"].as_str().and_then(|v| v.parse().ok()).unwrap_or(f64::NAN)
}

fn probe_format(path: &Path) -> Value {
    let args = ["-v", "error", "-show_chapters", "-show_format", "-of", "json", text(path)];
    let run = Command::new("ffprobe").args(args).output().expect("ffprobe starts");
    serde_json::from_slice(&run.stdout).expect("JSON")
}

#[test]
fn the_last_frame_of_an_mp4_lasts_as_long_as_the_file_says() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let picture = |name: &str, source: &str| {
        ffmpeg(&["-f", "lavfi", "-i", source, "-c:v", "mpeg4", text(&path(name))]);
    };
    picture("even.mp4", "testsrc=s=32x32:r=1:d=2");
    picture("single.mp4", "color=green:s=32x32:r=1/3:d=3");
    // The second of two slides stays for four seconds, which only the table of durations tells.
    let stays = "setts=duration=if(eq(N\\,1)\\,4/TB\\,1/TB)";
    ffmpeg(&["-i", text(&path("even.mp4")), "-c", "copy", "-bsf:v", stays, text(&path("slides.mp4"))]);
    for name in ["slides", "single"] {
        let (source, coded) = (path(&format!("{name}.mp4")), path(&format!("{name}.mkv")));
        let expected = length(&source);
        assert!(expected > 2.9, "{name}: the source lasts {expected} s");
        good(["encode", "-q", text(&source), text(&coded)]);
        let told = json(&["info", text(&coded), "--json"])["seconds"].as_f64().unwrap_or(f64::NAN);
        assert!((told - expected).abs() < NEAR, "{name}: {told} s, not {expected} s");
        assert!(
            (length(&coded) - expected).abs() < NEAR,
            "{name}: coded {} s, not {expected} s",
            length(&coded)
        );
        for kind in ["mkv", "mp4"] {
            let back = path(&format!("{name}-back.{kind}"));
            good(["decode", "-q", text(&coded), text(&back)]);
            assert!(
                (length(&back) - expected).abs() < NEAR,
                "{name}.{kind}: {} s, not {expected} s",
                length(&back)
            );
        }
    }
}

#[test]
fn chapters_of_a_film_that_begins_late_stay_with_what_they_name() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=7000\ntitle=Intro\n\
                    [CHAPTER]\nTIMEBASE=1/1000\nSTART=7000\nEND=8000\ntitle=White\n";
    fs::write(path("meta"), chapters).expect("a file");
    // Both tracks begin at five seconds; at seven the frames turn white, where a chapter begins.
    let pictures = "color=black:s=32x32:r=10:d=2[a];color=white:s=32x32:r=10:d=1[b];[a][b]concat";
    ffmpeg(&[
        "-f",
        "lavfi",
        "-itsoffset",
        "5",
        "-i",
        pictures,
        "-f",
        "lavfi",
        "-itsoffset",
        "5",
        "-i",
        "sine=440:d=3",
        "-i",
        text(&path("meta")),
        "-map",
        "0",
        "-map",
        "1",
        "-map_chapters",
        "2",
        "-c:v",
        "mpeg4",
        "-c:a",
        "flac",
        "-copyts",
        text(&path("late.mkv")),
    ]);
    for (name, output) in [("coded.mkv", "back.mkv"), ("coded.mkv", "back.mp4")] {
        good(["encode", "-q", "-y", text(&path("late.mkv")), text(&path(name))]);
        good(["decode", "-q", "-y", text(&path(name)), text(&path(output))]);
        for file in [name, output] {
            let told = probe_format(&path(file));
            let second = &told["chapters"][1];
            assert_eq!(second["tags"]["title"].as_str(), Some("White"), "{file}: {told}");
            let chapter = number(&second["start_time"]);
            let white = white_at(&path(output));
            assert!(
                (chapter - white).abs() < 0.101,
                "{file}: the chapter begins at {chapter} s, white at {white} s"
            );
        }
    }
}

/// When the first white frame is shown, in seconds.
fn white_at(path: &Path) -> f64 {
    let filter = format!("movie={},signalstats", text(path));
    let args = [
        "-v",
        "error",
        "-f",
        "lavfi",
        &filter,
        "-show_entries",
        "frame=pts_time:frame_tags=lavfi.signalstats.YAVG",
    ];
    let run = Command::new("ffprobe").args(args).args(["-of", "json"]).output().expect("ffprobe starts");
    let told: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let frames = told["frames"].as_array().expect("frames");
    let white = frames.iter().find(|f| number(&f["tags"]["lavfi.signalstats.YAVG"]) > 150.0);
    number(&white.expect("a white frame")["pts_time"])
}

#[test]
fn frames_that_a_camera_left_out_count_with_their_time() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    ffmpeg(&["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=4", "-c:v", "mpeg4", text(&path("in.mp4"))]);
    good(["encode", "-q", "--preset", "realtime", text(&path("in.mp4")), text(&path("whole.mkv"))]);
    // Packets without a gap in their numbers, in the places of a camera that gave no frame for a second and a half, and left out
    // each fifth before and after.
    let places: Vec<u64> = (0..100).filter(|n| !(30..67).contains(n) && n % 5 != 4).collect();
    fs::write(path("sparse.mkv"), moved_frames(&path("whole.mkv"), &places)).expect("a file");
    let told = json(&["info", text(&path("sparse.mkv")), "--json"]);
    let seconds = told["seconds"].as_f64().unwrap_or(f64::NAN);
    // The last frame is number 98, since 99 is a fifth one.
    assert!((seconds - 99.0 / 25.0).abs() < 0.003, "{told}");
    assert_eq!(told["frames"].as_u64(), Some(places.len() as u64), "{told}");
    good(["verify", text(&path("sparse.mkv"))]);
    // Each frame stays until the next one, in a movie as on a screen.
    good(["decode", "-q", text(&path("sparse.mkv")), text(&path("back.mkv"))]);
    good(["decode", "-q", text(&path("whole.mkv")), text(&path("whole-back.mkv"))]);
    let [back, whole] = ["back.mkv", "whole-back.mkv"].map(|name| luma_of(&path(name)));
    assert_eq!(back.len(), 99);
    for (n, frame) in (0u64..).zip(&back) {
        let shown = places.partition_point(|&place| place <= n) - 1;
        assert!(*frame == whole[shown], "frame {n} is not the one that the camera gave last, {shown}");
    }
}

/// A file of the first frames of another, each at a place of its own, 25 a second.
fn moved_frames(from: &Path, places: &[u64]) -> Vec<u8> {
    let data = fs::read(from).expect("a file");
    let mut reader = Reader::open(data.as_slice()).expect("a file of ours");
    let private = &reader.tracks()[0].codec_private;
    let (header, _) = VideoHeader::parse(private, &Limits::default()).expect("a header");
    let options = WriterOptions { mode: Mode::File, writing_app: "test".into(), tags: Vec::new() };
    let mut writer = Writer::new(vec![Track::video(&header)], options).expect("one track");
    let (mut out, mut block) = (Vec::new(), Block::default());
    writer.write_header(&mut out).expect("a header");
    const FRAME_NS: u64 = 40_000_000;
    for place in places {
        assert!(reader.next_block(&mut block).expect("a file of ours"));
        writer
            .write_block(0, place * FRAME_NS, FRAME_NS, block.is_keyframe, &block.data, &mut out)
            .expect("a block");
    }
    for patch in writer.finish(&mut out).expect("an end") {
        patch.apply(&mut out).expect("within the file");
    }
    out
}

/// The luma of each frame of a file of 64x48 samples.
fn luma_of(path: &Path) -> Vec<Vec<u8>> {
    let args = ["-v", "error", "-i", text(path), "-map", "v", "-f", "rawvideo", "-pix_fmt", "gray", "-"];
    let run = Command::new("ffmpeg").args(args).output().expect("ffmpeg starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    run.stdout.chunks(64 * 48).map(<[u8]>::to_vec).collect()
}
