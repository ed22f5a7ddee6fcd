//! Lower rates out of a packet: the first stages of every frame are a valid packet themselves.

use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::packet::{Packet, PacketInfo, write};
use siskin_core::{Limits, Result};

/// Cuts packets to their first stages.
pub(super) struct Prefix {
    stages: u8,
    codes: Vec<u16>,
    padded: Vec<u16>,
    packet: Vec<u8>,
}

impl Prefix {
    pub(super) fn new(stages: u8) -> Self {
        Self { stages, codes: Vec::new(), padded: Vec::new(), packet: Vec::new() }
    }

    /// The packet of `data` with no more stages than asked for.
    pub(super) fn cut<'a>(&'a mut self, data: &'a [u8], header: &StreamHeader) -> Result<&'a [u8]> {
        let packet = Packet::parse(data, &Limits::default())?;
        let info = packet.info(header)?;
        if info.stages <= self.stages {
            return Ok(data);
        }
        packet.codes(header, &info, &mut self.codes);
        // The writer takes frames with all of the bundle's stages and writes the first.
        let (coded, all) = (header.codes_per_frame(info.stages), header.codes_per_frame(header.stages));
        self.padded.clear();
        for frame in self.codes.chunks_exact(coded) {
            let end = self.padded.len() + all;
            self.padded.extend_from_slice(frame);
            self.padded.resize(end, 0);
        }
        self.packet.clear();
        let shorter = PacketInfo { stages: self.stages, ..info };
        write(header, &shorter, packet.header.is_some(), &self.padded, &mut self.packet)?;
        Ok(&self.packet)
    }
}
