//! Bundles of kind `video`: the networks of the real-time video mode.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::folder::{self, Facts, Folder};
use super::{hash_of, id_of, registry};
use crate::{Limits, Result};
use siskin_bitstream::BundleId;

const FORMAT: u32 = 1;

/// `manifest.json` of a bundle of kind `video`.
#[derive(Debug, Clone, Deserialize)]
pub struct VideoManifest {
    format: u32,
    kind: String,
    /// The bundle's name, its folder's name too.
    pub name: String,
    /// The bundle's version.
    pub version: String,
    /// The licence of the weights, an SPDX expression.
    pub licence: String,
    /// Qualities there are, 2 to 256; 0 is the finest.
    pub qualities: u16,
    /// Size of the finest quantisation step, in 8-bit units of a sample.
    pub finest_step: f32,
    /// Qualities for which the step doubles.
    pub qualities_an_octave: f32,
    /// From so many frames after one that stands alone the networks are told no more how many.
    pub latest: u16,
    /// By how much finer a frame that stands alone is coded than those that follow.
    pub key_finer: u16,
    /// What is taken off a latent's size, in steps, before it is rounded: frames that stand alone, and others.
    pub dead_zone: [f32; 2],
    /// ONNX file: frame and prediction to latents.
    pub encoder: String,
    /// ONNX file: latents and prediction to the frame.
    pub decoder: String,
    /// File with the probabilities at which the adaptive decisions begin, 16 bits each, least significant byte first.
    pub contexts: String,
    /// SHA-256 of every file of the bundle, in hexadecimal.
    pub files: BTreeMap<String, String>,
    /// How the networks came about.
    #[serde(default)]
    pub training: serde_json::Value,
    /// Measured quality.
    #[serde(default)]
    pub figures: serde_json::Value,
}

impl Facts for VideoManifest {
    const KIND: &str = "video";

    fn check_numbers(&self) -> std::result::Result<(), String> {
        let check = |ok: bool, reason: String| if ok { Ok(()) } else { Err(reason) };
        check(self.format == FORMAT, format!("format {}, this reader knows {FORMAT}", self.format))?;
        check(self.kind == Self::KIND, format!("the bundle is of kind {}, not {}", self.kind, Self::KIND))?;
        check((1..=64).contains(&self.name.len()), format!("name of {} bytes", self.name.len()))?;
        // A packet names its quality in one byte.
        check((2..=256).contains(&self.qualities), format!("qualities {}", self.qualities))?;
        check((0.1..=100.0).contains(&self.finest_step), format!("finest_step {}", self.finest_step))?;
        let octave = self.qualities_an_octave;
        check((1.0..=64.0).contains(&octave), format!("qualities_an_octave {octave}"))?;
        // The count of frames since a keyframe saturates here, so that the networks meet no longer runs than they
        // know.
        check((1..=1000).contains(&self.latest), format!("latest {}", self.latest))?;
        check(self.key_finer < self.qualities, format!("key_finer {}", self.key_finer))?;
        let zones = self.dead_zone;
        // From half a step on, a latent of a whole step could be rounded to 0.
        check(zones.iter().all(|z| (0.0..0.5).contains(z)), format!("dead_zone {zones:?}"))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn file_hashes(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

impl VideoManifest {
    /// The id that streams carry.
    pub fn id(&self) -> BundleId {
        id_of(&hash_of(&self.files))
    }

    /// The quantisation step of a quality, in 8-bit units.
    pub fn step(&self, quality: u8) -> f32 {
        self.finest_step * (f32::from(quality) / self.qualities_an_octave).exp2()
    }
}

/// A bundle of the real-time video mode in memory; cloning shares its files.
#[derive(Clone)]
pub struct VideoBundle(Folder<VideoManifest>);

impl VideoBundle {
    /// The bundle that is used if none is named.
    pub const DEFAULT: &str = "video-realtime";

    /// Opens the bundle in the folder `path`, reading and checking every file that the manifest lists.
    ///
    /// # Errors
    /// [`Error::BadBundle`](crate::Error::BadBundle) if the manifest is not valid or a file is missing, too large or has another hash.
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

    /// Finds a bundle by name on the [search path](super::search_path), or opens the folder if `name_or_path` is one.
    ///
    /// # Errors
    /// [`Error::BundleNotFound`](crate::Error::BundleNotFound) with the folders searched, or what [`VideoBundle::open`] returns.
    pub fn find(name_or_path: &str) -> Result<Self> {
        registry::find_folder(name_or_path).and_then(Self::open)
    }

    /// Finds the bundle that a stream needs by its id; `name` is what the stream calls it.
    ///
    /// # Errors
    /// [`Error::WrongBundle`](crate::Error::WrongBundle) with the bundles found instead, or what [`VideoBundle::open`] returns.
    pub fn for_stream(id: BundleId, name: &str) -> Result<Self> {
        let installed = installed_videos().into_iter().map(|(path, m)| (path, m.name.clone(), m.id()));
        registry::find_by_id(id, name, installed).and_then(Self::open)
    }

    /// The folder that the bundle was read from.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The facts about the bundle.
    pub fn manifest(&self) -> &VideoManifest {
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

impl std::fmt::Debug for VideoBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoBundle").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The bundles of kind `video` on the search path whose manifests can be read, as folder and manifest; of two with one
/// name the first found. Their files have not been read yet.
pub fn installed_videos() -> Vec<(PathBuf, VideoManifest)> {
    folder::find_installed()
}
