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
        let output = run(["encode", "-y", "--audio", "auto", text(&input), text(&coded)]);
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
    let cases: [(&Path, &[&str], &str); 9] = [
        (&speech, &["--audio", "general"], "audio-48k"),
        (&music, &["--audio", "speech"], "speech-24k"),
        (&music, &[], "speech-24k"),
        (&music, &["--audio", "auto", "--bitrate", "3000"], "speech-24k"),
        (&speech, &["--audio", "auto", "--bitrate", "16k"], "audio-48k"),
        (&music, &["--audio", "auto", "--stages", "4"], "speech-24k"),
        (&music, &["--audio", "auto", "--dtx"], "speech-24k"),
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
    let piped = run_with(&["encode", "-y", "--audio", "auto", "-", text(&coded)], bytes);
    assert!(piped.status.success(), "{}", stderr(&piped));
    assert!(stderr(&piped).contains("read once only, so it is taken for speech"), "{}", stderr(&piped));
    assert_eq!(model(&coded), "speech-24k");
}

#[test]
fn stereo_comes_back_in_stereo_and_whole() {
    let folder = folder();
    let (source, coded) = (folder.path().join("a.wav"), folder.path().join("a.mka"));
    let music = clip("music.flac");
    // Music 12 dB softer on one side than on the other, for a number of samples that is no number of frames.
    for (near, pan) in [(0, "pan=stereo|c0=c0|c1=0.25*c0"), (1, "pan=stereo|c0=0.25*c0|c1=c0")] {
        let filter = format!("aresample=48000,atrim=end_sample=200123,{pan}");
        ffmpeg(&["-i", text(&music), "-af", &filter, "-c:a", "pcm_s16le", text(&source)]);
        good(["encode", "-y", "--audio", "general", "--bitrate", "12k", text(&source), text(&coded)]);
        let back = decode(&coded, &[]);
        assert_eq!(back.len(), 2 * 200_123);
        let power = |c: usize| back.iter().skip(c).step_by(2).map(|x| x * x).sum::<f32>();
        let ratio = 10.0 * (power(near) / power(1 - near)).log10();
        // The image is narrower (docs/general-audio.md), but the side is right.
        assert!((4.0..15.0).contains(&ratio), "12 dB came back as {ratio}");
        let mut reader = hound::WavReader::open(&source).expect("a WAV file");
        let samples = reader.samples::<i16>().map(|x| f32::from(x.expect("a sample")) / 32_768.0);
        let wanted: f32 = samples.map(|x| x * x).sum();
        let kept = 10.0 * ((power(0) + power(1)) / wanted).log10();
        assert!(kept.abs() < 4.0, "{kept} dB too loud");
    }
}
