//! Bad input: one clear line, exit code 1 or 2, and nothing under the final name.

mod common;

use std::fs;
use std::path::Path;

use common::*;

/// Encodes `name` of the folder and checks that it fails cleanly.
fn encode_fails(folder: &Path, name: &str, code: i32, text_in_error: &str) {
    let (source, out) = (folder.join(name), folder.join("out.mka"));
    let before = folder.read_dir().expect("a folder").count();
    assert_fails(&run(["encode", text(&source), text(&out)]), code, text_in_error);
    assert_eq!(folder.read_dir().expect("a folder").count(), before, "nothing is left behind");
}

#[test]
fn inputs_that_are_not_audio() {
    let folder = folder();
    let path = folder.path();
    encode_fails(path, "missing.wav", 1, "No such file");
    fs::write(path.join("empty.wav"), []).expect("a file");
    encode_fails(path, "empty.wav", 1, "is empty");
    fs::write(path.join("text.wav"), "this is no audio file\n".repeat(100)).expect("a file");
    encode_fails(path, "text.wav", 1, "text.wav");
    fs::create_dir(path.join("folder.wav")).expect("a folder");
    encode_fails(path, "folder.wav", 1, "is a folder");
    let noise: Vec<u8> = (0..50_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(path.join("noise.bin"), noise).expect("a file");
    encode_fails(path, "noise.bin", 1, "noise.bin");
    assert_fails(&run_with(&["encode", "-", text(&path.join("o.mka"))], Vec::new()), 1, "stdin");
}

#[test]
fn video_without_audio() {
    let folder = folder();
    let video = folder.path().join("silent.mkv");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5", text(&video)])
        .status();
    assert!(made.expect("ffmpeg").success());
    encode_fails(folder.path(), "silent.mkv", 1, "no audio stream, found: video");
}

#[test]
fn no_samples() {
    let folder = folder();
    wav(&folder.path().join("nothing.wav"), &[], 24_000, 1);
    encode_fails(folder.path(), "nothing.wav", 1, "nothing.wav");
}

#[test]
fn absurd_rates() {
    let folder = folder();
    let good = folder.path().join("good.wav");
    wav(&good, &voice(2400, 24_000), 24_000, 1);
    for (name, rate) in
        [("zero.wav", 0u32), ("one.wav", 1), ("huge.wav", 2_000_000_000), ("max.wav", u32::MAX)]
    {
        let mut data = fs::read(&good).expect("a file");
        data[24..28].copy_from_slice(&rate.to_le_bytes());
        fs::write(folder.path().join(name), data).expect("a file");
        encode_fails(folder.path(), name, 1, name);
    }
}

#[test]
fn a_truncated_recording() {
    let folder = folder();
    for name in ["cut.wav", "cut.flac"] {
        let whole = match name {
            "cut.flac" => fs::read(clip("speech-be.flac")).expect("a clip"),
            _ => {
                let path = folder.path().join("whole.wav");
                wav(&path, &voice(48_000, 24_000), 24_000, 1);
                fs::read(path).expect("a file")
            }
        };
        fs::write(folder.path().join(name), &whole[..whole.len() / 2]).expect("a file");
        let (source, out) = (folder.path().join(name), folder.path().join("out.mka"));
        let output = run(["encode", "-q", text(&source), text(&out)]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let errors = stderr(&output);
        assert!(errors.lines().any(|l| l.contains("ends after")), "{errors}");
        assert!(!decode(&out, &[]).is_empty(), "what is there is kept");
        let output = run(["encode", "-q", "-y", "--allow-truncated", text(&source), text(&out)]);
        assert!(output.status.success() && stderr(&output).contains("warning"), "{}", stderr(&output));
        assert!(!decode(&out, &[]).is_empty());
        fs::remove_file(out).expect("the coded file");
    }
}

#[test]
fn coded_files_that_are_none() {
    let folder = folder();
    let path = folder.path();
    let out = path.join("out.wav");
    wav(&path.join("a.wav"), &voice(2400, 24_000), 24_000, 1);
    fs::write(path.join("empty.mka"), []).expect("a file");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i", text(&path.join("a.wav")), text(&path.join("pcm.mka"))])
        .status();
    assert!(made.expect("ffmpeg").success());
    for (name, said) in [
        ("missing.mka", "No such file"),
        ("a.wav", "not a Matroska file"),
        ("empty.mka", "no data"),
        ("pcm.mka", "no A_SISKIN track, found: A_"),
    ] {
        let file = path.join(name);
        assert_fails(&run(["decode", text(&file), text(&out)]), 1, said);
        assert_fails(&run(["info", text(&file)]), 1, said);
        assert_fails(&run(["verify", text(&file)]), 1, said);
        assert_fails(&run(["play", text(&file)]), 1, said);
    }
    assert_fails(&run_with(&["decode", "-", text(&out)], vec![7; 1000]), 1, "stdin");
    assert!(!out.exists());
}

/// A copy of the bundle whose file `name` has one byte changed.
fn broken_bundle(folder: &Path, name: &str) {
    let copy = folder.join("bundles/speech-24k");
    fs::create_dir_all(&copy).expect("a folder");
    for entry in fs::read_dir(root().join("models/bundles/speech-24k")).expect("the bundle") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copy.join(entry.file_name())).expect("a copy");
    }
    let mut data = fs::read(copy.join(name)).expect("a file");
    let middle = data.len() / 2;
    data[middle] ^= 1;
    fs::write(copy.join(name), data).expect("a file");
}

