//! When the frames of a group are shown.

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{Rounding, TimeBase};
use siskin_core::video::GopInfo;

use crate::time::ticks_to_time;

/// The time base of a stream's frames; none where the frame rate is not constant.
fn frame_base(header: &VideoHeader) -> Option<TimeBase> {
    let (numerator, denominator) = header.frame_rate;
    TimeBase::from_rate(numerator, denominator).ok()
}

/// How long `frames` frames of a constant rate last; none where it is not constant.
pub(crate) fn frames_to_time(header: &VideoHeader, frames: u64) -> Option<ClockTime> {
    ticks_to_time(frame_base(header)?, frames, Rounding::Nearest)
}

/// Frames of a constant rate in `time`, to the nearest.
pub(crate) fn time_to_frames(header: &VideoHeader, time: ClockTime) -> Option<u64> {
    frame_base(header)?.ns_to_ticks(time.nseconds(), Rounding::Nearest)
}

/// Where a frame begins, counted from the group's beginning; for the number of frames, the group's length. None where
/// neither the stream nor the group says.
pub(crate) fn frame_offset(header: &VideoHeader, info: &GopInfo, frame: u32) -> Option<ClockTime> {
    match &info.durations {
        Some(durations) => {
            // At most 4096 durations of 32 bits, so the sum fits 64 easily.
            let sum = durations.iter().take(frame as usize).map(|&d| u64::from(d)).sum();
            Some(ClockTime::from_nseconds(sum))
        }
        None => frames_to_time(header, frame.into()),
    }
}
