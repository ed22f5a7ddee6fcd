//! Bundles of published codecs in every verb.

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::*;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::import::testing::{Tensors, small_dac, small_encodec, small_encodec_stereo, small_snac};
use siskin_core::runtime::Runtime;

struct Codec {
    kind: &'static str,
    /// Samples a second, and channels.
    format: [u32; 2],
    /// Codes a frame, and the default.
    stages: [u64; 2],
    hop: u64,
    /// A rate that the codec has, in bits a second, and the stages that it stands for.
    rate: [u64; 2],
    /// Token files that hold all that its tokens need.
    tokens: &'static str,
    checkpoint: fn() -> Tensors,
}

const MONO: [u32; 2] = [24_000, 1];

const CODECS: [Codec; 4] = [
    Codec {
        kind: "dac",
        format: MONO,
        stages: [32, 32],
        hop: 320,
        rate: [3000, 4],
        tokens: "npy",
        checkpoint: small_dac,
    },
    Codec {
        kind: "snac",
        format: MONO,
        stages: [7, 7],
        hop: 2048,
        rate: [500, 3],
        tokens: "npy",
        checkpoint: small_snac,
    },
    Codec {
        kind: "encodec",
        format: MONO,
        stages: [4, 4],
        hop: 320,
        rate: [1500, 2],
        tokens: "npy",
        checkpoint: small_encodec,
    },
    Codec {
        kind: "encodec",
        format: [48_000, 2],
        stages: [4, 4],
        hop: 320,
        rate: [3000, 2],
        tokens: "jsonl",
        checkpoint: small_encodec_stereo,
    },
];

/// Bundles in the folder that a program with this data directory finds.
fn import(codec: &Codec, folder: &Path) -> PathBuf {
    let checkpoint = folder.join("checkpoint.safetensors");
    (codec.checkpoint)().write(&checkpoint).expect("a writable folder");
    let bundles = folder.join("bundles");
    let into = bundles.join(codec.kind);
    let line = json(&["models", "import", codec.kind, text(&checkpoint), "-o", text(&into), "--json"]);
    assert_eq!((&line["name"], &line["path"]), (&codec.kind.into(), &text(&into).into()));
    bundles
}

fn with(bundles: &Path, args: &[&str]) -> Output {
    siskin().args(args).env("SISKIN_BUNDLES", bundles).output().expect("the program")
}

