//! RTP payloads turned back into packets, with lost frames recovered from later copies.

use crate::frames::Frames;
use crate::header::StreamHeader;
use crate::packet::{Packet, PacketInfo, write_frames, write_sid};
use crate::rtp::payload::{Payload, PayloadHead};
use crate::rtp::segment::Assembly;
use crate::{Error, Limits, Result};

/// Losses longer than this are taken for a pause or another sender, in frames: 10 s at 50 Hz, as long as the longest
/// packet that readers take by default.
const MAX_LOSS: i64 = 500;

/// Counters of a [`Depacketizer`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DepacketizerStats {
    /// Payloads taken.
    pub payloads: u64,
    /// Frames of these payloads, copies not counted.
    pub frames: u64,
    /// Frames that were missing before a payload.
    pub lost: u64,
    /// Of these, frames recovered from copies.
    pub recovered: u64,
    /// Payloads that came after their time.
    pub late: u64,
    /// Payloads that could not be read.
    pub broken: u64,
}

/// A packet for the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredPacket {
    /// The packet's bytes.
    pub data: Vec<u8>,
    /// Samples that its first sample lies before the payload's first; 0 for the payload's own packet.
    pub before: u64,
    /// Samples that it decodes to.
    pub samples: u64,
}

/// Payloads in the order of their sequence numbers in, packets out.
#[derive(Debug, Default)]
pub struct Depacketizer {
    /// None until caps, SDP or a payload have brought it.
    header: Option<StreamHeader>,
    /// RTP time at which the next payload should begin; none at the start.
    expected: Option<u32>,
    /// Samples for which copies are on the way, by the last payload's measure.
    redundancy: u64,
    /// Samples of losses reported since the last payload and not passed on.
    held: u64,
    /// Samples of those losses that were passed on: copies of them come too late.
    told: u64,
    /// Whether the last payload described comfort noise: what is missing then is no loss.
    in_pause: bool,
    frames: Frames,
    segment: Assembly,
    stats: DepacketizerStats,
}

impl Depacketizer {
    /// The stream's header, once it is known.
    pub fn header(&self) -> Option<&StreamHeader> {
        self.header.as_ref()
    }

    /// Begins the stream of `header`; false if it is the one that runs already, which then goes on.
    pub fn set_header(&mut self, header: StreamHeader) -> bool {
        if self.header.as_ref().is_some_and(|known| known.same_stream(&header)) {
            return false;
        }
        self.reset();
        self.header = Some(header);
        true
    }

    /// Forgets what was expected: after a flush, or where another sender begins.
    pub fn reset(&mut self) {
        (self.expected, self.redundancy, self.in_pause) = (None, 0, false);
        (self.held, self.told) = (0, 0);
        self.segment.reset();
    }

    /// Whether the last payload described comfort noise, which goes on until the next one.
    pub fn in_pause(&self) -> bool {
        self.in_pause
    }

    /// Counters so far.
    pub fn stats(&self) -> DepacketizerStats {
        self.stats
    }

    /// Counts a payload that could not be read; the next one shows by its time what was lost.
    pub fn count_broken(&mut self) {
        self.stats.broken += 1;
    }

    /// Whether the next payload should bring copies of what is lost now.
    pub fn awaits_copies(&self) -> bool {
        self.redundancy > 0
    }

    /// Samples of the losses noted since the last payload that wait for the copies of the next one.
    pub fn held_samples(&self) -> u64 {
        self.held
    }

    /// Notes a loss of `samples` that the session reports. Of all that is lost since the last payload the newest waits for the
    /// copies that the next one should bring; returned are the samples before, the oldest, which no copy will reach.
    pub fn note_loss(&mut self, samples: u64) -> u64 {
        self.held = self.held.saturating_add(samples);
        let beyond = self.held.saturating_sub(self.redundancy);
        // Copies are of whole frames; less than half a one is rounding of times.
        if self.redundancy > 0 && beyond * 2 < self.header.as_ref().map_or(0, |h| u64::from(h.hop)) {
            return 0;
        }
        self.held -= beyond;
        self.told = self.told.saturating_add(beyond);
        beyond
    }

    /// Takes back what waits, where no payload follows.
    pub fn take_held(&mut self) -> u64 {
        std::mem::take(&mut self.held)
    }

