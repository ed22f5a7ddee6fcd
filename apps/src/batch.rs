//! One file or all files of a folder, several at a time, so that a run that was cut off goes on where it stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, anyhow};

use crate::failure::usage_error;
use crate::report::Report;
use crate::target::is_dash;
use crate::units;

/// A file and what is to be made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// The input's path within its folder, without extension: unique in a run.
    pub(crate) id: String,
    /// Its place in the list that the run was made of.
    pub(crate) place: usize,
}

/// The files in a folder and the folders in it.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Links to folders, which are not followed.
    pub(crate) links: Vec<PathBuf>,
}

/// The jobs of a folder, and what of it gives none.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) jobs: Vec<Job>,
    /// Files that were not taken, by their names.
    pub(crate) others: Vec<PathBuf>,
    /// Links to folders, which are not followed.
    pub(crate) links: Vec<PathBuf>,
}

impl Plan {
    /// What was left out, in words, where something was; `wanted` is what was looked for.
    pub(crate) fn describe_rest(&self, wanted: &str) -> Option<String> {
        let mut said = Vec::new();
        if !self.others.is_empty() {
            let ending =
                |p: &PathBuf| p.extension().map_or("none".into(), |e| format!(".{}", e.to_string_lossy()));
            let endings: BTreeSet<String> = self.others.iter().map(ending).collect();
            let listed: Vec<String> = endings.into_iter().take(8).collect();
            said.push(format!(
                "{} whose extension is of no {wanted} ({})",
                units::format_count(self.others.len(), "file", "files"),
                listed.join(", ")
            ));
        }
        if let Some(first) = self.links.first() {
            let count = units::format_count(self.links.len(), "link to a folder", "links to folders");
            said.push(format!("{count} ({})", first.display()));
        }
        (!said.is_empty()).then(|| format!("Leaving out {}", said.join(" and ")))
    }
}

/// What a job came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    /// Seconds of audio.
    pub(crate) seconds: f64,
    /// Codec frames.
    pub(crate) frames: u64,
    /// Bytes written.
    pub(crate) bytes: u64,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// The jobs for all files in the folder `input`, in the order of their names, with outputs of the same names but for the
/// extension in the folder `output`.
pub(crate) fn plan_jobs(
    input: &Path,
    output: &Path,
    extension: &str,
    takes: impl Fn(&Path) -> bool,
) -> Result<Plan> {
    let (mut jobs, mut others) = (Vec::new(), Vec::new());
    // The output may lie within the input; a second run must not take the first one's results for inputs.
    let inside = fs::canonicalize(output).ok();
    let Listing { files, links } = list_files(input, inside.as_deref())?;
    for path in files {
        if !takes(&path) {
            others.push(path);
            continue;
        }
        let relative = path.strip_prefix(input).unwrap_or(&path);
        let stem = relative.with_extension("");
        let id = stem.to_string_lossy().into_owned();
        let output = output.join(relative).with_extension(extension);
        jobs.push(Job { output, input: path, id, place: jobs.len() });
    }
    // Checked before any work: `a.wav` and `a.mp3` would overwrite each other, and which one wins would depend on the
    // threads.
    let mut outputs: BTreeMap<&Path, &Path> = BTreeMap::new();
    for job in &jobs {
        if let Some(other) = outputs.insert(&job.output, &job.input) {
            let (a, b) = (other.display(), job.input.display());
            return Err(usage_error(format!("{a} and {b} would both become {}", job.output.display())));
        }
    }
    Ok(Plan { jobs, others, links })
}

/// The files in a folder and the folders in it, but for the folder `except`. Links to folders are told and not followed: they may
/// lead round in circles.
pub(crate) fn list_files(folder: &Path, except: Option<&Path>) -> Result<Listing> {
    let (mut found, mut links, mut folders) = (Vec::new(), Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry.with_context(|| folder.display().to_string())?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                let is_except = except.is_some_and(|e| fs::canonicalize(&path).is_ok_and(|p| p == e));
                folders.extend((!is_except).then_some(path));
            // Hidden files are other programs' notes, among them the `._` files that macOS leaves on shared drives.
            } else if !entry.file_name().to_string_lossy().starts_with('.') {
                if path.is_file() || kind.is_symlink() && !path.exists() {
                    // A link to nothing too, so that whoever opens it says so: the disk that it leads to may be missing.
                    found.push(path);
                } else if path.is_dir() {
                    links.push(path);
                }
            }
        }
    }
    // Folders list in any order; a run that goes on, and its messages, should be in the same one.
    found.sort();
    links.sort();
    Ok(Listing { files: found, links })
}

