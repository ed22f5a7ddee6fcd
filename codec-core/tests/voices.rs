//! Speaking with a bundle of voices. The bundle `toy` in `testdata` has the shape of Kokoro's and needs espeak-ng alone.

use std::path::{Path, PathBuf};

use siskin_core::Error;
use siskin_core::bundle::VoiceBundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};
use siskin_core::tts::{Speaker, Spoken};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/voices/toy")
}

fn runtime() -> Runtime {
    Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() }).expect("ONNX Runtime")
}

fn speaker() -> Speaker {
    Speaker::new(&VoiceBundle::open(folder()).expect("the toy bundle"), &runtime()).expect("espeak-ng")
}

fn say(speaker: &mut Speaker, text: &str, voice: usize, speed: f32) -> (Spoken, Vec<f32>) {
    let mut pcm = Vec::new();
    let spoken = speaker
        .speak_sentence(text, voice, speed, &mut |samples| {
            pcm.extend_from_slice(samples);
            true
        })
        .expect("spoken");
    (spoken, pcm)
}

#[test]
fn every_word_has_its_time() {
    let mut speaker = speaker();
    let (spoken, pcm) = say(&mut speaker, "Well, of the 25 birds one sings.", 0, 1.0);
    let words: Vec<&str> = spoken.words.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(words, ["Well,", "of", "the", "25", "birds", "one", "sings."]);
    assert_eq!(spoken.samples, pcm.len() as u64);
    assert!(spoken.words.windows(2).all(|w| w[0].end <= w[1].start), "{:?}", spoken.words);
    let last = spoken.words.last().expect("words");
    assert!(spoken.words[0].start > 0 && last.end <= spoken.samples, "boundaries belong to no word");
    // "twenty-five" has more sounds than "one".
    let length = |i: usize| spoken.words[i].end - spoken.words[i].start;
    assert!(length(3) > length(5), "{:?}", spoken.words);
    assert!(pcm.iter().any(|x| x.abs() > 0.1));
}

#[test]
fn what_is_abbreviated_sounds_like_what_is_written_out() {
    let mut speaker = speaker();
    for (short, long) in [
        ("Dr. Smith sings.", "doctor Smith sings."),
        ("Birds, etc., sing.", "Birds, et cetera, sing."),
        ("It costs $5.20 now.", "It costs 5 dollars 20 now."),
        ("At 48 kHz it sings.", "At 48 kilohertz it sings."),
        ("On 2026-11-28 it sings.", "On November 28th 2026 it sings."),
    ] {
        // The same samples: neither another sound nor a pause.
        let [(a, left), (b, right)] = [short, long].map(|text| say(&mut speaker, text, 0, 1.0));
        assert_eq!(left, right, "{short}");
        assert_eq!(a.samples, b.samples);
        let shown: Vec<&str> = a.words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(shown.join(" "), short, "subtitles show what was written");
    }
    // The pause that a full stop makes, which abbreviations had.
    let [(with, _), (without, _)] =
        ["The bird. Smith sings.", "The bird Smith sings."].map(|text| say(&mut speaker, text, 0, 1.0));
    assert!(with.samples > without.samples, "a mark takes time");
}

#[test]
fn speed_and_voice_are_heard() {
    let mut speaker = speaker();
    let (slow, low) = say(&mut speaker, "A bird.", 0, 0.5);
    let (fast, _) = say(&mut speaker, "A bird.", 0, 2.0);
    assert_eq!(slow.samples, 4 * fast.samples);
    let (_, high) = say(&mut speaker, "A bird.", 1, 0.5);
    assert_ne!(low, high);
    assert_eq!(low, say(&mut speaker, "A bird.", 0, 0.5).1, "the same text gives the same samples");
}

#[test]
fn a_language_has_phonemes_of_its_own() {
    let mut speaker = speaker();
    let english = say(&mut speaker, "25", 0, 1.0).0.samples;
    let german = say(&mut speaker, "25", 2, 1.0).0.samples;
    assert_ne!(english, german);
}

