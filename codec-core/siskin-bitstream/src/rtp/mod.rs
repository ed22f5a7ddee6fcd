//! Audio in RTP: payloads of one or more frames with coarse copies of the frames before (`docs/rtp-payload.md`).
//!
//! [`Packetizer`] makes payloads of a stream's packets, [`Depacketizer`] packets of payloads, with lost frames recovered
//! from later copies. Who orders payloads by frames itself, as a jitter buffer does, reads them with
//! [`PayloadHead::parse`] and [`PayloadHead::bind`]. Nothing here sends or receives: sequence numbers, SSRC and RTCP
//! are the session's.

mod depacketizer;
mod packetizer;
mod payload;
mod segment;

pub use depacketizer::{Depacketizer, DepacketizerStats, RecoveredPacket};
pub use packetizer::{OutgoingPayload, Packetizer, PacketizerOptions};
pub use payload::{
    MAX_FRAMES, MAX_REDUNDANT, Payload, PayloadFrame, PayloadHead, PayloadInfo, write_payload,
    write_sid_payload,
};