fn good_with(bundles: &Path, args: &[&str]) -> Vec<u8> {
    let output = with(bundles, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    output.stdout
}

/// The last line of a run with `--json`.
fn result_with(bundles: &Path, args: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    ndjson(&good_with(bundles, &args)).pop().expect("a result")
}

#[test]
fn a_gap_in_two_channels_lasts_as_long_as_it_does() {
    let folder = folder();
    let bundles = import(&CODECS[3], folder.path());
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (source, coded) = (path("in.mkv"), path("out.mka"));
    // Two gaps of 2 s, each of which ends a run of the resampler.
    let sound =
        "sine=300:r=44100:d=3,aformat=channel_layouts=stereo,asetpts=PTS+(gte(T\\,1)+gte(T\\,2))*2/TB";
    ffmpeg(&["-f", "lavfi", "-i", sound, "-c:a", "pcm_s16le", &source]);
    good_with(&bundles, &["encode", "-m", "encodec", &source, &coded, "--quiet"]);
    let samples = result_with(&bundles, &["info", &coded])["samples"].as_u64().expect("a number");
    // 7 are lost to Matroska's milliseconds; they were 41 when a run's end was counted once for each channel.
    assert!(samples.abs_diff(7 * 48_000) < 15, "{samples}");
}

#[test]
fn every_verb_takes_a_published_codec() {
    for codec in &CODECS {
        let folder = folder();
        let bundles = import(codec, folder.path());
        let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (source, coded, back) = (path("in.wav"), path("out.mka"), path("back.wav"));
        let (samples, [sample_rate, channels], kind) = (60_000u64, codec.format, codec.kind);
        wav(Path::new(&source), &voice(samples as usize, sample_rate), sample_rate, channels as u16);

        let listed = ndjson(&good_with(&bundles, &["models", "list", "--json"]));
        assert!(listed.iter().any(|l| l["name"] == kind && l["sample_rate"] == sample_rate), "{listed:?}");
        assert_eq!(result_with(&bundles, &["models", "verify", kind])["ok"], true);

        good_with(&bundles, &["encode", "-m", kind, &source, &coded, "--quiet"]);
        let info = result_with(&bundles, &["info", &coded]);
        assert_eq!((&info["samples"], &info["hop"]), (&samples.into(), &codec.hop.into()), "{info}");
        assert_eq!((&info["sample_rate"], &info["channels"]), (&sample_rate.into(), &channels.into()));
        assert_eq!(info["stages_highest"], codec.stages[1], "{info}");
        assert_eq!(info["stages_lowest"], codec.stages[1], "all frames alike: {info}");
        // What an option does not do is said.
        let wide =
            with(&bundles, &["encode", "-y", "-m", kind, "--search-width", "16", &source, &path("wide.mka")]);
        assert!(wide.status.success() && stderr(&wide).contains("changes nothing"), "{}", stderr(&wide));
        good_with(&bundles, &["verify", &coded]);
        good_with(&bundles, &["decode", &coded, &back, "--quiet"]);
        let stream = &probe(Path::new(&back), "a", "stream=duration_ts,sample_rate,channels")[0];
        assert_eq!((&stream["duration_ts"], &stream["channels"]), (&samples.into(), &channels.into()));
        assert_eq!(stream["sample_rate"], sample_rate.to_string());
        let compared = result_with(&bundles, &["compare", &source, &coded]);
        assert_eq!(compared["reference_samples"], samples, "{compared}");
        assert!(compared["mel_distance"].is_number(), "{compared}");

        // A lower rate is whole levels.
        let low = path("low.mka");
        let rate = codec.rate[0].to_string();
        good_with(&bundles, &["encode", "-m", kind, "-b", &rate, &source, &low, "--quiet"]);
        assert_eq!(result_with(&bundles, &["info", &low])["stages_highest"], codec.rate[1], "{kind}");

        // Tokens out of sound and back: as many frames as the samples fill, and all of the sound.
        let (tokens, made) = (path(&format!("t.{}", codec.tokens)), path("t.mka"));
        good_with(&bundles, &["tokens", "export", "-m", kind, &source, &tokens, "--quiet"]);
        let about = result_with(&bundles, &["tokens", "info", &tokens]);
        // Segments overlap, and so have frames of their own for what both hold: 150 of the first and 39 of the second.
        let frames = if channels == 2 { 150 + 39 } else { samples.div_ceil(codec.hop) };
        assert_eq!(about["frames"], frames, "{about}");
        assert_eq!(about["codebooks"], codec.stages[0], "{about}");
        good_with(&bundles, &["tokens", "import", "-m", kind, &tokens, &made, "--quiet"]);
        assert_eq!(result_with(&bundles, &["info", &made])["samples"], samples, "{kind}");
        good_with(&bundles, &["decode", "-y", &made, &back, "--quiet"]);
        assert_eq!(probe(Path::new(&back), "a", "stream=duration_ts")[0]["duration_ts"], samples, "{kind}");

        let bench = result_with(&bundles, &["bench", "-m", kind, "--seconds", "1"]);
        assert!(bench["encode"]["frames"].as_u64() > Some(0), "{bench}");
    }
}

#[test]
fn a_file_needs_the_bundle_that_made_it_and_says_so() {
    let folder = folder();
    let bundles = import(&CODECS[1], folder.path());
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    wav(Path::new(&path("in.wav")), &voice(9000, 24_000), 24_000, 1);
    good_with(&bundles, &["encode", "-m", "snac", &path("in.wav"), &path("out.mka"), "--quiet"]);
    let output = run(["decode", &path("out.mka"), &path("back.wav")]);
    assert_fails(&output, 1, "snac");
    // In pauses the decoder starts anew, which one that lags cannot.
    let output = with(
        &bundles,
        &["encode", "-m", "snac", "--dtx", "--frames-per-packet", "1", &path("in.wav"), &path("dtx.mka")],
    );
    assert_fails(&output, 2, "looks ahead");
}

#[test]
fn what_is_no_checkpoint_leaves_nothing() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(path("talk.bin"), b"no checkpoint at all").expect("a file");
    let output = run(["models", "import", "mimi", &path("talk.bin"), "-o", &path("bundle")]);
    assert_fails(&output, 1, "neither a PyTorch archive nor safetensors");
    assert_fails(&run(["models", "import", "mimi", "-o", &path("bundle")]), 2, "no checkpoint of mimi given");
    assert_files(folder.path(), &["talk.bin"]);
}

