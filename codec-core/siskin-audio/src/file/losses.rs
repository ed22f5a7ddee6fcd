use siskin_bitstream::packet::BoundPacket;
use siskin_error::Result;

use crate::Decoder;

/// What a file lacked, as far as decoding it showed, and what took its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Packets that could not be decoded.
    pub bad_packets: u64,
    /// Samples that were made up in their place or in place of packets that are missing.
    pub concealed_samples: u64,
    /// Packets that a [`PacketFilter`](super::PacketFilter) lost.
    pub dropped: u64,
    /// Frames that were missing, of which the next packet's copies brought back `recovered_frames`.
    pub lost_frames: u64,
    /// Frames that came back as copies.
    pub recovered_frames: u64,
    /// Gaps in the time stamps that were too long to be bridged.
    pub jumps: u64,
    /// Whether the file ends before its stated length or inside an element.
    pub ends_early: bool,
    /// Why reading stopped before the end.
    pub damage: Option<String>,
}

impl Losses {
    /// Appends exactly `samples` samples of each channel in place of what is missing before the packet `next`: from its copies as
    /// far as they reach, the rest concealed. What is missing in a pause is no loss.
    pub(super) fn conceal_gap(
        &mut self,
        decoder: &mut Decoder,
        samples: u64,
        next: Option<&BoundPacket<'_>>,
        scratch: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let (hop, is_pause) = (u64::from(decoder.stream_header().hop), decoder.in_dtx());
        let channels = u64::from(decoder.stream_header().channels);
        let (mut left, mut recovered) = (samples, 0);
        while left > 0 {
            scratch.clear();
            let frames = left.div_ceil(hop);
            // A second at a time: a long gap would otherwise be made in memory whole. The last 50 frames are left for
            // the copies.
            if frames > 50 {
                decoder.conceal((frames - 50).min(50) as u32, scratch)?;
            } else if let Some(next) = next.filter(|_| frames * hop == left) {
                recovered += u64::from(decoder.conceal_before(frames as u32, next, scratch)?);
            } else {
                // Copies are of whole frames.
                decoder.conceal(frames as u32, scratch)?;
            }
            let count = (scratch.len() as u64 / channels).min(left);
            out.extend_from_slice(&scratch[..(count * channels) as usize]);
            left -= count;
        }
        if !is_pause {
            self.lost_frames += samples.div_ceil(hop);
            self.recovered_frames += recovered;
            self.concealed_samples += samples - recovered * hop;
        }
        Ok(())
    }
}
