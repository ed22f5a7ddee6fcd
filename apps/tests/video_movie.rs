//! Coded files to ordinary ones: pictures and sound together, as they were and in step.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{assert_fails, ffmpeg, folder, good, json, ndjson, probe, run, run_with, stderr, text};
use serde_json::Value;

const RATE: f64 = 24_000.0;

/// A file of pictures and of a voice-like sound that begins later, coded in real time.
fn coded(folder: &Path, pictures: &str, options: &[&str]) -> PathBuf {
    let (source, coded) = (folder.join("in.mp4"), folder.join("coded.mkv"));
    let sound = "aevalsrc='0.3*sin(2*PI*t*(200+150*t))*gt(mod(t,0.5),0.2)':s=24000:d=3";
    let inputs =
        ["-f", "lavfi", "-i", pictures, "-itsoffset", "0.25", "-f", "lavfi", "-i", sound, "-shortest"];
    let coding = ["-c:v", "mpeg4", "-q:v", "1", "-c:a", "flac", "-strict", "-2"];
    ffmpeg(&[&inputs[..], options, &coding, &[text(&source)]].concat());
    good(["encode", text(&source), text(&coded), "--quality", "80"]);
    coded
}

/// Raw samples or pictures of a track, as FFmpeg reads them.
fn raw(path: &Path, options: &[&str]) -> Vec<u8> {
    let args = ["-v", "error", "-i", text(path)];
    let run = Command::new("ffmpeg").args(args).args(options).arg("-").output().expect("ffmpeg starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

fn samples(path: &Path) -> Vec<f64> {
    let bytes = raw(path, &["-map", "a", "-f", "s16le"]);
    bytes.as_chunks().0.iter().map(|&b| f64::from(i16::from_le_bytes(b))).collect()
}

/// When a track begins, in seconds.
fn start(path: &Path, kind: &str) -> f64 {
    number(&probe(path, kind, "stream=start_time")[0]["start_time"])
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|v| v.parse().ok()).unwrap_or(f64::NAN)
}

/// By how many samples `found` is behind `expected` where they are most alike.
fn delay(found: &[f64], expected: &[f64]) -> i64 {
    let alike = |delay: &i64| {
        let at = |i: i64| usize::try_from(i).ok().and_then(|i| found.get(i)).copied().unwrap_or(0.0);
        expected.iter().enumerate().map(|(i, e)| e * at(i as i64 + delay)).sum::<f64>()
    };
    (-1500..1500).max_by(|a, b| alike(a).total_cmp(&alike(b))).unwrap_or(i64::MAX)
}

fn floats(data: &[u8]) -> Vec<f32> {
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn matroska_holds_just_what_was_decoded() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    // FFmpeg takes the tags from the frames from 7.1 on, and from the options before.
    let colorimetry = [
        "-vf",
        "setsar=16/15,scale=out_color_matrix=bt709:out_range=pc,format=yuv420p,\
         setparams=range=pc:color_primaries=bt709:color_trc=bt709:colorspace=bt709",
    ];
    let tags =
        ["-colorspace", "bt709", "-color_trc", "bt709", "-color_primaries", "bt709", "-color_range", "pc"];
    let coded = coded(
        folder.path(),
        "testsrc=size=63x49:rate=30000/1001:duration=3",
        &[&colorimetry[..], &tags].concat(),
    );
    let movie = path("out.mkv");
    let result = json(&["decode", text(&coded), text(&movie), "--json"]);
    let shape = "stream=codec_name,width,height,avg_frame_rate,color_space,color_range,color_primaries";
    let pictures = &probe(&movie, "v", shape)[0];
    for (field, value) in [
        ("codec_name", "ffv1"),
        ("avg_frame_rate", "30000/1001"),
        ("color_space", "bt709"),
        ("color_primaries", "bt709"),
        ("color_range", "pc"),
    ] {
        assert_eq!(pictures[field].as_str(), Some(value), "{field}: {pictures}");
    }
    let shown = &probe(&movie, "v", "frame=sample_aspect_ratio")[0];
    assert_eq!(shown["sample_aspect_ratio"].as_str(), Some("16:15"));
    assert_eq!((pictures["width"].as_u64(), pictures["height"].as_u64()), (Some(63), Some(49)));
    assert_eq!(probe(&movie, "a", "stream=codec_name")[0]["codec_name"].as_str(), Some("flac"));
    assert_eq!((start(&movie, "v"), start(&movie, "a")), (0.0, 0.25));

    // Bit by bit what goes to raw files.
    good(["decode", text(&coded), text(&path("out.y4m"))]);
    good(["decode", text(&coded), text(&path("out.wav"))]);
    let planes = ["-map", "v", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-vsync", "passthrough"];
    assert!(raw(&movie, &planes[..4]) == raw(&path("out.y4m"), &planes[..4]));
    // FLAC has 24 bits of them, WAV 16.
    let heard = floats(&raw(&movie, &["-map", "a", "-f", "f32le"]));
    good(["decode", text(&coded), text(&path("out.f32"))]);
    let exact = floats(&std::fs::read(path("out.f32")).expect("samples"));
    let off = heard.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1.1 / 8_388_608.0, "{off}");
    assert_eq!((heard.len(), samples(&path("out.wav")).len()), (exact.len(), exact.len()));
    assert_eq!(result["samples"].as_u64(), Some(heard.len() as u64));
    assert_eq!(result["frames"].as_u64(), Some(90));
    let frames = probe(&movie, "v", "packet=pts_time");
    assert_eq!(frames.len(), 90);
    assert!((number(&frames[89]["pts_time"]) - 89.0 * 1001.0 / 30_000.0).abs() < 0.001, "{}", frames[89]);
}

#[test]
fn mp4_keeps_pictures_and_sound_in_step() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let coded = coded(folder.path(), "testsrc2=size=64x48:rate=25:duration=3", &[]);
    good(["decode", text(&coded), text(&path("out.wav"))]);
    good(["decode", text(&coded), text(&path("out.y4m"))]);
    for name in ["out.mp4", "out.mov"] {
        let movie = path(name);
        let output = run(["decode", text(&coded), text(&movie), "--json"]);
        if stderr(&output).contains("no encoder") {
            eprintln!("skipped: this FFmpeg has no encoder of H.264 or AAC");
            return;
        }
        assert!(output.status.success(), "{}", stderr(&output));
        let codec = |kind| probe(&movie, kind, "stream=codec_name")[0]["codec_name"].clone();
        assert_eq!((codec("v").as_str(), codec("a").as_str()), (Some("h264"), Some("aac")));
        // A player hears the first sample a quarter of a second after it sees the first picture.
        let (found, expected) = (samples(&movie), samples(&path("out.wav")));
        let heard = start(&movie, "a") + delay(&found, &expected) as f64 / RATE;
        assert!(start(&movie, "v") == 0.0 && (heard - 0.25).abs() < 0.5 / RATE, "{name}: {heard}");
        assert!(found.len().abs_diff(expected.len()) <= 2048, "{} of {}", found.len(), expected.len());
        // Hard to tell from what was decoded.
        let compared = json(&["compare", text(&path("out.y4m")), text(&movie), "--json"]);
        assert!(compared["psnr"].as_f64().is_some_and(|p| p > 40.0), "{name}: {compared}");
        assert_eq!((compared["frames"].as_u64(), compared["same_length"].as_bool()), (Some(75), Some(true)));
    }
}