/// What the library makes of interleaved samples.
fn coded_by_the_library(bundle: &Path, pcm: &[f32]) -> Vec<f32> {
    let bundle = Bundle::open(bundle).expect("a bundle");
    let runtime = Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup");
    let mut encoder = Encoder::new(&bundle, &runtime, &EncoderConfig::default()).expect("an encoder");
    let mut decoder = Decoder::new(&bundle, &runtime).expect("a decoder");
    let mut out = Vec::new();
    let mut decode = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
        decoder.decode(packet.data, &mut out).map(drop)
    };
    encoder.push_samples(pcm, &mut decode).expect("samples");
    encoder.finish_stream(&mut decode).expect("an end");
    out
}

#[test]
fn stereo_stays_apart_and_scales_go_through_tokens() {
    let folder = folder();
    let bundles = import(&CODECS[3], folder.path());
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (source, coded, again) = (path("in.wav"), path("out.mka"), path("again.mka"));
    // A voice on the left, and half of it backwards on the right.
    let left = voice(120_000, 48_000);
    let pcm: Vec<f32> = left.iter().zip(left.iter().rev()).flat_map(|(&l, &r)| [l, 0.5 * r]).collect();
    interleaved_wav(Path::new(&source), &pcm, 48_000, 2);
    good_with(&bundles, &["encode", "-m", "encodec", &source, &coded, "--quiet"]);
    // Each channel is in its place: the library makes the same of these samples, and something else of exchanged ones.
    let found = decode(Path::new(&coded), &["--model", text(&bundles.join("encodec"))]);
    let energy = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    let distance = |pcm: &[f32]| {
        let expected = coded_by_the_library(&bundles.join("encodec"), pcm);
        assert_eq!(found.len(), expected.len());
        energy(&found.iter().zip(&expected).map(|(a, b)| a - b).collect::<Vec<_>>()) / energy(&expected)
    };
    let exchanged: Vec<f32> = pcm.as_chunks::<2>().0.iter().flat_map(|&[l, r]| [r, l]).collect();
    let (same, other) = (distance(&pcm), distance(&exchanged));
    assert!(same < 0.01 && other > 0.1, "{same} as they are, {other} exchanged");
    // Out of the coded file, through a token file and back: the same packets, and so the same sound.
    for (tokens, is_exact) in [("t.safetensors", true), ("t.jsonl", true), ("t.npy", false)] {
        let tokens = path(tokens);
        let exported = with(&bundles, &["tokens", "export", &coded, &tokens, "--quiet"]);
        assert_eq!(exported.status.success(), is_exact, "{}", stderr(&exported));
        if !is_exact {
            assert!(stderr(&exported).contains("scales"), "{}", stderr(&exported));
            continue;
        }
        good_with(&bundles, &["tokens", "import", "-y", &tokens, &again, "--quiet"]);
        let decoded = [&coded, &again].map(|file| good_with(&bundles, &["decode", "--float", file, "-"]));
        assert!(decoded[0] == decoded[1], "{tokens}");
    }
    let described = stderr(&with(&bundles, &["decode", "-y", &coded, &path("back.wav")]));
    assert!(described.contains("48000 Hz stereo"), "{described}");
    // What a stream of segments cannot have is told before a file is made.
    for (option, said) in [(["--frames-per-packet", "3"], "segment"), (["--redundancy", "1"], "segments")] {
        let none = path("none.mka");
        let args: Vec<&str> =
            ["encode", "-m", "encodec"].into_iter().chain(option).chain([&*source, &*none]).collect();
        let refused = with(&bundles, &args);
        assert!(!refused.status.success() && stderr(&refused).contains(said), "{}", stderr(&refused));
        assert!(!Path::new(&none).exists());
    }
    // Mono becomes two channels, and five are mixed down to two.
    for (channels, said) in [(1, "mono"), (6, "down to stereo")] {
        wav(Path::new(&source), &voice(20_000, 44_100), 44_100, channels);
        let encoded = with(&bundles, &["encode", "-y", "-m", "encodec", &source, &coded]);
        assert!(encoded.status.success() && stderr(&encoded).contains(said), "{}", stderr(&encoded));
    }
}
