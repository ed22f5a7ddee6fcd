//! Coded video files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::{Block, Chapter, Reader, VIDEO_CODEC_ID};

use crate::media_file::{Source, has_track, open_source};

/// A Matroska file with a Siskin video track.
pub(crate) struct VideoFile {
    name: String,
    reader: Reader<Box<dyn Source>>,
    track: u64,
    header: VideoHeader,
    bytes: u64,
    /// Bytes of other tracks' packets, as far as was read.
    elsewhere: u64,
}

impl VideoFile {
    /// Whether the file at `path` is Matroska with a Siskin video track; as for [`has_track`].
    pub(crate) fn is_video(path: &Path) -> bool {
        has_track(path, VIDEO_CODEC_ID)
    }

    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (name, source, bytes) = open_source(path)?;
        let reader = Reader::open_file(source, Limits::default()).with_context(|| name.clone())?;
        let Some(track) = reader.tracks().iter().find(|t| t.codec_id == VIDEO_CODEC_ID) else {
            bail!("{name}: no {VIDEO_CODEC_ID} track");
        };
        let (header, _) =
            // The limits bound what a header from anywhere may make the decoder allocate.
            VideoHeader::parse(&track.codec_private, &Limits::default()).with_context(|| name.clone())?;
        Ok(Self { name, track: track.number, header, bytes, elsewhere: 0, reader })
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the track says of its stream.
    pub(super) fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// The file's size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's size without the packets of other tracks, once all has been read.
    pub(super) fn own_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.elsewhere)
    }

    /// The tags of the container.
    pub(super) fn tags(&self) -> &[(String, String)] {
        self.reader.tags()
    }

    /// The chapters of the container.
    pub(super) fn chapters(&self) -> &[Chapter] {
        self.reader.chapters()
    }

    /// The length that the container states.
    pub(super) fn duration_ns(&self) -> Option<u64> {
        self.reader.duration_ns()
    }

    /// Whether the file was found to end too early.
    pub(super) fn is_truncated(&self) -> bool {
        self.reader.is_truncated()
    }

    /// Reads the next packet of the video track; false at the end.
    pub(super) fn next(&mut self, block: &mut Block) -> siskin_core::Result<bool> {
        while self.reader.next_block(block)? {
            if block.track == self.track {
                return Ok(true);
            }
            // Payloads only: the few bytes of header that each block has in the container stay counted.
            self.elsewhere += block.data.len() as u64;
        }
        Ok(false)
    }
}
