//! Opus in MP4 is as long as what was recorded, and begins where that does, whoever wrote it.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{ffmpeg, folder, good, json, text};

/// Clicks every 100 ms, the first after 50 ms, for 1.05 s.
fn clicks(folder: &Path) -> PathBuf {
    let path = folder.join("clicks.wav");
    let sound = "aevalsrc='0.8*sin(2*PI*700*t)*lt(mod(t+0.05,0.1),0.01)':s=48000:d=1.05";
    ffmpeg(&["-f", "lavfi", "-i", sound, "-c:a", "pcm_s16le", text(&path)]);
    path
}

/// The file as this program reads it, in samples at 24 kHz.
fn read(path: &Path) -> Vec<f32> {
    let samples = samples(path);
    assert_eq!(samples.len(), 25_200, "{path:?}");
    samples
}

fn samples(path: &Path) -> Vec<f32> {
    let (coded, raw) = (path.with_extension("coded.mka"), path.with_extension("npy"));
    good(["encode", "-q", "-y", "--stages", "9", text(path), text(&coded)]);
    good(["decode", "-q", "-y", text(&coded), text(&raw.with_extension("wav"))]);
    let wav = std::fs::read(raw.with_extension("wav")).expect("a file");
    let data = wav.windows(4).position(|w| w == b"data").expect("samples") + 8;
    wav[data..].as_chunks::<2>().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32_768.0).collect()
}

/// How loud each 10 ms are.
fn loudness(samples: &[f32]) -> Vec<f32> {
    samples.chunks(240).map(|part| part.iter().map(|x| x * x).sum::<f32>()).collect()
}

/// How much two recordings sound alike at once, 1 for the same.
fn likeness(a: &[f32], b: &[f32]) -> f32 {
    likeness_of(&loudness(a), &loudness(b))
}

fn likeness_of(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Exchanges the bytes of the number of samples that are to be dropped, as GStreamer 1.22 writes it.
fn exchange(path: &Path) -> PathBuf {
    let mut data = std::fs::read(path).expect("a file");
    let at = data.windows(4).position(|w| w == b"dOps").expect("Opus") + 6;
    assert_eq!(u16::from_be_bytes([data[at], data[at + 1]]), 312);
    data.swap(at, at + 1);
    let to = path.with_file_name("exchanged.mp4");
    std::fs::write(&to, data).expect("a file");
    to
}

#[test]
fn nothing_is_lost_at_the_beginning_and_nothing_added_at_the_end() {
    let folder = folder();
    let clicks = clicks(folder.path());
    let wanted = read(&clicks);
    let by_ffmpeg = folder.path().join("ffmpeg.mp4");
    ffmpeg(&["-i", text(&clicks), "-c:a", "libopus", "-b:a", "128k", text(&by_ffmpeg)]);
    let by_gstreamer = folder.path().join("gstreamer.mp4");
    let pipeline = format!(
        "filesrc location={} ! wavparse ! audioconvert ! opusenc bitrate=128000 ! mp4mux ! filesink location={}",
        text(&clicks),
        text(&by_gstreamer)
    );
    let made = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).status();
    assert!(made.expect("gst-launch-1.0 starts").success());
    for path in [exchange(&by_ffmpeg), by_ffmpeg, by_gstreamer] {
        let found = likeness(&read(&path), &wanted);
        assert!(found > 0.95, "{path:?}: {found}");
    }
}

#[test]
fn packets_whose_lengths_are_rounded_keep_all_their_samples() {
    let folder = folder();
    // Times of AAC in Matroska are in whole milliseconds, so packets of 20 ms are said to last 19.8 to 20.2.
    let [aac, opus] = ["a.mkv", "o.mp4"].map(|name| folder.path().join(name));
    let sound = "aevalsrc='0.8*sin(2*PI*700*t)*lt(mod(t+0.05,0.1),0.01)':s=48000:d=8";
    ffmpeg(&["-f", "lavfi", "-i", sound, "-c:a", "aac", "-b:a", "128k", text(&aac)]);
    ffmpeg(&["-i", text(&aac), "-c:a", "libopus", "-b:a", "128k", text(&opus)]);
    let copied = folder.path().join("copied.mka");
    ffmpeg(&["-i", text(&opus), "-c", "copy", text(&copied)]);
    let [ours, theirs] = [opus, copied].map(|path| samples(&path));
    assert!((ours.len() as i64 - theirs.len() as i64).abs() < 480, "{} and {}", ours.len(), theirs.len());
    // Clicks in the last second are where they were: 1 ms of each packet had been cut out.
    let tail = |all: &[f32]| loudness(&all[7 * 24_000..(7 * 24_000 + 22_000)]);
    let found = likeness_of(&tail(&ours), &tail(&theirs));
    assert!(found > 0.95, "{found}");
}

#[test]
fn a_copied_part_begins_where_it_was_cut() {
    let folder = folder();
    let (whole, part) = (folder.path().join("whole.mp4"), folder.path().join("part.mp4"));
    let sound = "aevalsrc='0.8*sin(2*PI*700*t)*lt(mod(t+0.05,0.1),0.01)':s=48000:d=3";
    ffmpeg(&["-f", "lavfi", "-i", sound, "-c:a", "libopus", "-b:a", "128k", text(&whole)]);
    ffmpeg(&["-ss", "1.03", "-i", text(&whole), "-c", "copy", text(&part)]);
    let coded = folder.path().join("part.mka");
    good(["encode", "-q", "-y", text(&part), text(&coded)]);
    let seconds = json(&["info", text(&coded), "--json"])["seconds"].as_f64().expect("a length");
    assert!((seconds - 1.97).abs() < 0.021, "{seconds}");
}
