//! `siskin completions`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::report;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to print a script for
    shell: Shell,
}

pub(crate) fn run_completions(args: &CompletionsArgs) -> Result<ExitCode> {
    // Generated into memory first: the generator panics if its output goes away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "siskin", &mut script);
    report::print_text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
