//! `siskin tokens export` to the shards of a corpus.

use std::process::ExitCode;

use anyhow::{Result, bail};
use siskin_core::corpus::{Event, Export, Fault, ShardFormat, Spec, Utterance};
use siskin_core::tokens::CodeType;

use super::export::ExportArgs;
use super::exporter::Exporter;
use crate::events;
use crate::interrupt::Interrupted;
use crate::report::Report;
use crate::target::{Overwrite, is_dash};
use crate::units;

/// Utterances of a shard.
// Lhotse's own default: some tens of MB of codes, of which a loader reads several at once.
const SHARD_SIZE: usize = 1000;

pub(super) fn run_corpus(
    args: &ExportArgs,
    format: ShardFormat,
    code_type: CodeType,
    utterances: Vec<Utterance>,
    report: &mut Report,
) -> Result<ExitCode> {
    if is_dash(&args.output) {
        bail!("--format {} writes a folder, - is stdout", format.name());
    }
    let bundle = args.model.bundle()?;
    let spec = Spec {
        model: format!("{} {}", bundle.manifest().name, bundle.id()),
        stages: args.stages.unwrap_or(bundle.manifest().default_stages),
        search_width: args.search_width,
        keep_silence: args.keep_silence,
        ..Spec::new(format, args.shard_size.unwrap_or(SHARD_SIZE), code_type, &utterances)?
    };
    let anew = args.overwrite.choice() == Overwrite::Always;
    let shards = spec.shards();
    let export = Export::open(&args.output, spec, utterances, anew, args.retry_failed)?;
    let finished = shards - export.due().len();
    if finished > 0 {
        report.note(&format!("{finished} of {shards} shards are there already (-y makes them anew)"));
    }
    let encode = |tool: &mut Exporter<'_>, utterance: &Utterance| {
        let encoded = tool.export(utterance).map_err(|error| match error.is::<Interrupted>() {
            true => Fault::Run(error),
            false => Fault::Utterance(format!("{error:#}")),
        })?;
        match encoded.tokens.meta.scales.is_empty() {
            true => Ok(encoded),
            // Without them the codes decode to another loudness in each segment.
            false => {
                Err(Fault::Utterance("codes of segments, and shards have no place for their scales".into()))
            }
        }
    };
    let make = || -> Result<Exporter<'_>> {
        let mut tool = Exporter::new(args, !args.keep_silence);
        // Once and for all: without a network no utterance can be encoded, and each would be listed as if it were at fault.
        tool.load_tools()?;
        Ok(tool)
    };
    let totals = export.run(args.jobs.into(), make, encode, |event| match event {
        Event::Failed(failure) => report.warn(&failure.describe()),
        Event::Progress { done, all, seconds, bytes } => {
            report.files(done as u64, all as u64, seconds, bytes)
        }
    })?;
    let speed = totals.seconds / report.elapsed().max(1e-6);
    report.done(
        &format!(
            "{} utterances in {} shards, {} frames, {}, {}, {speed:.1}x real time",
            totals.utterances,
            totals.shards,
            totals.frames,
            units::format_time(totals.seconds),
            units::format_size(totals.bytes),
        ),
        &events::TokensExport {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            format: format.name(),
            files: totals.utterances,
            shards: totals.shards,
            skipped: totals.skipped as usize,
            failed: totals.failed,
            frames: totals.frames,
            seconds: totals.seconds,
            bytes: totals.bytes,
            elapsed_seconds: report.elapsed(),
            speed,
        },
    )?;
    match totals.failed {
        0 => Ok(ExitCode::SUCCESS),
        failed => {
            let list = args.output.join("failures.jsonl");
            bail!("{failed} failures, listed in {}; --retry-failed tries them again", list.display())
        }
    }
}
