use crate::rtp_video::payload::Fragment;
use crate::video_packet::{GopInfo, inspect};
use crate::{Error, Limits, VideoHeader};

/// Sequence numbers that lie back by up to this are late or doubled; beyond it a sender has begun anew. 1000 payloads are
/// more than any jitter buffer holds, and few of the 65,536 numbers that a new sender may begin with.
const MAX_LATE: u16 = 1000;

/// A packet put together from its fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// The packet's bytes.
    pub data: Vec<u8>,
    /// Its head, which has been read and its checksum verified.
    pub info: GopInfo,
    /// Something before it was lost.
    pub after_loss: bool,
}

/// Counters of a [`Depacketizer`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DepacketizerStats {
    /// Payloads taken.
    pub payloads: u64,
    /// Packets handed out.
    pub packets: u64,
    /// Payloads that could not be read.
    pub broken: u64,
    /// Packets that were complete and could not be read.
    pub broken_packets: u64,
    /// Payloads that came late or twice.
    pub late: u64,
    /// Payloads that were of no use: of packets with a loss, or before a keyframe.
    pub skipped: u64,
    /// Times that something was lost of what could have been decoded, or of a keyframe.
    pub losses: u64,
}

/// Puts packets together from payloads in the order of their sequence numbers. Where one is missing its packet is
/// skipped, with all that follow up to a keyframe.
#[derive(Debug, Default)]
pub struct Depacketizer {
    limits: Limits,
    /// Whole packets are handed out although they refer to what was lost.
    keeps_undecodable: bool,
    /// Sequence number of the payload before.
    last: Option<u16>,
    open: Option<Open>,
    /// A keyframe has come, and nothing was lost since.
    joined: bool,
    after_loss: bool,
    header: Option<VideoHeader>,
    stats: DepacketizerStats,
}

/// A packet of which fragments are still to come.
#[derive(Debug)]
struct Open {
    length: usize,
    timestamp: u32,
    is_keyframe: bool,
    data: Vec<u8>,
}

impl Depacketizer {
    /// Holds packets to `limits`.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether packets after a loss, or before the first keyframe, are handed out as well; off by default. A relay or a recorder
    /// wants them, a decoder cannot use them.
    pub fn keep_undecodable(&mut self, keep: bool) {
        self.keeps_undecodable = keep;
    }

    /// The stream's header, once [`set_header`](Self::set_header) has brought it.
    pub fn header(&self) -> Option<VideoHeader> {
        self.header
    }

    /// Sets the header from caps, SDP or a keyframe; false if it is the one that is known already.
    pub fn set_header(&mut self, header: VideoHeader) -> bool {
        self.header.replace(header) != Some(header)
    }

    /// Counters so far.
    pub fn stats(&self) -> DepacketizerStats {
        self.stats
    }

