use siskin_bitstream::{ComfortNoise, StreamHeader};

use crate::vad::VoiceActivityDetector;

/// Seconds between SID frames while the noise stays the same: a receiver that joins has comfort noise after at most this
/// time. Opus and AMR use about the same (0.4 s and 0.16 s).
const SID_INTERVAL_SECONDS: f64 = 0.4;
/// Change of the noise level since the last SID frame that makes the encoder send one at once, in half decibels: 4 dB, above
/// the fluctuation of the estimate and below a jump that annoys.
const SID_LEVEL_CHANGE: u8 = 8;

/// The encoder's side of discontinuous transmission (DTX): which frames are coded, described by a SID frame, or skipped.
pub(crate) struct Dtx {
    vad: VoiceActivityDetector,
    /// Frames since the last active one.
    inactive_frames: u32,
    /// Frames of the SID packet being gathered.
    sid_frames: u32,
    /// Frames that the last SID frame covers beyond its packet.
    frames_to_skip: u32,
    /// Frames from one SID frame to the next.
    interval: u32,
    last_sid: ComfortNoise,
}

impl Dtx {
    pub(crate) fn new(header: &StreamHeader) -> Self {
        Self {
            vad: VoiceActivityDetector::new(header.hop.into(), header.sample_rate),
            inactive_frames: 0,
            sid_frames: 0,
            frames_to_skip: 0,
            // At most the frames of a packet, as a SID packet may gather them all.
            interval: (header.frame_rate() * SID_INTERVAL_SECONDS).ceil().clamp(1.0, 500.0) as u32,
            last_sid: ComfortNoise::default(),
        }
    }

    /// Whether a frame is to be coded.
    pub(crate) fn detect_activity(&mut self, pcm: &[f32]) -> bool {
        let is_active = self.vad.is_active(pcm);
        if is_active {
            // The last SID frame covers nothing beyond an active frame.
            (self.frames_to_skip, self.inactive_frames) = (0, 0);
        }
        is_active
    }

    /// Counts an inactive frame and returns how many there are in a row.
    pub(crate) fn count_inactive(&mut self) -> u32 {
        self.inactive_frames = self.inactive_frames.saturating_add(1);
        self.inactive_frames
    }

    /// Whether an inactive frame is left out, because the last SID frame covers it; otherwise it is added to the SID packet.
    /// The last frame of a stream is never left out, so that the stream keeps its length.
    pub(crate) fn skip_frame(&mut self, is_last: bool) -> bool {
        // By the level alone: bands change slowly, and the next SID frame is at most 0.4 s away.
        let is_near = self.vad.sid_frame().level.abs_diff(self.last_sid.level) < SID_LEVEL_CHANGE;
        let is_covered = self.frames_to_skip > 0 && is_near && !is_last;
        if is_covered {
            self.frames_to_skip -= 1;
        } else {
            self.sid_frames += 1;
        }
        is_covered
    }

    /// Frames of the SID packet being gathered.
    pub(crate) fn sid_frames(&self) -> u32 {
        self.sid_frames
    }

    /// Ends the SID packet being gathered and returns its SID frame.
    pub(crate) fn finish_sid(&mut self) -> &ComfortNoise {
        self.last_sid = self.vad.sid_frame();
        // With 0.4 s and more in a packet nothing is left to skip, and SID packets follow without gaps.
        self.frames_to_skip = self.interval.saturating_sub(self.sid_frames);
        self.sid_frames = 0;
        &self.last_sid
    }

    /// Back to the state of a new instance.
    pub(crate) fn reset(&mut self) {
        self.vad.reset();
        (self.inactive_frames, self.sid_frames, self.frames_to_skip) = (0, 0, 0);
        self.last_sid = ComfortNoise::default();
    }
}
