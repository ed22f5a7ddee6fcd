//! `siskin verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use siskin_core::bundle::Bundle;

use crate::events;
use crate::media_file::{self, CodedFile, Probe, read_pipe};
use crate::report;
use crate::units;
use crate::video::{self, VideoFile};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Coded file, - for stdin
    file: PathBuf,
    /// Repair a file first that is truncated or has no index: drop the incomplete end, rebuild index, sizes and duration
    #[arg(long)]
    repair: bool,
    /// Write faults and the result as JSON objects, one per line
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

pub(crate) fn run_verify(args: &VerifyArgs) -> Result<ExitCode> {
    if args.repair {
        // First, so that what is verified is what the repair has left.
        repair_file(args)?;
    }
    // Only what was read can be asked for its tracks.
    read_pipe(&args.file)?;
    if VideoFile::is_video(&args.file) {
        let sound = match CodedFile::is_coded(&args.file) {
            true => {
                let mut file = CodedFile::open(&args.file)?;
                let bundle = Bundle::for_stream(file.header(), None).ok();
                Some(Probe::of(&mut file, bundle.as_ref())?)
            }
            false => None,
        };
        return video::verify::run(&args.file, sound.as_ref(), args.json);
    }
    let mut file = CodedFile::open(&args.file)?;
    // Without it range-coded codes cannot be read; the rest of the check is the same.
    let bundle = Bundle::for_stream(file.header(), None).ok();
    let mut probe = Probe::of(&mut file, bundle.as_ref())?;
    let rate = f64::from(file.header().sample_rate);
    let seconds = probe.samples as f64 / rate;
    if file.is_truncated() {
        probe.faults.push((probe.packets, seconds, "the file ends inside an element".into()));
    // Either: a file that was cut off also holds less than it states. 100 samples are for the container's
    // milliseconds.
    } else if let Some(stated) = probe.stated_samples(&file).filter(|s| s.abs_diff(probe.samples) > 100) {
        let what = format!("packets hold {seconds:.3} s, the file states {:.3} s", stated as f64 / rate);
        probe.faults.push((probe.packets, seconds, what));
    }
    if probe.packets == 0 {
        probe.faults.push((0, 0.0, "no packets".into()));
    }
    let faults = probe.faults.len() as u64 + probe.more_faults;
    for (packet, at, what) in &probe.faults {
        if args.json {
            report::write_json_line(&events::Fault {
                track: "audio",
                packet: *packet,
                seconds: *at,
                message: what,
            })?;
        } else {
            report::print_text(&format!("packet {packet} at {}: {what}\n", units::format_time(*at)))?;
        }
    }
    if args.json {
        report::result(&events::Verify {
            file: file.name(),
            packets: probe.packets,
            headers: probe.headers,
            samples: probe.samples,
            seconds,
            faults,
            ok: faults == 0,
        })?;
    } else {
        let (packets, length) = (probe.packets, units::format_time(seconds));
        let verdict = if faults == 0 { "no faults".into() } else { format!("{faults} faults") };
        report::print_text(&format!("{}: {packets} packets, {length}, {verdict}\n", file.name()))?;
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn repair_file(args: &VerifyArgs) -> Result<()> {
    let name = args.file.display();
    let Some(done) = media_file::repair_in_place(&args.file)? else {
        // In JSON an object says what was done, and nothing was.
        let said = format!("{name}: nothing to be repaired\n");
        return if args.json { Ok(()) } else { report::print_text(&said) };
    };
    let seconds = done.duration_ns as f64 / 1e9;
    if args.json {
        return report::write_json_line(&events::Repaired {
            packets: done.blocks,
            seconds,
            bytes: done.bytes,
            dropped_bytes: done.dropped_bytes,
        });
    }
    report::print_text(&format!(
        "{name}: kept {} packets, {}; dropped {} bytes at the end\n",
        done.blocks,
        units::format_time(seconds),
        done.dropped_bytes
    ))
}
