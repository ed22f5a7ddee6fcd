use crate::bytes::{Cursor, put_varint};
use crate::packet_flags::flag_bit;
use crate::{Error, Limits, Result};

const VERSION: u8 = 0x80;
const STARTS_PACKET: u8 = 0x40;
const IS_KEY: u8 = 0x20;
/// Most bytes before the fragment: the first byte and the packet's length.
// The longest varint takes five bytes.
const MAX_HEAD: usize = 1 + 5;
/// Fewest bytes of a payload: below, more would be heads than packet.
pub const MIN_PAYLOAD: usize = MAX_HEAD + 10;

/// A payload ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingPayload {
    /// The payload's bytes.
    pub data: Vec<u8>,
    /// The last payload of its packet: the RTP marker.
    pub marker: bool,
}

/// Cuts packets into payloads; nothing is kept from packet to packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packetizer {
    max_bytes: usize,
}

impl Packetizer {
    /// Makes payloads of at most `max_bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than [`MIN_PAYLOAD`].
    pub fn new(max_bytes: usize) -> Result<Self> {
        if max_bytes < MIN_PAYLOAD {
            return Err(Error::parameter("bytes of a payload", max_bytes, format!("{MIN_PAYLOAD} and more")));
        }
        Ok(Self { max_bytes })
    }

    /// Cuts a packet into payloads, in their order; `is_key` marks one that decodes without those before it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an empty packet or one of 4 GiB and more.
    pub fn split_packet(&self, packet: &[u8], is_keyframe: bool) -> Result<Vec<OutgoingPayload>> {
        // The length is a varint of 32 bits.
        let length = u32::try_from(packet.len()).ok().filter(|&l| l > 0);
        let length =
            length.ok_or_else(|| Error::parameter("packet", packet.len(), "1 to 4294967295 bytes"))?;
        let mark = flag_bit(is_keyframe, IS_KEY);
        let (mut rest, mut payloads) = (packet, Vec::with_capacity(packet.len() / self.max_bytes + 1));
        while !rest.is_empty() {
            let mut data = Vec::with_capacity(self.max_bytes);
            if payloads.is_empty() {
                data.push(STARTS_PACKET | mark);
                // Only in the first payload: the others are found by their sequence numbers.
                put_varint(&mut data, length);
            } else {
                // The key mark is in all of a packet's payloads, so that each of them tells what kind of packet it
                // belongs to.
                data.push(mark);
            }
            let (now, later) = rest.split_at(rest.len().min(self.max_bytes - data.len()));
            data.extend_from_slice(now);
            payloads.push(OutgoingPayload { data, marker: later.is_empty() });
            rest = later;
        }
        Ok(payloads)
    }
}

/// A payload: a part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The length of the packet that begins with this payload, in bytes.
    pub starts: Option<usize>,
    /// The packet decodes without those before it.
    pub is_keyframe: bool,
    /// Bytes of the packet.
    pub data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for anything that the format or `limits` do not allow.
    pub fn parse(payload: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut cursor = Cursor::new("RTP payload", payload);
        let first = cursor.read_byte("first byte")?;
        if first & VERSION != 0 {
            // A new cursor, so that the error's offset is that of the byte that has been read.
            return Err(Cursor::new("RTP payload", payload).field_error("version", "1, this reader knows 0"));
        }
        let most = u32::try_from(limits.max_video_packet_bytes).unwrap_or(u32::MAX);
        let starts = match first & STARTS_PACKET {
            0 => None,
            _ => Some(cursor.read_ranged("length", 1, most)? as usize),
        };
        let data = cursor.rest();
        // An empty fragment would count as progress, and one beyond the length belongs to no packet.
        if data.is_empty() || starts.is_some_and(|length| data.len() > length) {
            return Err(cursor.field_error("fragment", format!("{} bytes of {starts:?}", data.len())));
        }
        Ok(Self { starts, is_keyframe: first & IS_KEY != 0, data })
    }
}
