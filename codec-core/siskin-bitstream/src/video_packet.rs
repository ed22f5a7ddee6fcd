//! The head of a video packet (`docs/video-bitstream.md`): how the frames are coded, their number, their durations, and
//! the checksum. What follows it belongs to the codec.

use crate::bytes::{Cursor, put_varint};
use crate::{Limits, Result, VideoHeader};

const HAS_HEADER: u8 = 0x80;
const IS_KEY: u8 = 0x40;
const HAS_DURATIONS: u8 = 0x20;
/// Bits 0 to 4 of the first byte: the [`Coding`].
const CODING_MASK: u8 = 0x1f;
const FITTED: u8 = 0;
const REALTIME: u8 = 1;
const BLOCKS: u8 = 2;
/// First byte of a packet that says no more than that the frame before is shown again.
const REPEATED: u8 = 3;
/// Bytes of such a packet.
const REPEATED_BYTES: usize = 2;
/// Numbers of real-time packets are below this: they count round, so that each takes one byte.
pub const REALTIME_NUMBERS: u32 = 128;
/// Frames of a packet of the block codec at most.
pub const MAX_BLOCK_FRAMES: u32 = 16;
/// Bytes of the checksum at the end.
// Four bytes of a CRC miss one damaged packet in 2^32; at 30 frames per second they cost 1 kb/s.
const CHECKSUM: usize = 4;

/// How frames are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// A network of their own is in the packet.
    Fitted,
    /// One frame: latents for the network of a bundle, and motion.
    Realtime,
    /// A frame or several of the block codec, which has no network; a frame that repeats the one before has nothing after its head.
    Blocks,
}

/// The head of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GopInfo {
    /// How the frames are coded.
    pub coding: Coding,
    /// The stream header, in key groups.
    pub header: Option<VideoHeader>,
    /// The group's number; they count up by one.
    pub number: u32,
    /// Whether the group decodes without the one before it.
    pub is_keyframe: bool,
    /// Frames in the group.
    pub frames: u32,
    /// Durations of the frames in nanoseconds, if they differ.
    pub durations: Option<Vec<u32>>,
}

impl GopInfo {
    /// How long the group lasts, in nanoseconds, in a stream of this header; none if nothing says so.
    pub fn duration_ns(&self, header: &VideoHeader) -> Option<u64> {
        self.frame_offset_ns(header, self.frames)
    }

    /// Where a frame begins, in nanoseconds from where the group begins; for the number of frames, the group's length. None if nothing
    /// says so.
    pub fn frame_offset_ns(&self, header: &VideoHeader, frame: u32) -> Option<u64> {
        match &self.durations {
            // They are there where the stream's rate does not hold. At most 4096 of 32 bits, so the sum fits 64 easily.
            Some(durations) => Some(durations.iter().take(frame as usize).map(|&d| u64::from(d)).sum()),
            None => header.frames_to_ns(frame.into()),
        }
    }
}

/// Reads the head of a packet and checks the checksum.
///
/// # Errors
/// [`Error::Bitstream`](crate::Error::Bitstream) for anything that the format or `limits` do not allow.
pub fn inspect(data: &[u8], limits: &Limits) -> Result<GopInfo> {
    read_head(data, limits).map(|(info, _)| info)
}

/// Appends the head of a packet. A `header` makes it a random access point, which decodes without the packet before it;
/// `durations` are in nanoseconds, one a frame.
pub fn write_head(
    coding: Coding,
    header: Option<&VideoHeader>,
    (number, frames): (u32, u32),
    durations: Option<&[u32]>,
    out: &mut Vec<u8>,
) {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    // Real-time packets count round, so that their number always takes one byte.
    let (coding, number) = match coding {
        Coding::Fitted => (FITTED, number),
        Coding::Realtime => (REALTIME, number % REALTIME_NUMBERS),
        Coding::Blocks => (BLOCKS, number % REALTIME_NUMBERS),
    };
    // The two bits go together: a decoder that joins at a keyframe needs the header, and nowhere else is it of use.
    out.push(flag(header.is_some(), HAS_HEADER | IS_KEY) | flag(durations.is_some(), HAS_DURATIONS) | coding);
    if let Some(header) = header {
        header.write_to(out);
    }
    put_varint(out, number);
    put_varint(out, frames);
    durations.into_iter().flatten().for_each(|&d| put_varint(out, d));
}

