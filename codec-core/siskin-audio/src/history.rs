//! The last frames, kept for the redundancy of the next packet.

use siskin_bitstream::{StreamHeader, redundancy};
use siskin_error::{Error, Result};

/// The first stages of the last frames.
pub(crate) struct History {
    /// Stages of a redundant frame.
    stages: u8,
    codes_per_frame: usize,
    /// The latest frame first, all of `codes_per_frame` codes.
    codes: Vec<u16>,
    /// Valid frames in `codes`.
    count: usize,
}

impl History {
    /// A history of `frames` frames of `stages` stages.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more frames or stages than a packet can repeat.
    pub(crate) fn new(header: &StreamHeader, frames: u8, stages: u8) -> Result<Self> {
        if usize::from(frames) > redundancy::MAX_FRAMES {
            return Err(Error::parameter("redundancy", frames, format!("0 to {}", redundancy::MAX_FRAMES)));
        }
        let most = redundancy::MAX_STAGES.min(header.stages);
        if frames > 0 && !(1..=most).contains(&stages) {
            return Err(Error::parameter("redundancy stages", stages, format!("1 to {most}")));
        }
        let codes_per_frame = header.codes_per_frame(stages);
        Ok(Self { stages, codes_per_frame, codes: vec![0; codes_per_frame * usize::from(frames)], count: 0 })
    }

    /// Adds the codes of a frame, `[stage][group]`.
    pub(crate) fn push_frame(&mut self, codes: &[u16]) {
        let kept = self.codes.len();
        // No redundancy was asked for.
        if kept == 0 {
            return;
        }
        // All redundant frames of a packet have one number of stages: a frame with fewer hides those before it.
        if codes.len() < self.codes_per_frame {
            self.count = 0;
            return;
        }
        // Few codes: moving them is simpler than the two slices of a ring buffer.
        self.codes.copy_within(..kept - self.codes_per_frame, self.codes_per_frame);
        self.codes[..self.codes_per_frame].copy_from_slice(&codes[..self.codes_per_frame]);
        self.count = (self.count + 1).min(kept / self.codes_per_frame);
    }

    /// Appends the frames to a packet as redundancy and returns their size in bytes.
    ///
    /// # Errors
    /// What [`redundancy::append_frames`] returns.
    pub(crate) fn append_redundancy(&self, header: &StreamHeader, packet: &mut Vec<u8>) -> Result<usize> {
        if self.count == 0 {
            return Ok(0);
        }
        let before = packet.len();
        let frames = self.codes.chunks_exact(self.codes_per_frame).take(self.count);
        redundancy::append_frames(header, self.stages, frames, packet)?;
        Ok(packet.len() - before)
    }

    /// Drops the frames: the next frame does not follow them.
    pub(crate) fn clear_frames(&mut self) {
        self.count = 0;
    }
}
