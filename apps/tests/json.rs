//! docs/json.md is what the program writes with `--json`: every verb is run, each key of each line is documented with its
//! type, and each documented key is seen.
#![allow(clippy::panic, reason = "a document that cannot be read fails the test")]

mod common;
#[path = "json/document.rs"]
mod document;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::*;
use document::Document;

/// What cannot be run here: it needs 120 MB from two registries. Its lines are held to the document in the program's
/// own tests.
const NOT_RUN: [&str; 1] = ["`result` of `models import`"];

/// The verbs, run; their lines go to the document.
struct Runs {
    folder: tempfile::TempDir,
    document: Document,
}

impl Runs {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a verb with `--json`; `{NAME}` in an argument is a file of the folder. Returns how many lines it wrote.
    fn run(&mut self, args: &str) -> usize {
        let whole = |arg: &str| match arg.strip_prefix('{').and_then(|a| a.strip_suffix('}')) {
            Some(name) => text(&self.path(name)).to_owned(),
            None => arg.replace('+', " "),
        };
        let args: Vec<String> = args.split_whitespace().map(whole).collect();
        let output = siskin().args(&args).arg("--json").output().expect("the binary starts");
        self.lines(&output.stdout, &args.join(" "))
    }

    fn lines(&mut self, stdout: &[u8], what: &str) -> usize {
        let lines = ndjson(stdout);
        assert!(!lines.is_empty(), "no lines: {what}");
        lines.iter().for_each(|line| self.document.check(line));
        lines.len()
    }

    /// Cuts a file and turns a bit of what is left.
    fn damage(&self, from: &str, to: &str) {
        let data = fs::read(self.path(from)).expect("a file");
        let mut cut = data[..data.len() * 2 / 3].to_vec();
        let at = cut.len() / 2;
        cut[at] ^= 0x55;
        fs::write(self.path(to), cut).expect("a file");
    }
}

/// A clip of a moving bar, with sound beside it.
fn write_movie(path: &Path) {
    let clip = "testsrc2=size=64x48:rate=10:duration=0.6";
    let sound = "sine=frequency=300:duration=0.6";
    let inputs = ["-f", "lavfi", "-i", clip, "-f", "lavfi", "-i", sound];
    ffmpeg(&[&inputs[..], &["-c:v", "ffv1", "-c:a", "flac", text(path)]].concat());
}

fn sound(runs: &mut Runs) {
    runs.run("encode {in.wav} {a.mka}");
    runs.run("encode {in.wav} {b.mka} --vbr --bitrate 5k --redundancy 1 --frames-per-packet 1 --dtx");
    runs.run("decode {a.mka} {a.wav}");
    runs.run("decode {b.mka} {b.wav} --loss 20% --seed 1");
    runs.run("decode {missing.mka} {c.wav}");
    runs.run("info {a.mka}");
    runs.run("info {b.mka}");
    runs.run("verify {a.mka}");
    runs.damage("a.mka", "cut.mka");
    runs.run("verify {cut.mka}");
    runs.run("decode {cut.mka} {cut.wav}");
    runs.run("verify --repair {cut.mka}");
    runs.run("compare {in.wav} {a.mka}");
    runs.run("compare {in.wav} {a.wav}");
    runs.run("play --device null {a.mka}");
    runs.run("play --list-devices");
    runs.run("bench --seconds 1 --streams 2");
    runs.run("latents export {in.wav} {a.safetensors}");
    runs.run("latents decode {a.safetensors} {latents.wav}");
}

/// With a player whose module is none: the one that `./x web` builds may not be there.
fn share(runs: &mut Runs) {
    let data = runs.path("data");
    install_player(&data);
    let output = siskin()
        .env("XDG_DATA_HOME", &data)
        .args(["share", "--json", text(&runs.path("a.mka"))])
        .output()
        .expect("the binary starts");
    runs.lines(&output.stdout, "share");
}

fn tokens(runs: &mut Runs) {
    let folder = runs.path("recordings");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(runs.path("in.wav"), folder.join("one.wav")).expect("a copy");
    runs.run("tokens export {recordings} {tokens}");
    runs.run("tokens export {recordings} {corpus} --format parquet");
    runs.run("tokens info {corpus}");
    runs.run("tokens import {tokens} {coded}");
    runs.run("tokens info {tokens/one.safetensors}");
    fs::write(runs.path("bad.jsonl"), "{\"id\": 3}\n").expect("a file");
    runs.run("tokens info {bad.jsonl}");
    // The text and the words of a recording come from whoever made the file.
    let mut lines = good(["tokens", "export", text(&folder.join("one.wav")), "-"]);
    let mut line: serde_json::Value = serde_json::from_slice(&lines).expect("a line");
    line["text"] = "said".into();
    lines = serde_json::to_vec(&line).expect("JSON");
    lines.push(b'\n');
    fs::write(runs.path("text.jsonl"), lines).expect("a file");
    runs.run("tokens info {text.jsonl}");
}