    /// Turns a payload with its RTP time into packets. Those that it recovers come first, oldest first; there is none at
    /// all if the payload is late.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] before a header is known; what [`PayloadHead::bind`] returns.
    pub fn push_payload(&mut self, head: &PayloadHead<'_>, timestamp: u32) -> Result<Vec<RecoveredPacket>> {
        // Taken out for the call and put back, so that `self` can be borrowed beside it without a copy for each
        // payload.
        let Some(header) = self.header.take() else { return Err(Error::MissingHeader) };
        let packets = self.unpack_payload(&header, head, timestamp);
        self.header = Some(header);
        packets
    }

    fn unpack_payload(
        &mut self,
        header: &StreamHeader,
        head: &PayloadHead<'_>,
        timestamp: u32,
    ) -> Result<Vec<RecoveredPacket>> {
        if head.is_segment() {
            return self.unpack_part(header, head, timestamp);
        }
        // Checked before any state changes: a payload that cannot be read leaves the stream as it was.
        let payload = head.bind(header)?;
        if payload.info.starts_stream {
            self.reset();
        }
        // Dropped: its frames have been concealed, and the decoder's state is past them.
        let Some(missing) = self.count_missing(header, timestamp) else {
            self.stats.late += 1;
            return Ok(Vec::new());
        };
        self.stats.payloads += 1;
        self.stats.lost += missing;
        let mut packets = self.recover_frames(header, &payload, missing)?;
        self.stats.recovered += packets.len() as u64;
        let info = PacketInfo {
            starts_stream: payload.info.starts_stream,
            // Payloads have no end trim (`docs/rtp-payload.md`, section 2): the last frame plays to its end.
            end_trim: 0,
            frames: payload.info.frames.into(),
            stages: payload.info.stages,
            overlap: 0,
        };
        let (samples, in_band, mut data) = (info.sample_count(header), head.header.is_some(), Vec::new());
        match &payload.noise {
            Some(noise) => write_sid(header, &info, in_band, noise, &mut data)?,
            None => self.write_codes(header, &info, in_band, &payload.codes, &mut data)?,
        }
        self.in_pause = payload.noise.is_some();
        packets.push(RecoveredPacket { data, before: 0, samples });
        self.stats.frames += u64::from(info.frames);
        // In samples, since the RTP clock is the sample rate.
        self.expected = Some(timestamp.wrapping_add(samples as u32));
        // A sender keeps its redundancy from payload to payload, so the last one tells how long waiting pays.
        self.redundancy = payload.info.redundancy.len() as u64 * u64::from(header.hop);
        (self.held, self.told) = (0, 0);
        Ok(packets)
    }

    /// Takes a part of a segment; gives the packet that it completes.
    fn unpack_part(
        &mut self,
        header: &StreamHeader,
        head: &PayloadHead<'_>,
        timestamp: u32,
    ) -> Result<Vec<RecoveredPacket>> {
        let limits = Limits::default();
        let Some(data) = self.segment.push(head, header, timestamp, &limits)? else {
            self.stats.payloads += 1;
            return Ok(Vec::new());
        };
        // Parsed before any state changes, as a payload of frames is.
        let packet = Packet::parse(&data, &limits)?.bind(header)?;
        let (info, samples) = (packet.info(), packet.sample_count());
        if info.starts_stream {
            self.reset();
        }
        let Some(missing) = self.count_missing(header, timestamp) else {
            self.stats.late += 1;
            return Ok(Vec::new());
        };
        self.stats.payloads += 1;
        self.stats.lost += missing;
        self.stats.frames += u64::from(info.frames);
        self.expected = Some(timestamp.wrapping_add(samples as u32));
        (self.redundancy, self.held, self.told) = (0, 0, 0);
        Ok(vec![RecoveredPacket { data, before: 0, samples }])
    }

    /// Frames that are missing before a payload of this RTP time; none if the payload is late.
    fn count_missing(&mut self, header: &StreamHeader, timestamp: u32) -> Option<u64> {
        let hop = i64::from(header.hop);
        // RTP time wraps; the nearest of the possible distances is meant. Rounding may put it off by a tick.
        let ahead = self.expected.map_or(0, |e| i64::from(timestamp.wrapping_sub(e) as i32));
        // To the nearest frame; Euclidean, so that late payloads round the same way as early ones.
        let missing = (ahead + hop / 2).div_euclid(hop);
        // Further back the sender has begun anew with another offset, and the payload is taken as the next one.
        if missing < 0 && missing > -MAX_LOSS {
            return None;
        }
        // After a SID payload a jump of time is silence (`docs/rtp-payload.md`, section 3).
        let is_loss = (0..=MAX_LOSS).contains(&missing) && !std::mem::take(&mut self.in_pause);
        Some(if is_loss { missing as u64 } else { 0 })
    }

