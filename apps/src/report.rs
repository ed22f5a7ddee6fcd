//! What the user sees while a verb works: notes, warnings and progress on stderr, NDJSON on stdout with `--json`.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::units;

/// A bar is redrawn this often.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// A line of a log or of NDJSON is written this often.
const LINE_INTERVAL: Duration = Duration::from_millis(500);

/// What is told while the verb works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct ReportArgs {
    /// Write progress and results to stdout, one JSON object with a "type" per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Write only warnings and errors
    #[arg(short, long, conflicts_with = "progress")]
    pub(crate) quiet: bool,
    /// Write progress to stderr even if it is not a terminal
    #[arg(long)]
    pub(crate) progress: bool,
}

/// Writes one line of NDJSON.
pub(crate) fn write_json_line(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    print_text(&text)
}

/// Writes the line of a verb's result, whose own tag is `verb`.
pub(crate) fn result(value: &impl Serialize) -> Result<()> {
    write_json_line(&events::Outcome::new(value))
}

/// Writes to stdout; unlike `print!`, a reader that went away is an error and no panic.
pub(crate) fn print_text(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    // Flushed line by line: whoever reads NDJSON from a pipe waits for it.
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("stdout")
}

/// How far a verb has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Seconds of audio done.
    pub(crate) seconds: f64,
    /// Seconds of audio in all, if known.
    pub(crate) total: Option<f64>,
    /// Bytes of coded audio so far.
    pub(crate) bytes: u64,
}

enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines,
}

/// The voice of one run.
pub(crate) struct Report {
    json: bool,
    quiet: bool,
    shown: Shown,
    started: Instant,
    due: Instant,
}

