//! Coded video files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Chapter, Reader, TrackInfo, VIDEO_CODEC_ID};

use crate::media::TrackLabels;
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

    /// What the first track of a codec says of itself.
    pub(super) fn labels(&self, codec_id: &str) -> TrackLabels {
        TrackLabels::of_codec(self.reader.tracks(), codec_id)
    }

    /// The tracks beside the frames and, if it `takes_sound`, the first Siskin sound: number, codec and language of each.
    pub(super) fn other_tracks(&self, takes_sound: bool) -> Vec<String> {
        self.others(takes_sound).map(describe_track).collect()
    }

    /// [`VideoFile::other_tracks`] as the file describes them.
    pub(super) fn others(&self, takes_sound: bool) -> impl Iterator<Item = &TrackInfo> {
        let sound = self.reader.tracks().iter().find(|t| t.codec_id == AUDIO_CODEC_ID).map(|t| t.number);
        let sound = sound.filter(|_| takes_sound);
        let own = self.track;
        // An output without sound leaves out all of it by its name, so that sound is not told of.
        let is_told = move |t: &&TrackInfo| takes_sound || !t.is_audio;
        self.reader
            .tracks()
            .iter()
            .filter(move |t| t.number != own && Some(t.number) != sound)
            .filter(is_told)
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

/// A track in words.
fn describe_track(track: &TrackInfo) -> String {
    let language = track.language.as_ref().map_or(String::new(), |l| format!(" ({l})"));
    format!("track {} {}{language}", track.number, track.codec_id)
}