    /// Packets of the lost frames that the payload carries copies of, oldest first.
    fn recover_frames(
        &mut self,
        header: &StreamHeader,
        payload: &Payload,
        missing: u64,
    ) -> Result<Vec<RecoveredPacket>> {
        let hop = u64::from(header.hop);
        let mut packets = Vec::new();
        // The oldest were told of, as where the payload before had no copies yet: they have been concealed.
        let missing = missing.saturating_sub(self.told.saturating_add(hop / 2) / hop);
        let copies =
            // Only what is missing: copies of frames that arrived would be decoded twice.
            payload.frames().filter(|frame| frame.offset < 0 && frame.offset.unsigned_abs() <= missing);
        for copy in copies {
            // A packet for each, as copies may differ in stages and need not follow one another.
            let info = PacketInfo { frames: 1, ..Default::default() };
            let mut data = Vec::new();
            self.write_codes(header, &info, false, copy.codes, &mut data)?;
            packets.push(RecoveredPacket { data, before: copy.offset.unsigned_abs() * hop, samples: hop });
        }
        Ok(packets)
    }

    /// Writes a packet of `info.frames` frames that have the same stages.
    fn write_codes(
        &mut self,
        header: &StreamHeader,
        info: &PacketInfo,
        in_band: bool,
        codes: &[u16],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.frames.clear_for(header.groups);
        let per_frame = codes.len() / info.frames.max(1) as usize;
        codes.chunks_exact(per_frame.max(1)).for_each(|frame| self.frames.push_frame(frame));
        // At fixed width: range coding would need the bundle's tables, which a receiver may open later.
        write_frames(header, info, in_band, &self.frames, None, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::comfort_noise::ComfortNoise;
    use crate::header::sample;
    use crate::packet::{BoundPacket, write_packet};
    use crate::rtp::{OutgoingPayload, Packetizer, PacketizerOptions};

    fn codes(frame: u16) -> Vec<u16> {
        (0..18).map(|stage| (frame * 101 + stage * 37) % 1024).collect()
    }

    fn bind(data: &[u8]) -> BoundPacket<'_> {
        let packet = Packet::parse(data, &Limits::default()).and_then(|packet| packet.bind(&sample()));
        packet.expect("a packet of the stream")
    }

    /// Payloads of `count` packets of one frame of 12 stages, each with its RTP time.
    fn payloads(count: u16, options: &PacketizerOptions) -> Vec<(u32, bool, Vec<u8>)> {
        let (mut packetizer, mut all) = (Packetizer::new(sample()), Vec::new());
        // Near the wrap of the RTP time.
        let mut time = u32::MAX - 1000;
        for n in 0..count {
            let (info, mut data) = (
                PacketInfo { starts_stream: n == 0, frames: 1, stages: 12, ..Default::default() },
                Vec::new(),
            );
            write_packet(&sample(), &info, n == 0, &codes(n), &mut data).expect("valid counts");
            let mut samples = 0;
            let mut emit = |payload: OutgoingPayload<'_>| -> Result<()> {
                all.push((time, payload.marker, payload.data.to_vec()));
                samples = payload.samples;
                Ok(())
            };
            packetizer.push_packet(&bind(&data), options, &mut emit).expect("a packet of ours");
            time = time.wrapping_add(samples as u32);
        }
        all
    }

    fn push(depacketizer: &mut Depacketizer, payload: &(u32, bool, Vec<u8>)) -> Vec<RecoveredPacket> {
        let head = PayloadHead::parse(&payload.2).expect("a payload of ours");
        if let Some(header) = head.header.clone() {
            depacketizer.set_header(header);
        }
        depacketizer.push_payload(&head, payload.0).expect("a payload of the stream")
    }

    fn codes_of(packet: &RecoveredPacket) -> Vec<u16> {
        let mut frames = Frames::default();
        bind(&packet.data).read_codes(None, &mut frames).expect("codes of fixed width");
        frames.codes().to_vec()
    }

