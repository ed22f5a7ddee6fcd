//! `siskin features info`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use siskin_core::Limits;
use siskin_core::bundle::FeatureBundle;
use siskin_core::container::{Block, FEATURES_CODEC_ID};
use siskin_core::features::inspect;

use super::file::FeatureFile;
use crate::events;
use crate::report::{print_text, write_json_line};
use crate::units;

/// Arguments of `features info`.
#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// File of features
    file: PathBuf,
    /// Write the result as a JSON object
    #[arg(long, help_heading = "Messages")]
    pub(super) json: bool,
}

pub(super) fn run(args: &InfoArgs) -> Result<()> {
    let mut file = FeatureFile::open(&args.file)?;
    let header = file.header.clone();
    let (mut block, mut frames, mut faults, mut bytes) = (Block::default(), 0u64, 0u64, 0u64);
    let (mut largest, mut levels, mut end) = (0usize, None::<(u8, u8)>, 0u64);
    loop {
        match file.next(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            // What can be read is told; the count of faults says that there is more.
            Err(_) => {
                faults += 1;
                break;
            }
        }
        // The heads alone: they say all that is told here, and no network has to run.
        match inspect(&block.data, &Limits::default()) {
            Ok(head) => {
                let (low, high) = levels.unwrap_or((head.level, head.level));
                levels = Some((low.min(head.level), high.max(head.level)));
            }
            Err(_) => faults += 1,
        }
        frames += 1;
        bytes += block.data.len() as u64;
        largest = largest.max(block.data.len());
        end = block.pts_ns + header.frame_duration_ns().unwrap_or_default();
    }
    let seconds = end as f64 / 1e9;
    let installed = FeatureBundle::for_stream(header.bundle, &header.bundle_name).is_ok();
    let per_frame = bytes as f64 / frames.max(1) as f64;
    let (width, height) = (header.size.width(), header.size.height());
    if args.json {
        return write_json_line(&events::FeaturesInfo {
            file: args.file.to_string_lossy(),
            container: "matroska",
            codec: FEATURES_CODEC_ID,
            model: &header.bundle_name,
            model_id: header.bundle.to_string(),
            model_installed: installed,
            width,
            height,
            frame_rate: header.frame_rate,
            frames,
            seconds,
            levels,
            bytes: file.bytes,
            packet_bytes: bytes,
            bytes_per_frame: per_frame,
            largest_packet: largest,
            truncated: file.is_truncated(),
            faults,
        });
    }
    let levels = levels.map_or("none".to_owned(), |(low, high)| match low == high {
        true => low.to_string(),
        false => format!("{low} to {high}"),
    });
    let state = if installed { "installed" } else { "not installed" };
    let mut text = format!(
        "features      {width}x{height}, {frames} frames, {}\n\
         bundle        {} ({}), {state}\n\
         level         {levels}\n\
         packets       {per_frame:.0} bytes each, the largest {largest}\n\
         file          {}\n",
        units::format_time(seconds),
        header.bundle_name,
        header.bundle,
        units::format_size(file.bytes),
    );
    if faults > 0 || file.is_truncated() {
        text += &format!("damage        {faults} packets or blocks that cannot be read\n");
    }
    print_text(&text)
}