/// Appends the checksum of all that is in `out`: every packet ends with it.
pub fn append_checksum(out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Writes a packet of the block codec that repeats the frame before: the first byte, and the number with a bit that makes the
/// number of ones in the byte even. It replaces `out`.
pub fn write_repeated(number: u32, out: &mut Vec<u8>) {
    let number = (number % REALTIME_NUMBERS) as u8;
    out.clear();
    // Two bytes are 480 b/s at 30 frames per second, which is what a still takes; a checksum would take twice as much more.
    out.extend([REPEATED, number | if number.count_ones() % 2 == 1 { 0x80 } else { 0 }]);
}

fn read_repeated(second: u8, data: &[u8]) -> Result<(GopInfo, Cursor<'_>)> {
    let cursor = Cursor::new("video packet", &data[data.len()..]);
    if second.count_ones() % 2 == 1 {
        return Err(cursor.field_error("number", "the packet is damaged"));
    }
    let number = u32::from(second & 0x7f);
    let info = GopInfo {
        coding: Coding::Blocks,
        header: None,
        number,
        is_keyframe: false,
        frames: 1,
        durations: None,
    };
    Ok((info, cursor))
}

/// Reads the head of a packet and checks the checksum; the cursor is behind the head and ends before the checksum.
///
/// # Errors
/// As for [`inspect`].
pub fn read_head<'a>(data: &'a [u8], limits: &Limits) -> Result<(GopInfo, Cursor<'a>)> {
    let whole = Cursor::new("video packet", data);
    if data.len() > limits.max_video_packet_bytes {
        let reason = format!("{} bytes, allowed: up to {}", data.len(), limits.max_video_packet_bytes);
        return Err(whole.field_error("length", reason));
    }
    if let Ok([REPEATED, second]) = <[u8; REPEATED_BYTES]>::try_from(data) {
        return read_repeated(second, data);
    }
    let Some((body, stated)) = data.split_last_chunk::<CHECKSUM>() else {
        return Err(
            whole.field_error("length", format!("{} bytes, allowed: {CHECKSUM} and more", data.len()))
        );
    };
    // Before anything else: range-coded latents decode to a plausible frame whatever their bits are.
    if crc32fast::hash(body) != u32::from_le_bytes(*stated) {
        return Err(whole.field_error("checksum", "the packet is damaged"));
    }
    let mut cursor = Cursor::new("video packet", body);
    let first = cursor.read_byte("first byte")?;
    let coding = match first & CODING_MASK {
        FITTED => Coding::Fitted,
        REALTIME => Coding::Realtime,
        BLOCKS => Coding::Blocks,
        other => {
            return Err(
                whole.field_error("coding", format!("{other}, this reader knows {FITTED} to {BLOCKS}"))
            );
        }
    };
    let is_keyframe = first & IS_KEY != 0;
    let header = if first & HAS_HEADER != 0 {
        let (header, length) = VideoHeader::parse(cursor.rest(), limits)?;
        cursor.read_bytes("video header", length)?;
        Some(header)
    // The format has room for a key group without a header; without one a late joiner could not decode it.
    } else if is_keyframe {
        return Err(whole.field_error("first byte", "a key group without a header"));
    } else {
        None
    };
    // Without lookahead one frame per packet, so that no frame waits for the next before it is sent.
    let (most_number, most_frames) = match coding {
        Coding::Fitted => (u32::MAX, limits.max_video_frames),
        Coding::Realtime => (REALTIME_NUMBERS - 1, 1),
        Coding::Blocks => (REALTIME_NUMBERS - 1, MAX_BLOCK_FRAMES),
    };
    let number = cursor.read_ranged("number", 0, most_number)?;
    let frames = cursor.read_ranged("frames", 1, most_frames)?;
    let durations = match first & HAS_DURATIONS {
        // Collected as they are read, so that a false count of frames ends at the packet's end and allocates no
        // more than it has.
        0 => None,
        _ => Some((0..frames).map(|_| cursor.read_varint("duration")).collect::<Result<Vec<_>>>()?),
    };
    Ok((GopInfo { coding, header, number, is_keyframe, frames, durations }, cursor))
}