#[test]
fn variable_rates_and_single_tracks_are_kept() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let times =
        ["-vf", "select='not(between(mod(n,10),3,6))',setpts='PTS+gt(N,20)*0.013/TB'", "-vsync", "vfr"];
    let coded = coded(folder.path(), "testsrc2=size=64x48:rate=25:duration=3", &times);
    let stamps = |path: &Path| -> Vec<f64> {
        probe(path, "v", "frame=pts_time").iter().map(|f| number(&f["pts_time"])).collect()
    };
    let expected = stamps(&path("in.mp4"));
    assert!(expected.windows(2).any(|w| w[1] - w[0] > 0.15), "{expected:?}");
    for name in ["out.mkv", "out.mp4"] {
        good(["decode", text(&coded), text(&path(name))]);
        let found = stamps(&path(name));
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(found.len() == expected.len() && off < 0.0011, "{name}: {found:?}, not {expected:?}");
    }

    // Without sound, and without pictures.
    let (source, alone) = (path("in.mp4"), path("alone.mkv"));
    good(["encode", text(&source), text(&alone), "--no-audio"]);
    good(["decode", text(&alone), text(&path("silent.mkv"))]);
    assert_eq!(probe(&path("silent.mkv"), "a", "stream=codec_name").len(), 0);
    good(["encode", text(&source), text(&alone), "--no-video", "-y"]);
    let result = ndjson(&good(["decode", text(&alone), text(&path("sound.mp4")), "--json"]));
    let samples = result.last().and_then(|r| r["samples"].as_f64());
    assert!(samples.is_some_and(|s| s > 2.5 * RATE), "{result:?}");
    assert_fails(&run(["decode", text(&coded), text(&path("out.avi"))]), 2, ".mkv, .mp4, .mov");
}

