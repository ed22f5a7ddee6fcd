//! What changes in the middle of a recording: its clock by some packets, its matrix, the shape of its pixels, its streams, its rate.

mod common;

use std::path::Path;
use std::process::Command;

use common::{ffmpeg, folder, good, json, run, stderr, text};

/// Encodes to `coded.mkv` or `coded.mka` beside the input; returns what was said.
fn encode(input: &Path, name: &str, more: &[&str]) -> String {
    let output = run([&["encode", "-y", text(input), text(&input.with_file_name(name))], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

/// When the clicks of a recording of one second each begin, in seconds.
fn clicks(path: &Path) -> Vec<f64> {
    let pcm = Command::new("ffmpeg")
        .args(["-v", "error", "-i", text(path), "-ac", "1", "-ar", "24000", "-f", "f32le", "-"])
        .output()
        .expect("ffmpeg starts")
        .stdout;
    let samples: Vec<f32> = pcm.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < samples.len() {
        if samples[at].abs() > 0.2 {
            found.push(at as f64 / 24_000.0);
            at += 12_000;
        } else {
            at += 1;
        }
    }
    found
}

/// Sound alone for 6 s with a click each second.
const CLICKS: [&str; 6] =
    ["-t", "6", "-f", "lavfi", "-i", "aevalsrc='0.7*sin(2*PI*600*t)*lt(mod(t,1),0.08)':s=48000:d=6"];

#[test]
fn packets_that_are_lost_leave_the_sound_behind_them_in_its_place() {
    let folder = folder();
    // 21, 43, 64 and 85 ms of AAC, and 90 ms of PCM: below 100 ms FFmpeg stretches the sound by 1 % for up to nine seconds.
    for (codec, drop) in [
        ("aac", "eq(n,23)"),
        ("aac", "between(n,23,24)"),
        ("aac", "between(n,23,25)"),
        ("aac", "between(n,23,26)"),
        // In a burst, and once more later.
        ("aac", "between(n,23,25)+eq(n,28)+between(n,120,122)"),
        ("pcm_s16le", "between(pts,500,590)"),
    ] {
        let [whole, input] = ["whole.mkv", "lost.mkv"].map(|name| folder.path().join(name));
        ffmpeg(&[&CLICKS[..], &["-c:a", codec, text(&whole)]].concat());
        let filter = format!("noise=drop='{drop}'");
        ffmpeg(&["-i", text(&whole), "-c", "copy", "-bsf:a", &filter, text(&input)]);
        encode(&input, "coded.mka", &["--stages", "9"]);
        good([
            "decode",
            "-q",
            "-y",
            text(&folder.path().join("coded.mka")),
            text(&folder.path().join("b.wav")),
        ]);
        let (found, wanted) = (clicks(&folder.path().join("b.wav")), clicks(&whole));
        assert_eq!(found.len(), wanted.len(), "{codec} {drop}: {found:?}");
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 0.008, "{codec} {drop}: {found} in place of {wanted}");
        }
    }
}

#[test]
fn sound_that_overlaps_is_not_put_off() {
    let folder = folder();
    let input = folder.path().join("in.nut");
    // Every second begins 35 ms before the one before it has ended, as parts that were cut at packets do.
    let sound = "aevalsrc='0.7*sin(2*PI*600*t)*lt(mod(t+0.5,1),0.08)':s=48000:d=5,asetnsamples=n=4800,aformat=sample_fmts=s16";
    let step = "setts=ts=TS-floor(N/10)*1680";
    ffmpeg(&["-f", "lavfi", "-i", sound, "-c:a", "pcm_s16le", "-bsf:a", step, text(&input)]);
    encode(&input, "coded.mka", &["--stages", "9"]);
    good(["decode", "-q", "-y", text(&folder.path().join("coded.mka")), text(&folder.path().join("b.wav"))]);
    let found = clicks(&folder.path().join("b.wav"));
    assert_eq!(found.len(), 5, "{found:?}");
    for (n, found) in found.iter().enumerate() {
        let wanted = 0.5 + 0.965 * n as f64;
        assert!((found - wanted).abs() < 0.008, "{found} in place of {wanted}");
    }
}

/// Red, green and blue of a frame's middle, as FFmpeg shows it.
fn middle(path: &Path, frame: u32) -> [u8; 3] {
    let filter =
        format!(r"select=eq(n\,{frame}),scale=flags=accurate_rnd+full_chroma_int,format=rgb24,crop=2:2");
    let shown = Command::new("ffmpeg")
        .args(["-v", "error", "-i", text(path), "-vf", &filter, "-frames:v", "1", "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg starts");
    std::array::from_fn(|i| shown.stdout[i])
}

/// Two recordings of a second, one after the other in one file.
fn joined(folder: &Path, parts: [&[&str]; 2]) -> std::path::PathBuf {
    let mut all = Vec::new();
    for (n, part) in parts.into_iter().enumerate() {
        let path = folder.join(format!("{n}.ts"));
        ffmpeg(&[part, &[text(&path)]].concat());
        all.extend(std::fs::read(&path).expect("a part"));
    }
    let path = folder.join("joined.ts");
    std::fs::write(&path, all).expect("a file");
    path
}

#[test]
fn colors_stay_where_the_matrix_changes() {
    let folder = folder();
    let part = |filter: &'static str, name: &'static str| {
        [
            "-f",
            "lavfi",
            "-i",
            "color=red:s=64x64:r=25:d=1,format=rgb24",
            "-vf",
            filter,
            "-color_range",
            "tv",
            "-colorspace",
            name,
            "-color_primaries",
            name,
            "-color_trc",
            name,
            "-c:v",
            "libx264",
            "-g",
            "25",
        ]
    };
    let first = part("scale=out_color_matrix=bt601:out_range=tv,format=yuv420p", "smpte170m");
    let second = part("scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "bt709");
    let input = joined(folder.path(), [&first, &second]);
    encode(&input, "coded.mkv", &["--quality", "90"]);
    let back = folder.path().join("back.mkv");
    good(["decode", "-q", "-y", text(&folder.path().join("coded.mkv")), text(&back)]);
    for frame in [10, 40] {
        let found = middle(&back, frame);
        assert!(found[0] > 248 && found[1] < 6 && found[2] < 6, "frame {frame}: {found:?}");
    }
}

#[test]
fn pictures_keep_their_form_where_the_shape_of_pixels_changes() {
    let folder = folder();
    // White all over: what is fitted in has black above and below it.
    let part = |shape: &'static str| ["-f", "lavfi", "-i", shape, "-c:v", "mpeg2video", "-q:v", "3"];
    let (narrow, wide) = (
        part("color=white:s=176x144:r=25:d=1,setsar=12/11"),
        part("color=white:s=176x144:r=25:d=1,setsar=16/11"),
    );
    let input = joined(folder.path(), [&narrow, &wide]);
    let said = encode(&input, "coded.mkv", &[]);
    assert!(said.contains("frames of 16:11 are fitted into those of 12:11"), "{said}");
    let back = folder.path().join("back.mkv");
    good(["decode", "-q", "-y", text(&folder.path().join("coded.mkv")), text(&back)]);
    let rows = |frame: u32| {
        let filter = format!(r"select=eq(n\,{frame}),format=gray,crop=1:144");
        let shown = Command::new("ffmpeg")
            .args(["-v", "error", "-i", text(&back), "-vf", &filter, "-frames:v", "1", "-f", "rawvideo", "-"])
            .output()
            .expect("ffmpeg starts");
        shown.stdout.iter().filter(|&&value| value > 128).count()
    };
    assert_eq!(rows(10), 144);
    // A picture that is a third wider than the stream's has three quarters of its height.
    assert!((106..=110).contains(&rows(40)), "{}", rows(40));
}

#[test]
fn streams_that_begin_later_are_told_of() {
    let folder = folder();
    let part = |sound: &'static str, pid: &'static str| {
        [
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=160x120:r=25:d=8,noise=alls=60:allf=t",
            "-f",
            "lavfi",
            "-i",
            sound,
            "-t",
            "8",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-qp",
            "12",
            "-c:a",
            "aac",
            "-mpegts_start_pid",
            pid,
        ]
    };
    let input = joined(folder.path(), [&part("sine=440", "256"), &part("sine=880", "512")]);
    let coded = folder.path().join("coded.mka");
    // Through a pipe, since of a file FFmpeg knows the later ones from its end.
    let output =
        common::run_with(&["encode", "-y", "-", text(&coded)], std::fs::read(&input).expect("a file"));
    let said = stderr(&output);
    assert!(said.contains("streams that begin later were left out"), "{said}");
}

#[test]
fn a_picture_every_ten_seconds_lasts_so_long_in_every_player() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    ffmpeg(&["-f", "lavfi", "-i", "testsrc=s=64x48:r=1/10:d=60", "-c:v", "libx264", text(&path("slow.mp4"))]);
    let result = json(&["encode", "-y", "--json", text(&path("slow.mp4")), text(&path("slow.mkv"))]);
    assert!((result["seconds"].as_f64().expect("seconds") - 60.0).abs() < 0.01, "{result}");
    let told = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", text(&path("slow.mkv"))])
        .output()
        .expect("ffprobe starts");
    let seconds: f64 = String::from_utf8_lossy(&told.stdout).trim().parse().expect("seconds");
    assert!((seconds - 60.0).abs() < 0.01, "{seconds}");
}

#[test]
fn tags_tell_of_the_recording_and_are_text() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let [wav, coded] = ["a.wav", "a.mka"].map(path);
    // As a broadcaster's recorder writes it, and a title in Latin-1, as RIFF has it.
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "sine=d=1",
        "-write_bext",
        "1",
        "-metadata",
        "originator=Radio Archive",
        "-metadata",
        "origination_time=17:30:00",
        "-metadata",
        "title=Caf@ M@ller",
        text(&wav),
    ]);
    let mut data = std::fs::read(&wav).expect("a file");
    let at = data.windows(11).position(|w| w == b"Caf@ M@ller").expect("a title");
    (data[at + 3], data[at + 6]) = (0xe9, 0xfc);
    std::fs::write(&wav, data).expect("a file");
    good(["encode", "-q", text(&wav), text(&coded)]);
    let told = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format_tags", "-of", "default=nw=1", text(&coded)])
        .output()
        .expect("ffprobe starts");
    let told = String::from_utf8(told.stdout).expect("Matroska's text is UTF-8");
    for wanted in ["ENCODED_BY=Radio Archive", "CREATION_TIME=17:30:00", "TITLE=Caf\u{e9} M\u{fc}ller"] {
        assert!(told.contains(wanted), "{told}");
    }
}
