//! The command line: verbs, and the groups of options that several verbs share.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

use crate::target::Overwrite;
use crate::verbs::{
    bench, call, compare, completions, decode, encode, info, latents, models, play, speak, tokens, verify,
};

/// Neural codecs as media formats.
#[derive(Debug, Parser)]
#[command(name = "siskin", version, about, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encode the audio of any file that FFmpeg reads.
    Encode(encode::EncodeArgs),
    /// Decode to WAV, FLAC, raw samples or whatever else FFmpeg writes.
    Decode(decode::DecodeArgs),
    /// Play a coded file on a sound device.
    Play(play::PlayArgs),
    /// Talk to somebody over the network.
    Call(call::CallArgs),
    /// Show what a coded file holds.
    Info(info::InfoArgs),
    /// Check every packet of a coded file.
    Verify(verify::VerifyArgs),
    /// Measure how far one recording is from another.
    Compare(compare::CompareArgs),
    /// Write a recording as the codec's continuous latents, or decode such a file.
    Latents(latents::LatentsArgs),
    /// Speak text.
    Speak(speak::SpeakArgs),
    /// Measure speed, latency and memory.
    Bench(bench::BenchArgs),
    /// Turn recordings into token files and back, and show what token files hold.
    Tokens(tokens::TokensArgs),
    /// List and check the installed model bundles.
    Models(models::ModelsArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Runs the verb.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Encode(args) => encode::run(args),
            Self::Decode(args) => decode::run(args),
            Self::Play(args) => play::run(args),
            Self::Call(args) => call::run(args),
            Self::Info(args) => info::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Latents(args) => latents::run(args),
            Self::Speak(args) => speak::run(args),
            Self::Bench(args) => bench::run(args),
            Self::Tokens(args) => tokens::run(args),
            Self::Models(args) => models::run(args),
            Self::Completions(args) => completions::run(args),
        }
    }

    /// Whether the verb's results are NDJSON on stdout.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Encode(args) => args.report.json,
            Self::Decode(args) => args.report.json,
            Self::Play(args) => args.report.json,
            Self::Call(args) => args.report.json,
            Self::Info(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Compare(args) => args.json,
            Self::Latents(args) => args.json(),
            Self::Speak(args) => args.report.json,
            Self::Bench(args) => args.json,
            Self::Tokens(args) => args.json(),
            Self::Models(args) => args.json,
            Self::Completions(_) => false,
        }
    }
}

/// Which model, and what runs it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Bundle by name or path, of the sound or of pictures in real time, whichever it is for [default: speech-24k and
    /// video-realtime to encode, the one that the stream names to decode]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// What runs the networks; anything but auto is an error if it cannot be had
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = ["auto", "cpu", "cuda", "tensorrt"])]
    provider: String,
    /// Device number for cuda and tensorrt
    #[arg(long, value_name = "N", default_value_t = 0)]
    device_number: i32,
    /// Threads of one network on the CPU [default: 1 for audio, one a core for video]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Folder in which tensorrt keeps built engines
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
        Ok(Bundle::find("speech-24k")?)
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
        Ok(Runtime::load(&RuntimeOptions {
            provider,
            device: self.device_number,
            threads: self.threads.map_or(threads, usize::from),
            engine_cache: self.engine_cache.clone(),
        })?)
    }
}

/// What to do if the output exists.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OverwriteArgs {
    /// Overwrite the output if it exists
    #[arg(short = 'y', long, conflicts_with = "never")]
    yes: bool,
    /// Never overwrite, and do not ask
    #[arg(short = 'n', long)]
    never: bool,
}

impl OverwriteArgs {
    /// The choice made.
    pub(crate) fn choice(&self) -> Overwrite {
        match (self.yes, self.never) {
            (true, _) => Overwrite::Always,
            (_, true) => Overwrite::Never,
            _ => Overwrite::Ask,
        }
    }
}

/// What is told while the verb works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct ReportArgs {
    /// Write progress and results to stdout, one JSON object with a "type" a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Write nothing but warnings and errors
    #[arg(short, long, conflicts_with = "progress")]
    pub(crate) quiet: bool,
    /// Write progress to stderr also where it is no terminal
    #[arg(long)]
    pub(crate) progress: bool,
}
