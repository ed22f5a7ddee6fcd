//! Packets: a few bytes of head, then the codes of one or more frames, stage by stage.
//!
//! Codes of fixed width are *stage-major*: all frames' codes of the first residual stage, then of the second, and so on
//! (within a stage frame by frame, within a frame group by group). So cutting a packet after a whole stage leaves the
//! valid packet of a lower rate. Range-coded ones are coded again by [`BoundPacket::write_prefix`].
//!
//! Reading takes two steps, each done once for a packet: [`Packet::parse`] reads the head, which needs no stream header
//! and may bring one; [`Packet::bind`] checks the packet against the stream's header. What a [`BoundPacket`] then says is
//! not checked again.
//!
//! ```
//! use siskin_bitstream::packet::{Packet, PacketInfo, write_packet};
//! use siskin_bitstream::{BundleId, Frames, Limits, StreamHeader};
//!
//! # fn main() -> siskin_bitstream::Result<()> {
//! let header = StreamHeader {
//!     bundle: BundleId(*b"speech24"),
//!     bundle_name: "speech-24k".into(),
//!     sample_rate: 24_000,
//!     channels: 1,
//!     hop: 480,
//!     groups: 1,
//!     stages: 4,
//!     code_bits: 10,
//!     pre_skip: 240,
//! };
//! // Two frames of four stages, of which three are written, with the stream header in-band.
//! let (codes, mut data) = ([5, 6, 7, 8, 9, 10, 11, 12], Vec::new());
//! let info = PacketInfo { starts_stream: true, frames: 2, stages: 3, ..Default::default() };
//! write_packet(&header, &info, true, &codes, &mut data)?;
//!
//! let packet = Packet::parse(&data, &Limits::default())?.bind(&header)?;
//! assert_eq!(packet.header(), Some(&header));
//! assert_eq!(packet.sample_count(), 2 * 480 - 240);
//! let mut frames = Frames::default();
//! packet.read_codes(None, &mut frames)?;
//! assert_eq!(frames.codes(), [5, 6, 7, 9, 10, 11]);
//! # Ok(())
//! # }
//! ```

mod bound;
mod head;
mod info;
mod payload;
mod segment;
mod write;

pub use bound::BoundPacket;
pub(crate) use head::split_header;
pub use head::{Packet, without_header};
pub use info::PacketInfo;
pub use payload::Coding;
pub use segment::Segment;
pub use write::{write_frames, write_packet, write_segment, write_sid};
