use crate::header::StreamHeader;

/// A packet's head, without its codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketInfo {
    /// This is the first packet of a stream: the decoder drops [`StreamHeader::pre_skip`] samples.
    pub starts_stream: bool,
    /// Samples per channel to drop from the end of the packet's last frame; set in a stream's last packet.
    pub end_trim: u32,
    /// Codec frames in the packet.
    pub frames: u32,
    /// Residual stages coded for each frame, or for the one that has most; 0 in a SID packet, which describes comfort
    /// noise instead.
    pub stages: u8,
    /// Samples per channel at the end of a [segment](super::Segment) that the next packet's first are mixed with, and that
    /// come out with that; 0 in other packets.
    pub overlap: u32,
}

impl PacketInfo {
    /// Samples per channel that the packet decodes to, in a stream of this header.
    pub fn sample_count(&self, header: &StreamHeader) -> u64 {
        let all = u64::from(self.frames) * u64::from(header.hop);
        let skip = if self.starts_stream { u64::from(header.pre_skip) } else { 0 };
        // Saturating, since these fields are public and may not come from a packet that was checked.
        all.saturating_sub(skip).saturating_sub(u64::from(self.end_trim) + u64::from(self.overlap))
    }
}
