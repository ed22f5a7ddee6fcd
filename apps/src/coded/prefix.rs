//! Lower rates out of a packet: the first stages of every frame are a valid packet themselves.

use siskin_core::Result;
use siskin_core::bitstream::packet::cut;
use siskin_core::bitstream::{Frames, StreamHeader};
use siskin_core::entropy::Coder;

/// Cuts packets to their first stages.
pub(super) struct Prefix {
    stages: u8,
    /// For range-coded packets.
    coder: Option<Coder>,
    frames: Frames,
    packet: Vec<u8>,
}

impl Prefix {
    pub(super) fn new(stages: u8, coder: Option<Coder>) -> Self {
        Self { stages, coder, frames: Frames::default(), packet: Vec::new() }
    }

    /// The packet of `data` with no more stages than asked for.
    pub(super) fn cut<'a>(&'a mut self, data: &[u8], header: &StreamHeader) -> Result<&'a [u8]> {
        self.packet.clear();
        cut(
            header,
            data,
            self.stages,
            self.coder.as_mut().map(|c| c as _),
            &mut self.frames,
            &mut self.packet,
        )?;
        Ok(&self.packet)
    }
}
