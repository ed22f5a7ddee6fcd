//! When the frames of a group of pictures are shown.

use gst::ClockTime;
use gst::prelude::MulDiv;
use siskin_core::bitstream::VideoHeader;
use siskin_core::video::GopInfo;

/// How long `frames` frames of a constant rate last; none where it is not constant.
pub(crate) fn of_frames(header: &VideoHeader, frames: u64) -> Option<ClockTime> {
    let (n, d) = header.frame_rate;
    if n == 0 {
        return None;
    }
    ClockTime::SECOND.mul_div_round(frames.checked_mul(d.into())?, n.into())
}

/// Frames of a constant rate in `time`, to the nearest.
pub(crate) fn frames_in(header: &VideoHeader, time: ClockTime) -> Option<u64> {
    let (n, d) = header.frame_rate;
    if n == 0 {
        return None;
    }
    let per = u64::from(d).checked_mul(ClockTime::SECOND.nseconds())?;
    time.nseconds().mul_div_round(n.into(), per)
}

/// Where a frame begins, counted from the group's beginning; for the number of frames, the group's length. None where
/// neither the stream nor the group says.
pub(crate) fn offset(header: &VideoHeader, info: &GopInfo, frame: u32) -> Option<ClockTime> {
    match &info.durations {
        Some(durations) => {
            let sum = durations.iter().take(frame as usize).map(|&d| u64::from(d)).sum();
            Some(ClockTime::from_nseconds(sum))
        }
        None => of_frames(header, frame.into()),
    }
}
