//! Bundles of kind `feature`: the device half and the server heads of split computing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::folder::{self, Facts, Folder};
use super::{CodesSpec, hash_of, id_of, registry};
use crate::{Limits, Result};
use siskin_bitstream::BundleId;
use siskin_bitstream::feature::MAX_LEVELS;

const FORMAT: u32 = 1;

/// `manifest.json` of a bundle of kind `feature`.
#[derive(Debug, Clone, Deserialize)]
pub struct FeatureManifest {
    format: u32,
    kind: String,
    /// The bundle's name, its folder's name too.
    pub name: String,
    /// The bundle's version.
    pub version: String,
    /// The licence of the weights, an SPDX expression.
    pub licence: String,
    /// Levels of quality, 1 to 32; 0 is the finest.
    pub levels: u8,
    /// The level that is used if nothing else is asked for.
    pub default_level: u8,
    /// Channels of the latents, 1 to 256.
    pub channels: u16,
    /// Pixels of a frame per latent, in each direction: 8, 16 or 32.
    pub stride: u16,
    /// Frames are padded to whole multiples of so many pixels: 1, 2, 4 or 8 times `stride`.
    pub align: u16,
    /// ONNX file of the device half: `frame [1, 6, rows / 2, columns / 2]` to `latents [1, channels, rows / stride,
    /// columns / stride]`.
    pub device: String,
    /// Safetensors file with `gains` f32 and `contexts` u16, which `siskin_features` reads.
    pub tables: String,
    /// What the latents are read by, 1 to 16; the first is the default.
    pub heads: Vec<HeadSpec>,
    /// What the latents of its streams mean, if that is older than the bundle's heads.
    #[serde(default)]
    pub codes: Option<CodesSpec>,
    /// SHA-256 of every file of the bundle, in hexadecimal.
    pub files: BTreeMap<String, String>,
    /// How the networks came about.
    #[serde(default)]
    pub training: serde_json::Value,
    /// Measured rates and agreement.
    #[serde(default)]
    pub figures: serde_json::Value,
}

/// A server half: a network that makes a map of probabilities from the latents.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HeadSpec {
    /// What options call it.
    pub name: String,
    /// ONNX file: `latents [1, channels, rows, columns]` to `map [1, 1, rows * stride / map_stride, ...]`, each value from 0
    /// to 1.
    pub file: String,
    /// Pixels of a frame per value of the map, in each direction.
    pub map_stride: u16,
    /// What a map becomes.
    pub result: ResultKind,
    /// Probability from which on a pixel counts.
    pub threshold: f32,
}

/// What the map of a head means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultKind {
    /// Objects, of which each connected area of the map is the middle: boxes, as DB's text detection makes them.
    Boxes,
    /// A property of the objects that the first head finds: the mean over each of its boxes.
    Property,
}

impl Facts for FeatureManifest {
    const KIND: &str = "feature";

