//! `siskin features decode`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use siskin_core::bundle::FeatureBundle;
use siskin_core::container::Block;
use siskin_core::features::{Decoded, Decoder, DecoderOptions};

use super::bundle_of;
use super::file::FeatureFile;
use crate::events;
use crate::failure::usage_error;
use crate::model::ModelArgs;
use crate::report::{Report, ReportArgs, print_text};
use crate::target::{OverwriteArgs, Target, is_dash};

/// Arguments of `features decode`.
#[derive(Debug, Args)]
pub(super) struct DecodeArgs {
    /// File of features
    input: PathBuf,
    /// Output file, a JSON object per frame and line; - for stdout
    output: PathBuf,
    /// Also write the map of each head for each frame, as gray pictures NAME-000001.pgm
    #[arg(long, value_name = "FOLDER")]
    maps: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
}

pub(super) fn run(args: &DecodeArgs) -> Result<()> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    let mut file = FeatureFile::open(&args.input)?;
    let bundle = match &args.model.model {
        None => FeatureBundle::for_stream(file.header.bundle, &file.header.bundle_name)?,
        Some(_) => bundle_of(&args.model)?,
    };
    let manifest = bundle.manifest();
    if manifest.id() != file.header.bundle {
        let (name, id) = (&file.header.bundle_name, file.header.bundle);
        return Err(usage_error(format!("the file needs the bundle {name} ({id}), not {}", manifest.name)));
    }
    let options = DecoderOptions::default();
    let mut decoder = Decoder::new(&bundle, &args.model.runtime()?, &options)?;
    if let Some(folder) = &args.maps {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let target = Target::open(&args.output, args.overwrite.choice(), &args.input)?;
    let mut out = target.handle()?;
    let (mut block, mut frames, mut broken, mut objects) = (Block::default(), 0u64, 0u64, 0u64);
    while file.next(&mut block)? {
        crate::interrupt::check_interrupt()?;
        let decoded = match decoder.decode(&block.data) {
            Ok(decoded) => decoded,
            Err(e @ siskin_core::Error::Bitstream { .. }) => {
                report.warn(&format!("packet {} was left out: {e}", frames + broken))?;
                broken += 1;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        frames += 1;
        let found = decoded.report(Some(block.pts_ns));
        objects += found.objects.len() as u64;
        let mut line = serde_json::to_string(&found)?;
        line.push('\n');
        match &mut out {
            Some(out) => out.write_all(line.as_bytes()).context("the output cannot be written")?,
            None => print_text(&line)?,
        }
        if let Some(folder) = &args.maps {
            write_maps(folder, frames, &decoded)?;
        }
        report.status(&format!("{frames} frames, {objects} objects"));
    }
    if file.is_truncated() {
        report.warn("the file ends too early")?;
    }
    let provider = decoder.provider().map_or("", |p| p.name());
    target.commit()?;
    report.done(
        &format!("{objects} objects in {frames} frames"),
        &events::FeaturesDecode {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            model: &bundle.manifest().name,
            model_id: bundle.manifest().id().to_string(),
            provider,
            frames,
            broken_packets: broken,
            objects,
            elapsed_seconds: report.elapsed(),
        },
    )
}

/// Writes the map of each head as a portable graymap.
fn write_maps(folder: &Path, frame: u64, decoded: &Decoded<'_>) -> Result<()> {
    for (name, _) in decoded.maps() {
        let Some(map) = decoded.gray_map(name) else { continue };
        let mut data = format!("P5\n{} {}\n255\n", map.width, map.height).into_bytes();
        data.extend_from_slice(&map.data);
        let path = folder.join(format!("{name}-{frame:06}.pgm"));
        std::fs::write(&path, data).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
