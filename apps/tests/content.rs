//! `siskin encode --audio`: which bundle sound is encoded with.

mod common;

use std::path::Path;

use common::*;

/// The bundle that a coded file names.
fn model(coded: &Path) -> String {
    let info = json(&["info", "--json", text(coded)]);
    info["model"].as_str().expect("a name").to_owned()
}

/// Plucked strings, one on each side in turn.
fn stereo(seconds: usize) -> Vec<f32> {
    let pluck = |i: usize, f: f32| {
        let t = (i % 24_000) as f32 / 48_000.0;
        let partials = (1..10).map(|k| (std::f32::consts::TAU * f * k as f32 * t).sin() / k as f32);
        0.2 * (-5.0 * t).exp() * partials.sum::<f32>()
    };
    let side = |i: usize| i / 24_000 % 2;
    (0..48_000 * seconds)
        .flat_map(|i| if side(i) == 0 { [pluck(i, 220.0), 0.0] } else { [0.0, pluck(i, 330.0)] })
        .collect()
}

#[test]
fn sound_is_listened_to_and_the_choice_is_told() {
    let folder = folder();
    let (left_right, coded) = (folder.path().join("stereo.wav"), folder.path().join("a.mka"));
    interleaved_wav(&left_right, &stereo(3), 48_000, 2);
    let cases = [
        (clip("speech-it-male.flac"), "speech-24k"),
        (clip("speech-be.flac"), "speech-24k"),
        (clip("speech-fr-female.flac"), "speech-24k"),
        (clip("music.flac"), "audio-48k"),
        (left_right, "audio-48k"),
    ];
    for (input, wanted) in cases {
        let output = run(["encode", "-y", text(&input), text(&coded)]);
        assert!(output.status.success(), "{}", stderr(&output));
        let told = stderr(&output);
        let words = if wanted == "speech-24k" {
            "Taken for speech: speech-24k, --audio general for audio-48k"
        } else {
            "Taken for music, sounds or stereo: audio-48k, --audio speech for speech-24k"
        };
        assert!(told.contains(words), "{}: {told}", input.display());
        assert_eq!(model(&coded), wanted, "{}", input.display());
    }
}

#[test]
fn what_is_asked_for_decides_first() {
    let folder = folder();
    let coded = folder.path().join("a.mka");
    let (speech, music) = (clip("speech-be.flac"), clip("music.flac"));
    let cases: [(&Path, &[&str], &str); 7] = [
        (&speech, &["--audio", "general"], "audio-48k"),
        (&music, &["--audio", "speech"], "speech-24k"),
        (&music, &["--bitrate", "3000"], "speech-24k"),
        (&speech, &["--bitrate", "16k"], "audio-48k"),
        (&music, &["--stages", "4"], "speech-24k"),
        (&music, &["--model", "speech-24k"], "speech-24k"),
        (&speech, &["--audio", "general", "--stages", "4"], "audio-48k"),
    ];
    for (input, options, wanted) in cases {
        good([&["encode", "-y"], options, &[text(input), text(&coded)]].concat());
        assert_eq!(model(&coded), wanted, "{options:?}");
    }
    let both = ["encode", "-y", "--audio", "speech", "--model", "audio-48k", text(&speech), text(&coded)];
    let refused = run(both);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    // A pipe is read once.
    let bytes = std::fs::read(&music).expect("a clip");
    let piped = run_with(&["encode", "-y", "-", text(&coded)], bytes);
    assert!(piped.status.success(), "{}", stderr(&piped));
    assert_eq!(model(&coded), "speech-24k");
}

#[test]
fn stereo_comes_back_in_stereo_and_whole() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.wav"), folder.path().join("a.mka"));
    for seconds in [2, 5] {
        let pcm = stereo(seconds);
        interleaved_wav(&source, &pcm, 48_000, 2);
        good(["encode", "-y", "--bitrate", "24k", text(&source), text(&coded)]);
        let back = decode(&coded, &[]);
        assert_eq!(back.len(), pcm.len());
        // Each string is louder on its side.
        let power = |of: &[f32], channel: usize| {
            let halves = of.chunks(48_000).skip(channel).step_by(2);
            let on = |c: usize| {
                halves.clone().flat_map(|h| h.iter().skip(c).step_by(2)).map(|x| x * x).sum::<f32>()
            };
            (on(channel), on(1 - channel))
        };
        for side in [0, 1] {
            let ((wanted, _), (kept, leaked)) = (power(&pcm, side), power(&back, side));
            assert!((0.4..2.0).contains(&(kept / wanted)), "side {side}: {kept} of {wanted}");
            assert!(leaked < 0.3 * kept, "side {side}: {leaked} beside {kept}");
        }
    }
}
