//! What of a file a page plays.

use std::io::Cursor;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::bitstream::{StreamHeader, VideoHeader};
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
    /// Channels of the sound, if there is any.
    channels: Option<u8>,
    tags: Vec<(String, String)>,
}

impl Contents {
    /// Looks at a file, whose faults the page plays too: whoever shares it is told.
    pub(super) fn read(name: &str, data: &Arc<Vec<u8>>, report: &Report) -> Result<Self> {
        let video = Video::find(data).with_context(|| name.to_owned())?;
        let shows_video = video.as_ref().is_some_and(|v| matches!(v.coding, Some(Coding::Blocks) | None));
        if let Some(video) = video.as_ref().filter(|v| shows_video && v.channels != Some(1)) {
            if let Some(channels) = video.channels {
                let why = "and pages play one, so the page shows the frames without sound";
                report.warn(&format!("{name}: its sound has {channels} channels, {why}"))?;
            }
            return Ok(Self { title: title(&video.tags), seconds: video.seconds, bundle: None, shows_video });
        }
        if video.is_some() && !shows_video {
            if video.as_ref().is_some_and(|v| v.channels.is_none()) {
                bail!("{name}: its video needs a network, which pages do not run, and it has no sound");
            }
            report.warn(&format!("{name}: its video needs a network, so the page plays the sound alone"))?;
        }
        let mut file = CodedFile::from_memory(name, Arc::clone(data))?;
        let channels = file.header().channels;
        if channels != 1 {
            bail!(
                "{name}: its sound has {channels} channels, and pages play sound of one (`siskin play` plays it)"
            );
        }
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
        let track = |codec: &str| reader.tracks().iter().find(|t| t.codec_id == codec);
        let Some(video) = track(VIDEO_CODEC_ID) else { return Ok(None) };
        let number = video.number;
        let (header, _) = VideoHeader::parse(&video.codec_private, &Limits::default())?;
        let sound =
            track(AUDIO_CODEC_ID).map(|sound| StreamHeader::parse(&sound.codec_private)).transpose()?;
        let channels = sound.map(|(header, _)| header.channels);
        let (mut block, mut first, mut end_ns) = (Block::default(), None, 0);
        // A film that states its length ends there, for the player too, and need not be read. Damage ends the others.
        let stated_ns = reader.duration_ns();
        while (first.is_none() || stated_ns.is_none()) && reader.next_block(&mut block).unwrap_or(false) {
            if block.track != number {
                continue;
            }
            let info = inspect(&block.data, &Limits::default()).ok();
            let own_ns = info.as_ref().and_then(|info| info.duration_ns(&header));
            first.get_or_insert(info.map(|info| info.coding));
            // As the player counts: a block without a duration has its track's, which is that of one frame.
            end_ns = end_ns.max(block.pts_ns.saturating_add(own_ns.or(block.duration_ns).unwrap_or(0)));
        }
        let Some(coding) = first else { bail!("its track of video holds no packets") };
        let seconds = stated_ns.unwrap_or(end_ns) as f64 / 1e9;
        Ok(Some(Self { coding, seconds, channels, tags: reader.tags().to_vec() }))
    }
}
