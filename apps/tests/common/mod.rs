//! Running the binary, and files for it. The tests need ONNX Runtime and the bundle `speech-24k`, and fail without.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod sound_server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder of its own for a test.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The binary, ready for arguments.
pub(crate) fn siskin() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siskin"));
    command.stdin(Stdio::null());
    command
}

/// Runs the binary.
pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    siskin().args(args).output().expect("the binary starts")
}

/// Runs the binary with `input` on stdin.
pub(crate) fn run_with(args: &[&str], input: Vec<u8>) -> Output {
    let mut command = siskin();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().expect("the binary ends");
    writer.join().expect("no panic");
    output
}

/// Runs the binary and returns its stdout, or panics with its stderr.
pub(crate) fn good<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Vec<u8> {
    let output = run(args);
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

/// What was written to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Checks that the run failed with this exit code and one line on stderr beginning with `siskin: ` and holding `text`.
pub(crate) fn assert_fails(output: &Output, code: i32, text: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let errors: Vec<_> = said.lines().filter(|l| !is_note(l)).collect();
    assert_eq!(errors.len(), 1, "one line: {said}");
    assert!(errors[0].starts_with("siskin: "), "{said}");
    assert!(errors[0].contains(text), "{text:?} in: {said}");
}

/// What verbs tell before they come to the fault.
fn is_note(line: &str) -> bool {
    let notes =
        ["Resampling from", "Mixing", "Leaving out", "Encoding with", "Decoding with", "Taken for", "Taking"];
    notes.iter().any(|n| line.starts_with(n))
}

/// Checks that the folder holds these files and no others.
pub(crate) fn assert_files(folder: &Path, names: &[&str]) {
    let mut found: Vec<_> = folder
        .read_dir()
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, names);
}

/// Voice-like samples: a pulse train through two resonances, swelling and ebbing.
pub(crate) fn voice(samples: usize, rate: u32) -> Vec<f32> {
    let t = |i: usize| i as f32 / rate as f32;
    (0..samples)
        .map(|i| {
            let sum: f32 = (1..20)
                .map(|h| {
                    let f = 120.0 * h as f32;
                    let gain = 1.0 / (1.0 + ((f - 600.0) / 400.0).powi(2))
                        + 0.3 / (1.0 + ((f - 1500.0) / 300.0).powi(2));
                    gain * (std::f32::consts::TAU * f * t(i)).sin()
                })
                .sum();
            0.15 * sum * (0.6 - 0.4 * (std::f32::consts::TAU * 3.0 * t(i)).cos())
        })
        .collect()
}

/// Writes a 16-bit WAV file with the same signal in all channels.
pub(crate) fn wav(path: &Path, samples: &[f32], rate: u32, channels: u16) {
    let all: Vec<f32> =
        samples.iter().flat_map(|&sample| std::iter::repeat_n(sample, channels.into())).collect();
    interleaved_wav(path, &all, rate, channels);
}

/// Writes the samples of `channels` channels, interleaved, as 16-bit integers.
pub(crate) fn interleaved_wav(path: &Path, samples: &[f32], rate: u32, channels: u16) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a new file");
    for &sample in samples {
        writer.write_sample((sample * 32_767.0) as i16).expect("a sample");
    }
    writer.finalize().expect("a whole file");
}

/// The player's scripts with a module that is none, in a user's data folder.
pub(crate) fn install_player(data: &Path) {
    let into = data.join("siskin/player");
    std::fs::create_dir_all(&into).expect("a folder");
    for entry in root().join("web/player").read_dir().expect("the player").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".js") || name == "share.html" {
            std::fs::copy(entry.path(), into.join(name)).expect("a copy");
        }
    }
    std::fs::write(into.join("siskin.wasm"), b"\0asm, not really").expect("a file");
}

/// A coded file of `seconds` seconds of [`voice`] in `folder`.
pub(crate) fn coded(folder: &Path, seconds: f32, options: &[&str]) -> PathBuf {
    let (source, coded) = (folder.join("in.wav"), folder.join("in.mka"));
    wav(&source, &voice((seconds * 24_000.0) as usize, 24_000), 24_000, 1);
    let mut args = vec!["encode", "-y", text(&source), text(&coded)];
    args.extend(options);
    good(args);
    coded
}

/// The samples of a coded file, by way of raw floats.
pub(crate) fn decode(coded: &Path, options: &[&str]) -> Vec<f32> {
    let raw = coded.with_extension("f32");
    let mut args = vec!["decode", "-y", text(coded), text(&raw)];
    args.extend(options);
    good(args);
    let bytes = std::fs::read(raw).expect("a file");
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A test clip.
pub(crate) fn clip(name: &str) -> PathBuf {
    root().join("testdata/clips").join(name)
}

/// Lines of NDJSON.
pub(crate) fn ndjson(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).expect("a JSON object")).collect();
    assert!(lines.iter().all(|l| l["type"].is_string()), "{text}");
    lines
}

/// Runs the binary and returns the last line of its stdout, which is JSON.
pub(crate) fn json(args: &[&str]) -> serde_json::Value {
    ndjson(&good(args)).pop().expect("a line")
}

/// Runs FFmpeg, which must be content.
pub(crate) fn ffmpeg(args: &[&str]) {
    let run = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).output().expect("ffmpeg starts");
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
}

/// What ffprobe says of the streams of a file.
pub(crate) fn probe(path: &Path, kind: &str, entries: &str) -> Vec<serde_json::Value> {
    let args = ["-v", "error", "-select_streams", kind, "-show_entries", entries, "-of", "json", text(path)];
    let run = Command::new("ffprobe").args(args).output().expect("ffprobe starts");
    let all: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let list = entries.split('=').next().map(|kind| format!("{kind}s")).unwrap_or_default();
    all[&list].as_array().cloned().unwrap_or_default()
}
