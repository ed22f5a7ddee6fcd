//! `siskin speak` and the voices in `siskin models`, with the toy bundle of `testdata`; espeak-ng must be installed.

mod common;

use std::path::{Path, PathBuf};

use common::*;

fn toy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/voices/toy")
}

fn speak(args: &[&str], output: &Path) -> Vec<String> {
    let voices = toy();
    let mut all = vec!["speak", "-q", "--voices", text(&voices), "-o", text(output)];
    all.extend(args);
    all.into_iter().map(str::to_owned).collect()
}

#[test]
fn speech_goes_into_a_coded_file_and_a_plain_one() {
    let folder = folder();
    let (coded, plain, words) =
        (folder.path().join("a.mka"), folder.path().join("a.wav"), folder.path().join("a.srt"));
    let mut args = speak(&["--json", "The bird sings. It is loud!", "--words", text(&words)], &coded);
    let result = ndjson(&good(&args)).pop().expect("a result");
    assert_eq!((&result["type"], &result["verb"]), (&"result".into(), &"speak".into()));
    assert_eq!((&result["sentences"], &result["words"]), (&2.into(), &6.into()));
    let samples = result["samples"].as_u64().expect("samples");
    let info = &ndjson(&good(["info", "--json", text(&coded)]))[0];
    assert_eq!(info["samples"], samples, "the coded file has the length of the speech");
    let tracks = std::process::Command::new("mkvinfo").arg(&coded).output().expect("mkvinfo");
    assert!(String::from_utf8_lossy(&tracks.stdout).contains("S_TEXT/UTF8"), "a track of words");
    let cues = std::fs::read_to_string(&words).expect("words");
    assert_eq!(cues.matches(" --> ").count(), 6);
    assert!(cues.contains("\nsings.\n") && cues.contains("\nloud!\n"), "{cues}");
    args = speak(&["The bird sings. It is loud!"], &plain);
    good(&args);
    let wav = hound::WavReader::open(&plain).expect("a WAV file");
    assert_eq!((u64::from(wav.duration()), wav.spec().sample_rate), (samples, 24_000));
}

#[test]
fn text_comes_from_files_and_pipes_in_any_cut() {
    let folder = folder();
    let from = folder.path().join("t.txt");
    std::fs::write(&from, "One bird.\n\nTwo birds").expect("written");
    let [a, b] = ["a.wav", "b.wav"].map(|n| folder.path().join(n));
    good(speak(&["--file", text(&from)], &a));
    let args = speak(&[], &b);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run_with(&args, b"One bird.\n\nTwo birds".to_vec());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(std::fs::read(a).expect("a file"), std::fs::read(b).expect("a file"));
}

#[test]
fn nothing_to_speak_writes_nothing() {
    let folder = folder();
    let out = folder.path().join("a.mka");
    for nothing in ["", " \n ", "\u{7}\u{1b}", "?!..."] {
        let args = speak(&["--", nothing], &out);
        assert_fails(&run(&args), 2, "nothing to speak");
    }
    assert_files(folder.path(), &[]);
}

#[test]
fn control_characters_are_left_out_and_told() {
    let folder = folder();
    let [dirty, clean] = ["a.wav", "b.wav"].map(|n| folder.path().join(n));
    let from = folder.path().join("t.txt");
    std::fs::write(&from, b"Two\x07 bi\x00rds\xff.\n\n\x1b").expect("written");
    let output = run(speak(&["--file", text(&from)], &dirty));
    assert!(output.status.success() && stderr(&output).contains("4 bytes"), "{}", stderr(&output));
    good(speak(&["Two birds."], &clean));
    assert_eq!(std::fs::read(dirty).expect("a file"), std::fs::read(clean).expect("a file"));
}

