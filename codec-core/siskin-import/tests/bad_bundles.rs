//! A bundle of a published codec that is not as its manifest says is refused when it is loaded.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use siskin_audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_import::testing::{small_dac, small_encodec, small_snac};
use siskin_import::{Kind, Result};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

/// A bundle to spoil.
struct Spoiled {
    folder: tempfile::TempDir,
    manifest: Value,
}

impl Spoiled {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tensors = if kind == Kind::Snac { small_snac() } else { small_dac() };
        tensors.import(kind, &folder.path().join("bundle")).expect("a bundle");
        let text = fs::read(folder.path().join("bundle/manifest.json")).expect("the manifest");
        Self { folder, manifest: serde_json::from_slice(&text).expect("JSON") }
    }

    /// Loads all of it with one entry of the manifest changed.
    fn load(&self, place: &str, value: Value) -> Result<()> {
        let mut manifest = self.manifest.clone();
        *manifest.pointer_mut(place).expect("an entry") = value;
        let path = self.folder.path().join("bundle");
        fs::write(path.join("manifest.json"), manifest.to_string()).expect("the manifest");
        let bundle = Bundle::open(&path)?;
        let runtime = Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup");
        Encoder::new(&bundle, &runtime, &EncoderConfig::default())?;
        Decoder::new(&bundle, &runtime).map(drop)
    }

    fn refused(&self, place: &str, value: Value, reason: &str) {
        let error = self.load(place, value.clone()).expect_err(&format!("{place} {value}"));
        let text = error.with_sources();
        assert!(text.contains(reason), "{place} {value}: {text}");
    }
}

#[test]
fn what_a_bundle_says_of_its_quantizer_and_time_is_checked() {
    let snac = Spoiled::new(Kind::Snac);
    snac.load("/licence", json!("MIT")).expect("nothing is wrong");
    // Strides that do not divide a frame, or that make another number of codes.
    snac.refused("/quantizer/strides", json!([3, 2, 1]), "strides [3, 2, 1]");
    snac.refused("/quantizer/strides", json!([0, 2, 1]), "strides [0, 2, 1]");
    snac.refused("/quantizer/strides", json!([4, 2]), "strides [4, 2]");
    snac.refused("/quantizer/type", json!("split"), "quantizer Split");
    snac.refused("/quantizer/type", json!("rvq"), "quantizer Rvq");
    snac.refused("/quantizer/size", json!(1024), "codebooks [3, 4096, 8]");
    snac.refused("/latents_per_frame", json!(8), "8 latents");
    snac.refused("/latents_per_frame", json!(0), "latents_per_frame 0");
    snac.refused("/lookahead", json!(100), "lookahead 100");
    snac.refused("/lookahead", json!(u32::MAX), "lookahead 4294967295");
    // Whoever waits for frames has to say so by its conventions: Siskin's own encoders never do.
    snac.refused("/conventions", json!("siskin"), "without conventions");
    snac.refused("/conventions", json!("others"), "unknown variant");

    let dac = Spoiled::new(Kind::Dac);
    dac.load("/licence", json!("MIT")).expect("nothing is wrong");
    dac.refused("/delay", json!(320 * 128 + 1), "delay 40961");
    dac.refused("/latent_dim", json!(8), "latent_dim 8");
    dac.refused("/encoder/blocks", json!({ "input": 160, "output": 1 }), "a frame has 320 and 1");
    dac.refused("/decoder/blocks", json!({ "input": u64::MAX, "output": 320 }), "a frame has 1 and 320");
    dac.refused("/encoder/blocks", Value::Null, "static shape");
    dac.refused("/decoder/states/0/shape", json!([1, 1, 1]), "the manifest says [1, 1, 1]");
}

#[test]
fn weights_of_an_opening_have_to_be_finite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bundle");
    // A value that the graph has nowhere else, and in its place one that ONNX Runtime would run with.
    let mark = 0.123_456_79f32;
    let mut tensors = small_encodec();
    tensors.set_first(mark);
    tensors.import(Kind::Encodec, &path).expect("a bundle");
    let file = path.join("encoder-opening.onnx");
    let mut graph = fs::read(&file).expect("the opening");
    let at = graph.windows(4).position(|w| w == mark.to_le_bytes()).expect("the weight");
    graph[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let text = fs::read(path.join("manifest.json")).expect("the manifest");
    let mut manifest: Value = serde_json::from_slice(&text).expect("JSON");
    *manifest.pointer_mut("/files/encoder-opening.onnx").expect("its hash") =
        json!(hex::encode(Sha256::digest(&graph)));
    fs::write(&file, graph).expect("the opening");
    fs::write(path.join("manifest.json"), manifest.to_string()).expect("the manifest");

    let bundle = Bundle::open(&path).expect("the hashes of its files");
    let runtime = Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup");
    // Packets of a file, which hold as many frames as the opening takes.
    let config = EncoderConfig { frames_per_packet: 50, ..Default::default() };
    let mut encoder = Encoder::new(&bundle, &runtime, &config).expect("an encoder");
    let pcm = vec![0.1; 24_000];
    let error =
        encoder.push_samples(&pcm, &mut |_: EncodedPacket<'_>| Result::Ok(())).expect_err("no opening");
    let text = error.with_sources();
    assert!(text.contains("encoder-opening.onnx") && text.contains("not finite"), "{text}");
}
