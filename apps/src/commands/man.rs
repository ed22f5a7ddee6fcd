//! `siskin man`: the manual pages, which packages and `./x install` put in place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;

/// Sections of siskin(1) that the command line does not know of.
const MORE: &str = r#".SH "EXIT STATUS"
.TP
0
Everything was done.
.TP
1
Something went wrong at work; one line on standard error says what.
.TP
2
The command line, or a value in it, is not valid.
.TP
130
Interrupted; outputs that are kept hold what was whole.
.SH ENVIRONMENT
.TP
ORT_DYLIB_PATH
The shared library of ONNX Runtime (1.24 or later) to load, before any other.
.TP
SISKIN_BUNDLES
Folders of model bundles, separated by colons, that are searched first.
.TP
XDG_DATA_HOME
The user's own bundles are in siskin/bundles below it; default: ~/.local/share.
.SH FILES
.TP
share/siskin/bundles
Model bundles, below the prefix of the program, /usr/local or /usr.
.TP
lib/siskin/libonnxruntime.so
ONNX Runtime, below the same prefixes.
"#;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder to write the pages into
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn run(args: &ManArgs) -> Result<ExitCode> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    // Global arguments reach the subcommands only by this.
    cli.build();
    write(&cli, MORE, &args.folder)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command, and those of what is below it.
fn write(command: &Command, more: &str, folder: &Path) -> Result<()> {
    // `siskin tokens export` has the page siskin-tokens-export(1).
    let page = Man::new(command.clone()).manual("Siskin Manual");
    let mut text = Vec::new();
    page.render(&mut text)?;
    text.extend(more.as_bytes());
    let path = folder.join(page.get_filename());
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    command.get_subcommands().filter(|c| !c.is_hide_set()).try_for_each(|c| write(c, "", folder))
}
