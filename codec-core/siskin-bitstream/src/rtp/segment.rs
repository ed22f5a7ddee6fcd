//! Segments in payloads: a segment is a packet of its own, which is cut where a payload is full.

use crate::bytes::Cursor;
use crate::header::StreamHeader;
use crate::packet::{BoundPacket, split_header};
use crate::packet_flags::{HAS_HEADER, STARTS_STREAM, flag_bit};
use crate::rtp::payload::{self, PayloadHead};
use crate::{Error, Limits, Result};

/// In the byte of the part: it is the segment's last.
const IS_LAST: u8 = 0x80;
/// Most parts of a segment.
const MAX_PARTS: usize = 128;

/// Cuts a segment into payloads of at most `max_bytes` bytes, which go to `emit` one after another.
///
/// # Errors
/// [`Error::Parameter`] if that takes more than 128 payloads; what `emit` returns.
pub(super) fn write_parts<E: From<Error>>(
    packet: &BoundPacket<'_>,
    max_bytes: usize,
    out: &mut Vec<u8>,
    mut emit: impl FnMut(&[u8], bool) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let stream = packet.stream();
    // The header goes with the first payload as in payloads of frames, and not once more in the segment.
    let (first, rest) = split_header(packet.data())?;
    let mut body = vec![first & !(HAS_HEADER | STARTS_STREAM)];
    body.extend_from_slice(rest);
    let mut short = Vec::new();
    if packet.header().is_some() {
        stream.write_to(true, &mut short);
    }
    // First byte, byte of the kind, byte of the part.
    let room = |head: usize| max_bytes.saturating_sub(3 + head).max(1);
    let (start, rest) = body.split_at(room(short.len()).min(body.len()));
    let parts: Vec<&[u8]> = std::iter::once(start).chain(rest.chunks(room(0))).collect();
    if parts.len() > MAX_PARTS {
        let allowed = format!("enough for {} bytes in {MAX_PARTS} payloads", body.len());
        return Err(Error::parameter("payload bytes", max_bytes, allowed).into());
    }
    let count = parts.len();
    for (number, part) in parts.into_iter().enumerate() {
        let is_first = number == 0;
        out.clear();
        out.push(
            flag_bit(packet.info().starts_stream && is_first, payload::STARTS_STREAM)
                | flag_bit(!short.is_empty() && is_first, payload::HAS_HEADER),
        );
        out.push(payload::SEGMENT);
        if is_first {
            out.extend_from_slice(&short);
        }
        out.push(number as u8 | flag_bit(number + 1 == count, IS_LAST));
        out.extend_from_slice(part);
        emit(out, is_first)?;
    }
    Ok(())
}

/// Puts segments together again.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    timestamp: u32,
    /// Number of the part that comes next.
    next: u8,
    /// The packet so far.
    data: Vec<u8>,
}

