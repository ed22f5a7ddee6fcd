//! Video through the program: encode, decode, info, compare, damage, interrupt. Sizes and steps are tiny.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{assert_fails, ffmpeg, folder, good, json, run, siskin, stderr, text};
use serde_json::Value;

const WIDTH: usize = 46;
const HEIGHT: usize = 33;

/// A y4m file in which a bright bar moves over a gradient.
fn write_clip(path: &Path, frames: usize) {
    let mut data = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420mpeg2\n").into_bytes();
    for f in 0..frames {
        data.extend_from_slice(b"FRAME\n");
        for i in 0..WIDTH * HEIGHT {
            let (x, y) = (i % WIDTH, i / WIDTH);
            data.push(if x / 8 == f { 220 } else { (60 + x + 2 * y) as u8 });
        }
        let chroma = WIDTH.div_ceil(2) * HEIGHT.div_ceil(2);
        data.extend((0..2 * chroma).map(|i| if i < chroma { 110 } else { 140 }));
    }
    std::fs::write(path, data).expect("a writable folder");
}

#[test]
fn a_clip_is_encoded_decoded_compared_and_survives_damage() {
    let folder = folder();
    let (clip, coded, back) =
        (folder.path().join("a.y4m"), folder.path().join("a.mkv"), folder.path().join("b.y4m"));
    write_clip(&clip, 5);
    let encode =
        ["encode", text(&clip), text(&coded), "--preset", "nerv-fast", "--epochs", "16", "--gop-size", "3"];
    let result = json(&[&encode[..], &["--parameters", "4000", "--json"]].concat());
    assert_eq!((result["frames"].as_u64(), result["groups"].as_u64()), (Some(5), Some(2)));
    let info = json(&["info", text(&coded), "--json"]);
    assert_eq!((info["width"].as_u64(), info["height"].as_u64()), (Some(46), Some(33)));
    assert_eq!((info["frames"].as_u64(), info["key_groups"].as_u64()), (Some(5), Some(2)));
    assert_eq!(info["seconds"].as_f64(), Some(0.2));
    assert_eq!(info["bytes"], result["bytes"]);
    let decoded = json(&["decode", text(&coded), text(&back), "--json"]);
    assert_eq!((decoded["frames"].as_u64(), decoded["faults"].as_u64()), (Some(5), Some(0)));
    let expected = 5 * (6 + WIDTH * HEIGHT + 2 * 23 * 17);
    let data = std::fs::read(&back).expect("the output");
    let head = data.iter().position(|&b| b == b'\n').expect("a header") + 1;
    assert_eq!(data.len() - head, expected);
    let compared = json(&["compare", text(&clip), text(&coded), "--json"]);
    let (stated, found) = (result["psnr"].as_f64(), compared["psnr"].as_f64());
    assert!(stated.zip(found).is_some_and(|(a, b)| (a - b).abs() < 0.05 && a > 12.0), "{result} {compared}");
    assert!(compared["ms_ssim"].as_f64().is_some_and(|s| s > 0.0 && s <= 1.0), "{compared}");

    assert_eq!(json(&["verify", text(&coded), "--json"])["frames"].as_u64(), Some(5));

    // A flipped bit in the second group: its frames are bridged, and that is told.
    let mut damaged = std::fs::read(&coded).expect("the file");
    let at = damaged.len() - 200;
    damaged[at] ^= 1;
    std::fs::write(&coded, &damaged).expect("a writable folder");
    let output = run(["decode", text(&coded), text(&back), "-y"]);
    assert!(output.status.success() && stderr(&output).contains("packet 1"), "{}", stderr(&output));
    let output = run(["verify", text(&coded)]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("packet 1 at 0:00.12:") && told.contains("checksum"), "{told}");

    // Cut in the second group: the first is whole.
    std::fs::write(&coded, &damaged[..damaged.len() - 400]).expect("a writable folder");
    let output = run(["decode", text(&coded), text(&back), "-y", "--json"]);
    assert!(stderr(&output).contains("cut off"), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"frames\":3"), "{}", stderr(&output));
    let output = run(["verify", "--repair", text(&coded)]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("kept 1 packets, 0:00.12"), "{told}");
}

