//! `siskin tokens export`.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Result, bail};
use clap::Args;
use siskin_core::audio::DEFAULT_SEARCH_WIDTH;
use siskin_core::corpus::{ManifestFormat, ShardFormat, Sound, Utterance};
use siskin_core::tokens::{CodeType, FileFormat, TokenFile};

use super::corpus::run_corpus;
use super::exporter::Exporter;
use super::input::{Input, read_input};
use super::lines::Lines;
use crate::batch::{self, Done, Job};
use crate::events;
use crate::failure::usage_error;
use crate::media;
use crate::media_file::CodedFile;
use crate::model::ModelArgs;
use crate::report::{Report, ReportArgs};
use crate::target::{Overwrite, OverwriteArgs, is_dash};
use crate::units;

/// Arguments of `tokens export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Recording that FFmpeg reads, coded file, folder of them, or manifest of Lhotse, Kaldi or NeMo
    pub(super) input: PathBuf,
    /// Token file (.safetensors, .npy, .jsonl), folder for them, or one .jsonl for all of a folder. - for JSON lines on
    /// stdout. For shards the folder of the corpus: trainers read OUTPUT/data
    pub(super) output: PathBuf,
    /// Format of the files in an output folder. shar (Lhotse Shar), webdataset and parquet are shards of many recordings
    #[arg(short, long, value_name = "NAME",
          value_parser = ["safetensors", "npy", "jsonl", "shar", "webdataset", "parquet"], help_heading = "Coding")]
    format: Option<String>,
    /// Format of INPUT, which then is a manifest: a file, for kaldi its folder [default: seen from its content]
    #[arg(long, value_name = "NAME", value_parser = ["lhotse", "kaldi", "nemo"], help_heading = "Corpus")]
    manifest: Option<String>,
    /// Recordings of a shard [default: 1000]
    #[arg(long, value_name = "N", value_parser = parse_shard_size, help_heading = "Corpus")]
    pub(super) shard_size: Option<usize>,
    /// Type of the codes in safetensors, npy and shards
    #[arg(long, value_name = "TYPE", default_value = "uint16", value_parser = ["uint16", "int32", "int64"],
          help_heading = "Corpus")]
    dtype: String,
    /// Make shards with failures again
    #[arg(long, help_heading = "Corpus")]
    pub(super) retry_failed: bool,
    /// Put recordings of nothing but zeros into shards; they are failures otherwise
    #[arg(long, help_heading = "Corpus")]
    pub(super) keep_silence: bool,
    /// Residual stages [default: the bundle's, or all of a coded file]
    #[arg(
        short = 's',
        long,
        alias = "codebooks",
        short_alias = 'c',
        value_name = "N",
        help_heading = "Coding"
    )]
    pub(super) stages: Option<u8>,
    /// Width of the beam search over codes, 1 to 64
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEARCH_WIDTH, help_heading = "Coding")]
    pub(super) search_width: usize,
    /// Files to process in parallel
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256),
          help_heading = "Coding")]
    pub(super) jobs: u16,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_export(args: &ExportArgs) -> Result<ExitCode> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    media::init_ffmpeg()?;
    if !(1..=64).contains(&args.search_width) {
        return Err(usage_error(format!("--search-width is {}, allowed: 1 to 64", args.search_width)));
    }
    let named = args.manifest.as_deref();
    let manifest = named.and_then(|name| ManifestFormat::ALL.into_iter().find(|f| f.name() == name));
    let code_type = CodeType::from_name(&args.dtype).unwrap_or_default();
    let Input { mut utterances, is_many, left_out } = read_input(&args.input, manifest, &args.output)?;
    if let Some(left_out) = left_out {
        report.note(&left_out);
    }
    if let Some(format) = args.format.as_deref().and_then(ShardFormat::from_name) {
        if !is_many && args.input.is_file() {
            // A corpus of one file that is no recording would have to be made anew once the name is right.
            Exporter::new(args, false).check_opens(&args.input)?;
        }
        return run_corpus(args, format, code_type, utterances, &mut report);
    }
    for (is_given, name) in [
        (args.shard_size.is_some(), "--shard-size"),
        (args.retry_failed, "--retry-failed"),
        (args.keep_silence, "--keep-silence"),
    ] {
        if is_given {
            return Err(usage_error(format!("{name} is for --format shar, webdataset or parquet")));
        }
    }
    let of_name =
        if is_dash(&args.output) { Some(FileFormat::Jsonl) } else { FileFormat::from_path(&args.output) };
    let format = match (&args.format, of_name, is_many) {
        (Some(name), found, _) if found.is_none_or(|f| f.name() == name) => {
            FileFormat::ALL.into_iter().find(|f| f.name() == name).unwrap_or(FileFormat::Safetensors)
        }
        (Some(name), ..) => {
            return Err(usage_error(format!("--format is {name}, {} says another", args.output.display())));
        }
        (None, Some(found), _) => found,
        (None, None, true) => FileFormat::Safetensors,
        (None, None, false) => {
            let name = args.output.display();
            return Err(usage_error(format!("{name}: token files are .safetensors, .npy or .jsonl")));
        }
    };
    // Only JSON lines can hold several recordings.
    let one_file = is_many && of_name.is_some();
    if one_file && format != FileFormat::Jsonl {
        return Err(usage_error("a whole folder goes into a folder, or into one .jsonl file"));
    }
    let again = args.overwrite.choice() == Overwrite::Always;
    let lines = one_file.then(|| Lines::open(&args.output, again)).transpose()?.map(Mutex::new);
    if is_many && !one_file {
        refuse_names(&mut utterances, format);
    }
    let mut jobs = plan(args, format, &utterances, is_many);
    let all = jobs.len();
    // What is refused is told again in each run: the file of its name is another's.
    let is_refused = |job: &Job| matches!(utterances[job.place].sound, Sound::Refused(_));
    if let Some(lines) = &lines {
        // A thread that panicked did so between lines, each of which is one write.
        let lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = lines.first().and_then(|found| Some((found, found.meta.id.as_deref()?)));
        if let Some((found, id)) = first
            && let Some(job) = jobs.iter().find(|job| job.id == id)
        {
            check_alike(args, job, &args.output, found)?;
        }
        jobs.retain(|job| is_refused(job) || !lines.has(&job.id));
    } else if is_many && !again {
        // Outputs get their names when they are whole, so one that is there is finished.
        let there = jobs.iter().find(|job| is_encoded(job) && job.output.is_file());
        if let Some((job, first)) =
            there.and_then(|job| super::read_tokens(&job.output, format).ok().map(|first| (job, first)))
        {
            check_alike(args, job, &job.output, &first)?;
        }
        jobs.retain(|job| is_refused(job) || !job.output.exists());
    }
    let skipped = all - jobs.len();
    if skipped > 0 {
        report.note(&format!("{skipped} of {all} files are there already (-y makes them anew)"));
    }
    // What is still in the list of a folder is to be made, or made anew.
    let overwrite = if is_many { Overwrite::Always } else { args.overwrite.choice() };
    let work = |tool: &mut Exporter<'_>, job: &Job| -> Result<Done> {
        let file = tool.export(&utterances[job.place])?.tokens;
        let bytes = match &lines {
            Some(lines) => {
                let mut lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                lines.add(&file)
            }
            None => super::write_tokens(&file, &job.output, format, code_type, overwrite, &job.input),
        }
        .map_err(batch::output_error)?;
        let seconds = super::seconds_of(&file).unwrap_or_default();
        Ok(Done { seconds, frames: file.frames as u64, bytes })
    };
    let totals =
        batch::run_jobs(&jobs, args.jobs.into(), &mut report, || Ok(Exporter::new(args, false)), work)?;
    let speed = totals.seconds / report.elapsed().max(1e-6);
    report.done(
        &format!(
            "{} files, {} frames, {}, {}, {speed:.1}x real time",
            totals.files,
            totals.frames,
            units::format_time(totals.seconds),
            units::format_size(totals.bytes),
        ),
        &events::TokensExport {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            format: format.name(),
            files: totals.files,
            shards: 0,
            skipped,
            failed: totals.failed,
            frames: totals.frames,
            seconds: totals.seconds,
            bytes: totals.bytes,
            elapsed_seconds: report.elapsed(),
            speed,
        },
    )?;
    batch::check_totals(&totals, jobs.len())?;
    Ok(ExitCode::SUCCESS)
}

