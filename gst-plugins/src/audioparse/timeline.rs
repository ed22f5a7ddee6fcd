//! Exact times from a container's rounded ones.

use gst::ClockTime;
use siskin_core::bitstream::StreamHeader;

use crate::time::{samples_to_time, time_to_samples};

/// A container's timestamps may be this far off before they count as a jump: Matroska rounds to 1 ms.
const ROUNDING: ClockTime = ClockTime::from_useconds(1500);

/// Counts samples from the first packet of a run; a jump of the container's times begins a new run.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Time of the first packet of the run.
    start: Option<ClockTime>,
    /// Samples since.
    samples: u64,
    /// Time of the stream's first sample, once its first packet has been seen.
    origin: Option<ClockTime>,
    /// Samples on whole numbers of which packets begin, where that are not frames: those from one segment to the next.
    stride: Option<u64>,
}

/// When a packet plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pts: ClockTime,
    pub(super) duration: ClockTime,
    /// Whether it does not follow from the packet before.
    pub(super) jump: bool,
}

impl Timeline {
    /// Places a packet of `samples` that the container puts at `stamp`.
    pub(super) fn place_packet(
        &mut self,
        header: &StreamHeader,
        stamp: Option<ClockTime>,
        starts_stream: bool,
        samples: u64,
    ) -> Place {
        let next = self.next_pts(header);
        let follows = match (next, stamp) {
            (Some(next), Some(stamp)) => next.max(stamp) - next.min(stamp) <= ROUNDING,
            // Packets without a time follow from the one before.
            (next, _) => next.is_some(),
        };
        if !follows {
            let stamp = stamp.unwrap_or_default();
            // After a seek the container's milliseconds are all there is; the grid of frames gives the rest back.
            let start = if starts_stream { stamp } else { self.on_grid(header, stamp) };
            (self.start, self.samples) = (Some(start), 0);
        }
        let pts = self.next_pts(header).unwrap_or_default();
        if starts_stream {
            self.origin = Some(pts);
        }
        self.samples += samples;
        // From the end and not from the samples alone, so that rounding never leaves a gap between packets.
        let end = self.next_pts(header).unwrap_or(pts);
        Place { pts, duration: end.saturating_sub(pts), jump: !follows }
    }

    /// Where a packet that follows begins.
    pub(super) fn next_pts(&self, header: &StreamHeader) -> Option<ClockTime> {
        self.start.and_then(|start| start.checked_add(time_of(header, self.samples)))
    }

    /// Takes note of a segment of `samples` samples before the next one.
    pub(super) fn set_stride(&mut self, samples: u64) {
        self.stride = Some(samples).filter(|&s| s > 0);
    }

    /// Begins a new run with the next packet; the stream stays the same.
    pub(super) fn start_run(&mut self) {
        (self.start, self.samples) = (None, 0);
    }

    /// The frame boundary that `stamp` is the rounding of, if it is one: packets begin a whole number of frames,
    /// less the codec's delay, after the stream's first sample.
    fn on_grid(&self, header: &StreamHeader, stamp: ClockTime) -> ClockTime {
        let Some(since) = self.origin.and_then(|origin| stamp.checked_sub(origin)) else { return stamp };
        let Some(samples) = time_to_samples(header.sample_rate, since) else { return stamp };
        let (hop, skip) = (self.stride.unwrap_or(header.hop.into()), u64::from(header.pre_skip));
        let frame = (samples + skip + hop / 2) / hop;
        let exact = time_of(header, (frame * hop).saturating_sub(skip));
        let near = exact.max(since) - exact.min(since) <= ROUNDING;
        if near { (stamp - since).saturating_add(exact) } else { stamp }
    }
}

fn time_of(header: &StreamHeader, samples: u64) -> ClockTime {
    samples_to_time(header.sample_rate, samples).unwrap_or(ClockTime::MAX)
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::BundleId;

    use super::*;

    /// Frames of 10/3 ms, so that no boundary is a whole number of milliseconds.
    fn header() -> StreamHeader {
        StreamHeader {
            bundle: BundleId([9; 8]),
            bundle_name: "toy".into(),
            sample_rate: 48_000,
            channels: 1,
            hop: 160,
            groups: 1,
            stages: 1,
            code_bits: 10,
            pre_skip: 40,
        }
    }

    fn rounded(samples: u64) -> Option<ClockTime> {
        Some(ClockTime::from_mseconds((samples * 1000 + 24_000) / 48_000))
    }

    #[test]
    fn rounded_stamps_become_exact() {
        let (mut line, mut position) = (Timeline::default(), 0);
        for n in 0..1000 {
            let samples = if n == 0 { 120 } else { 160 };
            let place = line.place_packet(&header(), rounded(position), n == 0, samples);
            assert_eq!(place.pts, time_of(&header(), position), "packet {n}");
            assert_eq!(place.pts + place.duration, time_of(&header(), position + samples));
            assert_eq!(place.jump, n == 0);
            position += samples;
        }
    }

    #[test]
    fn a_seek_lands_on_the_exact_frame() {
        let mut line = Timeline::default();
        line.place_packet(&header(), Some(ClockTime::from_mseconds(7)), true, 120);
        for n in 1..500 {
            line.start_run();
            let position = n * 160 - 40;
            let stamp = rounded(position).map(|t| t + ClockTime::from_mseconds(7));
            let place = line.place_packet(&header(), stamp, false, 160);
            assert_eq!(place.pts, time_of(&header(), position) + ClockTime::from_mseconds(7));
            assert!(place.jump);
        }
    }

    #[test]
    fn a_seek_lands_on_the_exact_segment() {
        let mut line = Timeline::default();
        line.set_stride(47_520);
        let header = StreamHeader { hop: 320, pre_skip: 0, ..header() };
        line.place_packet(&header, Some(ClockTime::from_mseconds(7)), true, 47_520);
        for n in 1..100 {
            line.start_run();
            let stamp = rounded(n * 47_520).map(|t| t + ClockTime::from_mseconds(7));
            let place = line.place_packet(&header, stamp, false, 47_520);
            assert_eq!(place.pts, time_of(&header, n * 47_520) + ClockTime::from_mseconds(7));
        }
    }

    #[test]
    fn a_jump_begins_a_run_and_missing_stamps_do_not() {
        let mut line = Timeline::default();
        line.place_packet(&header(), None, true, 120);
        assert!(!line.place_packet(&header(), None, false, 160).jump);
        let far = line.place_packet(&header(), Some(ClockTime::from_seconds(5)), false, 160);
        assert!(far.jump && far.pts.seconds() >= 4);
    }

    #[test]
    fn the_latest_time_there_is_does_no_harm() {
        let mut line = Timeline::default();
        for _ in 0..3 {
            line.place_packet(&header(), Some(ClockTime::MAX), true, u64::MAX / 4);
            line.place_packet(&header(), Some(ClockTime::MAX), false, u64::MAX / 4);
        }
    }
}
