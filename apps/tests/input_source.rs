//! Wherever an input comes from, it comes whole, or what is missing is named: URLs, transfers that break off, lengths that nobody
//! knew when they were written, another film in place of the one that was begun.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::{assert_fails, ffmpeg, folder, good, json, probe, run, run_with, stderr, text, voice, wav};
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

#[test]
fn a_pipe_whose_index_comes_last_is_told_of_and_leaves_nothing() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.m4a"), folder.path().join("a.mka"));
    // Larger than what FFmpeg holds of a pipe.
    ffmpeg(&["-f", "lavfi", "-i", "anoisesrc=d=20", "-c:a", "aac", "-b:a", "192k", text(&source)]);
    let data = std::fs::read(&source).expect("a file");
    for to in [text(&coded), "-"] {
        let output = run_with(&["encode", "-", to], data.clone());
        assert_fails(&output, 1, "stdin holds no audio samples");
        assert!(
            stderr(&output).contains("moov") && stderr(&output).contains("faststart"),
            "{}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty() && !coded.exists(), "{} bytes", output.stdout.len());
    }
    let latents = folder.path().join("a.safetensors");
    let film = folder.path().join("film.mp4");
    ffmpeg(&["-f", "lavfi", "-i", "testsrc2=s=320x240:d=4", "-c:v", "mpeg4", "-b:v", "2M", text(&film)]);
    let frames = std::fs::read(&film).expect("a film");
    let movie = film.with_extension("mkv");
    let readers = [
        (["latents", "export", "-", text(&latents)].to_vec(), &data),
        (["encode", "-", text(&movie)].to_vec(), &frames),
    ];
    for (args, data) in readers {
        let output = run_with(&args, data.clone());
        assert!(!output.status.success() && stderr(&output).contains("faststart"), "{}", stderr(&output));
    }
    ffmpeg(&[
        "-i",
        text(&source),
        "-c",
        "copy",
        "-movflags",
        "faststart",
        "-y",
        text(&coded.with_extension("m4a2.mp4")),
    ]);
    let data = std::fs::read(coded.with_extension("m4a2.mp4")).expect("a file");
    assert!(run_with(&["encode", "-q", "-", text(&coded)], data).status.success());
}

#[test]
fn of_several_tracks_it_is_said_which_is_taken() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.mka"), folder.path().join("b.mka"));
    let inputs = ["-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "sine=880:d=1"];
    let maps = ["-map", "0", "-map", "1", "-c:a", "flac", "-metadata:s:a:1", "language=ger"];
    let chosen = ["-disposition:a:0", "0", "-disposition:a:1", "default"];
    ffmpeg(&[&inputs[..], &maps, &chosen, &[text(&source)]].concat());
    let said = stderr(&run(["encode", text(&source), text(&coded)]));
    assert!(said.contains("Taking audio track 2 of 2: flac, ger"), "{said}");
}

#[test]
fn channels_that_cancel_each_other_are_told_of() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.wav"), folder.path().join("a.mka"));
    for (right, is_told) in [("-sin(2*PI*440*t)", true), ("sin(2*PI*440*t)", false), ("0", false)] {
        let sound = format!("aevalsrc='sin(2*PI*440*t)|{right}':s=48000:d=1");
        ffmpeg(&["-f", "lavfi", "-i", &sound, text(&source)]);
        let said = stderr(&run(["encode", "-y", text(&source), text(&coded)]));
        assert_eq!(said.contains("--model audio-48k keeps both"), is_told, "{right}: {said}");
    }
}
