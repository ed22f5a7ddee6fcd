//! Model bundles: a folder with `manifest.json`, ONNX graphs and codebooks (see `docs/model-bundle.md`).
//!
//! A bundle is read whole and checked against the hashes of its manifest before anything in it is used, so what
//! decodes a stream is what encoded it.

mod feature;
mod files;
mod folder;
mod manifest;
mod registry;
mod search_path;
mod specials;
mod stamp;
mod video;
mod voice;
mod voice_choice;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

pub use crate::runtime::{BlockSpec, GraphSpec, StateSpec};
use crate::runtime::{GraphFile, HashedGraph, Runtime, StepNetwork, WholeNetwork};
pub use feature::{FeatureBundle, FeatureManifest, HeadSpec, ResultKind, installed_features};
pub use manifest::{
    CodesSpec, Conventions, EntropySpec, Manifest, OpeningSpec, Prefix, QuantizerKind, QuantizerSpec,
    ReceptiveField, SegmentSpec,
};
pub use registry::installed;
pub use search_path::{player_folders, search_path, user_folder};
pub use specials::Specials;
pub use video::{VideoBundle, VideoManifest, installed_videos};
pub use voice::{EngineSpec, LanguageSpec, VoiceBundle, VoiceManifest, VoiceSpec, installed_voices};
pub use voice_choice::VoiceChoice;

use crate::{Error, Limits, Result};
use folder::Folder;
use siskin_bitstream::{BundleId, StreamHeader};

/// A bundle in memory; cloning shares its files.
#[derive(Clone)]
pub struct Bundle {
    folder: Folder<Manifest>,
    hash: [u8; 32],
    id: BundleId,
}

