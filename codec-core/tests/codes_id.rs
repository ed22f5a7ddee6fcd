//! Codes that outlive networks: a bundle with a decoder for the codes of an earlier bundle plays that one's streams.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use siskin_core::audio::{Decoder, Encoder, EncoderConfig};
use siskin_core::bundle::{Bundle, Manifest};
use siskin_core::container::{Block, Reader};
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

fn shipped() -> Bundle {
    Bundle::find("speech-24k").expect("the shipped bundle")
}

fn manifest_of(bundle: &Bundle) -> Value {
    let text = fs::read(bundle.path().join("manifest.json")).expect("the manifest");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn voices_know_the_latents_by_the_first_encoder_that_gave_them() {
    let shipped = shipped();
    let voice = shipped.path().with_file_name("text2vec").join("manifest.json");
    let voice: Value = serde_json::from_slice(&fs::read(voice).expect("its manifest")).expect("JSON");
    assert_eq!(voice["codec_encoder"], shipped.manifest().latents_id());
    let manifest = shipped.manifest();
    assert_ne!(shipped.manifest().latents_id(), manifest.files[&manifest.encoder.file], "written anew since");
}

/// SHA-256 over the files that say what codes mean, as docs/model-bundle.md defines it.
fn codes_sha256(manifest: &Value) -> String {
    let mut names = vec![manifest["quantizer"]["file"].as_str().expect("a name")];
    names.extend(manifest["entropy"]["file"].as_str());
    names.sort_unstable();
    let lines = names.iter().map(|n| format!("{n} {}\n", manifest["files"][n].as_str().expect("a hash")));
    hex::encode(Sha256::digest(lines.collect::<String>()))
}

/// A copy of `bundle` whose decoder has other weights, and that says that its codes are those of `bundle`.
fn with_new_decoder(bundle: &Bundle, folder: &Path) -> Bundle {
    let mut manifest = manifest_of(bundle);
    for name in bundle.manifest().files.keys() {
        fs::copy(bundle.path().join(name), folder.join(name)).expect("a copy");
    }
    let path = folder.join("decoder.onnx");
    let mut graph = fs::read(&path).expect("the graph");
    // The low byte of a weight of 16 bits in the middle of the file, where nothing but weights is.
    let middle = (graph.len() / 2) & !1;
    for at in (middle..middle + 4096).step_by(2) {
        graph[at] ^= 0x3f;
    }
    manifest["files"]["decoder.onnx"] = hex::encode(Sha256::digest(&graph)).into();
    manifest["codes"] = json!({ "id": bundle.id().to_string(), "sha256": codes_sha256(&manifest) });
    fs::write(path, graph).expect("the graph");
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("the manifest");
    Bundle::open(folder).expect("a bundle")
}

fn runtime() -> Runtime {
    let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
    Runtime::load(&options).expect("ONNX Runtime: run ./x setup")
}

fn encode(bundle: &Bundle, runtime: &Runtime) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(bundle, runtime, &EncoderConfig::default()).expect("an encoder");
    let pcm: Vec<f32> =
        (0..24_000).map(|i| 0.2 * (i as f32 * 0.05).sin() * (i as f32 * 0.0007).sin()).collect();
    let mut packets = Vec::new();
    let mut keep = |p: siskin_core::audio::EncodedPacket<'_>| -> siskin_core::Result<()> {
        packets.push(p.data.to_vec());
        Ok(())
    };
    encoder.push_samples(&pcm, &mut keep).expect("packets");
    encoder.finish_stream(&mut keep).expect("packets");
    packets
}

fn decode(bundle: &Bundle, runtime: &Runtime, packets: &[Vec<u8>]) -> Vec<f32> {
    let mut decoder = Decoder::new(bundle, runtime).expect("a decoder");
    let mut pcm = Vec::new();
    for data in packets {
        decoder.decode(data, &mut pcm).expect("samples");
    }
    pcm
}

