//! What an encoding of frames, and of the sound beside them, is made from in either mode.

use std::path::Path;

use anyhow::Result;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::Track;
use siskin_core::runtime::Runtime;

use super::VideoArgs;
use super::input::VideoInput;
use super::preview::Watch;
use super::resume::{Earlier, Settings};
use super::sound_track::Sound;
use crate::media::{Kind, Source};
use crate::media_file::Sink;
use crate::report::Report;

/// What an encoding is made from.
pub(crate) struct Job<'a> {
    /// The input's name and the input.
    pub(crate) input: &'a Path,
    /// The opened input.
    pub(crate) source: Source,
    /// The output, for messages.
    pub(crate) output: &'a Path,
    /// The options of video.
    pub(crate) video: &'a VideoArgs,
    /// `--bitrate`.
    pub(crate) bitrate: Option<u32>,
    /// `--model`: the bundle of the real-time mode.
    pub(crate) model: Option<&'a str>,
    /// Whether an input that ends before its stated length is one that was meant.
    pub(crate) allow_truncated: bool,
    /// The sound, if it is wanted.
    pub(crate) sound: Option<Sound>,
    /// ONNX Runtime with its options.
    pub(crate) runtime: Runtime,
}

impl Job<'_> {
    /// The tracks of the file, and when the frames and the file begin, in nanoseconds of the file and of the input. The sound's place
    /// beside the frames is that of the input.
    pub(super) fn tracks(&mut self, input: &VideoInput) -> (Vec<Track>, u64, i64) {
        // Only real-time packets are frames; a fitted group is as long as it is.
        let frame = input.header().frame_duration_ns().filter(|_| self.video.is_realtime()).unwrap_or(0);
        let labels = self.source.track_labels(Kind::Video);
        let mut video = Track::video(input.header()).with_packet_duration(frame);
        (video.name, video.language) = (labels.name, labels.language);
        let mut tracks = vec![video];
        let seen = input.start_ns();
        let Some(sound) = &mut self.sound else { return (tracks, 0, seen) };
        let labels = self.source.track_labels(Kind::Audio);
        let mut track = sound.track();
        (track.name, track.language) = (labels.name, labels.language);
        tracks.push(track);
        // The earlier of both is 0 of the file, so that no time is negative.
        let zero = seen.min(sound.start_ns().unwrap_or(seen));
        sound.begin_at(zero);
        (tracks, seen.saturating_sub(zero).max(0) as u64, zero)
    }

    /// What an earlier run left, if it is to be gone on with.
    pub(super) fn earlier_run(
        &self,
        header: &VideoHeader,
        settings: &Settings,
        report: &Report,
    ) -> Result<Option<Earlier>> {
        if !self.video.resume {
            return Ok(None);
        }
        let earlier = Earlier::open(self.output, header, settings)?;
        if earlier.is_none() {
            // No error, so that one command can be run again and again until it is done.
            report.note(&format!("{} is not there yet: there is nothing to resume", self.output.display()));
        }
        Ok(earlier)
    }

    /// Who wants to look at frames of this size.
    pub(super) fn open_preview(&self, header: &VideoHeader) -> Result<Option<Watch>> {
        let size = (header.width, header.height);
        self.video.watch.as_ref().map(|path| Watch::new(path, size)).transpose()
    }

    /// Writes the sound that begins at `time` or before.
    pub(super) fn write_sound(&mut self, time: u64, sink: &mut Sink) -> Result<()> {
        self.sound.as_mut().map_or(Ok(()), |sound| sound.write_until(time, 1, sink))
    }
}
