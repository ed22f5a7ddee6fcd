//! Bundles of published codecs in every verb.

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::*;
use siskin_core::import::testing::{Tensors, small_dac, small_encodec, small_snac};

struct Codec {
    kind: &'static str,
    /// Codes a frame, and the default.
    stages: [u64; 2],
    hop: u64,
    /// A rate that the codec has, in bits a second, and the stages that it stands for.
    rate: [u64; 2],
    checkpoint: fn() -> Tensors,
}

const CODECS: [Codec; 3] = [
    Codec { kind: "dac", stages: [32, 32], hop: 320, rate: [3000, 4], checkpoint: small_dac },
    Codec { kind: "snac", stages: [7, 7], hop: 2048, rate: [500, 3], checkpoint: small_snac },
    Codec { kind: "encodec", stages: [4, 4], hop: 320, rate: [1500, 2], checkpoint: small_encodec },
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
fn every_verb_takes_a_published_codec() {
    for codec in &CODECS {
        let folder = folder();
        let bundles = import(codec, folder.path());
        let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (source, coded, back) = (path("in.wav"), path("out.mka"), path("back.wav"));
        let samples = 40_000u64;
        wav(Path::new(&source), &voice(samples as usize, 24_000), 24_000, 1);
        let kind = codec.kind;

        let listed = ndjson(&good_with(&bundles, &["models", "list", "--json"]));
        assert!(listed.iter().any(|l| l["name"] == kind && l["sample_rate"] == 24_000), "{listed:?}");
        assert_eq!(result_with(&bundles, &["models", "verify", kind])["ok"], true);

        good_with(&bundles, &["encode", "-m", kind, &source, &coded, "--quiet"]);
        let info = result_with(&bundles, &["info", &coded]);
        assert_eq!((&info["samples"], &info["hop"]), (&samples.into(), &codec.hop.into()), "{info}");
        assert_eq!(info["stages_highest"], codec.stages[1], "{info}");
        assert_eq!(info["stages_lowest"], codec.stages[1], "all frames alike: {info}");
        // What an option does not do is said.
        let wide =
            with(&bundles, &["encode", "-y", "-m", kind, "--search-width", "16", &source, &path("wide.mka")]);
        assert!(wide.status.success() && stderr(&wide).contains("changes nothing"), "{}", stderr(&wide));
        good_with(&bundles, &["verify", &coded]);
        good_with(&bundles, &["decode", &coded, &back, "--quiet"]);
        let stream = &probe(Path::new(&back), "a", "stream=duration_ts,sample_rate")[0];
        assert_eq!((&stream["duration_ts"], &stream["sample_rate"]), (&samples.into(), &"24000".into()));
        good_with(&bundles, &["compare", &source, &back]);

        // A lower rate is whole levels.
        let low = path("low.mka");
        let rate = codec.rate[0].to_string();
        good_with(&bundles, &["encode", "-m", kind, "-b", &rate, &source, &low, "--quiet"]);
        assert_eq!(result_with(&bundles, &["info", &low])["stages_highest"], codec.rate[1], "{kind}");

        // Tokens out of sound and back: as many frames as the samples fill, and all of the sound.
        let (tokens, made) = (path("t.npy"), path("t.mka"));
        good_with(&bundles, &["tokens", "export", "-m", kind, &source, &tokens, "--quiet"]);
        let about = result_with(&bundles, &["tokens", "info", &tokens]);
        assert_eq!(about["frames"], samples.div_ceil(codec.hop), "{about}");
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