#[test]
fn a_bundle_with_a_wrong_hash() {
    let (folder, bundles) = (folder(), folder());
    let coded = coded(folder.path(), 1.0, &[]);
    broken_bundle(bundles.path(), "encoder.onnx");
    let source = folder.path().join("in.wav");
    let search = bundles.path().join("bundles");
    let run = |args: &[&str]| siskin().env("SISKIN_BUNDLES", &search).args(args).output().expect("it starts");
    let (mka, out) = (folder.path().join("out.mka"), folder.path().join("out.wav"));
    assert_fails(&run(&["encode", text(&source), text(&mka)]), 1, "sha256");
    assert_fails(&run(&["decode", text(&coded), text(&out)]), 1, "sha256");
    assert_fails(&run(&["models", "verify", "speech-24k"]), 1, "encoder.onnx");
    assert_files(folder.path(), &["in.mka", "in.wav"]);
}

#[test]
fn models_that_are_not_there() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let source = folder.path().join("in.wav");
    let out = folder.path().join("out.mka");
    assert_fails(&run(["encode", "--model", "nonsense", text(&source), text(&out)]), 1, "nonsense not found");
    // A stream of a bundle that nobody has: one byte of the id in CodecPrivate and in-band.
    let mut data = fs::read(&coded).expect("a file");
    let places: Vec<_> = (0..data.len() - 4).filter(|&i| &data[i..i + 4] == b"SKA\x01").collect();
    places.iter().for_each(|&i| data[i + 4] ^= 0xff);
    fs::write(&coded, data).expect("a file");
    let wav = folder.path().join("out.wav");
    assert_fails(&run(["decode", text(&coded), text(&wav)]), 1, "needs the model bundle speech-24k (id ");
    assert!(!out.exists() && !wav.exists());
}

#[test]
fn providers_that_are_not_there() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let (source, out) = (folder.path().join("in.wav"), folder.path().join("out.mka"));
    for provider in ["cuda", "tensorrt"] {
        let result = run(["encode", "--provider", provider, text(&source), text(&out)]);
        assert_fails(&result, 1, &format!("execution provider {provider} cannot be used"));
    }
    assert_fails(&run(["decode", "--provider", "cuda", text(&coded), "-"]), 1, "cuda");
    assert_eq!(run(["encode", "--provider", "abacus", text(&source), text(&out)]).status.code(), Some(2));
    assert!(!out.exists());
}

#[test]
fn a_library_that_does_not_load() {
    let folder = folder();
    coded(folder.path(), 1.0, &[]);
    let (source, out) = (folder.path().join("in.wav"), folder.path().join("out.mka"));
    let mut command = siskin();
    command.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so").args(["encode", text(&source), text(&out)]);
    assert_fails(&command.output().expect("it starts"), 1, "ONNX Runtime cannot be loaded");
}
