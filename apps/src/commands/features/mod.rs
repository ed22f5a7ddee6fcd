//! `siskin features`: split computing.

mod bench;
mod decode;
mod encode;
mod file;
mod info;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use siskin_core::bundle::FeatureBundle;

use crate::model::ModelArgs;

/// Arguments of `features`.
#[derive(Debug, Args)]
pub(crate) struct FeaturesArgs {
    #[command(subcommand)]
    command: FeaturesCommand,
}

/// Which way.
#[derive(Debug, Subcommand)]
enum FeaturesCommand {
    /// Write the features of pictures or video that FFmpeg reads, a packet per frame
    Encode(encode::EncodeArgs),
    /// Run a server's networks on features, and write what they find as JSON lines
    Decode(decode::DecodeArgs),
    /// Show size, rate, levels and bundle of a file of features
    Info(info::InfoArgs),
    /// Measure the time of both halves on pictures or video
    Bench(bench::BenchArgs),
}

impl FeaturesArgs {
    /// Whether results are NDJSON on stdout.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            FeaturesCommand::Encode(args) => args.report.json,
            FeaturesCommand::Decode(args) => args.report.json,
            FeaturesCommand::Info(args) => args.json,
            FeaturesCommand::Bench(args) => args.json,
        }
    }
}

pub(crate) fn run_features(args: &FeaturesArgs) -> Result<ExitCode> {
    match &args.command {
        FeaturesCommand::Encode(args) => encode::run(args)?,
        FeaturesCommand::Decode(args) => decode::run(args)?,
        FeaturesCommand::Info(args) => info::run(args)?,
        FeaturesCommand::Bench(args) => bench::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The bundle to encode with.
fn bundle_of(model: &ModelArgs) -> Result<FeatureBundle> {
    Ok(FeatureBundle::find(model.model.as_deref().unwrap_or(FeatureBundle::DEFAULT))?)
}
