//! What other programs make of our files.
#![allow(clippy::panic, reason = "a program that is not there fails the test")]

mod common;

use std::path::Path;
use std::process::Command;

use common::*;

/// What a program of the system writes to stdout.
fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output().unwrap_or_else(|e| panic!("{name}: {e}"));
    // mkvmerge ends with 1 after a warning.
    assert!(output.status.code().is_some_and(|c| c < 2), "{name}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn shows(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} in: {text}");
    }
}

/// Tags and chapters as `ffmpeg` takes them.
const METADATA: &str = ";FFMETADATA1\ntitle=Jays\nartist=A bird\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=Call\n\
    [CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=3000\ntitle=Answer\n";

/// A tagged coded file of three seconds.
fn tagged(folder: &Path) -> std::path::PathBuf {
    let coded = coded(folder, 3.0, &[]);
    let (source, named, metadata) =
        (folder.join("in.wav"), folder.join("named.mka"), folder.join("metadata"));
    std::fs::write(&metadata, METADATA).expect("a file");
    let inputs = ["-v", "error", "-i", text(&source), "-i", text(&metadata)];
    tool("ffmpeg", &[&inputs[..], &["-map_metadata", "1", "-c", "copy", text(&named)]].concat());
    good(["encode", "-y", text(&named), text(&coded)]);
    coded
}

#[test]
fn stock_tools_list_the_track() {
    let folder = folder();
    let coded = tagged(folder.path());
    shows(
        &tool("ffprobe", &["-v", "error", "-show_streams", "-show_format", text(&coded)]),
        &["codec_type=audio", "sample_rate=24000", "channels=1", "duration=3.0", "format_name=matroska"],
    );
    shows(
        &tool("mkvinfo", &[text(&coded)]),
        &[
            "Codec ID: A_SISKIN",
            "Sampling frequency: 24000",
            "Channels: 1",
            "Duration: 00:00:03.0",
            "Siskin neural audio",
        ],
    );
    let chapters = tool("ffprobe", &["-v", "error", "-show_chapters", "-of", "csv", text(&coded)]);
    shows(&chapters, &["0.000000", "1.500000,Call", "3.000000,Answer"]);
    shows(&tool("mkvmerge", &["-i", text(&coded)]), &["Track ID 0: audio (A_SISKIN)"]);
    let listed = tool("mkvmerge", &["-J", text(&coded)]);
    shows(
        &listed,
        &["\"codec_id\": \"A_SISKIN\"", "\"audio_sampling_frequency\": 24000", "\"duration\": 3000000000"],
    );
    // mkvmerge names elements that it does not know as warnings.
    shows(&listed, &["\"warnings\": []", "\"errors\": []"]);
}

#[test]
fn what_mkvmerge_makes_of_a_file_plays_the_same() {
    let folder = folder();
    let coded = tagged(folder.path());
    let samples = decode(&coded, &[]);
    let tags = |path: &Path| {
        let info = &ndjson(&good(["info", "--json", text(path)]))[0];
        info["tags"].to_string()
    };
    shows(&tags(&coded), &["Jays", "A bird"]);
    let remuxed = folder.path().join("remuxed.mka");
    tool("mkvmerge", &["-q", "-o", text(&remuxed), text(&coded)]);
    assert_eq!(decode(&remuxed, &[]), samples);
    // Small packets are laced where the track allows it.
    good(["encode", "-y", "--frames-per-packet", "2", text(&folder.path().join("in.wav")), text(&coded)]);
    tool("mkvmerge", &["-q", "-o", text(&remuxed), "--engage", "force_passthrough_packetizer", text(&coded)]);
    assert_eq!(decode(&remuxed, &[]), decode(&coded, &[]));
}

#[test]
fn the_length_of_a_longer_track_beside_it_says_nothing_of_the_sound() {
    let folder = folder();
    let coded = coded(folder.path(), 2.0, &[]);
    let (long, both) = (folder.path().join("long.opus"), folder.path().join("both.mka"));
    ffmpeg(&["-f", "lavfi", "-i", "sine=d=6", "-c:a", "libopus", text(&long)]);
    tool("mkvmerge", &["-q", "-o", text(&both), text(&coded), text(&long)]);
    assert_eq!(json(&["verify", "--json", text(&both)])["ok"], true);
    assert_eq!(json(&["info", "--json", text(&both)])["truncated"], false);
    let decoded = decode(&both, &["--loss", "30%", "--seed", "1"]).len();
    assert!(decoded <= 2 * 24_000, "{decoded} samples");
    // One that begins late.
    tool("mkvmerge", &["-q", "-o", text(&both), "--sync", "0:3000", text(&coded)]);
    assert_eq!(json(&["verify", "--json", text(&both)])["ok"], true);
    assert_eq!(json(&["info", "--json", text(&both)])["truncated"], false);
}
