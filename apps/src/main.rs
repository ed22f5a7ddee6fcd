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

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use interrupt::Interrupted;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report_parsing(&error, std::env::args_os().skip(1)),
    };
    // After parsing: an option that is wrong altogether is told first.
    old_names::warn_of_old_names(std::env::args_os().skip(1));
    interrupt::install_handler();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => report_failure(&error, cli.command.json()),
    }
}

/// What the parser has to say: help and version on stdout with exit code 0, else a mistake in the command line.
fn report_parsing(error: &clap::Error, args: impl Iterator<Item = OsString>) -> ExitCode {
    // To stderr, or stdout where it was asked for; a closed one loses nothing that the exit code does not say.
    error.print().ok();
    let code = u8::try_from(error.exit_code()).unwrap_or(1);
    if code != 0 && asks_for_json(args) {
        // The first paragraph: what follows is how the command is used.
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or_default();
        let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = line.strip_prefix("error: ").unwrap_or(&line);
        report::write_json_line(&events::Failure { message, exit_code: code }).ok();
    }
    ExitCode::from(code)
}

/// Whether a command line that could not be parsed asks for JSON. What follows `--` are names.
fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    args.take_while(|arg| arg != "--").any(|arg| arg == "--json")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_before_the_names() {
        let asks = |args: &[&str]| asks_for_json(args.iter().map(OsString::from));
        assert!(asks(&["encode", "a", "b.mkv", "--json", "--bogus"]));
        assert!(!asks(&["encode", "--", "--json"]));
    }
}
