//! RTP payloads of video: fragments of packets, and packets put together again (`docs/rtp-payload.md`).

use crate::bytes::{Cursor, put_varint};
use crate::{Error, Limits, Result};

/// Ticks a second of the RTP time of video.
pub const CLOCK_RATE: u32 = 90_000;

const VERSION: u8 = 0x80;
const STARTS_PACKET: u8 = 0x40;
const IS_KEY: u8 = 0x20;
/// Most bytes before the fragment: the first byte and the packet's length.
const MOST_HEAD: usize = 1 + 5;
/// Sequence numbers that lie back by up to this are late or doubled; beyond it a sender has begun anew.
const LATE: u16 = 1000;

/// Cuts a packet into payloads of at most `most` bytes, at least 16.
///
/// # Errors
/// [`Error::Parameter`] for an empty packet, one of more than 4 GiB, or fewer bytes a payload.
pub fn fragments(packet: &[u8], key: bool, most: usize) -> Result<Vec<Vec<u8>>> {
    if most < MOST_HEAD + 10 {
        return Err(Error::parameter("bytes of a payload", most, format!("{} and more", MOST_HEAD + 10)));
    }
    let length = u32::try_from(packet.len()).ok().filter(|&l| l > 0);
    let length = length.ok_or_else(|| Error::parameter("packet", packet.len(), "1 to 4294967295 bytes"))?;
    let mark = if key { IS_KEY } else { 0 };
    let (mut rest, mut payloads) = (packet, Vec::with_capacity(packet.len() / most + 1));
    while !rest.is_empty() {
        let mut payload = Vec::with_capacity(most);
        if payloads.is_empty() {
            payload.push(STARTS_PACKET | mark);
            put_varint(&mut payload, length);
        } else {
            payload.push(mark);
        }
        let (now, later) = rest.split_at(rest.len().min(most - payload.len()));
        payload.extend_from_slice(now);
        payloads.push(payload);
        rest = later;
    }
    Ok(payloads)
}

/// A payload taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The length of the packet that begins with this payload, in bytes.
    pub starts: Option<usize>,
    /// The packet decodes without those before it.
    pub key: bool,
    /// Bytes of the packet.
    pub data: &'a [u8],
}

/// Reads a payload.
///
/// # Errors
/// [`Error::Bitstream`] for anything that the format or `limits` do not allow.
pub fn parse<'a>(payload: &'a [u8], limits: &Limits) -> Result<Fragment<'a>> {
    let mut cursor = Cursor::new("RTP payload", payload);
    let first = cursor.byte("first byte")?;
    if first & VERSION != 0 {
        return Err(Cursor::new("RTP payload", payload).error("version", "1, this reader knows 0"));
    }
    let most = u32::try_from(limits.max_video_packet_bytes).unwrap_or(u32::MAX);
    let starts = match first & STARTS_PACKET {
        0 => None,
        _ => Some(cursor.ranged("length", 1, most)? as usize),
    };
    let data = cursor.rest();
    if data.is_empty() || starts.is_some_and(|length| data.len() > length) {
        return Err(cursor.error("fragment", format!("{} bytes of {starts:?}", data.len())));
    }
    Ok(Fragment { starts, key: first & IS_KEY != 0, data })
}

/// A packet put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The packet.
    pub data: Vec<u8>,
    /// It decodes without those before it.
    pub key: bool,
    /// Something before it was lost.
    pub after_loss: bool,
}

/// Counters of an [`Assembler`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Payloads taken.
    pub payloads: u64,
    /// Packets handed out.
    pub packets: u64,
    /// Payloads that were no payloads.
    pub broken: u64,
    /// Payloads that came late or twice.
    pub late: u64,
    /// Payloads that were of no use: of packets with a loss, or before one that decodes alone.
    pub skipped: u64,
    /// Times that something was lost.
    pub losses: u64,
}

