//! `siskin tokens export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use clap::Args;
use siskin_core::audio::DEFAULT_SEARCH_WIDTH;
use siskin_core::bundle::Bundle;
use siskin_core::runtime::Runtime;
use siskin_core::tokens::{FileFormat, TokenFile, TokenMeta, Tokenizer};

use super::lines::Lines;
use crate::batch::{self, Done, Job};
use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::media::{self, AudioInput};
use crate::media_file::CodedFile;
use crate::model::ModelArgs;
use crate::report::{Report, ReportArgs};
use crate::target::{Overwrite, OverwriteArgs, is_dash};
use crate::units;

/// Extensions of the files that are taken out of a folder.
// By extension, since opening every file of a folder to see what it is takes long and takes frames for films.
const MEDIA: [&str; 18] = [
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "mka", "mkv", "mp4", "mov", "webm", "aiff",
    "aif", "caf", "wma", "amr",
];
/// Samples that the encoder gets at once.
// A second of `speech-24k`: interrupts are noticed at once, and a call's overhead does not count.
const BATCH: usize = 24_000;

/// Arguments of `tokens export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Recording that FFmpeg reads, coded file, or folder of them
    input: PathBuf,
    /// Token file (.safetensors, .npy, .jsonl), folder for them, or one .jsonl for all of a folder. - for JSON lines on
    /// stdout
    output: PathBuf,
    /// Format of the files in an output folder
    #[arg(short, long, value_name = "NAME", value_parser = ["safetensors", "npy", "jsonl"], help_heading = "Coding")]
    format: Option<String>,
    /// Residual stages [default: the bundle's, or all of a coded file]
    #[arg(
        short = 's',
        long,
        alias = "codebooks",
        short_alias = 'c',
        value_name = "N",
        help_heading = "Coding"
    )]
    stages: Option<u8>,
    /// Width of the beam search over codes, 1 to 64
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEARCH_WIDTH, help_heading = "Coding")]
    search_width: usize,
    /// Files to process in parallel
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256),
          help_heading = "Coding")]
    jobs: u16,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_export(args: &ExportArgs) -> Result<ExitCode> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    media::init_ffmpeg()?;
    if !(1..=64).contains(&args.search_width) {
        return Err(usage_error(format!("--search-width is {}, allowed: 1 to 64", args.search_width)));
    }
    let of_name =
        if is_dash(&args.output) { Some(FileFormat::Jsonl) } else { FileFormat::from_path(&args.output) };
    let is_folder = args.input.is_dir();
    let format = match (&args.format, of_name, is_folder) {
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
    let one_file = is_folder && of_name.is_some();
    if one_file && format != FileFormat::Jsonl {
        return Err(usage_error("a whole folder goes into a folder, or into one .jsonl file"));
    }
    let again = args.overwrite.choice() == Overwrite::Always;
    let lines = one_file.then(|| Lines::open(&args.output, again)).transpose()?.map(Mutex::new);
    let mut jobs = if is_folder {
        batch::plan_jobs(&args.input, &args.output, format.name(), is_media)?
    } else {
        let id = args.input.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        vec![Job { input: args.input.clone(), output: args.output.clone(), id }]
    };
    let all = jobs.len();
    if all == 0 {
        bail!("{} holds no recordings", args.input.display());
    }
    if let Some(lines) = &lines {
        // A thread that panicked did so between lines, each of which is one write.
        let lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        jobs.retain(|job| !lines.has(&job.id));
    } else if is_folder && !again {
        // Outputs get their names when they are whole, so one that is there is finished.
        jobs.retain(|job| !job.output.exists());
    }
    let skipped = all - jobs.len();
    if skipped > 0 {
        report.note(&format!("{skipped} of {all} files are there already (-y makes them anew)"));
    }
    // What is still in the list of a folder is to be made, or made anew.
    let overwrite = if is_folder { Overwrite::Always } else { args.overwrite.choice() };
    let work = |tool: &mut Exporter<'_>, job: &Job| -> Result<Done> {
        let mut file = tool.export(&job.input)?;
        file.meta.id = Some(job.id.clone());
        let bytes = match &lines {
            Some(lines) => {
                let mut lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                lines.add(&file)?
            }
            None => super::write_tokens(&file, &job.output, format, overwrite, &job.input)?,
        };
        let seconds = file.frames as f64 / file.meta.frame_rate.max(1e-9);
        Ok(Done { seconds, frames: file.frames as u64, bytes })
    };
    let totals =
        batch::run_jobs(&jobs, args.jobs.into(), &mut report, || Ok(Exporter { args, tool: None }), work)?;
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

fn is_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    MEDIA.contains(&extension.as_str())
}

/// One thread's tools.
struct Exporter<'a> {
    args: &'a ExportArgs,
    /// Loaded with the first recording that is not coded yet.
    tool: Option<(Bundle, Tokenizer)>,
}

impl Exporter<'_> {
    fn export(&mut self, input: &Path) -> Result<TokenFile> {
        if CodedFile::is_coded(input) {
            let codes = CodedFile::open(input)?.codes(self.args.stages)?;
            let installed = siskin_core::bundle::installed();
            let bundle = installed.iter().find(|b| b.id() == codes.header.bundle);
            // Without the bundle, the most that the codes' bits can say.
            let size = bundle.map_or(1 << codes.header.code_bits, |b| b.manifest().quantizer.size);
            let mut meta = TokenMeta::from_stream_header(&codes.header, size);
            meta.samples = codes.samples;
            let file = TokenFile::from_frames(codes.codebooks, &codes.frames, meta)?;
            file.check_codes(size).with_context(|| input.display().to_string())?;
            return Ok(file);
        }
        let ready = self.tool.take().map_or_else(|| self.load(), Ok)?;
        let (bundle, tokenizer) = self.tool.insert(ready);
        let manifest = bundle.manifest();
        let mut audio = AudioInput::open(input, Some(manifest.sample_rate))?;
        let (mut pcm, mut tokens, mut more) = (Vec::new(), Vec::new(), true);
        tokenizer.reset();
        while more {
            interrupt::check_interrupt()?;
            while more && pcm.len() < BATCH {
                more = audio.next(&mut pcm)?;
            }
            tokenizer.push_samples(&pcm, &mut tokens)?;
            pcm.clear();
        }
        // A truncated recording in a training set would go unnoticed for ever.
        if let Some(missing) = audio.missing() {
            bail!("{missing}");
        }
        let samples = tokenizer.finish_stream(false, &mut tokens)?;
        if samples == 0 {
            bail!("{} holds no audio samples", input.display());
        }
        let mut meta = TokenMeta::from_stream_header(&bundle.stream_header(), manifest.quantizer.size);
        meta.samples = Some(samples);
        // In the parallel layout tokens are codes.
        let frames: Vec<u16> = tokens.iter().map(|&t| t as u16).collect();
        Ok(TokenFile::from_frames(tokenizer.format().codes_per_frame(), &frames, meta)?)
    }

    fn load(&self) -> Result<(Bundle, Tokenizer)> {
        let bundle = self.args.model.bundle()?;
        let runtime: Runtime = self.args.model.runtime()?;
        let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", self.args.stages)?;
        tokenizer.set_search_width(self.args.search_width);
        tokenizer.set_block(siskin_core::audio::MAX_BLOCK);
        Ok((bundle, tokenizer))
    }
}
