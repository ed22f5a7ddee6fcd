//! Whether a coded video file is whole: every packet is read to its last parameter, no network is run.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use siskin_core::Limits;
use siskin_core::container::Block;
use siskin_core::video::{Checker, Coding};

use super::VideoFile;
use crate::events;
use crate::media_file::Probe;
use crate::report;
use crate::units;

/// What times may be off by.
// A millisecond of rounding at either end.
const ROUNDING_NS: u64 = 2_000_000;
/// Real-time packets are counted modulo this.
const REALTIME_NUMBERS: u32 = 128;

/// Tells what is wrong with a file, and with the sound beside the frames.
pub(crate) fn run(path: &Path, sound: Option<&Probe>, as_json: bool) -> Result<ExitCode> {
    let mut file = VideoFile::open(path)?;
    let mut checker = Checker::new(Limits::default());
    let (mut packets, mut frames, mut faults) = (0u64, 0u64, 0u64);
    let mut block = Block::default();
    let mut fault = |packet: u64, at: f64, what: String| -> Result<()> {
        faults += 1;
        match as_json {
            true => report::write_json_line(&events::Fault {
                track: "video",
                packet,
                seconds: at,
                message: &what,
            }),
            false => report::print_text(&format!("packet {packet} at {}: {what}\n", units::format_time(at))),
        }
    };
    let (mut end, mut last) = (0, None);
    // When the packet before begins, and the size of the frames.
    let mut before = 0;
    let mut size = (file.header().width, file.header().height);
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
                if let Some(new) = info.header.map(|h| (h.width, h.height)).filter(|new| *new != size) {
                    let what = format!(
                        "packet {packets} at {}: the frames' size changes from {}x{} to {}x{}",
                        units::format_time(from as f64 / 1e9),
                        size.0,
                        size.1,
                        new.0,
                        new.1
                    );
                    size = new;
                    // No fault: decoders take it. Outputs of one size have such frames scaled.
                    match as_json {
                        true => report::write_json_line(&events::Warning { message: &what })?,
                        false => report::print_text(&format!("{what}\n"))?,
                    }
                }
                let length = info.duration_ns(file.header()).unwrap_or(0);
                // Real-time packets are counted, so where none is missing a gap is one that the source left: a camera that drops
                // frames in the dark. Matroska rounds times to milliseconds.
                let next = last.map(|last: u32| last.wrapping_add(1) % REALTIME_NUMBERS);
                let follows = info.coding != Coding::Fitted && next == Some(info.number);
                last = Some(info.number);
                let is_apart = match follows {
                    true => !is_in_order((before, from), end, file.header().frame_duration_ns()),
                    false => from.abs_diff(end) > ROUNDING_NS,
                };
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
        before = from;
        packets += 1;
    }
    let seconds = end as f64 / 1e9;
    if file.is_truncated() {
        fault(packets, seconds, "the file ends inside an element".into())?;
    }
    if packets == 0 {
        fault(0, 0.0, "no packets".into())?;
    }
    for (packet, at, what) in sound.map_or(&[][..], |s| &s.faults) {
        faults += 1;
        match as_json {
            true => report::write_json_line(&events::Fault {
                track: "audio",
                packet: *packet,
                seconds: *at,
                message: what,
            })?,
            false => {
                report::print_text(&format!(
                    "sound packet {packet} at {}: {what}\n",
                    units::format_time(*at)
                ))?;
            }
        }
    }
    faults += sound.map_or(0, |s| s.more_faults);
    let sound_packets = sound.map(|s| s.packets);
    if as_json {
        report::result(&events::VideoVerify {
            file: file.name(),
            packets,
            frames,
            seconds,
            sound_packets,
            faults,
            ok: faults == 0,
        })?;
    } else {
        let verdict = if faults == 0 { "no faults".into() } else { format!("{faults} faults") };
        let length = units::format_time(seconds);
        let heard = sound_packets.map_or(String::new(), |count| format!("{count} sound packets, "));
        report::print_text(&format!(
            "{}: {packets} groups, {frames} frames, {length}, {heard}{verdict}\n",
            file.name()
        ))?;
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a packet that follows the one `before` by its number may begin at `from`, where that one should end at `end`. `period` is
/// how long a frame of a constant rate lasts.
fn is_in_order((before, from): (u64, u64), end: u64, period: Option<u64>) -> bool {
    // Cameras give frames early and late: a recording with jitter of 8 ms at 30 frames per second had hundreds of false faults.
    let slack = period.unwrap_or(u64::MAX).max(ROUNDING_NS);
    // Frames that last less than the container's rounding may have the same stamp.
    let grows = from > before || (from == before && end.saturating_sub(before) <= ROUNDING_NS);
    grows && from.saturating_add(slack) >= end
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn jitter_is_no_fault_and_stamps_that_do_not_grow_are() {
        let period = Some(33_333_333);
        assert!(is_in_order((100 * MS, 117 * MS), 133_333_333, period));
        assert!(is_in_order((100 * MS, 500 * MS), 133_333_333, period), "a gap that the source left");
        assert!(!is_in_order((100 * MS, 100 * MS), 133_333_333, period));
        assert!(!is_in_order((100 * MS, 90 * MS), 133_333_333, period));
        assert!(!is_in_order((100 * MS, 110 * MS), 500 * MS, period), "within a packet of many frames");
        assert!(is_in_order((100 * MS, 117 * MS), 140 * MS, None));
        assert!(is_in_order((100 * MS, 100 * MS), 100_500_000, Some(MS / 2)));
    }
}
