//! `siskin bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use siskin_core::bundle::Manifest;

use crate::bench::{audio, speech_like, video};
use crate::failure::usage_error;
use crate::media::{self, AudioInput};
use crate::model::ModelArgs;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A recording to code, any audio that FFmpeg reads [default: noise with the envelope of speech]
    input: Option<PathBuf>,
    /// Seconds of audio to code
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Residual stages [default: the bundle's]
    #[arg(short = 's', long, alias = "codebooks", short_alias = 'c', value_name = "N")]
    stages: Option<u8>,
    /// Width of the beam search over codes, 1 to 64 [default: the encoder's]
    #[arg(long, value_name = "N")]
    search_width: Option<usize>,
    /// Also encode and decode N streams at once, on as many threads as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    streams: Option<u16>,
    /// Measure video in real time instead of audio; INPUT is then a clip [default: a moving pattern of 480x270]
    #[arg(long, help_heading = "Video")]
    video: bool,
    /// Video frames to code
    #[arg(long, value_name = "N", default_value_t = 150, requires = "video", value_parser = clap::value_parser!(u32).range(2..=3000), help_heading = "Video")]
    frames: u32,
    /// Quality of the bundle, 0 is the finest
    #[arg(long, value_name = "N", default_value_t = 20, requires = "video", help_heading = "Video")]
    quality: u8,
    #[command(flatten)]
    model: ModelArgs,
    /// Write the result as a JSON object
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

pub(crate) fn run_bench(args: &BenchArgs) -> Result<ExitCode> {
    if args.video {
        let work = video::Work {
            input: args.input.as_deref(),
            frames: args.frames as usize,
            quality: args.quality,
            model: args.model.model.as_deref(),
        };
        video::run_video(&work, &args.model.video_runtime()?, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the bundle is read, so that the time to the first packet is what a user waits.
    let started = Instant::now();
    let bundle = args.model.bundle()?;
    let manifest = bundle.manifest();
    let stages = args.stages.unwrap_or(manifest.default_stages);
    if !(1..=manifest.quantizer.stages).contains(&stages) {
        let (name, all) = (&manifest.name, manifest.quantizer.stages);
        return Err(usage_error(format!("--stages is {stages}, {name} has: 1 to {all}")));
    }
    let runtime = args.model.runtime()?;
    let work = audio::Work {
        started,
        bundle: &bundle,
        runtime: &runtime,
        stages,
        search_width: args.search_width,
        streams: args.streams.map(usize::from),
    };
    audio::run_audio(&work, || load_samples(args, manifest), args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// As many samples as asked for, in whole frames; a shorter recording is repeated.
fn load_samples(args: &BenchArgs, manifest: &Manifest) -> Result<Vec<f32>> {
    let (rate, channels) = (manifest.sample_rate, usize::from(manifest.channels));
    let count = args.seconds as usize * rate as usize;
    let Some(path) = &args.input else {
        // The same in all channels: their number is what costs.
        let mono = speech_like(count, rate);
        return Ok(mono.iter().flat_map(|&x| std::iter::repeat_n(x, channels)).collect());
    };
    let count = count * channels;
    media::init_ffmpeg()?;
    let mut input = AudioInput::open(path, Some(rate))?;
    input.set_channels(manifest.channels);
    let mut pcm = Vec::new();
    // No further than needed: a whole film would be decoded to use half a minute of it.
    while pcm.len() < count && input.next(&mut pcm)? {}
    if pcm.is_empty() {
        bail!("{} holds no audio samples", path.display());
    }
    // Repeated, so that numbers of short and long recordings come from equally many frames.
    Ok(pcm.iter().copied().cycle().take(count).collect())
}
