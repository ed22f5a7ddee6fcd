//! `siskin share`: a coded file as a page that plays it, with nothing to install and no network.

mod contents;
mod page;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use siskin_core::bundle::player_folders;

use crate::events;
use crate::failure::usage_error;
use crate::report::{Report, ReportArgs};
use crate::target::{OverwriteArgs, Target, is_dash};
use crate::units;
use contents::Contents;
use page::{MODULE, Page};

/// Arguments of `share`.
#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// Coded file with sound, video or both, - for stdin
    input: PathBuf,
    /// The page, - for stdout [default: the input's name with .html]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Title of the page [default: the file's tag TITLE, else its name]
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_share(args: &ShareArgs) -> Result<ExitCode> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None if is_dash(&args.input) => {
            return Err(usage_error("name a page with -o: stdin has no name of its own"));
        }
        None => args.input.with_extension("html"),
    };
    let report = Report::new(&args.report, is_dash(&output))?;
    let data = Arc::new(read_input(&args.input)?);
    let name = args.input.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let contents = Contents::read(&args.input.display().to_string(), &data, &report)?;
    let title = args.title.as_ref().or(contents.title.as_ref()).unwrap_or(&name);
    let (bundle, shows_video) = (contents.bundle.as_ref(), contents.shows_video);
    let page = Page { title, name: &name, bundle, shows_video, file: &data }.write(&find_player()?)?;
    let target = Target::open(&output, args.overwrite.choice(), &args.input)?;
    match target.handle()? {
        Some(mut file) => file.write_all(page.as_bytes()),
        None => std::io::stdout().lock().write_all(page.as_bytes()),
    }
    .with_context(|| output.display().to_string())?;
    target.commit()?;
    report.done(
        &format!("{} in a page of {:.1} MB", units::format_time(contents.seconds), page.len() as f64 / 1e6),
        &events::Share {
            input: args.input.to_string_lossy(),
            output: output.to_string_lossy(),
            model: bundle.map(|bundle| bundle.manifest().name.as_str()),
            model_id: bundle.map(|bundle| bundle.id().to_string()),
            video: shows_video,
            seconds: contents.seconds,
            bytes: page.len() as u64,
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

fn read_input(path: &Path) -> Result<Vec<u8>> {
    // 90 hours at 6 kb/s, as much as is taken from a pipe elsewhere: browsers do not open larger pages.
    const MAX: u64 = 256 << 20;
    let mut data = Vec::new();
    if is_dash(path) {
        std::io::stdin().lock().take(MAX + 1).read_to_end(&mut data).context("stdin")?;
    } else {
        let file = fs::File::open(path).with_context(|| path.display().to_string())?;
        file.take(MAX + 1).read_to_end(&mut data).with_context(|| path.display().to_string())?;
    }
    if data.len() as u64 > MAX {
        bail!("{}: more than {} MiB, which no browser opens in a page", path.display(), MAX >> 20);
    }
    Ok(data)
}

/// The folder of the player's files.
fn find_player() -> Result<PathBuf> {
    let folders = player_folders();
    let found = folders.iter().find(|f| f.join(MODULE).is_file());
    found.cloned().ok_or_else(|| {
        let searched: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
        anyhow::anyhow!(
            "the web player is not installed (./x install brings it, ./x web builds it): searched {}",
            searched.join(", ")
        )
    })
}
