//! The frames before a packet, kept to be repeated in it.

use crate::{Error, Result};
use siskin_bitstream::{StreamHeader, redundancy};

/// The first stages of the last frames.
pub(super) struct History {
    /// Stages of a copy.
    stages: u8,
    codes_per_frame: usize,
    /// Nearest frame first, all of the length of a copy.
    codes: Vec<u16>,
    /// Frames that are there and have as many stages as a copy.
    count: usize,
}

impl History {
    /// Keeps `copies` frames of `stages` stages.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more of either than a packet has room for.
    pub(super) fn new(header: &StreamHeader, copies: u8, stages: u8) -> Result<Self> {
        if usize::from(copies) > redundancy::MAX_FRAMES {
            return Err(Error::parameter("redundancy", copies, format!("0 to {}", redundancy::MAX_FRAMES)));
        }
        let most = redundancy::MAX_STAGES.min(header.stages);
        if copies > 0 && !(1..=most).contains(&stages) {
            return Err(Error::parameter("redundancy stages", stages, format!("1 to {most}")));
        }
        let codes_per_frame = header.codes_per_frame(stages);
        Ok(Self { stages, codes_per_frame, codes: vec![0; codes_per_frame * usize::from(copies)], count: 0 })
    }

    /// Takes the codes of a frame, `[stage][group]`.
    pub(super) fn push(&mut self, codes: &[u16]) {
        let kept = self.codes.len();
        if kept == 0 {
            return;
        }
        // Copies have one number of stages: a frame with fewer hides those before it.
        if codes.len() < self.codes_per_frame {
            self.count = 0;
            return;
        }
        self.codes.copy_within(..kept - self.codes_per_frame, self.codes_per_frame);
        self.codes[..self.codes_per_frame].copy_from_slice(&codes[..self.codes_per_frame]);
        self.count = (self.count + 1).min(kept / self.codes_per_frame);
    }

    /// Appends copies of the frames so far to a packet and returns how many bytes they take.
    ///
    /// # Errors
    /// None that [`new`](Self::new) has not.
    pub(super) fn append(&self, header: &StreamHeader, packet: &mut Vec<u8>) -> Result<usize> {
        if self.count == 0 {
            return Ok(0);
        }
        let before = packet.len();
        let frames = self.codes.chunks_exact(self.codes_per_frame).take(self.count);
        redundancy::append_frames(header, self.stages, frames, packet)?;
        Ok(packet.len() - before)
    }

    /// Forgets the frames: what comes next does not follow them.
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }
}
