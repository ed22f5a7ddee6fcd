//! Which model a verb works with, and what runs it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use siskin_core::bundle::{Bundle, Manifest};
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

use crate::failure::usage_error;

/// The shipped bundle for speech, and that for all other sound.
pub(crate) const SPEECH: &str = "speech-24k";
pub(crate) const GENERAL: &str = "audio-48k";

/// Which model, and what runs it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Bundle for audio or for real-time video, by name or path [default: speech-24k for audio, none for video; to decode, the one
    /// that the stream names to decode]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Execution provider of the networks; auto falls back to the CPU, any other is an error if it is not available
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = ["auto", "cpu", "cuda", "tensorrt"])]
    provider: String,
    /// Device number for cuda and tensorrt
    #[arg(long, value_name = "N", default_value_t = 0)]
    device_number: i32,
    /// Threads of one network, or of video, on the CPU [default: 1 for audio, one per core for video]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Folder in which TensorRT caches built engines
    #[arg(long, value_name = "FOLDER")]
    engine_cache: Option<PathBuf>,
}

impl ModelArgs {
    /// The bundle to encode with.
    pub(crate) fn bundle(&self) -> Result<Bundle> {
        self.model.as_deref().map_or_else(Self::default_bundle, |name| Ok(Bundle::find(name)?))
    }

    /// The bundle to encode sound with where none is named.
    pub(crate) fn default_bundle() -> Result<Bundle> {
        Ok(Bundle::find(SPEECH)?)
    }

    /// ONNX Runtime with the options asked for.
    pub(crate) fn runtime(&self) -> Result<Runtime> {
        self.runtime_with(1)
    }

    /// ONNX Runtime with the options asked for, for networks that are large enough to share between cores.
    pub(crate) fn video_runtime(&self) -> Result<Runtime> {
        self.runtime_with(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn runtime_with(&self, threads: usize) -> Result<Runtime> {
        let provider: Provider = self.provider.parse()?;
        // Not before a network needs it: video without one plays where there is no ONNX Runtime.
        Ok(Runtime::load_when_needed(&RuntimeOptions {
            provider,
            device: self.device_number,
            // One for sound, as a step of its networks is too short to be shared.
            threads: self.threads.map_or(threads, usize::from),
            engine_cache: self.engine_cache.clone(),
        })?)
    }
}

/// The stages of a bundle at a bit rate in b/s, its default ones without.
///
/// # Errors
/// A usage error for rates that it does not have.
pub(crate) fn stages_at(manifest: &Manifest, bitrate: Option<u32>) -> Result<u8> {
    let Some(bitrate) = bitrate else { return Ok(manifest.default_stages) };
    let quantizer = &manifest.quantizer;
    // One stage: a code of each group, so many times a second as the encoder steps by `hop` samples.
    let lowest =
        f64::from(quantizer.code_bits()) * f64::from(quantizer.groups) * f64::from(manifest.sample_rate)
            / f64::from(manifest.hop);
    let highest = lowest * f64::from(quantizer.stages);
    if f64::from(bitrate) < lowest || f64::from(bitrate) > highest {
        let name = &manifest.name;
        return Err(usage_error(format!(
            "--bitrate is {bitrate} b/s, {name} has: {lowest:.0} to {highest:.0}"
        )));
    }
    Ok(manifest.stages_for(bitrate))
}