    /// Takes a payload; the packet that it completes comes back. Broken payloads count as lost.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for a payload or a packet that cannot be read, which is then given up as a loss.
    pub fn push_payload(
        &mut self,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Result<Option<ReceivedPacket>, Error> {
        let Some(data) = self.assemble_packet(sequence, timestamp, marker, payload)? else { return Ok(None) };
        match inspect(&data, &self.limits) {
            Ok(info) => {
                // Counted once the checksum holds.
                self.stats.packets += 1;
                Ok(Some(ReceivedPacket { data, info, after_loss: std::mem::take(&mut self.after_loss) }))
            }
            Err(e) => {
                self.stats.broken_packets += 1;
                self.give_up();
                Err(e)
            }
        }
    }

    /// Adds a payload to its packet; the bytes of one that is complete come back.
    fn assemble_packet(
        &mut self,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        if let Some(last) = self.last {
            // Sequence numbers wrap (RFC 3550, section 5.1), so only their distance tells which is the later.
            let ahead = sequence.wrapping_sub(last);
            if ahead == 0 || ahead > u16::MAX - MAX_LATE {
                self.stats.late += 1;
                return Ok(None);
            }
            // Payloads come in order here: reordering is the jitter buffer's, so a jump is a loss.
            if ahead != 1 {
                self.give_up();
            }
        }
        self.last = Some(sequence);
        self.stats.payloads += 1;
        let fragment = Fragment::parse(payload, &self.limits).inspect_err(|_| {
            self.stats.broken += 1;
            self.give_up();
        })?;
        if let Some(length) = fragment.starts {
            // A packet that another one begins within has lost its end, for its marker never came.
            if self.open.take().is_some() {
                self.give_up();
            }
            // Frames after a loss are predicted from what is missing, up to the next keyframe.
            self.joined |= fragment.is_keyframe;
            if self.joined || self.keeps_undecodable {
                // What a length claims is not allocated before it is there.
                self.open =
                    Some(Open { length, timestamp, is_keyframe: fragment.is_keyframe, data: Vec::new() });
            }
        }
        let Some(open) = &mut self.open else {
            self.stats.skipped += 1;
            return Ok(None);
        };
        // Time and key mark are the same in all payloads of a packet; where they differ, these are not of one
        // packet.
        let fits = open.data.len() + fragment.data.len() <= open.length;
        if open.timestamp != timestamp || open.is_keyframe != fragment.is_keyframe || !fits {
            self.give_up();
            return Ok(None);
        }
        open.data.extend_from_slice(fragment.data);
        let is_complete = open.data.len() == open.length;
        // Length and marker say the same; where they differ one of them is damaged.
        if is_complete != marker {
            self.give_up();
            return Ok(None);
        }
        Ok(if is_complete { self.open.take().map(|open| open.data) } else { None })
    }

    /// Takes note that the payload of this number is lost, as a jitter buffer says before the next payload shows it. Numbers that
    /// are late do not count.
    pub fn mark_lost(&mut self, sequence: u16) {
        let Some(last) = self.last else { return };
        let ahead = sequence.wrapping_sub(last);
        if ahead != 0 && ahead <= u16::MAX - MAX_LATE {
            self.give_up();
            self.last = Some(sequence);
        }
    }

    /// Gives up the current packet and waits for a keyframe.
    fn give_up(&mut self) {
        // One loss until the next keyframe, however many payloads it costs.
        self.stats.losses += u64::from(self.joined);
        (self.open, self.joined, self.after_loss) = (None, false, true);
    }

    /// Whether packets are skipped until a keyframe, which the sender should be asked for.
    pub fn needs_keyframe(&self) -> bool {
        !self.joined
    }

    /// Forgets what was received: what comes next does not follow from it. Header and counters stay.
    pub fn reset(&mut self) {
        (self.last, self.open, self.joined, self.after_loss) = (None, None, false, true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Colorimetry;
    use crate::rtp_video::Packetizer;
    use crate::video_packet::{Coding, append_checksum, write_head};

    /// RTP time, marker and payload.
    type Sent = (u32, bool, Vec<u8>);

    const HEADER: VideoHeader = VideoHeader {
        width: 64,
        height: 48,
        frame_rate: (30, 1),
        pixel_aspect: (1, 1),
        colorimetry: Colorimetry { primaries: 1, transfer: 1, matrix: 1, full_range: false },
    };

    /// A packet of `length` bytes with a valid head and checksum.
    fn packet(number: usize, length: usize, is_keyframe: bool) -> Vec<u8> {
        let mut data = Vec::new();
        write_head(Coding::Realtime, is_keyframe.then_some(&HEADER), (number as u32, 1), None, &mut data);
        data.extend((data.len()..length - 4).map(|i| (i * 7 + number) as u8));
        append_checksum(&mut data);
        data
    }

    /// Packets of these lengths; every `key`th is a keyframe.
    fn payloads(lengths: &[usize], key: usize, max_bytes: usize) -> (Vec<Vec<u8>>, Vec<Sent>) {
        let (mut packets, mut all) = (Vec::new(), Vec::new());
        let packetizer = Packetizer::new(max_bytes).expect("enough bytes");
        for (n, &length) in lengths.iter().enumerate() {
            let packet = packet(n, length, n % key == 0);
            let split = packetizer.split_packet(&packet, n % key == 0).expect("a packet");
            all.extend(split.into_iter().map(|p| (n as u32 * 3000, p.marker, p.data)));
            packets.push(packet);
        }
        (packets, all)
    }

    fn push(depacketizer: &mut Depacketizer, sequence: u16, payload: &Sent) -> Option<ReceivedPacket> {
        depacketizer.push_payload(sequence, payload.0, payload.1, &payload.2).ok().flatten()
    }

    #[test]
    fn packets_come_back_over_the_wrap_of_sequence_numbers() {
        let (packets, all) = payloads(&[50, 500, 99, 100, 3000], 2, 100);
        assert!(all.iter().all(|p| p.2.len() <= 100));
        let mut depacketizer = Depacketizer::default();
        let back: Vec<_> = (0u16..)
            .map(|n| n.wrapping_add(65_530))
            .zip(&all)
            .filter_map(|(sequence, payload)| {
                // Everything comes twice.
                let packet = push(&mut depacketizer, sequence, payload);
                assert_eq!(push(&mut depacketizer, sequence, payload), None);
                packet
            })
            .collect();
        assert_eq!(back.iter().map(|p| p.data.clone()).collect::<Vec<_>>(), packets);
        assert_eq!(
            back.iter().map(|p| p.info.is_keyframe).collect::<Vec<_>>(),
            [true, false, true, false, true]
        );
        assert!(back.iter().all(|p| !p.after_loss) && depacketizer.stats().losses == 0);
    }

    #[test]
    fn any_lost_payload_costs_up_to_the_next_keyframe() {
        let (packets, all) = payloads(&[250, 250, 250, 250, 250, 250], 3, 100);
        let per = all.len() / 6;
        for lost in 0..all.len() {
            let mut depacketizer = Depacketizer::default();
            let back: Vec<_> = (0u16..)
                .zip(&all)
                .filter(|(n, _)| usize::from(*n) != lost)
                .filter_map(|(n, payload)| push(&mut depacketizer, n, payload))
                .collect();
            let (packet, group) = (lost / per, lost / per / 3);
            let kept = |n: &usize| *n < packet || n / 3 > group;
            let expected: Vec<_> = (0..6).filter(kept).map(|n| packets[n].clone()).collect();
            assert_eq!(back.iter().map(|p| p.data.clone()).collect::<Vec<_>>(), expected, "lost {lost}");
        }
    }

    #[test]
    fn a_late_joiner_waits_for_a_keyframe_and_a_sender_may_begin_anew() {
        let (packets, all) = payloads(&[250, 250, 250, 250], 2, 100);
        let mut depacketizer = Depacketizer::default();
        let mut back = Vec::new();
        for (n, payload) in (0u16..).zip(&all).skip(1) {
            back.extend(push(&mut depacketizer, n, payload));
        }
        assert_eq!(back.iter().map(|p| &p.data).collect::<Vec<_>>(), [&packets[2], &packets[3]]);
        let again: Vec<_> =
            (30_000u16..).zip(&all).filter_map(|(n, p)| push(&mut depacketizer, n, p)).collect();
        assert_eq!((again.len(), again[0].after_loss), (4, true));
    }

    #[test]
    fn what_a_jitter_buffer_gives_up_is_one_loss_and_known_at_once() {
        let (packets, all) = payloads(&[250, 250, 250, 250, 250, 250], 3, 100);
        let mut depacketizer = Depacketizer::default();
        let mut back = Vec::new();
        for (n, payload) in (65_530u16..=u16::MAX).chain(0..).zip(&all) {
            // Of the second packet; the number of the first payload comes too late to count.
            if n == 65_530 + 4 {
                depacketizer.mark_lost(n);
                depacketizer.mark_lost(65_530);
                assert_eq!((depacketizer.stats().losses, depacketizer.needs_keyframe()), (1, true));
            } else {
                back.extend(push(&mut depacketizer, n, payload));
            }
        }
        assert_eq!(all.len(), 18);
        assert_eq!(depacketizer.stats().losses, 1);
        let expected = [&packets[0], &packets[3], &packets[4], &packets[5]];
        assert_eq!(back.iter().map(|p| &p.data).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn whole_packets_after_a_loss_are_kept_if_they_are_wanted() {
        let (packets, all) = payloads(&[250, 250, 250, 250, 250, 250], 3, 100);
        let mut depacketizer = Depacketizer::default();
        depacketizer.keep_undecodable(true);
        let mut back = Vec::new();
        for (n, payload) in (0u16..).zip(&all).filter(|(n, _)| *n > 2 && *n != 4) {
            back.extend(push(&mut depacketizer, n, payload));
            assert_eq!(depacketizer.needs_keyframe(), n < 9, "{n}");
        }
        assert_eq!(back.iter().map(|p| &p.data).collect::<Vec<_>>(), packets[2..].iter().collect::<Vec<_>>());
        assert_eq!(back.iter().map(|p| p.after_loss).collect::<Vec<_>>(), [true, false, false, false]);
    }

    #[test]
    fn a_damaged_packet_is_a_loss() {
        let (packets, mut all) = payloads(&[250, 250, 250, 250], 2, 100);
        all[1].2[50] ^= 1;
        let mut depacketizer = Depacketizer::default();
        let back: Vec<_> = (0u16..).zip(&all).filter_map(|(n, p)| push(&mut depacketizer, n, p)).collect();
        assert_eq!(back.iter().map(|p| &p.data).collect::<Vec<_>>(), [&packets[2], &packets[3]]);
        let stats = depacketizer.stats();
        assert_eq!((stats.broken_packets, stats.losses, stats.packets), (1, 1, 2));
        assert!(back[0].after_loss && back[0].info.header == Some(HEADER));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert!(Packetizer::new(15).is_err());
        let packetizer = Packetizer::new(100).expect("enough bytes");
        assert!(packetizer.split_packet(&[], true).is_err());
        let mut limits = Limits::default();
        limits.max_video_packet_bytes = 10;
        let payload = &packetizer.split_packet(&[1; 11], true).expect("a packet")[0].data;
        assert!(Fragment::parse(payload, &limits).is_err());
        assert!(Fragment::parse(payload, &Limits::default()).is_ok());
        assert!(Fragment::parse(&[0x80, 1], &limits).is_err() && Fragment::parse(&[0], &limits).is_err());
        assert!(Depacketizer::with_limits(limits).push_payload(0, 0, true, payload).is_err());
    }

    proptest! {
        #[test]
        fn damaged_payloads_give_nothing_but_what_was_sent(
            damage in proptest::collection::vec((0usize..40, 0usize..100, any::<u8>(), 0u8..4), 1..12),
        ) {
            let (packets, mut all) = payloads(&[250, 120, 700, 90, 300], 2, 100);
            let mut sequence: Vec<u16> = (0..all.len() as u16).collect();
            for (which, at, by, kind) in damage {
                let which = which % all.len();
                let bytes = all[which].2.len();
                match kind {
                    0 => all[which].2.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= by),
                    1 => all[which].2.truncate(at.min(bytes)),
                    2 => sequence[which] = sequence[which].wrapping_add(u16::from(by)),
                    _ => all[which].1 = by % 2 == 0,
                }
            }
            let mut depacketizer = Depacketizer::default();
            for (n, payload) in sequence.into_iter().zip(&all) {
                if let Some(packet) = push(&mut depacketizer, n, payload) {
                    prop_assert!(packets.contains(&packet.data));
                }
            }
        }

        #[test]
        fn no_bytes_panic(all in proptest::collection::vec((any::<u16>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..60)) {
            let mut depacketizer = Depacketizer::default();
            for (sequence, marker, payload) in all {
                depacketizer.push_payload(sequence, 0, marker, &payload).ok();
            }
        }
    }
}
