//! Coarse copies of the frames before a packet, at the packet's end.
//!
//! A packet that arrives after a loss brings the frames that were lost, in the stages that the copies have. They are
//! of fixed width, nearest frame first, each stage by stage; the last byte fills up with zero bits. One byte follows
//! and ends the packet: in its high three bits the number of copies less one, in the others their stages less one.
//! The idea is that of Opus' in-band forward error correction (RFC 6716, section 2.1.7).

use crate::bytes::{BitReader, BitWriter};
use crate::header::StreamHeader;
use crate::packet_flags::HAS_REDUNDANCY;
use crate::{Error, Result};

/// Most earlier frames that a packet repeats.
// Three bits of the last byte: bursts of up to 160 ms at 50 frames per second can be recovered.
pub const MAX_FRAMES: usize = 8;
/// Most residual stages of a copy.
// The other five bits.
pub const MAX_STAGES: u8 = 32;

/// RedundantFrames of the frames before a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedundantFrames<'a> {
    count: usize,
    stages: u8,
    per_frame: usize,
    code_bits: u32,
    data: &'a [u8],
}

impl RedundantFrames<'_> {
    /// How many frames before the packet's first have a copy, 1 to [`MAX_FRAMES`].
    pub fn frame_count(&self) -> usize {
        self.count
    }

    /// Residual stages of each copy, 1 to [`MAX_STAGES`].
    pub fn stages(&self) -> u8 {
        self.stages
    }

    /// Bytes that the copies take in the packet.
    pub fn byte_len(&self) -> usize {
        self.data.len() + 1
    }

    /// Puts the codes `[stage][group]` of the frame `back` frames before the packet's first into `out`: 1 is the
    /// nearest. A frame without a copy has no codes.
    pub fn read_frame(&self, back: usize, out: &mut Vec<u16>) {
        out.clear();
        if !(1..=self.count).contains(&back) {
            return;
        }
        let mut bits = BitReader::new(self.data);
        // Skipped by reading: there are at most eight copies, and the bits of a copy need not begin at a byte.
        for _ in 0..(back - 1) * self.per_frame {
            bits.read_bits(self.code_bits);
        }
        out.extend((0..self.per_frame).map(|_| bits.read_bits(self.code_bits)));
    }
}

/// Bytes that so many copies of so many stages add to a packet.
pub fn added_bytes(header: &StreamHeader, count: usize, stages: u8) -> usize {
    (count * header.codes_per_frame(stages) * usize::from(header.code_bits)).div_ceil(8) + 1
}

/// Appends copies to a whole packet without copies. `frames` are the frames before its first, nearest first, each with
/// at least `stages` stages, `[stage][group]`. Without a frame nothing is appended.
///
/// # Errors
/// [`Error::Parameter`] for more copies or stages than the format has room for.
pub fn append_frames<'a>(
    header: &StreamHeader,
    stages: u8,
    frames: impl ExactSizeIterator<Item = &'a [u16]>,
    packet: &mut Vec<u8>,
) -> Result<()> {
    let (count, codes) = (frames.len(), header.codes_per_frame(stages));
    if count == 0 {
        return Ok(());
    }
    if count > MAX_FRAMES {
        return Err(Error::parameter("redundancy", count, format!("0 to {MAX_FRAMES}")));
    }
    if !(1..=MAX_STAGES.min(header.stages)).contains(&stages) {
        let allowed = format!("1 to {}", MAX_STAGES.min(header.stages));
        return Err(Error::parameter("stages of copies", stages, allowed));
    }
    let Some(first) = packet.first_mut() else {
        return Err(Error::parameter("packet", "empty", "a packet"));
    };
    // The flag is set in a packet that is written already, so the encoder needs not know about copies before it
    // codes; nothing else of the packet changes.
    *first |= HAS_REDUNDANCY;
    let mut bits = BitWriter::new(packet);
    for frame in frames {
        let frame =
            frame.get(..codes).ok_or_else(|| Error::parameter("codes of a copy", frame.len(), codes))?;
        frame.iter().for_each(|&code| bits.write_bits(code, header.code_bits.into()));
    }
    bits.fill_byte();
    // Less one each, since none would need no byte.
    packet.push((count as u8 - 1) << 5 | (stages - 1));
    Ok(())
}

