//! What a coded video file holds, from the heads of its packets.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use siskin_core::Limits;
use siskin_core::container::{Block, VIDEO_CODEC_ID};
use siskin_core::video::{Coding, inspect};

use super::VideoFile;
use crate::events;
use crate::report;
use crate::units;

/// Matroska rounds times to milliseconds, and a sum of them is off by no more.
const ROUNDING_NS: u64 = 2_000_000;

/// Other sizes that are listed, at most.
const MAX_SIZES: usize = 8;

/// Tells what a file holds.
pub(crate) fn run(path: &Path, as_json: bool) -> Result<ExitCode> {
    let mut file = VideoFile::open(path)?;
    let header = *file.header();
    let (mut groups, mut keys, mut frames, mut bytes, mut faults, mut nanoseconds) =
        (0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
    let (mut block, mut counts, mut end) = (Block::default(), [0u64; 3], None);
    let mut other_sizes = Vec::new();
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
        bytes += block.data.len() as u64;
        // The heads alone: they say all that is told here, and no network has to run.
        match inspect(&block.data, &Limits::default()) {
            Ok(info) => {
                groups += 1;
                if let Some(size) =
                    info.header.map(|h| [h.width, h.height]).filter(|s| *s != [header.width, header.height])
                    && !other_sizes.contains(&size)
                    && other_sizes.len() < MAX_SIZES
                {
                    other_sizes.push(size);
                }
                keys += u64::from(info.is_keyframe);
                // Each packet says how it is coded, and a file may hold both kinds.
                counts[info.coding as usize] += 1;
                frames += u64::from(info.frames);
                let length = info.duration_ns(&header).unwrap_or(0);
                // A frame stays where a camera dropped those after it.
                let gap = end.map_or(0, |end: u64| block.pts_ns.saturating_sub(end));
                nanoseconds += length + if gap > ROUNDING_NS { gap } else { 0 };
                end = Some(block.pts_ns.saturating_add(length));
            }
            Err(_) => faults += 1,
        }
    }
    let names = [(Coding::Fitted, "fitted"), (Coding::Realtime, "realtime"), (Coding::Blocks, "blocks")];
    let coding = names.iter().find(|n| counts[n.0 as usize] == groups).map_or("mixed", |n| n.1);
    let seconds = nanoseconds as f64 / 1e9;
    let pixels = header.pixels() as f64 * frames as f64;
    // Without the sound beside it, whose rate is told apart.
    let own = file.own_bytes();
    let bpp = if frames > 0 { own as f64 * 8.0 / pixels } else { 0.0 };
    let rate = units::rate_of(own, seconds);
    let overhead = own.saturating_sub(bytes) as f64 / own.max(1) as f64;
    let (n, d) = header.frame_rate;
    if as_json {
        report::write_json_line(&events::VideoInfo {
            file: file.name(),
            container: "matroska",
            codec: VIDEO_CODEC_ID,
            coding,
            width: header.width,
            height: header.height,
            frame_rate: (n > 0).then_some([n, d]),
            pixel_aspect: [header.pixel_aspect.0, header.pixel_aspect.1],
            full_range: header.colorimetry.full_range,
            matrix: header.colorimetry.matrix,
            frames,
            groups,
            key_groups: keys,
            seconds,
            bytes: file.bytes(),
            packet_bytes: bytes,
            bitrate: rate,
            bits_per_pixel: bpp,
            container_share: overhead,
            truncated: file.is_truncated(),
            faults,
            other_tracks: file.other_tracks(true),
            other_sizes,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "{name:<10} {value}");
    row("file", format!("{}, Matroska, {}", file.name(), units::format_size(file.bytes())))?;
    let fps = if n > 0 { format!("{:.3} fps", f64::from(n) / f64::from(d)) } else { "variable rate".into() };
    row("track", format!("{VIDEO_CODEC_ID} {}x{}, {fps}", header.width, header.height))?;
    row("duration", format!("{} ({frames} frames)", units::format_time(seconds)))?;
    row("groups", format!("{groups} {coding}, {keys} of them key groups"))?;
    row(
        "on disk",
        format!("{}, {bpp:.4} bpp, container {:.1} %", units::format_bitrate(rate), overhead * 100.0),
    )?;
    for track in file.other_tracks(true) {
        row("other", track)?;
    }
    for [width, height] in other_sizes {
        row("warning", format!("the frames' size changes to {width}x{height}"))?;
    }
    if file.is_truncated() {
        row("warning", "the file is cut off".into())?;
    }
    if faults > 0 {
        row("warning", format!("{faults} packets are damaged"))?;
    }
    report::print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}