    fn check_numbers(&self) -> std::result::Result<(), String> {
        let check = |ok: bool, reason: String| if ok { Ok(()) } else { Err(reason) };
        check(self.format == FORMAT, format!("format {}, this reader knows {FORMAT}", self.format))?;
        check(self.kind == Self::KIND, format!("the bundle is of kind {}, not {}", self.kind, Self::KIND))?;
        check((1..=64).contains(&self.name.len()), format!("name of {} bytes", self.name.len()))?;
        check((1..=MAX_LEVELS).contains(&self.levels), format!("levels {}", self.levels))?;
        check(self.default_level < self.levels, format!("default_level {}", self.default_level))?;
        // The number of contexts, and with it the tables' size, grows with the channels.
        check((1..=256).contains(&self.channels), format!("channels {}", self.channels))?;
        check([8, 16, 32].contains(&self.stride), format!("stride {}, allowed: 8, 16, 32", self.stride))?;
        // Of the strides' own kind, so that the largest sides are multiples of it as well.
        let aligns = self.align.is_power_of_two() && (1..=8).contains(&(self.align / self.stride));
        check(aligns, format!("align {}", self.align))?;
        check((1..=16).contains(&self.heads.len()), format!("{} heads", self.heads.len()))?;
        let names: BTreeSet<_> = self.heads.iter().map(|h| h.name.as_str()).collect();
        check(names.len() == self.heads.len(), "two heads of one name".into())?;
        for (index, head) in self.heads.iter().enumerate() {
            let name = &head.name;
            check((1..=64).contains(&name.len()), format!("name of a head of {} bytes", name.len()))?;
            let strides = 1..=self.stride;
            let fits = strides.contains(&head.map_stride) && self.stride.is_multiple_of(head.map_stride);
            check(fits, format!("map_stride {} of {name}", head.map_stride))?;
            check((0.0..1.0).contains(&head.threshold), format!("threshold {} of {name}", head.threshold))?;
            // A property is one of boxes, which have to be there.
            let is_placed = (head.result == ResultKind::Boxes) == (index == 0);
            check(is_placed, format!("head {name}: the first gives boxes, the others properties of them"))?;
        }
        let Some(codes) = &self.codes else { return Ok(()) };
        codes.check(&self.files, |name| name == self.device || name == self.tables)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn file_hashes(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

impl FeatureManifest {
    /// The id that streams carry: what [`codes`](Self::codes) says, else the first 8 bytes of the hash of all files.
    pub fn id(&self) -> BundleId {
        self.codes.as_ref().and_then(CodesSpec::stream_id).unwrap_or_else(|| id_of(&hash_of(&self.files)))
    }
}

/// A bundle of kind `feature` in memory; cloning shares its files.
#[derive(Clone)]
pub struct FeatureBundle(Folder<FeatureManifest>);

impl FeatureBundle {
    /// The bundle that is used if none is named.
    pub const DEFAULT: &str = "text-features";

    /// Opens the bundle in the folder `path`, reading and checking every file that the manifest lists.
    ///
    /// # Errors
    /// [`Error::BadBundle`](crate::Error::BadBundle) if the manifest is not valid or a file is missing, too large or has another
    /// hash.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// As [`open`](Self::open) with limits of the caller's own, of which [`Limits::max_bundle_file_bytes`] counts here.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        Folder::open(path.as_ref(), limits).map(Self)
    }

    /// A bundle from the text of its manifest and its files, of which a device needs its own half and the tables alone.
    ///
    /// # Errors
    /// As for [`open`](Self::open); a file that is not on the manifest's list is refused too.
    pub fn from_memory(manifest: &[u8], files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        Folder::from_memory(Path::new("bundle in memory"), manifest, files).map(Self)
    }

    /// Finds a bundle by name on the [search path](super::search_path), or opens the folder if `name_or_path` is one.
    ///
    /// # Errors
    /// [`Error::BundleNotFound`](crate::Error::BundleNotFound) with the folders searched, or what [`FeatureBundle::open`] returns.
    pub fn find(name_or_path: &str) -> Result<Self> {
        registry::find_folder(name_or_path).and_then(Self::open)
    }

    /// Finds the bundle that a stream needs by its id; `name` is what the stream calls it.
    ///
    /// # Errors
    /// [`Error::WrongBundle`](crate::Error::WrongBundle) with the bundles found instead, or what [`FeatureBundle::open`] returns.
    pub fn for_stream(id: BundleId, name: &str) -> Result<Self> {
        let installed = installed_features().into_iter().map(|(path, m)| (path, m.name.clone(), m.id()));
        registry::find_by_id(id, name, installed).and_then(Self::open)
    }

    /// The folder that the bundle was read from.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The facts about the bundle.
    pub fn manifest(&self) -> &FeatureManifest {
        self.0.manifest()
    }

    /// The bytes of one of the bundle's files.
    ///
    /// # Errors
    /// [`Error::BadBundle`](crate::Error::BadBundle) if the manifest does not list the file.
    pub fn file_bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.0.file_bytes(name)
    }
}

impl std::fmt::Debug for FeatureBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureBundle").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The bundles of kind `feature` on the search path whose manifests can be read, as folder and manifest; of two with one
/// name the first found. Their files have not been read yet.
pub fn installed_features() -> Vec<(PathBuf, FeatureManifest)> {
    folder::find_installed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> serde_json::Value {
        serde_json::json!({
            "format": 1, "kind": "feature", "name": "toy", "version": "1", "licence": "MIT", "levels": 6,
            "default_level": 2, "channels": 32, "stride": 16, "align": 32, "device": "device.onnx", "tables": "tables.safetensors",
            "heads": [
                {"name": "text", "file": "text.onnx", "map_stride": 1, "result": "boxes", "threshold": 0.3},
                {"name": "turned", "file": "turned.onnx", "map_stride": 8, "result": "property", "threshold": 0.5},
            ],
            "files": {},
        })
    }

    fn refusal(change: impl Fn(&mut serde_json::Value)) -> String {
        let mut value = manifest();
        change(&mut value);
        let parsed = folder::parse_manifest::<FeatureManifest>(value.to_string().as_bytes());
        parsed.map_or_else(|reason| reason, |_| "accepted".into())
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        assert_eq!(refusal(|_| {}), "accepted");
        assert!(refusal(|m| m["format"] = 2.into()).contains("format 2"));
        assert!(refusal(|m| m["kind"] = "video".into()).contains("kind"));
        assert!(refusal(|m| m["levels"] = 33.into()).contains("levels 33"));
        assert!(refusal(|m| m["default_level"] = 6.into()).contains("default_level 6"));
        assert!(refusal(|m| m["channels"] = 0.into()).contains("channels 0"));
        assert!(refusal(|m| m["stride"] = 12.into()).contains("stride 12"));
        assert!(refusal(|m| m["align"] = 24.into()).contains("align 24"));
        assert!(refusal(|m| m["heads"] = serde_json::json!([])).contains("0 heads"));
        assert!(refusal(|m| m["heads"][1]["name"] = "text".into()).contains("two heads"));
        assert!(refusal(|m| m["heads"][1]["map_stride"] = 3.into()).contains("map_stride 3"));
        assert!(refusal(|m| m["heads"][1]["result"] = "boxes".into()).contains("properties"));
        assert!(refusal(|m| m["heads"][0]["threshold"] = 1.0.into()).contains("threshold 1"));
    }

    #[test]
    fn more_heads_keep_the_id_of_the_latents() {
        let files = |heads: &[&str]| {
            let names = ["device.onnx", "tables.safetensors"].iter().chain(heads);
            names.map(|n| ((*n).to_owned(), format!("hash of {n}"))).collect::<BTreeMap<_, _>>()
        };
        let parse = |files: &BTreeMap<_, _>, codes: Option<(&str, &str)>| {
            let mut value = manifest();
            value["files"] = serde_json::json!(files);
            if let Some((id, sha256)) = codes {
                value["codes"] = serde_json::json!({ "id": id, "sha256": sha256 });
            }
            folder::parse_manifest::<FeatureManifest>(value.to_string().as_bytes())
        };
        let one = parse(&files(&["text.onnx"]), None).expect("a manifest").id();
        let both = files(&["text.onnx", "turned.onnx"]);
        assert_ne!(parse(&both, None).expect("a manifest").id(), one);
        let (id, sha256) = (one.to_string(), hex::encode(hash_of(&files(&[]))));
        assert_eq!(parse(&both, Some((&id, &sha256))).expect("a manifest").id(), one);
        // Another device half under an id that files carry.
        let mut other = both.clone();
        other.insert("device.onnx".into(), "another hash".into());
        assert!(parse(&other, Some((&id, &sha256))).is_err_and(|e| e.contains("codes sha256")));
        assert!(parse(&both, Some(("no id", &sha256))).is_err_and(|e| e.contains("codes id")));
    }
}
