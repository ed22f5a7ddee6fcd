//! The command line: the commands.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::{
    bench, call, compare, completions, decode, encode, features, info, latents, man, models, play, share,
    speak, tokens, verify,
};

/// Neural codecs as media formats.
#[derive(Debug, Parser)]
#[command(name = "siskin", version, about, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encode audio, or video with audio, from any file that FFmpeg reads.
    Encode(encode::EncodeArgs),
    /// Decode to WAV, FLAC, MP4, raw samples or any other format that FFmpeg writes.
    Decode(decode::DecodeArgs),
    /// Play a coded file.
    Play(play::PlayArgs),
    /// Make a two-way voice call over RTP.
    Call(call::CallArgs),
    /// Show codec, duration, bit rate and bundle of a coded file.
    Info(info::InfoArgs),
    /// Check every packet of a coded file; --repair restores a truncated one.
    Verify(verify::VerifyArgs),
    /// Measure the quality of a coded file or recording against its original.
    Compare(compare::CompareArgs),
    /// Write the codec's latents (before quantization) to a file, or decode such a file.
    Latents(latents::LatentsArgs),
    /// Make a web page that plays a coded file: one file, with the player in it, that needs no network.
    Share(share::ShareArgs),
    /// Synthesize speech from text.
    Speak(speak::SpeakArgs),
    /// Write the features of video that a server's network needs, and run the network on them.
    Features(features::FeaturesArgs),
    /// Measure speed, latency and memory.
    Bench(bench::BenchArgs),
    /// Convert recordings to token files and back, and show what token files contain.
    Tokens(tokens::TokensArgs),
    /// List, check and import model bundles.
    Models(models::ModelsArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(man::ManArgs),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Encode(args) => encode::run_encode(args),
            Self::Decode(args) => decode::run_decode(args),
            Self::Play(args) => play::run_play(args),
            Self::Call(args) => call::run_call(args),
            Self::Info(args) => info::run_info(args),
            Self::Verify(args) => verify::run_verify(args),
            Self::Compare(args) => compare::run_compare(args),
            Self::Latents(args) => latents::run_latents(args),
            Self::Share(args) => share::run_share(args),
            Self::Speak(args) => speak::run_speak(args),
            Self::Features(args) => features::run_features(args),
            Self::Bench(args) => bench::run_bench(args),
            Self::Tokens(args) => tokens::run_tokens(args),
            Self::Models(args) => models::run_models(args),
            Self::Completions(args) => completions::run_completions(args),
            Self::Man(args) => man::run(args),
        }
    }

    /// Whether the command's results are NDJSON on stdout.
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
            Self::Share(args) => args.report.json,
            Self::Speak(args) => args.report.json,
            Self::Features(args) => args.json(),
            Self::Bench(args) => args.json,
            Self::Tokens(args) => args.json(),
            Self::Models(args) => args.json,
            Self::Completions(_) | Self::Man(_) => false,
        }
    }
}