#[test]
fn frames_that_a_source_leaves_out_do_not_shift_what_follows() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (source, coded) = (path("in.mkv"), path("coded.mkv"));
    // The picture turns white at two seconds; three frames of ten before are missing, and Matroska still says 25 a second.
    let pictures = "color=black:size=32x32:rate=25:duration=2[a];color=white:size=32x32:rate=25:duration=2[b];\
                    [a][b]concat,select='not(between(mod(n,10),3,5))'";
    let inputs = ["-f", "lavfi", "-i", pictures];
    ffmpeg(&[&inputs[..], &["-vsync", "vfr", "-c:v", "ffv1", "-pix_fmt", "yuv420p", text(&source)]].concat());
    for options in [&[][..], &["--preset", "nerv-fast", "--epochs", "2", "--parameters", "4000"]] {
        let result = json(&[&["encode", text(&source), text(&coded), "-y", "--json"], options].concat());
        assert_eq!(result["frames"].as_u64(), Some(100), "{options:?}: {result}");
        assert_eq!(result["seconds"].as_f64(), Some(4.0));
    }
    good(["encode", text(&source), text(&coded), "-y"]);
    good(["decode", text(&coded), text(&path("out.mkv"))]);
    let luma = raw(&path("out.mkv"), &["-f", "rawvideo", "-pix_fmt", "gray"]);
    let white = luma.chunks(32 * 32).position(|p| p.iter().map(|&v| u64::from(v)).sum::<u64>() > 150 * 1024);
    assert_eq!(white, Some(50));
}

#[test]
fn sound_that_ends_first_is_whole_and_slides_last_as_long_as_they_did() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (source, coded, movie) = (path("in.mp4"), path("coded.mkv"), path("out.mkv"));
    let pictures =
        ["-f", "lavfi", "-i", "testsrc2=size=32x32:rate=25:duration=0.12", "-vf", "setpts='N*N*6/TB'"];
    let sound = ["-f", "lavfi", "-i", "sine=300:duration=1"];
    // No edit list: that of FFmpeg 7.1 ends where the last slide begins, which no reader shows then.
    let coding = ["-vsync", "vfr", "-c:v", "mpeg4", "-c:a", "flac", "-strict", "-2", "-use_editlist", "0"];
    ffmpeg(&[&pictures[..4], &sound, &pictures[4..], &coding, &[text(&source)]].concat());
    good(["encode", text(&source), text(&coded)]);
    for name in ["out.wav", "out.mkv"] {
        let output = run(["decode", text(&coded), text(&path(name))]);
        assert!(output.status.success() && !stderr(&output).contains("cut off"), "{}", stderr(&output));
    }
    let stamps = probe(&movie, "v", "packet=pts_time");
    let stamps: Vec<f64> = stamps.iter().map(|p| number(&p["pts_time"])).collect();
    assert_eq!(stamps, [0.0, 4.0, 6.0, 10.0, 14.0, 18.0, 22.0, 24.0]);
}

#[test]
fn a_film_in_a_pipe_is_what_it_is_in_a_file() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let film = coded(folder.path(), "testsrc=size=64x48:rate=25:duration=1", &[]);
    let bytes = std::fs::read(&film).expect("the film");
    let piped = |args: &[&str]| {
        let output = run_with(args, bytes.clone());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output.stdout
    };
    let (whole, from_pipe) = (path("file.mkv"), path("pipe.mkv"));
    good(["decode", "-q", text(&film), text(&whole)]);
    piped(&["decode", "-q", "-", text(&from_pipe)]);
    for track in ["v", "a"] {
        let options = ["-map", track, "-f", "md5"];
        assert_eq!(raw(&whole, &options), raw(&from_pipe, &options), "{track}");
    }
    // Frames to stdout, as a player takes them, and the sound alone.
    assert_eq!(piped(&["decode", "-q", "-", "-"]), good(["decode", "-q", text(&film), "-"]));
    good(["decode", "-q", text(&film), text(&path("file.wav"))]);
    piped(&["decode", "-q", "-", text(&path("pipe.wav"))]);
    assert_eq!(samples(&path("file.wav")), samples(&path("pipe.wav")));
    for command in ["info", "verify"] {
        let lines = |bytes: &[u8]| ndjson(bytes);
        let (mut expected, mut found) =
            (lines(&good([command, "--json", text(&film)])), lines(&piped(&[command, "--json", "-"])));
        for line in expected.iter_mut().chain(&mut found) {
            line["file"].take();
        }
        assert_eq!(found, expected, "{command}");
    }
    let sinks = ["--video-sink", "fakesink", "--audio-sink", "fakesink"];
    let said = ndjson(&piped(&[&["play", "--json", "-"], &sinks[..]].concat())).pop().expect("a result");
    assert!((said["seconds"].as_f64().expect("a number") - 1.0).abs() < 0.2, "{said}");
    // A wrong name is told of at once, and not when the pipe has been read.
    assert_fails(&run_with(&["decode", "-", text(&path("out"))], Vec::new()), 2, "extension");
    // A named pipe, as shells make them of commands.
    let fifo = path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|s| s.success()));
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::write(fifo, bytes)
    });
    good(["decode", "-q", "-y", text(&fifo), text(&from_pipe)]);
    writer.join().expect("no panic").expect("a pipe");
    assert_eq!(raw(&whole, &["-map", "v", "-f", "md5"]), raw(&from_pipe, &["-map", "v", "-f", "md5"]));
}