impl Bundle {
    /// Opens the bundle in the folder `path`, reading and checking every file that the manifest lists.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if the manifest is not valid or a file is missing, too large or has another hash.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Limits::default())
    }

    /// As [`open`](Self::open) with limits of the caller's own, of which [`Limits::max_bundle_file_bytes`] counts here.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        Self::from_folder(Folder::<Manifest>::open(path.as_ref(), limits)?)
    }

    fn from_folder(folder: Folder<Manifest>) -> Result<Self> {
        let (hash, id) = (folder.manifest().hash(), folder.manifest().stream_id());
        let id = id.ok_or_else(|| Error::bad_bundle(folder.path(), "manifest.json: codes without an id"))?;
        Ok(Self { hash, id, folder })
    }

    /// A bundle from the text of its manifest and its files, where there is no file system: in a browser, or in one
    /// program with its bundle. `files` may lack what the caller does not use, such as the encoder of a player.
    ///
    /// # Errors
    /// As for [`open`](Self::open); a file that is not on the manifest's list is refused too.
    pub fn from_memory(manifest: &[u8], files: BTreeMap<String, Vec<u8>>) -> Result<Self> {
        let path = Path::new("bundle in memory");
        let folder = Folder::<Manifest>::from_memory(path, manifest, files)?;
        Self::from_folder(folder)
    }

    /// Finds a bundle by name on the [search path](search_path), or opens the folder if `name_or_path` is one.
    ///
    /// # Errors
    /// [`Error::BundleNotFound`] with the folders searched, or what [`Bundle::open`] returns.
    pub fn find(name_or_path: &str) -> Result<Self> {
        registry::find_folder(name_or_path).and_then(Self::open)
    }

    /// Finds the bundle that a stream needs: `preferred` if its id fits, else the first on the search path that
    /// does.
    ///
    /// # Errors
    /// [`Error::WrongBundle`] with the name and id of the bundle that is needed.
    pub fn for_stream(header: &StreamHeader, preferred: Option<&str>) -> Result<Self> {
        if let Some(name) = preferred {
            // A bundle that was asked for is not replaced by another one silently, even if that one fits.
            let bundle = Self::find(name)?;
            return bundle.check_stream(header).map(|()| bundle);
        }
        let installed = installed().into_iter();
        let installed = installed.map(|b| (b.path().to_owned(), b.manifest().name.clone(), b.id()));
        let path = registry::find_by_id(header.bundle, &header.bundle_name, installed)?;
        // Here the files are hashed, so a manifest that claims another bundle's id is found out.
        let bundle = Self::open(path)?;
        bundle.check_stream(header).map(|()| bundle)
    }

    /// The folder that the bundle was read from.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The facts about the bundle.
    pub fn manifest(&self) -> &Manifest {
        self.folder.manifest()
    }

    /// SHA-256 over the names and hashes of the bundle's files, as `docs/model-bundle.md` defines it.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// What streams carry to say which codes theirs are: the first 8 bytes of [`Bundle::hash`], or, where the networks are
    /// newer than the codes, those of the first bundle with these codes ([`CodesSpec`]).
    pub fn id(&self) -> BundleId {
        self.id
    }

    /// The bytes of one of the bundle's files. Those above 16 MB are read anew each time, so that weights are not held beside the
    /// network that has them.
    ///
    /// # Errors
    /// [`Error::BadBundle`] if the manifest does not list the file, or if one that is read is not there or no longer the same.
    pub fn file_bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.folder.file_bytes(name)
    }

    /// Makes one of the bundle's networks, of `frames` frames in a run, as [`Runtime::open_network`] and
    /// [`Runtime::open_block_network`] do. Its file is read only where no other stream of the process has the network open.
    ///
    /// # Errors
    /// As for [`Runtime::open_block_network`] and [`file_bytes`](Self::file_bytes).
    pub fn open_network(
        &self,
        runtime: &Runtime,
        spec: &GraphSpec,
        frames: usize,
    ) -> Result<Box<dyn StepNetwork>> {
        let file = BundleFile { bundle: self, name: &spec.file };
        runtime.open_hashed_network(spec, &file.graph()?, frames)
    }

    /// Makes one of the bundle's networks that is run on whole inputs, as [`Runtime::open_checked_whole_network`] does.
    ///
    /// # Errors
    /// As for [`Runtime::open_checked_whole_network`] and [`file_bytes`](Self::file_bytes).
    pub fn open_whole_network(&self, runtime: &Runtime, file: &str) -> Result<Box<dyn WholeNetwork>> {
        runtime.open_checked_whole_network(file, &BundleFile { bundle: self, name: file }.graph()?)
    }

    /// The header of a stream that this bundle encodes.
    pub fn stream_header(&self) -> StreamHeader {
        let m = self.manifest();
        StreamHeader {
            bundle: self.id(),
            bundle_name: m.name.clone(),
            sample_rate: m.sample_rate,
            channels: m.channels,
            hop: m.hop,
            groups: m.quantizer.groups,
            stages: m.quantizer.stages,
            code_bits: m.quantizer.code_bits(),
            pre_skip: m.delay,
        }
    }

    /// Checks that this bundle decodes the stream of `header`.
    ///
    /// # Errors
    /// What [`StreamHeader::accepts`] returns.
    pub fn check_stream(&self, header: &StreamHeader) -> Result<()> {
        self.stream_header().accepts(header)
    }
}

/// A file of a bundle.
struct BundleFile<'a> {
    bundle: &'a Bundle,
    name: &'a str,
}

impl BundleFile<'_> {
    fn graph(&self) -> Result<HashedGraph<'_>> {
        Ok(HashedGraph::from_file(self.bundle.folder.file_hash(self.name)?, self))
    }
}

impl GraphFile for BundleFile<'_> {
    fn read_graph(&self) -> Result<Cow<'_, [u8]>> {
        self.bundle.file_bytes(self.name)
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("path", &self.path()).field("id", &self.id()).finish_non_exhaustive()
    }
}

fn id_of(hash: &[u8; 32]) -> BundleId {
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    BundleId(id)
}

/// SHA-256 over one line `NAME SHA256\n` a file, in the order of names' bytes.
fn hash_of(files: &BTreeMap<String, String>) -> [u8; 32] {
    // A BTreeMap walks in the order of the names' bytes, which the document asks for.
    let mut sha = Sha256::new();
    for (name, hash) in files {
        // Hashes of the files, not the files: an id can be made from a manifest alone.
        sha.update(format!("{name} {hash}\n"));
    }
    sha.finalize().into()
}
