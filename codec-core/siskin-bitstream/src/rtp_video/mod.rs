//! Video in RTP: packets cut into fragments and put together again (`docs/rtp-payload.md`).
//!
//! [`Packetizer`] makes payloads of packets, [`Depacketizer`] packets of payloads. Nothing here sends or receives:
//! sequence numbers, SSRC and RTCP are the session's.

mod depacketizer;
mod payload;

pub use depacketizer::{Depacketizer, DepacketizerStats, ReceivedPacket};
pub use payload::{Fragment, MIN_PAYLOAD, OutgoingPayload, Packetizer};

/// Ticks per second of the RTP time of video (RFC 3551, section 5).
pub const CLOCK_RATE: u32 = 90_000;
