//! The command line of Siskin: `siskin encode`, `decode`, `info`, `verify`, `play`, `call`, `compare`, `bench`, `tokens`,
//! `models`.

mod batch;
mod bench;
mod call;
mod cli;
mod coded;
mod failure;
mod interrupt;
mod keys;
mod media;
mod metrics;
mod playback;
mod report;
mod sound;
mod speech;
mod target;
mod units;
mod verbs;
mod video;
mod voices;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    interrupt::install();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => failure::report(&error, cli.command.json()),
    }
}