#[test]
fn a_size_is_kept_and_mistakes_are_told() {
    let folder = folder();
    let (clip, coded) = (folder.path().join("a.y4m"), folder.path().join("a.mkv"));
    write_clip(&clip, 4);
    let encode = ["encode", text(&clip), text(&coded), "--preset", "nerv-fast", "--epochs", "4"];
    let result = json(&[&encode[..], &["--size", "4000", "--json"]].concat());
    assert!(result["bytes"].as_u64().is_some_and(|b| b <= 4000), "{result}");
    let again = |more: &[&str]| run([&encode[..], &["-y"], more].concat());
    assert_fails(&again(&["--quality", "101"]), 2, "allowed: 0 to 100");
    assert_fails(&run(["decode", text(&coded), text(&folder.path().join("b.mp4"))]), 2, "46x33");
    assert_fails(&run(["decode", text(&coded), text(&folder.path().join("b.webm"))]), 2, ".y4m or .rgb");
    let sound = folder.path().join("none.y4m");
    std::fs::write(&sound, b"YUV4MPEG2 W16 H16 F25:1\n").expect("a writable folder");
    let output = run(["encode", text(&sound), text(&coded), "-y", "--preset", "nerv-fast"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn an_interrupt_leaves_the_whole_groups() {
    let folder = folder();
    let (clip, coded) = (folder.path().join("a.y4m"), folder.path().join("a.mkv"));
    write_clip(&clip, 6);
    let mut command = siskin();
    command.args([
        "encode",
        text(&clip),
        text(&coded),
        "--preset",
        "nerv-fast",
        "--epochs",
        "40",
        "--gop-size",
        "1",
    ]);
    command.args(["--parameters", "4000", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let whole = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["frames_done"].as_u64().is_some_and(|d| d > 0)
    };
    assert!(lines.by_ref().any(|l| whole(&l.expect("UTF-8"))), "no group was finished");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill starts").success());
    let _rest: Vec<_> = lines.collect();
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let info = json(&["info", text(&coded), "--json"]);
    assert!(info["groups"].as_u64().is_some_and(|g| (1..6).contains(&g)), "{info}");
    assert_eq!(info["faults"].as_u64(), Some(0));
    assert!(info["seconds"].as_f64().is_some_and(|s| s > 0.0));
}

#[test]
fn pictures_are_coded_in_real_time_and_damage_is_bridged_until_a_key_picture() {
    for (coding, model) in [("blocks", None), ("realtime", Some("video-realtime"))] {
        code_in_real_time(coding, model);
    }
}

fn code_in_real_time(coding: &str, model: Option<&str>) {
    let folder = folder();
    let (clip, coded, back) =
        (folder.path().join("a.y4m"), folder.path().join("a.mkv"), folder.path().join("b.y4m"));
    write_clip(&clip, 8);
    let encode = ["encode", text(&clip), text(&coded), "--preset", "realtime", "--keyframe-interval", "4"];
    let with: Vec<&str> = model.into_iter().flat_map(|name| ["--model", name]).collect();
    let result = json(&[&encode[..], &["--quality", "70", "--json"], &with].concat());
    assert_eq!((result["frames"].as_u64(), result["coding"].as_str()), (Some(8), Some(coding)));
    assert_eq!((result["model"].as_str(), result["provider"].is_string()), (model, model.is_some()));
    let info = json(&["info", text(&coded), "--json"]);
    assert_eq!((info["frames"].as_u64(), info["coding"].as_str()), (Some(8), Some(coding)));
    assert_eq!(info["key_groups"], result["key_groups"]);
    let compared = json(&["compare", text(&clip), text(&coded), "--json"]);
    assert!(compared["psnr"].as_f64().is_some_and(|p| p > 28.0), "{compared}");
    let decoded = json(&["decode", text(&coded), text(&back), "--json"]);
    assert_eq!((decoded["frames"].as_u64(), decoded["faults"].as_u64()), (Some(8), Some(0)));
    // What was decoded to a file is what was compared.
    let again = json(&["compare", text(&clip), text(&back), "--json"]);
    assert_eq!(again["psnr"], compared["psnr"]);
    let rgb = folder.path().join("b.rgb");
    good(["decode", text(&coded), text(&rgb)]);
    assert_eq!(std::fs::metadata(&rgb).expect("the output").len(), (8 * 3 * WIDTH * HEIGHT) as u64);

    let verified = json(&["verify", text(&coded), "--json"]);
    assert_eq!((verified["ok"].as_bool(), verified["frames"].as_u64()), (Some(true), Some(8)));

    // A flipped bit in the middle: what hangs on it is bridged by the picture before, and that is told.
    let mut damaged = std::fs::read(&coded).expect("the file");
    // In the header of the last keyframe, behind its magic.
    let at = damaged.windows(3).rposition(|w| w == b"SKV").expect("a keyframe") + 8;
    damaged[at] ^= 1;
    std::fs::write(&coded, &damaged).expect("a writable folder");
    let output = run(["decode", text(&coded), text(&back), "-y", "--json"]);
    assert!(output.status.success() && stderr(&output).contains("packet "), "{}", stderr(&output));

    assert_eq!(run(["verify", text(&coded)]).status.code(), Some(1));

    for (wrong, code) in [
        (["--refine", "20"], 2),
        (["--epochs", "20"], 2),
        (["--size", "20k"], 2),
        (["--model", "no-such-bundle"], 1),
    ] {
        let output = run([&encode[..], &["-y"], &wrong[..]].concat());
        assert_fails(&output, code, wrong[usize::from(wrong[0] == "--model")]);
    }
}

#[test]
fn video_without_a_network_needs_no_onnx_runtime() {
    let folder = folder();
    let (clip, coded, back) =
        (folder.path().join("a.y4m"), folder.path().join("a.mkv"), folder.path().join("b.y4m"));
    write_clip(&clip, 3);
    // Named and missing: every attempt to load it fails.
    let run = |args: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_siskin"));
        program
            .args(args)
            .env("ORT_DYLIB_PATH", "/nonexistent/libonnxruntime.so")
            .output()
            .expect("the program")
    };
    for args in [&["encode", text(&clip), text(&coded)][..], &["decode", text(&coded), text(&back)]] {
        let output = run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
    let with_network = run(&["encode", text(&clip), text(&coded), "-y", "--model", "video-realtime"]);
    assert!(
        !with_network.status.success() && stderr(&with_network).contains("ONNX Runtime"),
        "{with_network:?}"
    );
}

#[test]
fn the_speed_of_video_is_measured() {
    let found = json(&["bench", "--video", "--frames", "4", "--json"]);
    assert_eq!((found["width"].as_u64(), found["frames"].as_u64()), (Some(480), Some(4)));
    for side in ["encode", "decode"] {
        assert!(found[side]["frames_per_second"].as_f64().is_some_and(|f| f > 0.1), "{found}");
    }
    let list = good(["models", "list", "--json"]);
    assert!(String::from_utf8_lossy(&list).contains("\"video-realtime\""));
    let verified = json(&["models", "verify", "video-realtime", "--json"]);
    assert_eq!(verified["ok"].as_bool(), Some(true));
}

/// A file with pictures and a tone of these seconds, by FFmpeg; the tone begins a quarter of a second late.
fn write_av(path: &Path, seconds: u32) {
    let (picture, tone) = (
        format!("testsrc=size=64x48:rate=25:duration={seconds}"),
        format!("sine=frequency=300:sample_rate=48000:duration={seconds}"),
    );
    let pictures = ["-f", "lavfi", "-i", &picture];
    let sound = ["-itsoffset", "0.25", "-f", "lavfi", "-i", &tone];
    ffmpeg(&[&pictures[..], &sound, &["-c:v", "ffv1", "-c:a", "pcm_s16le", text(path)]].concat());
}

#[test]
fn pictures_and_sound_go_into_one_file_and_come_out() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (clip, coded) = (path("a.mkv"), path("b.mkv"));
    write_av(&clip, 3);
    let result = json(&["encode", text(&clip), text(&coded), "--quality", "70", "--json"]);
    assert_eq!(result["frames"].as_u64(), Some(75), "{result}");
    assert!(result["psnr"].as_f64().is_some_and(|p| p > 18.0), "{result}");
    assert_eq!(result["sound_samples"].as_u64(), Some(72_000));
    let output = run(["info", text(&coded), "--json"]);
    let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let codecs: Vec<_> = lines.iter().map(|l| l["codec"].as_str().unwrap_or_default()).collect();
    assert_eq!(codecs, ["V_SISKIN", "A_SISKIN"]);
    assert_eq!((lines[0]["frames"].as_u64(), lines[1]["samples"].as_u64()), (Some(75), Some(72_000)));
    // Each track counts its own bytes, and the container once.
    let own = |line: &Value| {
        let share = line["container_share"].as_f64().expect("a share");
        line["packet_bytes"].as_f64().expect("bytes") / (1.0 - share)
    };
    let container = own(&lines[0]) + own(&lines[1]) - lines[0]["bytes"].as_f64().expect("bytes");
    assert!((100.0..8000.0).contains(&container), "{container} bytes of container");

    // Side by side in time, the tone as late as it was.
    let probed = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "packet=stream_index,pts_time",
            "-of",
            "csv=p=0",
            text(&coded),
        ])
        .output()
        .expect("ffprobe starts");
    let stamps: Vec<(u32, f64)> = String::from_utf8_lossy(&probed.stdout)
        .lines()
        .filter_map(|l| l.split_once(','))
        .map(|(index, time)| {
            (index.parse().expect("a number"), time.trim_matches(',').parse().expect("a time"))
        })
        .collect();
    assert!(stamps.is_sorted_by(|a, b| a.1 <= b.1), "{stamps:?}");
    let first = |index| stamps.iter().find(|s| s.0 == index).map(|s| s.1);
    assert_eq!((first(0), first(1)), (Some(0.0), Some(0.25)));

    json(&["decode", text(&coded), text(&path("c.y4m")), "--json"]);
    let heard = json(&["decode", text(&coded), text(&path("c.wav")), "--json"]);
    assert_eq!(heard["samples"].as_u64(), Some(72_000));
    let played =
        json(&["play", text(&coded), "--json", "--video-sink", "fakesink", "--audio-sink", "fakesink"]);
    assert!(played["seconds"].as_f64().is_some_and(|s| (s - 3.25).abs() < 0.1), "{played}");

    // --model names the bundle of the track that it is for.
    let with = |model: &str, more: &[&str]| {
        run([&["encode", text(&clip), text(&coded), "-y", "--model", model], more].concat())
    };
    for model in ["speech-24k", "video-realtime"] {
        let output = with(model, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_fails(&with("speech-24k", &["--no-audio"]), 2, "is a bundle for sound");
    assert_fails(
        &with("video-realtime", &["--preset", "nerv-fast"]),
        2,
        "is for presets that code each frame",
    );
    assert_fails(&with("no-such-bundle", &[]), 1, "no-such-bundle");

    for (option, codec) in [("--no-audio", "V_SISKIN"), ("--no-video", "A_SISKIN")] {
        json(&["encode", text(&clip), text(&coded), option, "-y", "--json"]);
        assert_eq!(json(&["info", text(&coded), "--json"])["codec"].as_str(), Some(codec));
    }
}

#[test]
fn every_network_goes_to_disk_and_back() {
    let folder = folder();
    let (clip, coded) = (folder.path().join("a.y4m"), folder.path().join("a.mkv"));
    write_clip(&clip, 3);
    let common =
        ["encode", text(&clip), text(&coded), "-y", "--preset", "nerv-fast", "--epochs", "40", "--json"];
    for form in [["nerv", "affine"], ["enerv", "affine"], ["enerv", "grid"]] {
        let of_form = ["--network", form[0], "--modulation", form[1], "--parameters", "15000"];
        let stated = json(&[&common[..], &of_form].concat())["psnr"].as_f64();
        let found = json(&["compare", text(&clip), text(&coded), "--json"])["psnr"].as_f64();
        assert!(
            stated.zip(found).is_some_and(|(a, b)| (a - b).abs() < 0.05 && a > 12.0),
            "{form:?} {stated:?} {found:?}"
        );
        assert_eq!(json(&["verify", text(&coded), "--json"])["frames"].as_u64(), Some(3));
    }
}

#[test]
fn presets_are_efforts_of_the_codec_or_fits() {
    let folder = folder();
    let clip = folder.path().join("a.mp4");
    ffmpeg(&["-f", "lavfi", "-i", "mandelbrot=s=128x96:r=10", "-t", "1", "-pix_fmt", "yuv420p", text(&clip)]);
    let encode = |options: &[&str]| {
        let coded = folder.path().join("a.mkv");
        good([&["encode", text(&clip), text(&coded), "-y"], options].concat());
        std::fs::read(&coded).expect("a file").len()
    };
    for (preset, refine) in [("fast", "0"), ("medium", "1"), ("slow", "2")] {
        assert_eq!(encode(&["--preset", preset]), encode(&["--refine", refine]), "{preset}");
    }
    assert_eq!(encode(&["--preset", "medium"]), encode(&[]));
    assert_eq!(encode(&["--preset", "realtime"]), encode(&["--lookahead", "0"]));
    let packets = |options: &[&str]| {
        let coded = folder.path().join("a.mkv");
        let all = json(&[&["encode", text(&clip), text(&coded), "-y", "--json"], options].concat());
        let seen = json(&["verify", text(&coded), "--json"]);
        assert_eq!((all["frames"].as_u64(), seen["frames"].as_u64()), (Some(10), Some(10)), "{seen}");
        all["groups"].as_u64()
    };
    // A keyframe, eight frames, and one.
    assert_eq!((packets(&[]), packets(&["--lookahead", "4"])), (Some(3), Some(4)));
    assert_eq!(packets(&["--preset", "realtime"]), Some(10));
    let [fast, medium, slow] = ["fast", "medium", "slow"].map(|preset| encode(&["--preset", preset]));
    assert!(slow <= medium && medium != fast, "{fast} {medium} {slow} bytes");
    // What was a fit before 0.3.
    let coded = folder.path().join("b.mkv");
    let output = run(["encode", text(&clip), text(&coded), "--model", "video-realtime", "--lookahead", "4"]);
    assert_fails(&output, 2, "--lookahead is not for models");
    let output = run(["encode", text(&clip), text(&coded), "--preset", "medium", "--epochs", "4"]);
    assert_fails(&output, 2, "--epochs is not for --preset medium");
    let output = run(["encode", text(&clip), text(&coded), "--preset", "slow", "--size", "20k"]);
    assert_fails(&output, 2, "presets that fit a network");
}

#[test]
fn a_bit_rate_that_is_missed_is_told() {
    let folder = folder();
    let (noise, coded) = (folder.path().join("noise.mkv"), folder.path().join("a.mkv"));
    let source = "nullsrc=s=96x64:r=25,geq=lum='random(1)*255':cb=128:cr=128";
    ffmpeg(&["-f", "lavfi", "-i", source, "-t", "3", "-c:v", "ffv1", "-pix_fmt", "yuv420p", text(&noise)]);
    let said = |rate: &str, interval: &str| {
        let options = ["--video-bitrate", rate, "--keyframe-interval", interval];
        let output = run([&["encode", text(&noise), text(&coded), "-y"], &options[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    // Keyframes alone cannot be repeated, and noise does not fit into 100 bytes.
    let text = said("20k", "1");
    assert!(
        text.contains("siskin: warning: the video takes") && text.contains("20.00 kb/s asked for"),
        "{text}"
    );
    assert!(!said("400k", "50").contains("warning"));
}

#[test]
fn a_damaged_last_packet_keeps_its_frames() {
    use siskin_core::container::{Block, Reader};
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let source = "testsrc2=s=64x48:r=10:d=2";
    ffmpeg(&["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-c:v", "ffv1", text(&path("a.mkv"))]);
    good(["encode", "-q", "--lookahead", "8", text(&path("a.mkv")), text(&path("b.mkv"))]);
    let mut data = std::fs::read(path("b.mkv")).expect("a file");
    let (mut block, mut last) = (Block::default(), Vec::new());
    let mut reader = Reader::open(data.as_slice()).expect("a file of ours");
    while reader.next_block(&mut block).expect("whole blocks") {
        last.clone_from(&block.data);
    }
    let at = data.windows(last.len()).rposition(|bytes| bytes == last).expect("the packet");
    data[at + last.len() / 2] ^= 1;
    std::fs::write(path("b.mkv"), data).expect("a writable folder");
    good(["decode", "-q", text(&path("b.mkv")), text(&path("c.mkv"))]);
    let args =
        ["-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames"];
    let told = Command::new("ffprobe").args(args).args(["-of", "csv=p=0", text(&path("c.mkv"))]).output();
    assert_eq!(String::from_utf8_lossy(&told.expect("ffprobe starts").stdout).trim(), "20");
}