#[test]
fn a_new_decoder_plays_old_streams_and_an_old_one_new_streams() {
    let (old, folder, runtime) = (shipped(), tempfile::tempdir().expect("a folder"), runtime());
    let new = with_new_decoder(&old, folder.path());
    assert_eq!(new.id(), old.id());
    assert_ne!(new.hash(), old.hash());
    let packets = encode(&old, &runtime);
    assert_eq!(encode(&new, &runtime), packets);
    let (by_old, by_new) = (decode(&old, &runtime, &packets), decode(&new, &runtime, &packets));
    assert_eq!(by_old.len(), 24_000);
    assert_eq!(by_new.len(), 24_000);
    assert_ne!(by_new, by_old);
    let energy = |pcm: &mut dyn Iterator<Item = f32>| pcm.map(|x| f64::from(x * x)).sum::<f64>();
    let difference = energy(&mut by_new.iter().zip(&by_old).map(|(a, b)| a - b));
    assert!(difference < 0.1 * energy(&mut by_old.iter().copied()), "{difference}");
}

/// The first three seconds of testdata/clips/speech-it-male.flac as `siskin encode --stages 6` wrote them with release 0.2.0 of
/// the bundle, whose decoder had its noise 2 dB lower.
#[test]
fn a_file_of_an_earlier_release_of_the_bundle_plays() {
    let (bundle, runtime) = (shipped(), runtime());
    assert_eq!(bundle.id().to_string(), "497d6dac647edc95");
    assert_ne!(hex::encode(&bundle.hash()[..8]), bundle.id().to_string(), "the decoder is a later one");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/compat/speech-24k-0.2.0.mka");
    let file = fs::File::open(path).expect("the file");
    let mut reader = Reader::open(std::io::BufReader::new(file)).expect("a Matroska file");
    let (mut block, mut packets) = (Block::default(), Vec::new());
    while reader.next_block(&mut block).expect("a block") {
        packets.push(block.data.clone());
    }
    let decoded = decode(&bundle, &runtime, &packets);
    assert_eq!(decoded.len(), 72_000);
    // Coded anew by today's bundle it is the same sound.
    let mut encoder = Encoder::new(&bundle, &runtime, &EncoderConfig::default()).expect("an encoder");
    let mut again = Vec::new();
    let mut keep = |p: siskin_core::audio::EncodedPacket<'_>| -> siskin_core::Result<()> {
        again.push(p.data.to_vec());
        Ok(())
    };
    encoder.push_samples(&decoded, &mut keep).expect("packets");
    encoder.finish_stream(&mut keep).expect("packets");
    let level = |pcm: &[f32]| pcm.iter().map(|x| f64::from(x * x)).sum::<f64>() / pcm.len() as f64;
    let ratio = 10.0 * (level(&decode(&bundle, &runtime, &again)) / level(&decoded)).log10();
    assert!(ratio.abs() < 3.0, "{ratio} dB");
}

#[test]
fn other_codebooks_under_an_old_id_are_refused() {
    let old = shipped();
    let mut manifest = manifest_of(&old);
    manifest["codes"] = json!({ "id": old.id().to_string(), "sha256": codes_sha256(&manifest) });
    Manifest::parse(manifest.to_string().as_bytes()).expect("its own codebooks");
    let file = manifest["quantizer"]["file"].as_str().expect("a name").to_owned();
    manifest["files"][file] = "00".repeat(32).into();
    let reason = Manifest::parse(manifest.to_string().as_bytes()).expect_err("other codebooks");
    assert!(reason.starts_with("codes sha256 "), "{reason}");
}

#[test]
fn an_id_is_sixteen_lower_case_digits() {
    let old = shipped();
    for id in ["", "0123", "0123456789ABCDEF", "0123456789abcdef00", "g123456789abcdef"] {
        let mut manifest = manifest_of(&old);
        manifest["codes"] = json!({ "id": id, "sha256": codes_sha256(&manifest) });
        let reason = Manifest::parse(manifest.to_string().as_bytes()).expect_err(id);
        assert!(reason.contains("is not 16 hexadecimal digits"), "{reason}");
    }
}