    #[test]
    fn lost_frames_come_back_from_copies() {
        let options = PacketizerOptions { redundancy: 2, redundancy_stages: 3, ..Default::default() };
        let all = payloads(12, &options);
        assert_eq!(all.iter().filter(|(_, marker, _)| *marker).count(), 1, "one talk spurt");
        let mut depacketizer = Depacketizer::default();
        let mut back = Vec::new();
        // Of three frames that are lost in a row, two come back.
        for (n, payload) in all.iter().enumerate().filter(|(n, _)| ![3, 6, 7, 8].contains(n)) {
            let packets = push(&mut depacketizer, payload);
            let (own, copies) = packets.split_last().expect("the payload's own");
            assert_eq!(codes_of(own), codes(n as u16)[..12]);
            back.extend(copies.iter().map(|copy| (n as u64 - copy.before / 480, codes_of(copy))));
        }
        let expected: Vec<(u64, Vec<u16>)> =
            [3u16, 7, 8].iter().map(|&n| (n.into(), codes(n)[..3].to_vec())).collect();
        assert_eq!(back, expected);
        let stats = depacketizer.stats();
        assert_eq!((stats.payloads, stats.frames, stats.lost, stats.recovered), (8, 8, 4, 3));
    }

    #[test]
    fn of_what_is_lost_only_what_copies_reach_waits() {
        let options = PacketizerOptions { redundancy: 2, redundancy_stages: 3, ..Default::default() };
        let all = payloads(9, &options);
        let mut depacketizer = Depacketizer::default();
        assert_eq!(depacketizer.note_loss(480), 480, "before a header");
        push(&mut depacketizer, &all[0]);
        // Without copies in the first payload nothing waits.
        assert_eq!((depacketizer.awaits_copies(), depacketizer.note_loss(480)), (false, 480));
        assert_eq!(push(&mut depacketizer, &all[2]).len(), 1, "what was told of is not played as well");
        (3..5).for_each(|n| drop(push(&mut depacketizer, &all[n])));
        assert!(depacketizer.awaits_copies());
        // One by one, and three at once: the oldest go at once, two frames wait.
        assert_eq!([480, 480, 480, 481].map(|samples| depacketizer.note_loss(samples)), [0, 0, 480, 481]);
        assert_eq!(depacketizer.held_samples(), 960);
        push(&mut depacketizer, &all[8]);
        assert_eq!(depacketizer.held_samples(), 0);
        assert_eq!(depacketizer.note_loss(5 * 480), 3 * 480);
        assert_eq!((depacketizer.take_held(), depacketizer.held_samples()), (960, 0));
    }

    #[test]
    fn what_comes_late_is_left_out_and_a_pause_is_no_loss() {
        let all = payloads(6, &PacketizerOptions::default());
        let mut depacketizer = Depacketizer::default();
        let head = PayloadHead::parse(&all[1].2).expect("a payload");
        assert!(matches!(depacketizer.push_payload(&head, all[1].0), Err(Error::MissingHeader)));
        for n in [0, 1, 3] {
            assert_eq!(push(&mut depacketizer, &all[n]).len(), 1);
        }
        assert!(push(&mut depacketizer, &all[2]).is_empty());
        assert_eq!((depacketizer.stats().late, depacketizer.stats().lost), (1, 1));
        let mut sid = Vec::new();
        crate::rtp::write_sid_payload(&sample(), false, 1, false, &ComfortNoise::default(), &mut sid)
            .expect("a frame");
        push(&mut depacketizer, &(all[4].0, false, sid));
        push(&mut depacketizer, &(all[5].0.wrapping_add(480 * 40), true, all[5].2.clone()));
        assert_eq!(depacketizer.stats().lost, 1);
    }

