//! RTP payloads turned back into packets, with lost frames recovered from later copies.

use siskin_core::Result;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::packet::{self, PacketInfo};
use siskin_core::bitstream::rtp::{Payload, Unparsed};

/// Losses longer than this are pauses or another sender, in frames.
const LONGEST_LOSS: i64 = 500;

/// Counters behind the property `stats`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    pub(super) payloads: u64,
    pub(super) frames: u64,
    pub(super) lost: u64,
    pub(super) recovered: u64,
    pub(super) late: u64,
    pub(super) broken: u64,
}

impl Stats {
    pub(super) fn structure(&self) -> gst::Structure {
        gst::Structure::builder("siskin-rtp-depay-stats")
            .field("payloads", self.payloads)
            .field("frames", self.frames)
            .field("lost-frames", self.lost)
            .field("recovered-frames", self.recovered)
            .field("late-payloads", self.late)
            .field("broken-payloads", self.broken)
            .build()
    }
}

/// A packet for the decoder.
pub(super) struct OutPacket {
    pub(super) data: Vec<u8>,
    /// Samples that its first sample lies before the payload's first.
    pub(super) before: u64,
    /// Samples that it decodes to.
    pub(super) samples: u64,
}

/// A stream whose header is known.
pub(super) struct Unpacker {
    header: StreamHeader,
    /// RTP time at which the next payload should begin; none at the start.
    expected: Option<u32>,
    /// Samples for which copies are on the way, by the last payload's measure.
    redundancy: u64,
    /// Samples of losses reported since the last payload and not passed on.
    held: u64,
    /// Whether the last payload described the noise of a pause: what is missing then is no loss.
    in_pause: bool,
}

impl Unpacker {
    pub(super) fn new(header: StreamHeader) -> Self {
        Self { header, expected: None, redundancy: 0, held: 0, in_pause: false }
    }

    pub(super) fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Forgets what was expected: after a flush, or where another sender begins.
    pub(super) fn restart(&mut self) {
        (self.expected, self.redundancy, self.held, self.in_pause) = (None, 0, 0, false);
    }

    /// Whether the loss of `samples` may wait for the copies that the next payload should bring.
    pub(super) fn holds_loss(&mut self, samples: u64) -> bool {
        self.held = self.held.saturating_add(samples);
        self.held <= self.redundancy
    }

    /// Takes a payload with its RTP time. The packets that it recovers come first; none at all if it is late.
    pub(super) fn unpack(
        &mut self,
        unparsed: &Unparsed<'_>,
        timestamp: u32,
        stats: &mut Stats,
    ) -> Result<Vec<OutPacket>> {
        let payload = unparsed.parse(&self.header)?;
        let hop = i64::from(self.header.hop);
        if payload.info.starts_stream {
            self.restart();
        }
        // RTP time wraps; the nearest of the possible distances is meant. Rounding may put it off by a tick.
        let ahead = self.expected.map_or(0, |e| i64::from(timestamp.wrapping_sub(e) as i32));
        let missing = (ahead + hop / 2).div_euclid(hop);
        if missing < 0 && missing > -LONGEST_LOSS {
            stats.late += 1;
            return Ok(Vec::new());
        }
        let missing = if (0..=LONGEST_LOSS).contains(&missing) { missing as u64 } else { 0 };
        let missing = if std::mem::take(&mut self.in_pause) { 0 } else { missing };
        stats.payloads += 1;
        stats.lost += missing;
        let mut packets = self.recover(&payload, missing)?;
        stats.recovered += packets.len() as u64;
        let info = PacketInfo {
            starts_stream: payload.info.starts_stream,
            end_trim: 0,
            frames: payload.info.frames.into(),
            stages: payload.info.stages,
        };
        let samples = info.samples(&self.header);
        let in_band = unparsed.header.is_some();
        let data = match &payload.silence {
            Some(noise) => {
                self.in_pause = true;
                let mut data = Vec::new();
                packet::write_silence(&self.header, &info, in_band, noise, &mut data)?;
                data
            }
            None => self.packet(&info, in_band, &payload.codes)?,
        };
        packets.push(OutPacket { data, before: 0, samples });
        stats.frames += u64::from(info.frames);
        self.expected = Some(timestamp.wrapping_add(samples as u32));
        self.redundancy = payload.info.redundancy.len() as u64 * u64::from(self.header.hop);
        self.held = 0;
        Ok(packets)
    }

    /// Packets of the lost frames that the payload carries copies of, oldest first.
    fn recover(&self, payload: &Payload, missing: u64) -> Result<Vec<OutPacket>> {
        let hop = u64::from(self.header.hop);
        let copies = (1u64..).zip(payload.info.redundancy.iter().zip(&payload.earlier));
        let mut packets = Vec::new();
        for (distance, (&stages, codes)) in copies.take_while(|(d, _)| *d <= missing) {
            if stages > 0 {
                let info = PacketInfo { starts_stream: false, end_trim: 0, frames: 1, stages };
                let data = self.packet(&info, false, codes)?;
                packets.push(OutPacket { data, before: distance * hop, samples: hop });
            }
        }
        packets.reverse();
        Ok(packets)
    }

    /// Writes a packet of codes with `info.stages` stages a frame.
    fn packet(&self, info: &PacketInfo, in_band: bool, codes: &[u16]) -> Result<Vec<u8>> {
        let (given, all) =
            (self.header.codes_per_frame(info.stages), self.header.codes_per_frame(self.header.stages));
        let mut padded = vec![0; info.frames as usize * all];
        for (to, from) in padded.chunks_exact_mut(all).zip(codes.chunks_exact(given)) {
            to[..given].copy_from_slice(from);
        }
        let mut data = Vec::with_capacity(codes.len() * 2 + 64);
        packet::write_packet(&self.header, info, in_band, &padded, &mut data)?;
        Ok(data)
    }
}
