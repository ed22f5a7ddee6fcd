//! The command line of Siskin: `siskin encode`, `decode`, `info`, `verify`, `play`, `call`, `compare`, `bench`, `tokens`,
//! `models`.

mod audio_device;
mod batch;
mod bench;
mod call;
mod cli;
mod commands;
mod content;
mod events;
mod failure;
mod interrupt;
mod keyboard;
mod media;
mod media_file;
mod metrics;
mod model;
mod old_names;
mod playback;
mod report;
mod speech;
mod target;
mod units;
mod video;
mod voices;

use std::process::ExitCode;

use clap::Parser;

use interrupt::Interrupted;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // After parsing: an option that is wrong altogether is told first.
    old_names::warn_of_old_names(std::env::args_os().skip(1));
    interrupt::install_handler();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => report_failure(&error, cli.command.json()),
    }
}

/// How an error ends the program: one line on stderr, exit code 2 for what the user should type otherwise, else 1.
fn report_failure(error: &anyhow::Error, json: bool) -> ExitCode {
    // Causes that span lines (ONNX Runtime's do) would break the promise of one line.
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("siskin: {line}");
    let code = match error {
        _ if error.is::<Interrupted>() => interrupt::exit_code(),
        _ if failure::is_usage(error) => 2,
        _ => 1,
    };
    if json {
        // The exit code and stderr say it too, so a closed stdout loses nothing.
        report::write_json_line(&events::Failure { message: &line, exit_code: code }).ok();
    }
    ExitCode::from(code)
}
