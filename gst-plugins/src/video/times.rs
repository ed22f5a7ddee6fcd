//! When the frames of a group are shown.

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::video::GopInfo;

/// How long `frames` frames of a constant rate last; none where it is not constant.
pub(crate) fn frames_to_time(header: &VideoHeader, frames: u64) -> Option<ClockTime> {
    header.frames_to_ns(frames).and_then(to_time)
}

/// Frames of a constant rate in `time`, to the nearest.
pub(crate) fn time_to_frames(header: &VideoHeader, time: ClockTime) -> Option<u64> {
    header.ns_to_frames(time.nseconds())
}

/// [`GopInfo::frame_offset_ns`] as a time.
pub(crate) fn frame_offset(header: &VideoHeader, info: &GopInfo, frame: u32) -> Option<ClockTime> {
    info.frame_offset_ns(header, frame).and_then(to_time)
}

fn to_time(ns: u64) -> Option<ClockTime> {
    // The largest number stands for no time in GStreamer.
    (ns <= ClockTime::MAX.nseconds()).then(|| ClockTime::from_nseconds(ns))
}