/// Runs the jobs on `workers` threads, each with a tool of its own that it makes with its first job. What fails is
/// warned of and does not stop the others; `stop` tells the workers that the user has had enough.
pub(crate) fn run_jobs<W>(
    jobs: &[Job],
    workers: usize,
    report: &mut Report,
    make: impl Fn() -> Result<W> + Sync,
    work: impl Fn(&mut W, &Job) -> Result<Done> + Sync,
) -> Result<Totals> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        let (told, heard) = mpsc::channel();
        for _ in 0..workers.clamp(1, jobs.len().max(1)) {
            let (told, next, stop, make, work) = (told.clone(), &next, &stop, &make, &work);
            scope.spawn(move || {
                // Made by the worker with its first job, because networks take seconds to open and cannot be shared.
                let mut tool = None;
                while !stop.load(Ordering::Relaxed) {
                    // Taken one by one and not shared out beforehand: files differ much in length.
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let ready = tool.take().map_or_else(make, Ok);
                    let (result, fatal) = match ready {
                        Ok(mut ready) => {
                            let result = work(&mut ready, job);
                            tool = Some(ready);
                            (result, false)
                        }
                        Err(e) => (Err(e), true),
                    };
                    if told.send((at, result, fatal)).is_err() || fatal {
                        break;
                    }
                }
            });
        }
        // Otherwise the loop below would wait for a sender that never sends.
        drop(told);
        for (at, result, fatal) in heard {
            match result {
                Ok(done) => {
                    totals.files += 1;
                    totals.seconds += done.seconds;
                    totals.frames += done.frames;
                    totals.bytes += done.bytes;
                }
                // A tool that cannot be made will not be made for the next file either.
                Err(e)
                    if fatal
                        || e.is::<crate::interrupt::Interrupted>()
                        || jobs.len() == 1
                        || is_end_of_output(&e) =>
                {
                    stop.store(true, Ordering::Relaxed);
                    return Err(e);
                }
                Err(e) => {
                    totals.failed += 1;
                    report.warn(&describe_failure(&jobs[at], &e))?;
                }
            }
            let finished = totals.files + totals.failed;
            if let Err(e) = report.files(finished, jobs.len() as u64, totals.seconds, totals.bytes) {
                stop.store(true, Ordering::Relaxed);
                // The scope still waits for the workers, which end after the job at hand.
                return Err(e);
            }
        }
        Ok(())
    })?;
    Ok(totals)
}

/// An output that cannot be written, where the next one cannot be either.
#[derive(Debug)]
struct EndOfOutput(anyhow::Error);

impl fmt::Display for EndOfOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for EndOfOutput {}

fn is_end_of_output(error: &anyhow::Error) -> bool {
    error.is::<EndOfOutput>()
}

/// Marks what went wrong while an output was written: a full disk or a reader that has gone ends the run, which would encode
/// everything else for nothing.
pub(crate) fn output_error(error: anyhow::Error) -> anyhow::Error {
    use std::io::ErrorKind::{
        BrokenPipe, FileTooLarge, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let ends = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(
            kind,
            Some(
                BrokenPipe
                    | FileTooLarge
                    | NotADirectory
                    | PermissionDenied
                    | QuotaExceeded
                    | ReadOnlyFilesystem
                    | StorageFull
            )
        )
    };
    if error.chain().any(ends) { EndOfOutput(error).into() } else { error }
}

/// Refuses an input that is not there, in the words of who looks for it and not of the first one who wants something of its name.
pub(crate) fn check_is_there(input: &Path) -> Result<()> {
    // FFmpeg reads more than files: what has a protocol is for it to find.
    if !is_dash(input) && !input.to_string_lossy().contains(':') {
        fs::metadata(input).with_context(|| input.display().to_string())?;
    }
    Ok(())
}

fn describe_failure(job: &Job, error: &anyhow::Error) -> String {
    let (name, text) = (job.input.display().to_string(), format!("{error:#}"));
    // Most errors name their file already.
    if text.contains(&name) { text } else { format!("{name}: {text}") }
}

/// The error of a run in which files have failed.
pub(crate) fn check_totals(totals: &Totals, all: usize) -> Result<()> {
    match totals.failed {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} of {all} files failed; run it again for the others")),
    }
}