fn models(runs: &mut Runs) {
    assert!(runs.run("models list") >= 3, "bundles for sound and video, and voices");
    runs.run("models path");
    runs.run("models info text2vec");
    for name in ["speech-24k", "video-realtime", "text2vec", "text-features"] {
        runs.run(&format!("models verify {name}"));
    }
    let toy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/voices/toy");
    runs.run(&format!("speak -o {{said.mka}} --voices {} The+bird+sings.", text(&toy)));
}

fn video(runs: &mut Runs) {
    write_movie(&runs.path("movie.mkv"));
    runs.run("features encode {movie.mkv} {f.mkv} --level 3");
    runs.run("features decode {f.mkv} {f.jsonl}");
    runs.run("features info {f.mkv}");
    runs.run("features bench {movie.mkv} --frames 3");
    runs.run("encode {movie.mkv} {v.mkv} --preset realtime");
    runs.run(
        "encode {movie.mkv} {fit.mkv} --preset nerv-fast --epochs 8 --gop-size 3 --parameters 4000 --no-audio",
    );
    runs.run("decode {v.mkv} {back.mkv}");
    runs.run("decode {v.mkv} {back.y4m}");
    assert_eq!(runs.run("info {v.mkv}"), 2, "video and sound");
    runs.run("info {fit.mkv}");
    runs.run("verify {v.mkv}");
    runs.run("compare {back.y4m} {fit.mkv}");
    runs.run("compare {movie.mkv} {v.mkv}");
    runs.run("play {v.mkv} --video-sink fakesink --audio-sink fakesink");
    runs.run("bench --video --frames 3");
    runs.run("bench --video --frames 3 --model video-realtime");
    runs.run("encode {movie.mkv} {network.mkv} --preset realtime --no-audio --model video-realtime");
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=192x192:rate=5:duration=0.4",
        text(&runs.path("large.y4m")),
    ]);
    runs.run("compare {large.y4m} {large.y4m}");
    runs.run("encode {large.y4m} {large.mkv} --preset realtime");
    runs.run("compare {large.y4m} {large.mkv}");
}

/// Two sides that talk for two seconds.
fn call(runs: &mut Runs) {
    let start = |side: &[&str], output: &str| {
        let (input, output) = (runs.path("in.wav"), runs.path(output));
        let mut command: Command = siskin();
        command.args(["call", "--json", "-q", "--input", text(&input), "--output", text(&output)]);
        command.args(side).stdout(Stdio::piped()).spawn().expect("the binary starts")
    };
    // A port that was free a moment ago.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
    let address = free.to_string();
    let mut waiting = start(&["--listen", &address], "heard-1.wav");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let calling = start(&["--connect", &address], "heard-2.wav");
    let calling = calling.wait_with_output().expect("an end");
    runs.lines(&calling.stdout, "call --connect");
    let mut stdout = Vec::new();
    std::io::Read::read_to_end(&mut waiting.stdout.take().expect("a pipe"), &mut stdout).expect("lines");
    waiting.wait().expect("an end");
    runs.lines(&stdout, "call --listen");
}

#[test]
fn every_line_is_documented_and_every_documented_key_is_written() {
    let document = fs::read_to_string(root().join("docs/json.md")).expect("the document");
    let mut runs = Runs { folder: folder(), document: Document::parse(&document) };
    let signal = voice(6 * 24_000, 24_000);
    wav(&runs.path("in.wav"), &signal, 24_000, 1);
    sound(&mut runs);
    share(&mut runs);
    tokens(&mut runs);
    models(&mut runs);
    video(&mut runs);
    call(&mut runs);
    let unseen = runs.document.unseen(&NOT_RUN);
    assert!(unseen.is_empty(), "documented, but never written: {unseen:#?}");
}

#[test]
#[should_panic(expected = "extra is not documented")]
fn a_key_that_is_not_documented_is_found() {
    let text = "### `fault`\n| key | type | meaning |\n|---|---|---|\n| packet | integer | number |\n";
    Document::parse(text).check(&serde_json::json!({ "type": "fault", "packet": 1, "extra": 2 }));
}

#[test]
#[should_panic(expected = "is no integer")]
fn a_key_of_another_type_is_found() {
    let text = "### `fault`\n| key | type | meaning |\n|---|---|---|\n| packet | integer | number |\n";
    Document::parse(text).check(&serde_json::json!({ "type": "fault", "packet": "one" }));
}
