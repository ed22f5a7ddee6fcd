//! Whether a coded video file is whole: every packet is read to its last parameter, no network is run.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use siskin_core::Limits;
use siskin_core::container::Block;
use siskin_core::video::{Checker, Coding};

use super::VideoFile;
use crate::events;
use crate::report;
use crate::units;

/// What times may be off by.
// A millisecond of rounding at either end.
const ROUNDING_NS: u64 = 2_000_000;
/// Real-time packets are counted modulo this.
const REALTIME_NUMBERS: u32 = 128;

/// Tells what is wrong with a file.
pub(crate) fn run(path: &Path, as_json: bool) -> Result<ExitCode> {
    let mut file = VideoFile::open(path)?;
    let mut checker = Checker::new(Limits::default());
    let (mut packets, mut frames, mut faults) = (0u64, 0u64, 0u64);
    let mut block = Block::default();
    let mut fault = |packet: u64, at: f64, what: String| -> Result<()> {
        faults += 1;
        match as_json {
            true => report::write_json_line(&events::Fault { packet, seconds: at, message: &what }),
            false => report::print_text(&format!("packet {packet} at {}: {what}\n", units::format_time(at))),
        }
    };
    let (mut end, mut last) = (0, None);
    loop {
        match file.next(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                fault(packets, end as f64 / 1e9, e.with_sources())?;
                break;
            }
        }
        let from = block.pts_ns;
        match checker.packet(&block.data) {
            Ok(info) => {
                frames += u64::from(info.frames);
                let length = info.duration_ns(file.header()).unwrap_or(0);
                // Real-time packets are counted, so where none is missing a gap is one that the source left: a camera that drops
                // frames in the dark. Matroska rounds times to milliseconds.
                let next = last.map(|last: u32| last.wrapping_add(1) % REALTIME_NUMBERS);
                let follows = info.coding != Coding::Fitted && next == Some(info.number);
                last = Some(info.number);
                let is_apart =
                    if follows { from + ROUNDING_NS < end } else { from.abs_diff(end) > ROUNDING_NS };
                if packets > 0 && is_apart {
                    let (at, should) = (from as f64 / 1e9, end as f64 / 1e9);
                    fault(
                        packets,
                        at,
                        format!("begins at {at:.3} s, the packet before ends at {should:.3} s"),
                    )?;
                }
                end = from + length;
            }
            Err(e) => {
                fault(packets, from as f64 / 1e9, e.with_sources())?;
                // How long a broken packet lasts only the file can say; without that the next one is measured against its beginning.
                end = from + block.duration_ns.unwrap_or(0);
            }
        }
        packets += 1;
    }
    let seconds = end as f64 / 1e9;
    if file.is_truncated() {
        fault(packets, seconds, "the file ends inside an element".into())?;
    }
    if packets == 0 {
        fault(0, 0.0, "no packets".into())?;
    }
    if as_json {
        report::result(&events::VideoVerify {
            file: file.name(),
            packets,
            frames,
            seconds,
            faults,
            ok: faults == 0,
        })?;
    } else {
        let verdict = if faults == 0 { "no faults".into() } else { format!("{faults} faults") };
        let length = units::format_time(seconds);
        report::print_text(&format!(
            "{}: {packets} groups, {frames} frames, {length}, {verdict}\n",
            file.name()
        ))?;
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
