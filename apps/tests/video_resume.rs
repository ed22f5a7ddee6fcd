//! Encodings of video that were interrupted are gone on with; sheets to watch them by. Sizes and steps are tiny.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{assert_fails, folder, json, run, siskin, stderr, text};
use serde_json::Value;

/// Pictures of FFmpeg's test source, and a tone where asked for, without loss.
fn write_clip(path: &Path, frames: u32, with_tone: bool) {
    let picture = "testsrc2=size=46x32:rate=25";
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", picture]);
    if with_tone {
        command.args(["-f", "lavfi", "-i", "sine=frequency=300:sample_rate=48000", "-c:a", "pcm_s16le"]);
    }
    let seconds = format!("{}", f64::from(frames) / 25.0);
    let made = command.args(["-c:v", "ffv1", "-pix_fmt", "yuv420p", "-t", &seconds, text(path)]).status();
    assert!(made.expect("ffmpeg starts").success());
}

#[test]
fn a_fit_that_was_killed_goes_on_as_if_it_had_not_been() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (clip, whole, cut) = (path("a.mkv"), path("whole.mkv"), path("cut.mkv"));
    write_clip(&clip, 10, true);
    let options =
        ["--preset", "nerv-fast", "--epochs", "20", "--gop-size", "2", "--key-interval", "2", "--json"];
    let more = ["--parameters", "4000", "--threads", "1"];
    let encode = |output: &Path, last: &[&str]| -> Vec<String> {
        let all = ["encode", text(&clip), text(output)];
        all.iter().chain(&options).chain(&more).chain(last).map(|s| (*s).to_owned()).collect()
    };
    let args = |output: &Path, last: &[&str]| encode(output, last);
    let as_strs = |args: &[String]| args.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    let result = |args: Vec<String>| json(&as_strs(&args).iter().map(String::as_str).collect::<Vec<_>>());
    let uninterrupted = result(args(&whole, &[]));
    assert_eq!(
        (uninterrupted["groups"].as_u64(), uninterrupted["resumed_frames"].as_u64()),
        (Some(5), Some(0))
    );

    let mut command = siskin();
    command.args(args(&cut, &[])).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let has_two = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["frames_done"].as_u64().is_some_and(|d| d >= 2)
    };
    assert!(lines.map_while(Result::ok).any(|l| has_two(&l)), "no group was finished");
    // SIGKILL.
    child.kill().expect("a child");
    child.wait().expect("an end");
    let left = json(&["verify", text(&cut), "--json"]);
    let frames = left["frames"].as_u64().expect("frames");
    assert!((2..10).contains(&frames) && frames.is_multiple_of(2), "{left}");

    // Neither other settings nor another input are taken for the same.
    let bad = |args: Vec<String>| run(as_strs(&args));
    let before = std::fs::read(&cut).expect("the file");
    let other: Vec<String> =
        args(&cut, &["--resume"]).into_iter().map(|a| if a == "20" { "24".into() } else { a }).collect();
    assert_fails(&bad(other), 1, "passes was 15+5 and is 18+6");
    let smaller = path("smaller.y4m");
    let y4m = [b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420mpeg2\nFRAME\n".as_slice(), &[90; 384]].concat();
    std::fs::write(&smaller, y4m).expect("a writable folder");
    let output =
        run(["encode", text(&smaller), text(&cut), "--preset", "nerv-fast", "--epochs", "20", "--resume"]);
    assert_fails(&output, 1, "46x32");
    assert_eq!(std::fs::read(&cut).expect("the file"), before, "what is there stays");

    let sheet = path("sheet.png");
    let resumed = result(args(&cut, &["--resume", "--watch", text(&sheet)]));
    assert_eq!(resumed["resumed_frames"].as_u64(), Some(frames));
    assert_eq!((&resumed["frames"], &resumed["psnr"]), (&uninterrupted["frames"], &uninterrupted["psnr"]));
    assert!(
        std::fs::read(&cut).expect("the file") == std::fs::read(&whole).expect("the file"),
        "the same file"
    );
    // The sheet holds three pictures side by side.
    let png = std::fs::read(&sheet).expect("a sheet");
    assert_eq!(&png[..4], b"\x89PNG");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((side(16), side(20)), (3 * 46, 32));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().contains("watch")), "{left:?}");
}

#[test]
fn a_real_time_file_that_was_cut_off_goes_on_from_its_last_key_picture() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (clip, whole, cut) = (path("a.mkv"), path("whole.mkv"), path("cut.mkv"));
    write_clip(&clip, 100, true);
    let encode = |output: &Path, last: &[&str]| {
        let all = [
            "encode",
            text(&clip),
            text(output),
            "--video-bitrate",
            "60k",
            "--keyframe-interval",
            "20",
            "--json",
        ];
        run(all.iter().chain(last))
    };
    assert!(encode(&whole, &[]).status.success());
    let data = std::fs::read(&whole).expect("the file");
    for share in [3, 6, 9] {
        std::fs::write(&cut, &data[..data.len() * share / 10]).expect("a writable folder");
        let output = encode(&cut, &["--resume"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let result: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
        let resumed = result["resumed_frames"].as_u64().expect("frames");
        assert!(result["frames"].as_u64() == Some(100) && resumed.is_multiple_of(20), "{result}");
        assert!(share < 6 || resumed > 0, "{result}");
        assert!(std::fs::read(&cut).expect("the file") == data, "cut at {share} tenths");
    }
    assert_eq!(json(&["verify", text(&cut), "--json"])["ok"].as_bool(), Some(true));
    let other = run([
        "encode",
        text(&clip),
        text(&cut),
        "--video-bitrate",
        "50k",
        "--keyframe-interval",
        "20",
        "--resume",
        "-q",
    ]);
    assert_fails(&other, 1, "bitrate was 60000 and is 50000");
    assert_fails(&encode(&cut, &["--resume", "--no-video"]), 2, "--resume is for pictures");
    std::fs::write(&cut, b"nothing of ours").expect("a writable folder");
    assert_fails(&encode(&cut, &["--resume", "-q"]), 1, "nothing to resume");
    assert_fails(&encode(&cut, &["-y", "-q", "--watch", text(&path("a.gif"))]), 2, "PNG");
}
