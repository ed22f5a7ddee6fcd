//! Media through FFmpeg: any input to mono samples, and samples to any output.

mod convert;
mod feeder;
mod input;
pub(crate) mod output;
mod riff;
pub(crate) mod source;
mod track;

pub(crate) use convert::{Resampler, resample};
pub(crate) use feeder::Feeder;
pub(crate) use input::AudioInput;
pub(crate) use output::{AudioOutput, OutputFormat};
pub(crate) use track::{AudioTrack, write_packets};

/// Keeps FFmpeg from writing to stderr: what goes wrong is told once, by us.
pub(crate) fn init() -> anyhow::Result<()> {
    ffmpeg_next::init().map_err(|e| anyhow::anyhow!("FFmpeg cannot be started: {e}"))?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    Ok(())
}