    #[test]
    fn packets_are_cut_to_the_size_of_a_payload() {
        let info = PacketInfo { starts_stream: true, frames: 20, stages: 12, ..Default::default() };
        let (mut data, all) = (Vec::new(), (0..20).flat_map(codes).collect::<Vec<_>>());
        write_packet(&sample(), &info, false, &all, &mut data).expect("valid counts");
        for (options, counts) in [
            (PacketizerOptions::default(), vec![16, 4]),
            (PacketizerOptions { frames: 8, ..Default::default() }, vec![8, 8, 4]),
            // 15 bytes a frame and 2 of head: four frames fit 62 bytes.
            (PacketizerOptions { max_bytes: 62, ..Default::default() }, vec![4; 5]),
            // One frame is sent even if it does not fit.
            (PacketizerOptions { max_bytes: 1, ..Default::default() }, vec![1; 20]),
        ] {
            let (mut found, mut next) = (Vec::new(), 0);
            let mut emit = |payload: OutgoingPayload<'_>| -> Result<()> {
                let bound = PayloadHead::parse(payload.data)?.bind(&sample())?;
                assert_eq!(payload.offset, next as i64, "without a gap, the pre-skip left out");
                next += payload.samples;
                found.push(bound.info.frames);
                Ok(())
            };
            Packetizer::new(sample())
                .push_packet(&bind(&data), &options, &mut emit)
                .expect("a packet of ours");
            assert_eq!((found, next), (counts, 20 * 480 - 240), "{options:?}");
        }
    }
    #[test]
    fn frames_wait_for_those_of_the_next_packets() {
        let options = PacketizerOptions { min_frames: 3, frames: 3, ..Default::default() };
        let mut packetizer = Packetizer::new(sample());
        // Samples from the stream's start: of the packet at hand, and of the payload with its frames.
        let (mut position, mut sent) = (0u64, Vec::new());
        for (n, frames) in (0u16..).zip([1u32, 1, 1, 1, 4, 1]) {
            let info = PacketInfo { starts_stream: n == 0, frames, stages: 12, ..Default::default() };
            let mut data = Vec::new();
            let all: Vec<u16> = (0..frames as u16).flat_map(codes).collect();
            write_packet(&sample(), &info, n == 0, &all, &mut data).expect("valid counts");
            let mut emit = |payload: OutgoingPayload<'_>| -> Result<()> {
                let bound = PayloadHead::parse(payload.data)?.bind(&sample())?;
                let at = position.checked_add_signed(payload.offset);
                sent.push((n, at, payload.samples, bound.info.frames, payload.marker));
                Ok(())
            };
            packetizer.push_packet(&bind(&data), &options, &mut emit).expect("a packet of ours");
            position += info.sample_count(&sample());
        }
        let mut emit = |payload: OutgoingPayload<'_>| -> Result<()> {
            sent.push((9, position.checked_add_signed(payload.offset), payload.samples, 0, payload.marker));
            Ok(())
        };
        packetizer.flush_frames(&options, &mut emit).expect("frames of ours");
        // The first frame is short by the pre-skip of 240.
        let first = 3 * 480 - 240;
        assert_eq!(
            sent,
            [
                (2, Some(0), first, 3, true),
                (4, Some(first), 1440, 3, false),
                (5, Some(first + 1440), 1440, 3, false),
            ]
        );
        assert_eq!(position, first + 2880, "nothing is left");
    }

    type Emit<'a> = &'a mut dyn FnMut(OutgoingPayload<'_>) -> Result<()>;

    #[test]
    fn what_waits_goes_before_a_pause_and_at_the_end() {
        let options = PacketizerOptions { min_frames: 4, ..Default::default() };
        let mut packetizer = Packetizer::new(sample());
        let mut sent = Vec::new();
        let mut emit = |payload: OutgoingPayload<'_>| -> Result<()> {
            let bound = PayloadHead::parse(payload.data)?.bind(&sample())?;
            sent.push((payload.offset, payload.samples, bound.info.frames, bound.info.stages));
            Ok(())
        };
        let push = |packetizer: &mut Packetizer, mut emit: Emit<'_>, starts_stream| {
            let info = PacketInfo { starts_stream, frames: 1, stages: 12, ..Default::default() };
            let mut data = Vec::new();
            write_packet(&sample(), &info, false, &codes(0), &mut data).expect("valid counts");
            packetizer.push_packet(&bind(&data), &options, &mut emit).expect("a packet of ours");
        };
        push(&mut packetizer, &mut emit, true);
        push(&mut packetizer, &mut emit, false);
        // Another stream begins, and a jump makes what waits worthless.
        push(&mut packetizer, &mut emit, true);
        packetizer.reset();
        push(&mut packetizer, &mut emit, false);
        packetizer.flush_frames(&options, &mut emit).expect("frames of ours");
        packetizer.flush_frames(&options, &mut emit).expect("nothing");
        assert_eq!(sent, [(-720, 720, 2, 12), (-480, 480, 1, 12)]);
    }
}