#[test]
fn ten_megabytes_around_one_sentence() {
    let folder = folder();
    let out = folder.path().join("a.wav");
    let mut input = vec![b' '; 5 << 20];
    input.extend_from_slice(b"Still here.");
    input.extend(std::iter::repeat_n(b'\x01', 5 << 20));
    let args = speak(&["--json"], &out);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run_with(&args, input);
    let result = ndjson(&output.stdout).pop().expect("a result");
    assert_eq!((&result["sentences"], &result["skipped_bytes"]), (&1.into(), &(5 << 20).into()));
    assert!(result["peak_memory_bytes"].as_u64() < Some(400 << 20), "{result}");
}

#[test]
fn an_interrupt_keeps_what_was_spoken() {
    let folder = folder();
    let (from, out, words) = ("book.txt", "book.mka", "book.srt");
    let [from, out, words] = [from, out, words].map(|n| folder.path().join(n));
    std::fs::write(&from, "Two birds sing. ".repeat(10 << 20 >> 4)).expect("written");
    let args = speak(&["--file", text(&from), "--words", text(&words)], &out);
    let child = siskin().args(args).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    while std::fs::read_to_string(&words).map_or(0, |w| w.matches("sing.").count()) < 3 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill starts").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("spoken so far"), "{}", stderr(&output));
    let info = &ndjson(&good(["info", "--json", text(&out)]))[0];
    assert!(info["samples"].as_u64() > Some(3 * 12_000), "{info}");
    assert_files(folder.path(), &["book.mka", "book.srt", "book.txt"]);
}

#[test]
fn a_language_without_a_voice_is_refused() {
    let folder = folder();
    let out = folder.path().join("a.mka");
    assert_fails(&run(speak(&["--language", "tlh", "nuqneH"], &out)), 2, "de, en-us");
    assert_fails(&run(speak(&["--voice", "nobody", "Hi."], &out)), 2, "low, high, tief");
    assert_fails(&run(speak(&["--speed", "9", "Hi."], &out)), 2, "0.5 to 2");
    assert_fails(&run(speak(&["--words", "a.txt", "Hi."], &out)), 2, ".srt");
    assert_files(folder.path(), &[]);
    good(speak(&["--language", "de", "Guten Tag."], &out));
}

#[test]
fn voices_are_listed_and_checked() {
    let voices = toy();
    let listed = ndjson(&good(["models", "info", "--json", text(&voices)]));
    let names: Vec<_> = listed.iter().map(|v| v["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["low", "high", "tief"]);
    let verified = &ndjson(&good(["models", "verify", "--json", text(&voices)]))[0];
    assert_eq!((&verified["ok"], &verified["files"]), (&true.into(), &2.into()));
    assert_fails(&run(["models", "info", "speech-24k"]), 2, "no voices");
}

#[test]
fn an_import_of_something_else_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("model.onnx"), "nonsense").expect("written");
    let into = folder.path().join("bundles");
    let model = folder.path().join("model.onnx");
    let args = ["models", "import", "kokoro", "--into", text(&into), "--model", text(&model)];
    assert_fails(&run(args), 2, "--voices is missing");
    let voices = ["--voices", text(folder.path())];
    assert_fails(&run(args.iter().chain(&voices)), 1, "sha256");
    assert!(!into.exists());
}

#[test]
fn latents_go_out_and_come_back() {
    let folder = folder();
    let [latents, back] = ["a.safetensors", "b.wav"].map(|n| folder.path().join(n));
    let clip = clip("speech-be.flac");
    let out =
        ndjson(&good(["latents", "export", "--json", text(&clip), text(&latents)])).pop().expect("a result");
    let came =
        ndjson(&good(["latents", "decode", "--json", text(&latents), text(&back)])).pop().expect("a result");
    assert_eq!(out["samples"], came["samples"]);
    let near = &ndjson(&good(["compare", "--json", text(&clip), text(&back)]))[0];
    assert!(near["stoi"].as_f64() > Some(0.8), "{near}");
    assert_fails(&run(["latents", "decode", "-y", text(&clip), text(&back)]), 2, "safetensors");
}