/// Puts packets together from payloads in the order of their sequence numbers. Where one is missing its packet is skipped, with
/// all that follow up to one that decodes alone.
#[derive(Debug, Default)]
pub struct Assembler {
    limits: Limits,
    /// Sequence number of the payload before.
    last: Option<u16>,
    open: Option<Open>,
    /// A packet that decodes alone has come, and nothing was lost since.
    joined: bool,
    after_loss: bool,
    /// What was counted.
    pub counts: Counts,
}

#[derive(Debug)]
struct Open {
    length: usize,
    timestamp: u32,
    key: bool,
    data: Vec<u8>,
}

impl Assembler {
    /// Takes a payload; the packet that it completes comes back. Broken payloads count as lost.
    pub fn push(&mut self, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Option<Assembled> {
        if let Some(last) = self.last {
            let ahead = sequence.wrapping_sub(last);
            if ahead == 0 || ahead > u16::MAX - LATE {
                self.counts.late += 1;
                return None;
            }
            if ahead != 1 {
                self.lose();
            }
        }
        self.last = Some(sequence);
        self.counts.payloads += 1;
        let Ok(fragment) = parse(payload, &self.limits) else {
            self.counts.broken += 1;
            self.lose();
            return None;
        };
        if let Some(length) = fragment.starts {
            if self.open.take().is_some() {
                self.lose();
            }
            if self.joined || fragment.key {
                self.joined = true;
                // What a length claims is not allocated before it is there.
                self.open = Some(Open { length, timestamp, key: fragment.key, data: Vec::new() });
            }
        }
        let Some(open) = &mut self.open else {
            self.counts.skipped += 1;
            return None;
        };
        let fits = open.data.len() + fragment.data.len() <= open.length;
        if open.timestamp != timestamp || open.key != fragment.key || !fits {
            self.lose();
            return None;
        }
        open.data.extend_from_slice(fragment.data);
        let is_whole = open.data.len() == open.length;
        if is_whole != marker {
            self.lose();
            return None;
        }
        if !is_whole {
            return None;
        }
        let Open { key, data, .. } = self.open.take()?;
        self.counts.packets += 1;
        Some(Assembled { data, key, after_loss: std::mem::take(&mut self.after_loss) })
    }

    /// Gives up the packet at hand and waits for one that decodes alone.
    pub fn lose(&mut self) {
        self.counts.losses += u64::from(self.joined);
        (self.open, self.joined, self.after_loss) = (None, false, true);
    }

    /// Whether packets are skipped until one that decodes alone.
    pub fn is_waiting(&self) -> bool {
        !self.joined
    }

    /// Forgets the stream: what comes next does not follow from what came.
    pub fn reset(&mut self) {
        (self.last, self.open, self.joined, self.after_loss) = (None, None, false, true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RTP time, marker and payload.
    type Sent = (u32, bool, Vec<u8>);

    /// Packets of these lengths; every `key`th decodes alone.
    fn payloads(lengths: &[usize], key: usize, most: usize) -> (Vec<Vec<u8>>, Vec<Sent>) {
        let (mut packets, mut all) = (Vec::new(), Vec::new());
        for (n, &length) in lengths.iter().enumerate() {
            let packet: Vec<u8> = (0..length).map(|i| (i * 7 + n) as u8).collect();
            let cut = fragments(&packet, n % key == 0, most).expect("a packet");
            let count = cut.len();
            all.extend(cut.into_iter().enumerate().map(|(i, p)| (n as u32 * 3000, i + 1 == count, p)));
            packets.push(packet);
        }
        (packets, all)
    }

    fn pushed(assembler: &mut Assembler, sequence: u16, payload: &Sent) -> Option<Assembled> {
        assembler.push(sequence, payload.0, payload.1, &payload.2)
    }

    #[test]
    fn packets_come_back_over_the_wrap_of_sequence_numbers() {
        let (packets, all) = payloads(&[1, 500, 99, 100, 3000], 2, 100);
        assert!(all.iter().all(|p| p.2.len() <= 100));
        let mut assembler = Assembler::default();
        let back: Vec<_> = (0u16..)
            .map(|n| n.wrapping_add(65_530))
            .zip(&all)
            .filter_map(|(sequence, payload)| {
                // Everything comes twice.
                let whole = pushed(&mut assembler, sequence, payload);
                assert_eq!(pushed(&mut assembler, sequence, payload), None);
                whole
            })
            .collect();
        assert_eq!(back.iter().map(|p| p.data.clone()).collect::<Vec<_>>(), packets);
        assert_eq!(back.iter().map(|p| p.key).collect::<Vec<_>>(), [true, false, true, false, true]);
        assert!(back.iter().all(|p| !p.after_loss) && assembler.counts.losses == 0);
    }

    #[test]
    fn any_lost_payload_costs_up_to_the_next_key_packet() {
        let (packets, all) = payloads(&[250, 250, 250, 250, 250, 250], 3, 100);
        let per = all.len() / 6;
        for lost in 0..all.len() {
            let mut assembler = Assembler::default();
            let back: Vec<_> = (0u16..)
                .zip(&all)
                .filter(|(n, _)| usize::from(*n) != lost)
                .filter_map(|(n, payload)| pushed(&mut assembler, n, payload))
                .collect();
            let (packet, group) = (lost / per, lost / per / 3);
            let kept = |n: &usize| *n < packet || n / 3 > group;
            let expected: Vec<_> = (0..6).filter(kept).map(|n| packets[n].clone()).collect();
            assert_eq!(back.iter().map(|p| p.data.clone()).collect::<Vec<_>>(), expected, "lost {lost}");
        }
    }

    #[test]
    fn a_late_joiner_waits_for_a_key_packet_and_a_sender_may_begin_anew() {
        let (packets, all) = payloads(&[250, 250, 250, 250], 2, 100);
        let mut assembler = Assembler::default();
        let mut back = Vec::new();
        for (n, payload) in (0u16..).zip(&all).skip(1) {
            back.extend(pushed(&mut assembler, n, payload));
        }
        assert_eq!(back.iter().map(|p| &p.data).collect::<Vec<_>>(), [&packets[2], &packets[3]]);
        let again: Vec<_> =
            (30_000u16..).zip(&all).filter_map(|(n, p)| pushed(&mut assembler, n, p)).collect();
        assert_eq!((again.len(), again[0].after_loss), (4, true));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert!(fragments(&[], true, 100).is_err() && fragments(&[1], true, 15).is_err());
        let mut limits = Limits::default();
        limits.max_video_packet_bytes = 10;
        let payload = &fragments(&[1; 11], true, 100).expect("a packet")[0];
        assert!(parse(payload, &limits).is_err() && parse(payload, &Limits::default()).is_ok());
        assert!(parse(&[0x80, 1], &limits).is_err() && parse(&[0], &limits).is_err());
    }

    proptest! {
        #[test]
        fn damaged_payloads_give_no_more_than_was_sent(
            damage in proptest::collection::vec((0usize..40, 0usize..100, any::<u8>(), 0u8..4), 1..12),
        ) {
            let (_, mut all) = payloads(&[250, 120, 700, 90, 300], 2, 100);
            let mut sequence: Vec<u16> = (0..all.len() as u16).collect();
            for (which, at, by, kind) in damage {
                let which = which % all.len();
                let bytes = all[which].2.len();
                match kind {
                    // A byte of the head: bytes of the packet are what its checksum guards.
                    0 => all[which].2.iter_mut().take(1).for_each(|first| *first ^= by),
                    1 => all[which].2.truncate(at.min(bytes)),
                    2 => sequence[which] = sequence[which].wrapping_add(u16::from(by)),
                    _ => all[which].1 = by % 2 == 0,
                }
            }
            let mut assembler = Assembler::default();
            for (n, payload) in sequence.into_iter().zip(&all) {
                if let Some(packet) = pushed(&mut assembler, n, payload) {
                    // What is in them is for the packets' checksums to say.
                    prop_assert!((1..=1460).contains(&packet.data.len()), "{} bytes", packet.data.len());
                }
            }
        }

        #[test]
        fn no_bytes_panic(all in proptest::collection::vec((any::<u16>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..60)) {
            let mut assembler = Assembler::default();
            for (sequence, marker, payload) in all {
                assembler.push(sequence, 0, marker, &payload);
            }
        }
    }
}
