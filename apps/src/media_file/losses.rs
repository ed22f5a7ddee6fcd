//! What a coded file lacked, as far as decoding it showed, and what took its place.

use siskin_core::audio::Decoder;
use siskin_core::bitstream::packet::BoundPacket;

/// What a file lacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Packets that could not be decoded.
    pub(crate) bad_packets: u64,
    /// Samples that were made up in their place or in place of packets that are missing.
    pub(crate) concealed_samples: u64,
    /// Packets that a simulated channel lost.
    pub(crate) dropped: u64,
    /// Frames that were missing, of which the next packet's copies brought back `recovered_frames`.
    pub(crate) lost_frames: u64,
    /// Frames that came back as copies.
    pub(crate) recovered_frames: u64,
    /// Gaps in the time stamps that were too long to be bridged.
    pub(crate) jumps: u64,
    /// Whether the file ends before its stated length or inside an element.
    pub(crate) ends_early: bool,
    /// Why reading stopped before the end.
    pub(crate) damage: Option<String>,
}

impl Losses {
    /// Appends exactly `samples` samples in place of what is missing before the packet `next`: from its copies as far
    /// as they reach, the rest concealed. What is missing in a pause is no loss.
    pub(crate) fn conceal_gap(
        &mut self,
        decoder: &mut Decoder,
        samples: u64,
        next: Option<&BoundPacket<'_>>,
        scratch: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) -> siskin_core::Result<()> {
        let (hop, is_pause) = (u64::from(decoder.stream_header().hop), decoder.in_dtx());
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
            let count = (scratch.len() as u64).min(left);
            out.extend_from_slice(&scratch[..count as usize]);
            left -= count;
        }
        if !is_pause {
            self.lost_frames += samples.div_ceil(hop);
            self.recovered_frames += recovered;
            self.concealed_samples += samples - recovered * hop;
        }
        Ok(())
    }

    /// One line for each kind of loss.
    pub(crate) fn describe(&self, file: &str, rate: u32, seconds: f64) -> Vec<String> {
        let mut lines = Vec::new();
        if self.dropped > 0 {
            lines.push(format!(
                "{file}: lost {} packets as asked, {} frames: {} recovered, {} concealed",
                self.dropped,
                self.lost_frames,
                self.recovered_frames,
                self.lost_frames - self.recovered_frames
            ));
        }
        if self.bad_packets > 0 {
            let bridged = self.concealed_samples as f64 / f64::from(rate);
            lines.push(format!("{file}: {} damaged packets, {bridged:.2} s concealed", self.bad_packets));
        } else if self.concealed_samples > 0 && self.dropped == 0 {
            let bridged = self.concealed_samples as f64 / f64::from(rate);
            lines.push(format!("{file}: packets are missing, {bridged:.2} s concealed"));
        }
        if self.jumps > 0 {
            lines.push(format!("{file}: its time stamps jump {} times", self.jumps));
        }
        if let Some(damage) = &self.damage {
            lines.push(format!("{file} is damaged after {seconds:.2} s: {damage}"));
        } else if self.ends_early {
            lines.push(format!("{file} is cut off: {seconds:.2} s could be decoded"));
        }
        lines
    }
}
