//! Wherever an input comes from, it comes whole, or what is missing is named: URLs, transfers that break off, lengths that nobody
//! knew when they were written, another film in place of the one that was begun.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::{ffmpeg, folder, good, json, probe, run, stderr, text, voice, wav};
use tempfile::TempDir;

/// Serves data over HTTP to whoever asks, of which only the first `there` bytes come. Gives the URL.
fn serve(data: Vec<u8>, there: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/film", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // What the request says is not looked at; it ends with an empty line.
            let lines = BufReader::new(&stream).lines();
            lines.take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty())).for_each(drop);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", data.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&data[..there])).ok();
        }
    });
    url
}

/// A film of 6 s with sound, whose index comes first.
fn film(folder: &TempDir, name: &str, picture: &str) -> PathBuf {
    let path = folder.path().join(name);
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=440:r=48000:d=6"];
    let codecs = ["-c:v", "mpeg4", "-c:a", "aac", "-movflags", "faststart"];
    ffmpeg(&[&inputs[..], &codecs, &[text(&path)]].concat());
    path
}

const PICTURE: &str = "testsrc2=s=64x48:r=10:d=6";

/// Codec frames and seconds of the sound of a coded file.
fn counts(path: &Path) -> (Option<u64>, Option<f64>) {
    let info = json(&["info", text(path), "--json"]);
    (info["frames"].as_u64(), info["seconds"].as_f64())
}

#[test]
fn a_url_gives_the_tracks_that_a_file_does() {
    let folder = folder();
    let source = film(&folder, "a.mp4", PICTURE);
    let (by_name, by_url) = (folder.path().join("n.mkv"), folder.path().join("u.mkv"));
    let data = std::fs::read(&source).expect("a film");
    let length = data.len();
    // A packet a frame, so that they can be counted.
    good(["encode", "-q", "--preset", "realtime", text(&source), text(&by_name)]);
    good(["encode", "-q", "--preset", "realtime", &serve(data, length), text(&by_url)]);
    assert_eq!(counts(&by_url), counts(&by_name));
    for track in ["v", "a"] {
        let packets = |path: &Path| probe(path, track, "packet=size");
        assert_eq!(packets(&by_url), packets(&by_name), "{track}");
    }
    assert_eq!(probe(&by_url, "v", "packet=size").len(), 60);
}

#[test]
fn a_transfer_that_breaks_off_is_no_success_but_is_kept() {
    let folder = folder();
    for name in ["a.mp4", "a.mkv", "a.ts"] {
        let data = std::fs::read(film(&folder, name, PICTURE)).expect("a film");
        let there = data.len() / 2;
        let url = serve(data, there);
        for output in ["out.mkv", "out.mka"] {
            let output = folder.path().join(output);
            let failed = run(["encode", "-q", "-y", &url, text(&output)]);
            let said = stderr(&failed);
            assert!(failed.status.code() == Some(1) && said.contains("breaks off after"), "{name}: {said}");
            let seconds = counts(&output).1.unwrap_or(0.0);
            assert!((1.0..5.0).contains(&seconds), "{name}: {seconds} s are kept");
        }
    }
}

#[test]
fn a_length_that_nobody_knew_is_no_truncation() {
    let folder = folder();
    let (plain, input, coded) =
        (folder.path().join("plain.wav"), folder.path().join("in.wav"), folder.path().join("out.mka"));
    wav(&plain, &voice(30_000, 24_000), 24_000, 1);
    let whole = std::fs::read(&plain).expect("a recording");
    let at = whole.windows(4).position(|w| w == b"data").expect("a data chunk") + 4;
    // FFmpeg and Android, espeak-ng and sox, others, and one that was cut.
    for (stated, is_whole) in [
        (u32::MAX, true),
        (0x7fff_ffff, true),
        (0x7fff_f000, true),
        (0, true),
        (0x8000_0000, true),
        (120_000, false),
    ] {
        let mut data = whole.clone();
        data[at..at + 4].copy_from_slice(&stated.to_le_bytes());
        std::fs::write(&input, &data).expect("a file");
        let output = run(["encode", "-q", "-y", text(&input), text(&coded)]);
        assert_eq!(output.status.success(), is_whole, "{stated:x}: {}", stderr(&output));
        assert_eq!(json(&["info", text(&coded), "--json"])["samples"].as_u64(), Some(30_000), "{stated:x}");
    }
}

#[test]
fn another_film_that_begins_alike_is_not_gone_on_with() {
    let folder = folder();
    let begins = |color: &str| {
        let end = "drawbox=c={}:t=fill:enable='gte(t,2)'".replace("{}", color);
        format!("color=black:s=64x48:r=10:d=6,{end}")
    };
    let first = film(&folder, "a.mkv", &begins("red"));
    let second = film(&folder, "b.mkv", &begins("blue"));
    let coded = folder.path().join("out.mkv");
    good(["encode", "-q", "--gop-size", "20", text(&first), text(&coded)]);
    let before = std::fs::read(&coded).expect("a coded film");
    let failed = run(["encode", "-q", "--gop-size", "20", "--resume", text(&second), text(&coded)]);
    assert!(!failed.status.success(), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("cannot be resumed"), "{}", stderr(&failed));
    assert!(std::fs::read(&coded).expect("a coded film") == before, "what was there is kept");
}
