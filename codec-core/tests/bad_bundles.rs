//! A bundle that is not as it says is refused when it is loaded, with the file or the field that is wrong.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use siskin_core::audio::{Decoder, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};
use siskin_core::{Error, Result};

/// A copy of the shipped bundle to spoil.
struct Copy {
    folder: tempfile::TempDir,
    manifest: Value,
}

impl Copy {
    fn new() -> Self {
        let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
        let folder = tempfile::tempdir().expect("a folder");
        for name in bundle.manifest().files.keys().map(String::as_str).chain(["manifest.json"]) {
            fs::copy(bundle.path().join(name), folder.path().join(name)).expect("a copy");
        }
        let text = fs::read(folder.path().join("manifest.json")).expect("the manifest");
        Self { folder, manifest: serde_json::from_slice(&text).expect("JSON") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes a file, so that its hash is right all the same.
    fn spoil(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut data = fs::read(self.path(name)).expect("the file");
        change(&mut data);
        self.manifest["files"][name] = hex::encode(Sha256::digest(&data)).into();
        // A bundle of its own: under the id of the shipped one's codes other codebooks are refused at once.
        self.manifest.as_object_mut().expect("an object").remove("codes");
        fs::write(self.path(name), data).expect("the file");
    }

    /// Loads all of it; `Ok` if nothing is wrong.
    fn load(&self) -> Result<()> {
        fs::write(self.path("manifest.json"), self.manifest.to_string()).expect("the manifest");
        let bundle = Bundle::open(self.folder.path())?;
        let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
        let runtime = Runtime::load(&options).expect("ONNX Runtime: run ./x setup");
        Encoder::new(&bundle, &runtime, &EncoderConfig::default())?;
        Decoder::new(&bundle, &runtime).map(drop)
    }

    /// What the bundle's files are refused with.
    fn refused(&self) -> String {
        match self.load() {
            Err(Error::BadBundle { path, reason, source }) => {
                assert_eq!(path, self.folder.path());
                source.map_or(reason.clone(), |source| format!("{reason}: {source}"))
            }
            other => format!("{other:?}"),
        }
    }

    /// What the network of a file is refused with.
    fn network_refused(&self, file: &str) -> String {
        match self.load() {
            Err(Error::Network { graph, reason }) if graph == file => reason,
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn an_unchanged_copy_loads() {
    Copy::new().load().expect("nothing is wrong");
}

#[test]
fn a_wrong_hash() {
    let copy = Copy::new();
    let mut data = fs::read(copy.path("decoder.onnx")).expect("the file");
    data[1000] ^= 1;
    fs::write(copy.path("decoder.onnx"), data).expect("the file");
    assert!(copy.refused().starts_with("decoder.onnx has sha256"), "{}", copy.refused());
}

#[test]
fn a_missing_file() {
    let copy = Copy::new();
    fs::remove_file(copy.path("codebooks.safetensors")).expect("the file");
    assert!(copy.refused().starts_with("codebooks.safetensors cannot be read: "), "{}", copy.refused());
}

#[test]
fn a_file_that_is_not_listed() {
    let mut copy = Copy::new();
    copy.manifest["encoder"]["file"] = "other.onnx".into();
    assert_eq!(copy.refused(), "other.onnx is used and not listed under files");
}

#[test]
fn weights_of_a_network_that_are_not_finite() {
    for file in ["encoder.onnx", "decoder.onnx"] {
        let mut copy = Copy::new();
        // The weights are nearly all of a graph; all ones are no number in any type of theirs.
        copy.spoil(file, |data| {
            let middle = data.len() / 2;
            data[middle..middle + 8].fill(0xff);
        });
        let reason = copy.network_refused(file);
        assert!(reason.contains("the weights ") && reason.contains("not finite"), "{reason}");
    }
}

#[test]
fn codebooks_that_are_not_finite() {
    let mut copy = Copy::new();
    copy.spoil("codebooks.safetensors", |data| {
        let end = data.len();
        data[end - 4..].fill(0xff);
    });
    let reason = copy.refused();
    assert_eq!(reason, "codebooks.safetensors: codebooks hold values that are not finite");
}

#[test]
fn codebooks_of_another_shape() {
    for (field, value) in [("stages", json!(12)), ("size", json!(512)), ("groups", json!(1))] {
        let mut copy = Copy::new();
        copy.manifest["quantizer"][field] = value;
        let reason = copy.refused();
        assert!(reason.starts_with("codebooks.safetensors: codebooks ["), "{field}: {reason}");
    }
}

#[test]
fn networks_of_another_shape() {
    let mut copy = Copy::new();
    copy.manifest["hop"] = 240.into();
    assert!(copy.refused().contains("a frame has 240 and 1"), "{}", copy.refused());
    // A graph that takes any number of samples does not take half a frame of them.
    copy.manifest["encoder"]["blocks"]["input"] = 240.into();
    copy.manifest["decoder"]["blocks"]["output"] = 240.into();
    assert!(copy.network_refused("encoder.onnx").contains("240"), "{}", copy.network_refused("encoder.onnx"));
    let mut copy = Copy::new();
    copy.manifest["encoder"]["blocks"]["max_frames"] = 65.into();
    assert!(copy.refused().contains("allowed: 1..=64 frames"), "{}", copy.refused());
    let mut copy = Copy::new();
    copy.manifest["latent_dim"] = 32.into();
    assert!(copy.refused().contains("latent_dim 32"), "{}", copy.refused());
}

#[test]
fn an_input_or_output_that_is_not_there() {
    for field in ["input", "output"] {
        let mut copy = Copy::new();
        copy.manifest["decoder"][field] = "elsewhere".into();
        let reason = copy.network_refused("decoder.onnx");
        let name = Copy::new().manifest["decoder"][field].clone();
        assert!(reason.contains(&format!("the {field} {}", name.as_str().expect("a name"))), "{reason}");
    }
}

#[test]
fn a_missing_state() {
    let mut copy = Copy::new();
    let states = copy.manifest["decoder"]["states"].as_array_mut().expect("a list");
    let gone = states.pop().expect("a state")["name"].clone();
    let reason = copy.network_refused("decoder.onnx");
    assert!(reason.contains(&format!("the input {}", gone.as_str().expect("a name"))), "{reason}");
    let mut copy = Copy::new();
    let more = json!({ "name": "s99", "output": "s99_next", "shape": [1] });
    copy.manifest["encoder"]["states"].as_array_mut().expect("a list").push(more);
    let reason = copy.network_refused("encoder.onnx");
    assert!(reason.contains("s99"), "{reason}");
}

#[test]
fn a_state_of_another_shape() {
    let mut copy = Copy::new();
    copy.manifest["encoder"]["states"][1]["shape"] = json!([1, 2, 3]);
    let name = copy.manifest["encoder"]["states"][1]["name"].clone();
    let reason = copy.network_refused("encoder.onnx");
    assert!(
        reason.starts_with(&format!("state {} has the shapes", name.as_str().expect("a name"))),
        "{reason}"
    );
}

#[test]
fn entropy_tables_that_do_not_fit() {
    let mut copy = Copy::new();
    let Some(file) = copy.manifest["entropy"]["file"].as_str().map(str::to_owned) else { return };
    copy.spoil(&file, |data| {
        let end = data.len();
        data.truncate(end - 2);
    });
    assert!(copy.refused().starts_with(&format!("{file}: ")), "{}", copy.refused());
    let mut copy = Copy::new();
    // Tables of other codebooks: shifts that no sum fits.
    copy.spoil(&file, |data| {
        let length = u64::from_le_bytes(data[..8].try_into().expect("eight bytes")) as usize;
        let header: Value = serde_json::from_slice(&data[8..8 + length]).expect("a header");
        let at = header["shifts.3"]["data_offsets"][0].as_u64().expect("an offset") as usize;
        data[8 + length + at..][..4].copy_from_slice(&99i32.to_le_bytes());
    });
    let reason = copy.refused();
    assert!(reason.starts_with(&format!("{file}: codebook 3: shifts 99")), "{reason}");
}

#[test]
fn the_limit_of_a_bundle_bites() {
    let copy = Copy::new();
    fs::write(copy.path("manifest.json"), copy.manifest.to_string()).expect("the manifest");
    let mut limits = siskin_core::Limits::default();
    assert!(Bundle::open_with(copy.folder.path(), &limits).is_ok());
    limits.max_bundle_file_bytes = 1000;
    let error =
        Bundle::open_with(copy.folder.path(), &limits).expect_err("a manifest of more than 1000 bytes");
    assert!(error.to_string().ends_with("allowed: 1000"), "{error}");
}
