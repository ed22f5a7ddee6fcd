//! Files of features.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::container::{Block, FEATURES_CODEC_ID, Reader};
use siskin_core::features::FeatureHeader;

/// A Matroska file with a track of features.
pub(super) struct FeatureFile {
    reader: Reader<BufReader<File>>,
    track: u64,
    /// What the track says of its stream.
    pub(super) header: FeatureHeader,
    /// The file's size.
    pub(super) bytes: u64,
}

impl FeatureFile {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let file = File::open(path).with_context(name)?;
        let bytes = file.metadata().with_context(name)?.len();
        let reader = Reader::open_file(BufReader::new(file), Limits::default()).with_context(name)?;
        let Some(track) = reader.tracks().iter().find(|t| t.codec_id == FEATURES_CODEC_ID) else {
            bail!("{}: no {FEATURES_CODEC_ID} track", path.display());
        };
        let (header, _) =
            FeatureHeader::parse(&track.codec_private, &Limits::default()).with_context(name)?;
        Ok(Self { track: track.number, header, bytes, reader })
    }

    /// Reads the next packet; false at the end.
    pub(super) fn next(&mut self, block: &mut Block) -> Result<bool> {
        while self.reader.next_block(block)? {
            if block.track == self.track {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the file was found to end too early.
    pub(super) fn is_truncated(&self) -> bool {
        self.reader.is_truncated()
    }
}
