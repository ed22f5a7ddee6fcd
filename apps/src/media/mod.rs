//! Media through FFmpeg: any input to samples of one channel or two, and those to any output.

mod aspect;
mod cut;
mod decoded;
mod demux;
pub(crate) mod graph;
mod input;
mod mixdown;
mod opus_start;
pub(crate) mod output;
mod resample;
mod source;
mod stated;
mod steps;
mod tags;
mod timeline;
mod track;

pub(crate) use decoded::Track;
pub(crate) use demux::{Kind, Next, Source, rescale_rounded, to_ns};
pub(crate) use input::AudioInput;
pub(crate) use output::{AudioOutput, Labels, OutputFormat, TrackLabels};
pub(crate) use resample::{Resampler, resample_all};
pub(crate) use tags::{describe_left_out, kept_tags};
pub(crate) use track::{AudioTrack, write_packets};

/// Keeps FFmpeg from writing to stderr: what goes wrong is told once, by us.
pub(crate) fn init_ffmpeg() -> anyhow::Result<()> {
    ffmpeg_next::init().map_err(|e| anyhow::anyhow!("FFmpeg cannot be started: {e}"))?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    Ok(())
}
