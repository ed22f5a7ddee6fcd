//! RTP and RTCP on one port (RFC 3550, RFC 5761): media and reports told apart, written and read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use rtcp_types::prelude::*;
use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport,
};
use rtp_types::{RtpPacket, RtpPacketBuilder};

/// Payload type of the session: dynamic, and there is no other.
// The first of the dynamic types (RFC 3551, section 6).
pub(super) const PAYLOAD_TYPE: u8 = 96;
/// Longest datagram that is taken.
// That of Ethernet; a frame of speech takes far less.
pub(super) const MTU: usize = 1500;
/// Bytes of IPv4, UDP and RTP headers around a payload.
pub(super) const OVERHEAD: u64 = 20 + 8 + 12;

/// What came in one datagram.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming<'a> {
    Media(Media<'a>),
    Report(Report),
}

/// A media packet.
#[derive(Debug, PartialEq)]
pub(super) struct Media<'a> {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: &'a [u8],
}

/// What a report says that this program looks at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Middle of the NTP time of a sender report.
    pub(super) sent: Option<u32>,
    /// Time of our last report that came there (middle of NTP), and since then, in 1/65536 s; and the share of our
    /// packets lost since, in 1/256.
    pub(super) echo: Option<(u32, u32, u8)>,
    /// The peer has hung up.
    pub(super) bye: bool,
}

/// Takes a datagram apart; none if it is neither media of this session nor a report.
pub(super) fn read(data: &[u8], own_ssrc: u32) -> Option<Incoming<'_>> {
    // RFC 5761, section 4: reports have types that media never get.
    if data.get(1).is_some_and(|t| (192..=223).contains(t)) {
        return read_report(data, own_ssrc).map(Incoming::Report);
    }
    // Anything may arrive at an open port, so what does not fit is no error.
    let packet = RtpPacket::parse(data).ok().filter(|p| p.payload_type() == PAYLOAD_TYPE)?;
    let (from, length) = (packet.payload_offset(), packet.payload_len());
    Some(Incoming::Media(Media {
        ssrc: packet.ssrc(),
        sequence: packet.sequence_number(),
        timestamp: packet.timestamp(),
        marker: packet.marker_bit(),
        payload: data.get(from..from + length)?,
    }))
}

fn read_report(data: &[u8], own_ssrc: u32) -> Option<Report> {
    let mut report = Report::default();
    let echo = |b: ReportBlock<'_>| {
        (b.last_sender_report_timestamp(), b.delay_since_last_sender_report_timestamp(), b.fraction_lost())
    };
    for packet in Compound::parse(data).ok()? {
        match packet.ok()? {
            Packet::Sr(sr) => {
                report.sent = Some((sr.ntp_timestamp() >> 16) as u32);
                report.echo = sr.report_blocks().find(|b| b.ssrc() == own_ssrc).map(echo);
            }
            Packet::Rr(rr) => report.echo = rr.report_blocks().find(|b| b.ssrc() == own_ssrc).map(echo),
            Packet::Bye(_) => report.bye = true,
            _ => {}
        }
    }
    Some(report)
}

/// Writes a media packet.
pub(super) fn media(packet: &Media<'_>, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    RtpPacketBuilder::<_, &[u8]>::new()
        .payload_type(PAYLOAD_TYPE)
        .ssrc(packet.ssrc)
        .sequence_number(packet.sequence)
        .timestamp(packet.timestamp)
        .marker_bit(packet.marker)
        .payload(packet.payload)
        .write_into_vec(out)
        .map_err(|e| anyhow!("an RTP packet cannot be written: {e}"))
}

/// What has been received from the peer, for its report block (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) ssrc: u32,
    pub(super) fraction_lost: u8,
    pub(super) lost: u32,
    pub(super) highest: u32,
    pub(super) jitter: u32,
    pub(super) last_report: u32,
    pub(super) since_report: u32,
}

/// What has been sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) ssrc: u32,
    pub(super) timestamp: u32,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// Writes a compound report: as a sender if anything has been sent, and a goodbye if `bye`.