/// Splits what follows a packet's head into codes and copies; `offset` is where it begins in the packet.
pub(super) fn split_payload<'a>(
    header: &StreamHeader,
    rest: &'a [u8],
    offset: usize,
) -> Result<(&'a [u8], RedundantFrames<'a>)> {
    let fail = |at, reason: String| Err(Error::bitstream("packet", "redundancy", at, reason));
    let Some((&last, body)) = rest.split_last() else {
        return fail(offset, "1 byte needed, 0 left".into());
    };
    // At the end, so that the codes begin where they do in a packet without copies.
    let (count, stages) = (usize::from(last >> 5) + 1, (last & 0x1f) + 1);
    if stages > header.stages {
        let reason = format!("copies of {stages} stages, the stream has {}", header.stages);
        return fail(offset + body.len(), reason);
    }
    // Less the byte that has been split off.
    let needed = added_bytes(header, count, stages) - 1;
    let Some(start) = body.len().checked_sub(needed) else {
        let reason = format!("{} bytes, {count} copies need {needed}", body.len());
        return fail(offset, reason);
    };
    let (codes, data) = body.split_at(start);
    let per_frame = header.codes_per_frame(stages);
    Ok((codes, RedundantFrames { count, stages, per_frame, code_bits: header.code_bits.into(), data }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::frames::Frames;
    use crate::header::sample;
    use crate::packet::{Packet, PacketInfo, write_packet};

    fn frame(seed: u16) -> Vec<u16> {
        (0..18).map(|i| (seed * 101 + i * 37) % 1024).collect()
    }

    fn packet(copies: u16, stages: u8) -> Vec<u8> {
        let info = PacketInfo { frames: 1, stages: 6, ..Default::default() };
        let mut out = Vec::new();
        write_packet(&sample(), &info, false, &frame(0), &mut out).expect("valid counts");
        let earlier: Vec<Vec<u16>> = (1..=copies).map(frame).collect();
        append_frames(&sample(), stages, earlier.iter().map(Vec::as_slice), &mut out).expect("valid counts");
        out
    }

    #[test]
    fn copies_come_back_and_the_packet_stays_itself() {
        for (count, stages) in [(1, 1), (2, 3), (8, 18)] {
            let bytes = packet(count, stages);
            let parsed = Packet::parse(&bytes, &Limits::default()).expect("a packet");
            let parsed = parsed.bind(&sample()).expect("a whole packet");
            assert_eq!((parsed.info().frames, parsed.info().stages), (1, 6));
            let (mut codes, mut copy) = (Frames::default(), Vec::new());
            parsed.read_codes(None, &mut codes).expect("codes");
            assert_eq!(codes.codes(), &frame(0)[..6]);
            let copies = parsed.redundant_frames().expect("some");
            assert_eq!((copies.frame_count(), copies.stages()), (usize::from(count), stages));
            assert_eq!(copies.byte_len(), bytes.len() - packet(0, 1).len());
            for back in 1..=count {
                copies.read_frame(back.into(), &mut copy);
                assert_eq!(copy, frame(back)[..stages.into()]);
            }
            copies.read_frame(usize::from(count) + 1, &mut copy);
            assert!(copy.is_empty());
        }
    }

    #[test]
    fn a_packet_with_copies_has_the_bytes_that_the_document_says() {
        let golden = include_str!("../../../testdata/golden/packet-redundancy.hex").trim();
        assert_eq!(hex::encode(packet(2, 3)), golden);
    }

    #[test]
    fn damaged_copies_are_refused() {
        let bytes = packet(2, 3);
        for (at, value) in [(bytes.len() - 1, 0xff), (bytes.len() - 1, 0x1f), (0, HAS_REDUNDANCY)] {
            let mut bad = if at == 0 { bytes[..4].to_vec() } else { bytes.clone() };
            bad[at] = value;
            let parsed = Packet::parse(&bad, &Limits::default()).expect("the head is whole");
            assert!(parsed.bind(&sample()).is_err(), "{value} at {at}");
        }
    }

    #[test]
    fn what_the_format_has_no_room_for_is_refused() {
        let frame = frame(1);
        for (count, stages) in [(9, 1), (1, 0), (1, 19)] {
            let copies = (0..count).map(|_| frame.as_slice());
            assert!(
                append_frames(&sample(), stages, copies, &mut vec![0, 1, 1]).is_err(),
                "{count} of {stages}"
            );
        }
        assert!(append_frames(&sample(), 3, [&frame[..2]].into_iter(), &mut vec![0, 1, 1]).is_err());
    }
}
