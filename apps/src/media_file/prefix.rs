//! Lower rates out of a packet: the first stages of every frame are a valid packet themselves.

use siskin_core::Result;
use siskin_core::bitstream::Frames;
use siskin_core::bitstream::packet::BoundPacket;
use siskin_core::entropy::Coder;

/// Cuts packets to their first stages.
pub(super) struct Prefix {
    stages: u8,
    /// For range-coded packets.
    coder: Option<Coder>,
    frames: Frames,
}

impl Prefix {
    pub(super) fn new(stages: u8, coder: Option<Coder>) -> Self {
        Self { stages, coder, frames: Frames::default() }
    }

    /// Appends the packet with no more stages than asked for.
    pub(super) fn cut(&mut self, packet: &BoundPacket<'_>, into: &mut Vec<u8>) -> Result<()> {
        let coder = self.coder.as_mut().map(|c| c as _);
        packet.write_prefix(self.stages, coder, &mut self.frames, into)
    }
}
