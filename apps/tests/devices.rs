//! `siskin play` and `siskin call` on the sound servers of the platform, each started for its test without a device.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "tests that say what they skip and what they measured"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::sound_server::{Kind, SoundServer};
use common::*;

const RATE: usize = 24_000;
/// Length of the clip, in seconds.
const CLIP: f64 = 4.0;
/// How much longer playing may take: opening the ring, the device's buffer, a busy machine.
const MARGIN: f64 = 1.5;

/// A running program, whose lines on stderr are kept with their time.
struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        command.env("SISKIN_DEV_ROOT", root()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let lines: Arc<Mutex<Vec<_>>> = Arc::default();
        let (stderr, kept) = (child.stderr.take().expect("a pipe"), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().expect("no panic").push((Instant::now(), line));
            }
        });
        Self { child, lines }
    }

    fn on(server: &SoundServer, args: &[&str]) -> Self {
        let mut command = server.command(env!("CARGO_BIN_EXE_siskin"));
        command.args(args);
        Self::start(command)
    }

    fn said(&self) -> String {
        let lines = self.lines.lock().expect("no panic");
        lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// When a line with `text` came; waits for it.
    fn wait_for(&self, text: &str) -> Instant {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let lines = self.lines.lock().expect("no panic");
            if let Some((at, _)) = lines.iter().find(|(_, line)| line.contains(text)) {
                return *at;
            }
            drop(lines);
            assert!(Instant::now() < until, "no {text:?} in {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end, which has to come within `seconds`.
    fn end(&mut self, seconds: f64) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            if Instant::now() > until {
                self.child.kill().expect("a child");
                panic!("still there after {seconds} s: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How much of `played` is in `heard` without a gap or a jump: the share of the windows with sound that are the same at
/// one place.
fn share_heard(played: &[f32], heard: &[f32]) -> f64 {
    const WINDOW: usize = RATE / 10;
    let energy = |s: &[f32]| s.iter().map(|x| f64::from(x * x)).sum::<f64>();
    let difference = |from: usize, start: usize| {
        let part = heard.get(start + from..start + from + WINDOW)?;
        Some(
            played[from..from + WINDOW]
                .iter()
                .zip(part)
                .map(|(a, b)| f64::from((a - b) * (a - b)))
                .sum::<f64>(),
        )
    };
    let first = |s: &[f32]| s.iter().position(|x| x.abs() > 0.05);
    let (Some(from), Some(at)) = (first(played), first(heard)) else { return 0.0 };
    // Dither and rounding may shift the first loud sample.
    let near = (at + 40).saturating_sub(from).saturating_sub(80)..=(at + 40).saturating_sub(from);
    let start = near.min_by(|&a, &b| {
        let [a, b] = [a, b].map(|start| difference(from, start).unwrap_or(f64::MAX));
        a.total_cmp(&b)
    });
    let start = start.unwrap_or_default();
    let windows: Vec<usize> = (0..played.len() / WINDOW).map(|n| n * WINDOW).collect();
    let loudest = windows.iter().map(|&f| energy(&played[f..f + WINDOW])).fold(0.0, f64::max);
    let sounding: Vec<usize> =
        windows.into_iter().filter(|&f| energy(&played[f..f + WINDOW]) > 0.01 * loudest).collect();
    // 20 dB: dither stays far below, a lost period does not.
    let same = |&&from: &&usize| {
        difference(from, start).is_some_and(|d| d < 0.01 * energy(&played[from..from + WINDOW]))
    };
    sounding.iter().filter(same).count() as f64 / sounding.len().max(1) as f64
}

/// A coded clip of `seconds` of speech, which resembles itself nowhere, and the samples that are to be heard.
fn clip(folder: &Path, seconds: f64) -> (PathBuf, Vec<f32>) {
    let (speech, coded) = (folder.join("speech.wav"), folder.join("speech.mka"));
    let length = seconds.to_string();
    ffmpeg(&[
        "-i",
        text(&common::clip("speech-fr-female.flac")),
        "-t",
        &length,
        "-ar",
        "24000",
        text(&speech),
    ]);
    good(["encode", text(&speech), text(&coded)]);
    let samples = decode(&coded, &[]);
    assert_eq!(samples.len() as f64 / RATE as f64, seconds);
    (coded, samples)
}

/// Whether the program said that it or the server got too little time, in which case neither is judged.
fn is_too_busy(said: &str) -> bool {
    said.contains("was too slow") || said.contains("dropped out")
}

/// Plays the clip and checks how long that takes and what was heard.
fn check_playing(kind: Kind, device: &[&str]) {
    let Some(server) = SoundServer::start(kind) else { return };
    let folder = folder();
    let (coded, samples) = clip(folder.path(), CLIP);
    // Other tests run at the same time, and a device without a clock of its own drops out when it gets no time.
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let recorder = server.record();
        let xruns = server.xruns();
        let mut playing = Running::on(&server, &[&["play", text(&coded)], device].concat());
        let begun = playing.wait_for("Playing on");
        assert!(playing.end(30.0).success(), "{}", playing.said());
        let took = begun.elapsed().as_secs_f64();
        let heard = recorder.end();
        let same = share_heard(&samples, &heard);
        println!("{kind:?} {device:?}: {took:.2} s, {:.0} % heard\n{}", same * 100.0, playing.said());
        if (CLIP..CLIP + MARGIN).contains(&took) && same == 1.0 {
            return;
        }
        // ALSA's plugin for JACK has a thread of its own for the server, so an xrun there says nothing about the program.
        if is_too_busy(&playing.said()) || server.xruns() > xruns {
            continue;
        }
        outcomes.push((took, same));
    }
    if outcomes.is_empty() {
        println!("this machine is too busy for the sound to be judged");
        return;
    }
    panic!("{kind:?}: seconds and share heard of {CLIP} s: {outcomes:?}");
}

#[test]
fn a_clip_on_pulseaudio_takes_its_length_and_is_heard_whole() {
    check_playing(Kind::PulseAudio, &[]);
}

#[test]
fn a_clip_on_pipewire_takes_its_length_and_is_heard_whole() {
    check_playing(Kind::PipeWire, &[]);
}

#[test]
fn a_clip_on_alsas_pipewire_plugin_takes_its_length_and_is_heard_whole() {
    check_playing(Kind::PipeWireOverAlsa, &[]);
}

#[test]
fn a_clip_on_jack_takes_its_length_and_is_heard_whole() {
    check_playing(Kind::Jack(1024), &["--device", "JACK Output"]);
}

#[test]
fn a_clip_on_alsas_jack_plugin_takes_its_length_and_is_heard_whole() {
    check_playing(Kind::Jack(1024), &["--device", "jack"]);
}

#[test]
fn a_clip_on_alsas_null_takes_its_length() {
    let folder = folder();
    let (coded, _) = clip(folder.path(), CLIP);
    let mut command = siskin();
    command.args(["play", text(&coded), "--device", "null"]);
    let mut playing = Running::start(command);
    let begun = playing.wait_for("Playing on");
    assert!(playing.end(30.0).success(), "{}", playing.said());
    let took = begun.elapsed().as_secs_f64();
    let said = playing.said();
    assert!(took > CLIP - 0.2, "{took} s for {CLIP} s: {said}");
    assert!(took < CLIP + MARGIN || is_too_busy(&said), "{took} s for {CLIP} s: {said}");
}

#[test]
fn devices_are_listed_with_jack_where_its_server_runs() {
    let Some(mut server) = SoundServer::start(Kind::Jack(1024)) else { return };
    let list = |server: &SoundServer| {
        let mut command = server.command(env!("CARGO_BIN_EXE_siskin"));
        let output = command.args(["play", "--list-devices"]).output().expect("the binary starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = list(&server);
    assert!(listed.lines().any(|l| l == "JACK Output") && !listed.contains("JACK Input"), "{listed}");
    server.kill();
    assert!(!list(&server).contains("JACK Output"));
}

#[test]
fn playing_goes_on_when_the_server_is_back() {
    let Some(mut server) = SoundServer::start(Kind::PulseAudio) else { return };
    let folder = folder();
    let (coded, _) = clip(folder.path(), 10.0);
    let mut playing = Running::on(&server, &["play", text(&coded)]);
    playing.wait_for("Playing on");
    std::thread::sleep(Duration::from_secs(6));
    server.kill();
    playing.wait_for("is gone");
    std::thread::sleep(Duration::from_secs(2));
    server.run();
    let back = playing.wait_for("is back");
    assert!(playing.end(30.0).success(), "{}", playing.said());
    let rest = back.elapsed().as_secs_f64();
    // Four seconds of it were left, and a little that the decoder was late for at the beginning. From its beginning, or
    // as if the time without a device had not passed, it would take ten.
    assert!((3.8..9.0).contains(&rest), "{rest} s after the server was back: {}", playing.said());
}

/// A call with the server's devices on this side and files on the other.
fn call(server: &SoundServer, folder: &Path, seconds: u32, devices: &[&str]) -> (Running, Running) {
    let voice_file = folder.join("said.wav");
    wav(&voice_file, &voice(RATE * seconds as usize, RATE as u32), RATE as u32, 1);
    let length = seconds.to_string();
    let args = ["call", "--listen", "127.0.0.1:0", "--seconds", &length];
    let near = Running::on(server, &[&args[..], devices].concat());
    near.wait_for("Waiting for a call at ");
    let said = near.said();
    let address = said.rsplit("at ").next().expect("an address").trim();
    let heard = folder.join("heard.wav");
    let far = ["call", "--connect", address, "--input", text(&voice_file), "--output", text(&heard), "-y"];
    (near, Running::on(server, &far))
}

#[test]
fn a_call_goes_on_without_its_server_and_with_it_when_it_is_back() {
    let Some(mut server) = SoundServer::start(Kind::PulseAudio) else { return };
    let folder = folder();
    let (mut near, mut far) = call(&server, folder.path(), 14, &[]);
    let begun = near.wait_for("In a call");
    std::thread::sleep(Duration::from_secs(3));
    server.kill();
    near.wait_for("the loudspeaker Default Audio Device is gone");
    near.wait_for("the microphone Default Audio Device is gone");
    server.run();
    near.wait_for("the loudspeaker Default Audio Device is back");
    near.wait_for("the microphone Default Audio Device is back");
    assert!(near.end(30.0).success(), "{}", near.said());
    let took = begun.elapsed().as_secs_f64();
    assert!((13.0..18.0).contains(&took), "{took} s");
    assert!(far.end(10.0).success(), "{}", far.said());
    assert_eq!(near.said().matches("is gone").count(), 2, "once each: {}", near.said());
}

#[test]
fn a_call_ends_in_time_while_its_server_stands_still() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    let folder = folder();
    let (mut near, mut far) = call(&server, folder.path(), 8, &[]);
    let begun = near.wait_for("In a call");
    std::thread::sleep(Duration::from_secs(2));
    server.signal("-STOP");
    let status = near.end(30.0);
    let took = begun.elapsed().as_secs_f64();
    server.signal("-CONT");
    assert!(status.success(), "{}", near.said());
    assert!((7.5..11.0).contains(&took), "{took} s: {}", near.said());
    near.wait_for("the loudspeaker Default Audio Device is gone (it stands still)");
    assert!(far.end(10.0).success(), "{}", far.said());
}

#[test]
fn a_call_on_jack_says_that_its_period_is_long_and_ends_without_the_server() {
    let Some(mut server) = SoundServer::start(Kind::Jack(2048)) else { return };
    let folder = folder();
    let devices = ["--input-device", "JACK Input", "--output-device", "JACK Output"];
    let (mut near, mut far) = call(&server, folder.path(), 8, &devices);
    let begun = near.wait_for("In a call");
    near.wait_for("JACK Output takes 85 ms of samples at a time, 10 ms were wanted");
    std::thread::sleep(Duration::from_secs(2));
    server.kill();
    near.wait_for("the loudspeaker JACK Output is gone");
    assert!(near.end(30.0).success(), "{}", near.said());
    let took = begun.elapsed().as_secs_f64();
    assert!((7.5..11.0).contains(&took), "{took} s: {}", near.said());
    assert!(far.end(10.0).success(), "{}", far.said());
}

#[test]
fn a_call_through_alsas_jack_plugin_has_a_short_delay() {
    let Some(server) = SoundServer::start(Kind::Jack(256)) else { return };
    let folder = folder();
    let (mut near, mut far) = call(&server, folder.path(), 5, &[]);
    near.wait_for("In a call");
    assert!(near.end(30.0).success(), "{}", near.said());
    assert!(far.end(10.0).success(), "{}", far.said());
    let said = near.said();
    let delay = said.rsplit("delay ").next().and_then(|d| d.split(' ').next()?.parse::<f64>().ok());
    // 256 samples are 10.7 ms; the first seconds after the start are among the measured ones.
    assert!(delay.is_some_and(|d| d < 250.0), "{said}");
}

/// `script` gives the program a terminal, in which a key is pressed.
#[test]
fn a_key_ends_playing_while_the_server_stands_still() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    let folder = folder();
    let (coded, _) = clip(folder.path(), CLIP);
    let line = format!("{} play {}", env!("CARGO_BIN_EXE_siskin"), text(&coded));
    let mut command = server.command("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.env("SISKIN_DEV_ROOT", root()).spawn().expect("script starts");
    std::thread::sleep(Duration::from_secs(3));
    server.signal("-STOP");
    std::thread::sleep(Duration::from_secs(1));
    child.stdin.as_mut().expect("a pipe").write_all(b"q").expect("a key");
    let pressed = Instant::now();
    let until = pressed + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() > until {
            child.kill().expect("a child");
            server.signal("-CONT");
            panic!("q did not end it");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    server.signal("-CONT");
    let output = child.wait_with_output().expect("an end");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(status.success() && shown.contains("Playing on"), "{shown}");
    println!("ended {:.2} s after the key", pressed.elapsed().as_secs_f64());
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let Some(server) = SoundServer::start(Kind::PulseAudio) else { return };
    let folder = folder();
    let (coded, _) = clip(folder.path(), CLIP);
    server.signal("-STOP");
    let mut playing = Running::on(&server, &["play", text(&coded)]);
    let status = playing.end(20.0);
    server.signal("-CONT");
    assert_eq!(status.code(), Some(1));
    assert!(
        playing.said().ends_with("the sound server does not answer within 5 seconds"),
        "{}",
        playing.said()
    );
}