impl Assembly {
    /// Takes a part; gives the bytes of the packet that it completes, which nobody has checked. Parts that do not follow one
    /// another are none.
    ///
    /// # Errors
    /// What [`StreamHeader::accepts`] returns if the payload carries a header, and [`Error::Bitstream`] for a part without bytes.
    pub(super) fn push(
        &mut self,
        head: &PayloadHead<'_>,
        stream: &StreamHeader,
        timestamp: u32,
        limits: &Limits,
    ) -> Result<Option<Vec<u8>>> {
        head.header.as_ref().map_or(Ok(()), |carried| stream.accepts(carried))?;
        let mut cursor = Cursor::new("RTP payload", head.segment_body());
        let byte = cursor.read_byte("part")?;
        let (number, part) = (byte & !IS_LAST, cursor.rest());
        if number == 0 {
            let Some((&first, rest)) = part.split_first() else {
                return Err(cursor.field_error("part", "empty"));
            };
            self.timestamp = timestamp;
            self.data.clear();
            // The head that the packet had in its file.
            self.data.push(
                first & !(HAS_HEADER | STARTS_STREAM)
                    | flag_bit(head.starts_stream(), STARTS_STREAM)
                    | flag_bit(head.header.is_some(), HAS_HEADER),
            );
            if head.header.is_some() {
                stream.write_to(!head.starts_stream(), &mut self.data);
            }
            self.data.extend_from_slice(rest);
        } else if number == self.next && timestamp == self.timestamp && !self.data.is_empty() {
            if self.data.len() + part.len() > limits.max_packet_bytes {
                self.reset();
                return Err(cursor.field_error("part", "too many bytes in a segment"));
            }
            self.data.extend_from_slice(part);
        } else {
            // A part before it is missing, and with it the segment.
            self.reset();
            return Ok(None);
        }
        self.next = number + 1;
        if byte & IS_LAST == 0 {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.data)))
    }

    /// Forgets the parts so far.
    pub(super) fn reset(&mut self) {
        self.data.clear();
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frames;
    use crate::header::sample;
    use crate::packet::{Packet, PacketInfo, Segment, write_segment};
    use crate::rtp::{Depacketizer, Packetizer, PacketizerOptions};

    fn stream() -> StreamHeader {
        StreamHeader { channels: 2, pre_skip: 0, ..sample() }
    }

    /// Samples from one segment to the next.
    const SEGMENT_SAMPLES: u32 = 100 * 480 - 240;

    /// Packets of three segments.
    fn packets() -> Vec<Vec<u8>> {
        let packet = |n: u16| {
            let mut frames = Frames::new(1);
            (0..100u16).for_each(|f| frames.push_frame(&[(n * 100 + f) % 1024, 5, 6, 7]));
            let info =
                PacketInfo { starts_stream: n == 0, end_trim: u32::from(n == 2), ..Default::default() };
            let segment = Segment { overlap: if n == 2 { 0 } else { 240 }, scale: 0.5 + f32::from(n) };
            let mut out = Vec::new();
            write_segment(&stream(), &info, n != 1, segment, &frames, &mut out).expect("a segment");
            out
        };
        (0..3).map(packet).collect()
    }

    /// Payloads and the number of their packet.
    fn payloads() -> Vec<(u32, Vec<u8>)> {
        let (mut packetizer, mut all) = (Packetizer::new(stream()), Vec::new());
        let options = PacketizerOptions { max_bytes: 200, ..Default::default() };
        for (n, data) in packets().iter().enumerate() {
            let packet =
                Packet::parse(data, &Limits::default()).and_then(|p| p.bind(&stream())).expect("ours");
            let mut keep = |payload: crate::rtp::OutgoingPayload<'_>| -> Result<()> {
                assert!(payload.data.len() <= 200 && payload.offset == 0);
                all.push((n as u32, payload.data.to_vec()));
                Ok(())
            };
            packetizer.push_packet(&packet, &options, &mut keep).expect("payloads");
        }
        all
    }

    fn received(payloads: &[(u32, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut depacketizer = Depacketizer::default();
        depacketizer.set_header(stream());
        payloads
            .iter()
            .flat_map(|(n, data)| {
                let head = PayloadHead::parse(data).expect("a payload");
                depacketizer.push_payload(&head, n * SEGMENT_SAMPLES).expect("a payload of the stream")
            })
            .map(|packet| packet.data)
            .collect()
    }

    #[test]
    fn segments_come_back_bit_by_bit() {
        let all = payloads();
        assert!(all.len() > 6, "{} payloads", all.len());
        assert_eq!(received(&all), packets());
    }

    #[test]
    fn a_lost_part_costs_its_segment_alone() {
        let (all, packets) = (payloads(), packets());
        for lost in 0..all.len() {
            let rest: Vec<_> = [&all[..lost], &all[lost + 1..]].concat();
            let whole = |n: usize| all[lost].0 as usize != n;
            let expected: Vec<_> = (0..3).filter(|&n| whole(n)).map(|n| packets[n].clone()).collect();
            let found = received(&rest);
            // The last part of a segment that has lost one is no segment.
            assert_eq!(found, expected, "without {lost}");
        }
    }

    #[test]
    fn damaged_parts_cost_their_segments_alone() {
        let (good, packets, mut state) = (payloads(), packets(), 1u32);
        let mut delivered = 0;
        for _ in 0..2000 {
            let (mut all, mut is_damaged) = (good.clone(), [false; 3]);
            for (n, data) in &mut all {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % data.len();
                if state >> 30 == 0 {
                    data[at] ^= 1 << (state & 7);
                    is_damaged[*n as usize] = true;
                }
            }
            let (mut depacketizer, mut found) = (Depacketizer::default(), Vec::new());
            depacketizer.set_header(stream());
            for (n, data) in &all {
                let pushed = PayloadHead::parse(data)
                    .and_then(|head| depacketizer.push_payload(&head, n * SEGMENT_SAMPLES));
                match pushed {
                    Ok(packets) => found.extend(packets.into_iter().map(|packet| packet.data)),
                    Err(_) => depacketizer.count_broken(),
                }
            }
            let stats = depacketizer.stats();
            let counted = stats.payloads + stats.broken + stats.late;
            assert_eq!(counted as usize, all.len(), "each is counted once");
            for data in &found {
                let packet =
                    Packet::parse(data, &Limits::default()).and_then(|p| p.bind(&stream()).map(drop));
                packet.expect("what comes out is a packet of the stream");
            }
            for (n, _) in is_damaged.iter().enumerate().filter(|(_, is_damaged)| !**is_damaged) {
                assert!(found.contains(&packets[n]), "segment {n} of {is_damaged:?}");
                delivered += 1;
            }
        }
        assert!(delivered > 1000, "{delivered} segments without damage");
    }

    #[test]
    fn a_late_segment_is_counted_once() {
        let all = payloads();
        let (mut depacketizer, mut found) = (Depacketizer::default(), Vec::new());
        depacketizer.set_header(stream());
        for wanted in [0, 2, 1] {
            for (n, data) in all.iter().filter(|(n, _)| *n == wanted) {
                let head = PayloadHead::parse(data).expect("a payload");
                let pushed = depacketizer.push_payload(&head, n * SEGMENT_SAMPLES).expect("of the stream");
                found.extend(pushed.into_iter().map(|_| wanted));
            }
        }
        assert_eq!(found, [0, 2]);
        let stats = depacketizer.stats();
        // It is known to be late with its last part.
        assert_eq!((stats.late, stats.payloads as usize, stats.broken), (1, all.len() - 1, 0));
    }

    #[test]
    fn a_stream_does_not_begin_with_a_segment_that_is_none() {
        let all = payloads();
        let mut depacketizer = Depacketizer::default();
        depacketizer.set_header(stream());
        let mut push = |n: u32, data: &[u8]| {
            PayloadHead::parse(data)
                .and_then(|head| depacketizer.push_payload(&head, n * SEGMENT_SAMPLES))
                .map(|packets| packets.len())
        };
        let of = |n: u32| all.iter().filter(move |(of, _)| *of == n);
        assert_eq!(of(0).map(|(n, data)| push(*n, data).expect("a payload")).sum::<usize>(), 1);
        // The second segment says that it begins a stream, and has a byte less than its codes need.
        let parts = of(1).count();
        for (number, (n, data)) in of(1).enumerate() {
            let mut data = data.clone();
            if number == 0 {
                data[0] |= payload::STARTS_STREAM;
            }
            if number + 1 == parts {
                data.pop();
                assert!(push(*n, &data).is_err(), "no packet");
            } else {
                assert_eq!(push(*n, &data).expect("a payload"), 0);
            }
        }
        assert_eq!(of(2).map(|(n, data)| push(*n, data).expect("a payload")).sum::<usize>(), 1);
        // So the stream goes on, and what is missing is known: without the overlap of 240 samples 100 frames, to the nearest.
        assert_eq!(depacketizer.stats().lost, 100);
    }
}