pub(super) fn report(
    sent: &Sent,
    canonical_name: &str,
    received: Option<&Received>,
    bye: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    let block = received.map(|r| {
        ReportBlock::builder(r.ssrc)
            .fraction_lost(r.fraction_lost)
            // The field has 24 bits and a sign.
            .cumulative_lost(r.lost.min(0x7f_ffff))
            .extended_sequence_number(r.highest)
            .interarrival_jitter(r.jitter)
            .last_sender_report_timestamp(r.last_report)
            .delay_since_last_sender_report_timestamp(r.since_report)
    });
    // A compound report must begin with SR or RR and have a CNAME (RFC 3550, section 6.1).
    let name = SdesItem::builder(SdesItem::CNAME, canonical_name);
    let mut compound = Compound::builder();
    // A side that has sent nothing yet reports as a receiver.
    compound = if sent.packets > 0 {
        let report = SenderReport::builder(sent.ssrc)
            .ntp_timestamp(ntp_now())
            .rtp_timestamp(sent.timestamp)
            .packet_count(sent.packets as u32)
            .octet_count(sent.bytes as u32);
        compound.add_packet(block.into_iter().fold(report, |r, b| r.add_report_block(b)))
    } else {
        let report = ReceiverReport::builder(sent.ssrc);
        compound.add_packet(block.into_iter().fold(report, |r, b| r.add_report_block(b)))
    };
    compound = compound.add_packet(Sdes::builder().add_chunk(SdesChunk::builder(sent.ssrc).add_item(name)));
    if bye {
        compound = compound.add_packet(Bye::builder().add_source(sent.ssrc));
    }
    let size = compound.calculate_size().map_err(|e| anyhow!("a report cannot be written: {e}"))?;
    out.resize(size, 0);
    compound.write_into(out).map_err(|e| anyhow!("a report cannot be written: {e}"))?;
    Ok(())
}

/// Seconds since 1900 in 32.32 bits.
fn ntp_now() -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    ((now.as_secs() + FROM_1900_TO_1970) << 32) | fraction
}

/// The middle 32 bits of the time now: seconds in 16.16 bits.
pub(super) fn ntp_middle() -> u32 {
    (ntp_now() >> 16) as u32
}

/// A time in units of 1/65536 s.
pub(super) fn short_time(time: Duration) -> u32 {
    (time.as_secs_f64() * 65_536.0) as u32
}

/// The time there and back (RFC 3550, section 6.4.1), from the echo of a report.
pub(super) fn round_trip(echo: (u32, u32, u8)) -> Option<Duration> {
    let (sent, held, _) = echo;
    // All in 1/65536 s modulo 18 hours.
    let units = ntp_middle().wrapping_sub(sent).wrapping_sub(held);
    // Clocks are set in the middle of a call; what would be minutes is none.
    (sent != 0 && units < 10 << 16).then(|| Duration::from_secs_f64(f64::from(units) / 65_536.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_comes_back() {
        let packet =
            Media { ssrc: 7, sequence: 65_535, timestamp: 480, marker: true, payload: &[0x10, 12, 1, 2, 3] };
        let mut data = Vec::new();
        media(&packet, &mut data).expect("a packet");
        assert_eq!(data.len(), 12 + 5);
        assert_eq!(read(&data, 1), Some(Incoming::Media(packet)));
    }

    #[test]
    fn reports_come_back_and_tell_the_round_trip() {
        let sent = Sent { ssrc: 9, timestamp: 1, packets: 3, bytes: 51 };
        let now = ntp_middle();
        let received = Received { ssrc: 5, fraction_lost: 12, last_report: now, ..Default::default() };
        let mut data = Vec::new();
        report(&sent, "name", Some(&received), true, &mut data).expect("a report");
        let read_as =
            |ssrc| read(&data, ssrc).and_then(|i| if let Incoming::Report(r) = i { Some(r) } else { None });
        let report = read_as(5).expect("a report");
        assert!(report.bye && report.sent.is_some());
        assert_eq!(report.echo, Some((now, 0, 12)));
        assert!(round_trip((now, 0, 12)).is_some_and(|t| t < Duration::from_secs(1)));
        let other = read_as(6).expect("a report");
        assert_eq!(other.echo, None, "that of another stream");
    }

    #[test]
    fn damaged_datagrams_are_nothing() {
        let mut data = Vec::new();
        report(&Sent { ssrc: 9, timestamp: 1, packets: 0, bytes: 0 }, "name", None, false, &mut data)
            .expect("a report");
        for cut in 0..data.len() {
            for bit in 0..8 {
                let mut bad = data[..cut].to_vec();
                bad.last_mut().into_iter().for_each(|b| *b ^= 1 << bit);
                read(&bad, 9);
            }
        }
        assert_eq!(read(&[0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9], 9), None, "another payload type");
    }
}