#[test]
fn what_has_no_sound_gives_none() {
    let mut speaker = speaker();
    for text in ["", "...", "   ", "\u{1f600}"] {
        let (spoken, pcm) = say(&mut speaker, text, 0, 1.0);
        assert!(spoken.words.is_empty() && pcm.is_empty(), "{text:?}: {spoken:?}");
    }
}

#[test]
fn more_phonemes_than_the_network_takes_are_spoken_in_pieces() {
    let mut speaker = speaker();
    let text = "1234567890 ".repeat(20);
    let (spoken, pcm) = say(&mut speaker, &text, 0, 1.0);
    assert_eq!(spoken.words.len(), 20);
    assert_eq!(spoken.samples, pcm.len() as u64);
}

#[test]
fn a_listener_who_has_enough_is_not_spoken_to() {
    let mut speaker = speaker();
    let mut calls = 0;
    let text = "1234567890 ".repeat(20);
    let stop = &mut |_: &[f32]| {
        calls += 1;
        false
    };
    speaker.speak_sentence(&text, 0, 1.0, stop).expect("no failure");
    assert_eq!(calls, 1);
}

#[test]
fn wrong_parameters_say_what_is_allowed() {
    let mut speaker = speaker();
    for speed in [0.0, 3.0, f32::NAN] {
        let error = speaker.speak_sentence("a", 0, speed, &mut |_| true).expect_err("a wrong speed");
        assert!(matches!(error, Error::Parameter { name: "speed", .. }), "{error}");
    }
    assert!(speaker.speak_sentence("a", 99, 1.0, &mut |_| true).is_err());
    let error = speaker.manifest().voice(Some("nobody")).expect_err("no such voice").to_string();
    assert!(error.contains("low, high, tief"), "{error}");
    assert_eq!(speaker.manifest().voice_of_language("de").expect("a German voice"), 2);
    assert_eq!(speaker.manifest().voice_of_language("DE").expect("tags have no case"), 2);
    assert_eq!(speaker.manifest().voice_of_language("en").expect("the default voice"), 0);
    let error = speaker.manifest().voice_of_language("tlh").expect_err("no Klingon").to_string();
    assert!(error.contains("de, en-us"), "{error}");
}

#[test]
fn a_damaged_bundle_is_refused() {
    let copy = tempfile::tempdir().expect("a folder");
    for file in ["manifest.json", "model.onnx", "voices.safetensors"] {
        std::fs::copy(folder().join(file), copy.path().join(file)).expect("copied");
    }
    let mut styles = std::fs::read(copy.path().join("voices.safetensors")).expect("read");
    *styles.last_mut().expect("not empty") ^= 1;
    std::fs::write(copy.path().join("voices.safetensors"), styles).expect("written");
    let error = VoiceBundle::open(copy.path()).map(|_| ()).expect_err("another hash").to_string();
    assert!(error.contains("voices.safetensors has sha256"), "{error}");
    std::fs::write(copy.path().join("manifest.json"), "{\"format\":1,\"kind\":\"audio\"}").expect("written");
    assert!(VoiceBundle::open(copy.path()).is_err());
}

/// Kokoro itself, where it has been imported (`siskin models import kokoro --fetch`).
#[test]
fn kokoro_speaks_as_long_as_its_durations() {
    let Ok(bundle) = VoiceBundle::find("kokoro") else {
        eprintln!("skipped: the voices kokoro are not installed (siskin models import kokoro --fetch)");
        return;
    };
    let mut speaker = Speaker::new(&bundle, &runtime()).expect("espeak-ng");
    let voice = bundle.manifest().voice(Some("af_heart")).expect("the voice");
    let (spoken, pcm) = say(&mut speaker, "Hello bird.", voice, 1.0);
    let words: Vec<&str> = spoken.words.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(words, ["Hello", "bird."]);
    assert!((12_000..60_000).contains(&pcm.len()), "{} samples", pcm.len());
    let level = |from: u64, to: u64| {
        let part = &pcm[from as usize..to as usize];
        part.iter().map(|x| x * x).sum::<f32>() / part.len() as f32
    };
    // The word is loud and the silence before it is not.
    let word = &spoken.words[0];
    assert!(level(word.start, word.end) > 100.0 * level(0, word.start / 2), "{spoken:?}");
}