impl Report {
    /// Prepares for a run; `data_on_stdout` says that stdout is taken.
    pub(crate) fn new(args: &ReportArgs, data_on_stdout: bool) -> Result<Self> {
        if args.json && data_on_stdout {
            return Err(usage_error("--json writes to stdout, so the output cannot be - too"));
        }
        // By stderr, where progress goes; stdout may be a pipe all the same.
        let shown = if std::io::stderr().is_terminal() && !args.quiet {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Text alone: a length is often unknown, and a bar without one says nothing.
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or(ProgressStyle::default_bar()));
            Shown::Bar(bar)
        } else if args.progress {
            Shown::Lines
        } else {
            Shown::Nothing
        };
        let now = Instant::now();
        Ok(Self { json: args.json, quiet: args.quiet, shown, started: now, due: now })
    }

    /// Seconds since the run began.
    pub(crate) fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Something the user should know, on stderr unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.above_bar(text);
        }
    }

    /// Something the user must know, on stderr and in the NDJSON.
    pub(crate) fn warn(&self, text: &str) -> Result<()> {
        self.above_bar(&format!("siskin: warning: {text}"));
        if self.json { write_json_line(&events::Warning { message: text }) } else { Ok(()) }
    }

    /// Shows progress if it is time to, and fails if the user has interrupted.
    pub(crate) fn progress(&mut self, progress: Progress) -> Result<()> {
        interrupt::check_interrupt()?;
        let now = Instant::now();
        if now < self.due {
            return Ok(());
        }
        let bar = matches!(self.shown, Shown::Bar(_));
        // With both the lines set the pace.
        self.due = now + if bar && !self.json { DRAW_INTERVAL } else { LINE_INTERVAL };
        let elapsed = self.elapsed().max(1e-3);
        // Of the whole run and not of the moment, so that the estimate is calm.
        let speed = progress.seconds / elapsed;
        let eta = progress.total.filter(|_| speed > 0.0).map(|t| (t - progress.seconds).max(0.0) / speed);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.set_message(describe_progress(progress, speed, eta)),
            Shown::Lines => eprintln!("{}", describe_progress(progress, speed, eta)),
        }
        if self.json {
            write_json_line(&events::SoundProgress {
                seconds: progress.seconds,
                total_seconds: progress.total,
                speed,
                bitrate: units::rate_of(progress.bytes, progress.seconds),
                bytes: progress.bytes,
                eta_seconds: eta,
            })?;
        }
        Ok(())
    }

    /// Shows progress through many files if it is time to, and fails if the user has interrupted.
    pub(crate) fn files(&mut self, done: u64, all: u64, seconds: f64, bytes: u64) -> Result<()> {
        interrupt::check_interrupt()?;
        let now = Instant::now();
        if now < self.due {
            return Ok(());
        }
        self.due = now + LINE_INTERVAL;
        let elapsed = self.elapsed().max(1e-3);
        // Files of very different lengths make this a guess; a better one would have to open them all first.
        let eta = (done > 0).then(|| elapsed / done as f64 * all.saturating_sub(done) as f64);
        let mut text =
            format!("{done} / {all} files  {}  {:.1}x", units::format_time(seconds), seconds / elapsed);
        text += &format!("  {}", units::format_size(bytes));
        text += &eta.map_or(String::new(), |eta| format!("  ETA {}", units::format_time(eta)));
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.set_message(text),
            Shown::Lines => eprintln!("{text}"),
        }
        if self.json {
            write_json_line(&events::FilesProgress {
                files: done,
                total_files: all,
                seconds,
                speed: seconds / elapsed,
                bytes,
                eta_seconds: eta,
            })?;
        }
        Ok(())
    }

    /// Shows a line of its own kind in the place of the progress.
    pub(crate) fn status(&mut self, text: &str) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        match &self.shown {
            Shown::Nothing => return,
            Shown::Bar(bar) => bar.set_message(text.to_owned()),
            Shown::Lines => eprintln!("{text}"),
        }
        self.due = now + if matches!(self.shown, Shown::Bar(_)) { DRAW_INTERVAL } else { LINE_INTERVAL };
    }

    /// Shows a verb's own line of progress, and its object in the NDJSON, if it is time to.
    pub(crate) fn show<T: Serialize>(
        &mut self,
        text: impl FnOnce() -> String,
        value: impl FnOnce() -> T,
    ) -> Result<()> {
        let now = Instant::now();
        if now < self.due {
            return Ok(());
        }
        let is_bar = matches!(self.shown, Shown::Bar(_));
        self.due = now + if is_bar && !self.json { DRAW_INTERVAL } else { LINE_INTERVAL };
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.set_message(text()),
            Shown::Lines => eprintln!("{}", text()),
        }
        if self.json { write_json_line(&value()) } else { Ok(()) }
    }

    /// Ends the progress and gives the result: a line on stderr for people, or NDJSON.
    pub(crate) fn done(&self, text: &str, value: &impl Serialize) -> Result<()> {
        self.clear();
        // One or the other: with `--json` a program reads stdout, and nobody the line.
        if self.json {
            return result(value);
        }
        self.note(text);
        Ok(())
    }

    /// Takes the progress line off the screen.
    pub(crate) fn clear(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn above_bar(&self, text: &str) {
        match &self.shown {
            // Otherwise the next redraw of the bar would overwrite it.
            Shown::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            _ => eprintln!("{text}"),
        }
    }
}

fn describe_progress(progress: Progress, speed: f64, eta: Option<f64>) -> String {
    let Progress { seconds, total, bytes } = progress;
    let mut text = units::format_time(seconds);
    if let Some(total) = total {
        let percent = (100.0 * seconds / total.max(1e-9)).min(100.0);
        text += &format!(" / {} ({percent:.0} %)", units::format_time(total));
    }
    text += &format!("  {speed:.1}x");
    if bytes > 0 {
        text += &format!(
            "  {}  {}",
            units::format_bitrate(units::rate_of(bytes, seconds)),
            units::format_size(bytes)
        );
    }
    if let Some(eta) = eta {
        text += &format!("  ETA {}", units::format_time(eta));
    }
    text
}
