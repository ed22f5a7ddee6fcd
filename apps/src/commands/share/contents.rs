//! What of a file a page plays.

use std::io::Cursor;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::bundle::Bundle;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Reader, VIDEO_CODEC_ID};
use siskin_core::video::{Coding, inspect};

use crate::media_file::{CodedFile, Probe};
use crate::report::Report;

/// What a page plays.
pub(super) struct Contents {
    /// The file's own title.
    pub(super) title: Option<String>,
    pub(super) seconds: f64,
    /// That of the sound, if there is any.
    pub(super) bundle: Option<Bundle>,
    pub(super) shows_video: bool,
}

/// A video track.
struct Video {
    /// Of its first packet; the player judges what is damaged.
    coding: Option<Coding>,
    seconds: f64,
    has_sound: bool,
    tags: Vec<(String, String)>,
}

impl Contents {
    /// Looks at a file, whose faults the page plays too: whoever shares it is told.
    pub(super) fn read(name: &str, data: &[u8], report: &Report) -> Result<Self> {
        let video = Video::find(data).with_context(|| name.to_owned())?;
        let shows_video = video.as_ref().is_some_and(|v| matches!(v.coding, Some(Coding::Blocks) | None));
        if let Some(video) = video.as_ref().filter(|v| shows_video && !v.has_sound) {
            return Ok(Self { title: title(&video.tags), seconds: video.seconds, bundle: None, shows_video });
        }
        if video.is_some() && !shows_video {
            if video.as_ref().is_some_and(|v| !v.has_sound) {
                bail!("{name}: its video needs a network, which pages do not run, and it has no sound");
            }
            report.warn(&format!("{name}: its video needs a network, so the page plays the sound alone"))?;
        }
        let mut file = CodedFile::from_memory(name, data.to_vec())?;
        let bundle = Bundle::for_stream(file.header(), None)?;
        let probe = Probe::of(&mut file, Some(&bundle))?;
        if probe.samples == 0 && !shows_video {
            bail!("{name} holds no packets that can be decoded");
        }
        // The player conceals what is damaged, as the program does; whoever shares it should know.
        if let Some((_, seconds, what)) = probe.faults.first() {
            report.warn(&format!("{name} is damaged at {seconds:.2} s: {what}"))?;
        }
        let sound = probe.samples as f64 / f64::from(file.header().sample_rate);
        let seconds = video.map_or(0.0, |v| v.seconds).max(sound);
        Ok(Self { title: title(file.tags()), seconds, bundle: Some(bundle), shows_video })
    }
}

fn title(tags: &[(String, String)]) -> Option<String> {
    tags.iter().find(|tag| tag.0 == "TITLE").map(|tag| tag.1.clone())
}

impl Video {
    /// The video of a file; none where there is none, or no Matroska.
    fn find(data: &[u8]) -> Result<Option<Self>> {
        // What is no Matroska is refused for its sound, in the words of all commands.
        let Ok(mut reader) = Reader::open_file(Cursor::new(data), Limits::default()) else { return Ok(None) };
        let track = |codec: &str| reader.tracks().iter().find(|t| t.codec_id == codec).map(|t| t.number);
        let (Some(track), has_sound) = (track(VIDEO_CODEC_ID), track(AUDIO_CODEC_ID).is_some()) else {
            return Ok(None);
        };
        let (mut block, mut first, mut end_ns) = (Block::default(), None, 0);
        // Damage ends the film, for the player too.
        while reader.next_block(&mut block).unwrap_or(false) {
            if block.track == track {
                first.get_or_insert_with(|| inspect(&block.data, &Limits::default()).ok().map(|i| i.coding));
                end_ns = end_ns.max(block.pts_ns.saturating_add(block.duration_ns.unwrap_or(0)));
            }
        }
        let Some(coding) = first else { bail!("its track of video holds no packets") };
        let tags = reader.tags().to_vec();
        Ok(Some(Self { coding, seconds: end_ns as f64 / 1e9, has_sound, tags }))
    }
}