/// Whether codes are made of a job's input: a coded file keeps those that it has.
fn is_encoded(job: &Job) -> bool {
    job.input.is_file() && !CodedFile::is_coded(&job.input)
}

/// Refuses to go on with other codebooks than an earlier run has made of a job: trainers find out in the middle of an epoch.
fn check_alike(args: &ExportArgs, job: &Job, path: &Path, found: &TokenFile) -> Result<()> {
    let Some(groups) = found.meta.stream_header.as_ref().map(|h| usize::from(h.groups)) else {
        return Ok(());
    };
    if !is_encoded(job) {
        return Ok(());
    }
    let stages = match args.stages {
        Some(stages) => stages,
        None => args.model.bundle()?.manifest().default_stages,
    };
    let wanted = usize::from(stages) * groups;
    if wanted == found.codebooks {
        return Ok(());
    }
    Err(usage_error(format!(
        "{} has {} codebooks, this run makes {wanted}: name another output, or have all made anew with -y",
        path.display(),
        found.codebooks
    )))
}

/// Refuses utterances whose ids are no names of files, so that the others are done.
fn refuse_names(utterances: &mut [Utterance], format: FileFormat) {
    for (at, utterance) in utterances.iter_mut().enumerate() {
        if let (Sound::File(_), Err(reason)) = (&utterance.sound, file_of(&utterance.id, format)) {
            utterance.sound = Sound::Refused(format!("entry {}: {reason}", at + 1));
        }
    }
}

/// A job for each utterance; the names of their files follow from their ids.
fn plan(args: &ExportArgs, format: FileFormat, utterances: &[Utterance], is_many: bool) -> Vec<Job> {
    let job = |(place, utterance): (usize, &Utterance)| {
        let input = match &utterance.sound {
            Sound::File(path) => path.clone(),
            // Told when it is its turn; the name says where it comes from.
            Sound::Refused(_) => PathBuf::from(&utterance.id),
        };
        // An id that is no name has no file: it has been refused, or all go into one.
        let name = if is_many { file_of(&utterance.id, format).ok() } else { None };
        let output = name.map_or(args.output.clone(), |name| args.output.join(name));
        Job { input, output, id: utterance.id.clone(), place }
    };
    utterances.iter().enumerate().map(job).collect()
}

/// The file of an id within a folder: ids of a manifest come from elsewhere, and none shall lead out of it.
fn file_of(id: &str, format: FileFormat) -> Result<PathBuf> {
    let path = Path::new(id);
    if id.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("the id {id:?} is no file name");
    }
    // Added and not exchanged: ids have dots.
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(format.name());
    Ok(name.into())
}

fn parse_shard_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 1..=1_000_000) => Ok(size),
        _ => Err("allowed: 1 to 1000000".into()),
    }
}
