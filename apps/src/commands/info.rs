//! `siskin info`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use siskin_core::bundle::Bundle;

use crate::events;
use crate::media_file::{CodedFile, Probe, read_pipe};
use crate::report;
use crate::units;
use crate::video::{self, VideoFile};

/// Arguments of `info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Coded file, - for stdin
    file: PathBuf,
    /// Write the result as a JSON object
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

pub(crate) fn run_info(args: &InfoArgs) -> Result<ExitCode> {
    // Only what was read can be asked for its tracks.
    read_pipe(&args.file)?;
    if VideoFile::is_video(&args.file) {
        let code = video::info::run(&args.file, args.json)?;
        // What follows is the sound beside it, if there is one.
        if !CodedFile::is_coded(&args.file) {
            return Ok(code);
        }
    }
    let mut file = CodedFile::open(&args.file)?;
    let header = file.header().clone();
    // Without the bundle all is told but what only its tables know, the bits of range-coded codes.
    let bundle = Bundle::for_stream(&header, None).ok();
    let probe = Probe::of(&mut file, bundle.as_ref())?;
    let version = bundle.as_ref().map(|b| b.manifest().version.clone());
    let rate = f64::from(header.sample_rate);
    let seconds = probe.samples as f64 / rate;
    let stated = probe.stated_samples(&file);
    // 100 samples, a few milliseconds: containers state lengths in whole milliseconds.
    let truncated = file.is_truncated() || stated.is_some_and(|s| s > probe.samples + 100);
    let per_frame = |bits: f64| bits * header.frame_rate() / probe.frames.max(1) as f64;
    let codes = probe.code_bits.map(|bits| per_frame(bits as f64));
    let in_packets = per_frame(probe.packet_bytes as f64 * 8.0);
    // What the sound takes, without other tracks and attachments.
    let own = file.own_bytes();
    let on_disk = units::rate_of(own, seconds);
    let overhead = own.saturating_sub(probe.packet_bytes) as f64 / own.max(1) as f64;
    let (low, high) = probe.stages.unwrap_or((0, 0));
    let pause_share = probe.pause_frames as f64 / probe.frames.max(1) as f64;
    let pause_seconds = probe.pause_frames as f64 / header.frame_rate();
    if args.json {
        report::write_json_line(&events::Info {
            file: file.name(),
            container: "matroska",
            codec: siskin_core::container::AUDIO_CODEC_ID,
            model: &header.bundle_name,
            model_id: header.bundle.to_string(),
            model_version: version.as_deref(),
            model_installed: bundle.is_some(),
            sample_rate: header.sample_rate,
            channels: header.channels,
            samples: probe.samples,
            seconds,
            packets: probe.packets,
            frames: probe.frames,
            hop: header.hop,
            frames_per_packet: probe.frames_per_packet,
            stages_lowest: low,
            stages_highest: high,
            coding: coding_name(&probe),
            variable: probe.variable > 0,
            range_coded_packets: probe.range_coded,
            code_bitrate: codes,
            redundancy_bitrate: units::rate_of(probe.redundant_bytes, seconds),
            pause_share,
            pause_bitrate: units::rate_of(probe.pause_bytes, pause_seconds),
            packet_bitrate: units::rate_of(probe.packet_bytes, seconds),
            bitrate: on_disk,
            bytes: file.bytes(),
            packet_bytes: probe.packet_bytes,
            container_share: overhead,
            truncated,
            faults: probe.faults.len() as u64 + probe.more_faults,
            tags: file.tags().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "{name:<10} {value}");
    row("file", format!("{}, Matroska, {}", file.name(), units::format_size(file.bytes())))?;
    row(
        "track",
        format!(
            "{} {} Hz, {}",
            siskin_core::container::AUDIO_CODEC_ID,
            header.sample_rate,
            units::format_channels(header.channels)
        ),
    )?;
    let known = version.map_or("not installed here".to_owned(), |v| format!("version {v}"));
    row("model", format!("{} (id {}), {known}", header.bundle_name, header.bundle))?;
    row("duration", format!("{} ({} samples)", units::format_time(seconds), probe.samples))?;
    row(
        "packets",
        format!("{} of up to {} frames, {} frames", probe.packets, probe.frames_per_packet, probe.frames),
    )?;
    row(
        "stages",
        if low == high {
            format!("{low} of {}", header.stages)
        } else {
            format!("{low} to {high} of {}", header.stages)
        },
    )?;
    let rates = match codes {
        Some(codes) => {
            format!(
                "{} of codes, {} in packets",
                units::format_bitrate(codes),
                units::format_bitrate(in_packets)
            )
        }
        None => format!("{} in packets", units::format_bitrate(in_packets)),
    };
    row("coding", format!("{}, {rates}", coding_name(&probe)))?;
    if probe.redundant_bytes > 0 {
        let rate = units::rate_of(probe.redundant_bytes, seconds);
        row("redundancy", format!("{} of copies of earlier frames", units::format_bitrate(rate)))?;
    }
    if probe.pause_frames > 0 {
        let rate = units::rate_of(probe.pause_bytes, pause_seconds);
        row("pauses", format!("{:.1} % of the time, at {rate:.0} b/s", pause_share * 100.0))?;
    }
    row("on disk", format!("{}, container {:.1} %", units::format_bitrate(on_disk), overhead * 100.0))?;
    for (key, value) in file.tags() {
        row("tag", format!("{key}: {value}"))?;
    }
    if truncated {
        row("warning", "the file is cut off".into())?;
    }
    let faults = probe.faults.len() as u64 + probe.more_faults;
    if faults > 0 {
        row("warning", format!("{faults} faults, see siskin verify"))?;
    }
    report::print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What the packets' codes are coded with.
fn coding_name(probe: &Probe) -> &'static str {
    match probe.range_coded {
        0 => "fixed width",
        n if n == probe.packets => "range coded",
        _ => "range coded and fixed width",
    }
}
