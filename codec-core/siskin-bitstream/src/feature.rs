//! Streams of features: the header of a stream and the head of a packet (`docs/features.md`, Bitstream).

use crate::bytes::{Cursor, put_varint};
use crate::{BundleId, Limits, Result};
use siskin_media::Size;

/// First bytes of a header. Others than those of audio and video, so that a header in the wrong track is refused at once.
const MAGIC: [u8; 3] = *b"SKF";
/// The only version so far, of headers and packets.
const VERSION: u8 = 1;
/// Longest name of a bundle, as in its manifest.
const MAX_NAME: u32 = 64;
/// Bits of a packet's first byte that hold the level; the version is above them.
const LEVEL_BITS: u8 = 5;
/// Levels that a packet can name.
pub const MAX_LEVELS: u8 = 1 << LEVEL_BITS;

/// What a receiver needs to know before the first packet of a stream of features.
///
/// It stands in the container (Matroska `CodecPrivate`) and in caps (`streamheader`). Packets are complete without it, but for
/// the name and the whole id of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureHeader {
    /// The bundle whose server half reads the stream.
    pub bundle: BundleId,
    /// The bundle's name, for people; at most 64 bytes.
    pub bundle_name: String,
    /// Columns and rows of the frames that the features are of.
    pub size: Size,
    /// Frames per second as a fraction; the numerator is 0 where the rate is not constant.
    pub frame_rate: (u32, u32),
}

impl FeatureHeader {
    /// The header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&self.bundle.0);
        put_varint(&mut out, self.bundle_name.len() as u32);
        out.extend_from_slice(self.bundle_name.as_bytes());
        let (width, height) = (self.size.width() as u32, self.size.height() as u32);
        [width, height, self.frame_rate.0, self.frame_rate.1]
            .into_iter()
            .for_each(|v| put_varint(&mut out, v));
        out
    }

    /// Reads a header from the start of `data`; the second value is its length in bytes.
    ///
    /// # Errors
    /// [`crate::Error::Bitstream`] for other magic bytes or another version, a name that is too long or not UTF-8, a side
    /// outside 1 to 16,384, more pixels than `limits` allow, or a frame rate with the denominator 0.
    pub fn parse(data: &[u8], limits: &Limits) -> Result<(Self, usize)> {
        let mut cursor = Cursor::new("feature header", data);
        if cursor.read_bytes("magic", MAGIC.len())? != MAGIC {
            return Err(Cursor::new("feature header", data).field_error("magic", "not a stream of features"));
        }
        cursor.read_byte_in("version", VERSION, VERSION)?;
        let mut bundle = [0; 8];
        bundle.copy_from_slice(cursor.read_bytes("bundle id", 8)?);
        let length = cursor.read_ranged("length of the bundle's name", 0, MAX_NAME)?;
        let start = Cursor::new("feature header", data);
        let name = cursor.read_bytes("bundle name", length as usize)?;
        let bundle_name =
            std::str::from_utf8(name).map_err(|e| start.field_error("bundle name", e))?.to_owned();
        let size = read_size(&mut cursor, limits)?;
        let frame_rate = (cursor.read_varint("frame rate")?, cursor.read_ranged("frame rate", 1, u32::MAX)?);
        Ok((Self { bundle: BundleId(bundle), bundle_name, size, frame_rate }, cursor.offset()))
    }

    /// Duration of a frame in nanoseconds; none where the rate is not constant.
    pub fn frame_duration_ns(&self) -> Option<u64> {
        let (n, d) = self.frame_rate;
        // Below 2^62: a denominator of 32 bits times 10^9.
        (n > 0).then(|| 1_000_000_000 * u64::from(d) / u64::from(n))
    }
}

/// The head of a packet, which is the features of one frame and needs no other packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureHead {
    /// The level of quality, 0 the finest, below [`MAX_LEVELS`].
    pub level: u8,
    /// The first two bytes of the id of the bundle that wrote the packet.
    // Two of eight: a packet without its header still finds out a wrong bundle but once in 65,536, and features of a frame
    // take only some hundred bytes.
    pub bundle: [u8; 2],
    /// Columns and rows of the frame.
    pub size: Size,
}

impl FeatureHead {
    /// Appends the head's bytes; a level of 32 and more is cut to its lowest bits.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.push(VERSION << LEVEL_BITS | self.level & (MAX_LEVELS - 1));
        out.extend_from_slice(&self.bundle);
        put_varint(out, self.size.width() as u32);
        put_varint(out, self.size.height() as u32);
    }

    /// Reads the head of a packet; the second value is what follows it.
    ///
    /// # Errors
    /// [`crate::Error::Bitstream`] for a packet above [`Limits::max_packet_bytes`], another version, a level that is not below
    /// `levels`, a side outside 1 to 16,384 or more pixels than `limits` allow.
    pub fn parse<'a>(data: &'a [u8], levels: u8, limits: &Limits) -> Result<(Self, &'a [u8])> {
        let mut cursor = Cursor::new("feature packet", data);
        if data.len() > limits.max_packet_bytes {
            let reason = format!("{} bytes, allowed: up to {}", data.len(), limits.max_packet_bytes);
            return Err(cursor.field_error("length", reason));
        }
        if let Some(found) = data.first().map(|b| b >> LEVEL_BITS).filter(|&v| v != VERSION) {
            return Err(cursor.field_error("version", format!("{found}, this reader knows {VERSION}")));
        }
        let level = data.first().map_or(0, |b| b & (MAX_LEVELS - 1));
        if !data.is_empty() && level >= levels {
            return Err(cursor.field_error("level", format!("{level}, allowed: below {levels}")));
        }
        cursor.read_byte("version")?;
        let mut bundle = [0; 2];
        bundle.copy_from_slice(cursor.read_bytes("bundle", 2)?);
        let size = read_size(&mut cursor, limits)?;
        Ok((Self { level, bundle, size }, cursor.rest()))
    }
}

fn read_size(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Size> {
    let width = cursor.read_ranged("width", 1, Size::MAX_SIDE)?;
    let height = cursor.read_ranged("height", 1, Size::MAX_SIDE)?;
    // The number of latents follows from the size: it is what a false packet could make a reader allocate.
    if u64::from(width) * u64::from(height) > limits.max_video_pixels {
        let reason = format!("{width}x{height}, allowed: up to {} pixels", limits.max_video_pixels);
        return Err(cursor.field_error("size", reason));
    }
    Size::new(width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).expect("a size")
    }

    fn sample() -> FeatureHeader {
        FeatureHeader {
            bundle: BundleId([7; 8]),
            bundle_name: "text-features".into(),
            size: size(640, 480),
            frame_rate: (30_000, 1001),
        }
    }

    #[test]
    fn a_header_comes_back() {
        let bytes = sample().to_bytes();
        assert_eq!(FeatureHeader::parse(&bytes, &Limits::default()).ok(), Some((sample(), bytes.len())));
        for cut in 0..bytes.len() {
            assert!(FeatureHeader::parse(&bytes[..cut], &Limits::default()).is_err(), "cut at {cut}");
        }
        assert_eq!(sample().frame_duration_ns(), Some(33_366_666));
    }

    #[test]
    fn a_head_comes_back_and_names_what_is_wrong() {
        let head = FeatureHead { level: 5, bundle: [1, 2], size: size(641, 479) };
        let mut bytes = Vec::new();
        head.write_to(&mut bytes);
        let body = bytes.len();
        bytes.extend_from_slice(&[9, 9]);
        let limits = Limits::default();
        assert_eq!(FeatureHead::parse(&bytes, 6, &limits).ok(), Some((head, &[9, 9][..])));
        for cut in 0..body {
            assert!(FeatureHead::parse(&bytes[..cut], 6, &limits).is_err(), "cut at {cut}");
        }
        let field = |data: &[u8], levels| match FeatureHead::parse(data, levels, &limits) {
            Err(Error::Bitstream { field, .. }) => field,
            _ => "none",
        };
        assert_eq!(field(&bytes, 5), "level");
        assert_eq!(field(&[0x45, 1, 2, 16, 16], 6), "version");
        assert_eq!(field(&[0x20, 1, 2, 0, 16], 6), "width");
        // 16,384 squared: 268 million pixels.
        assert_eq!(field(&[0x20, 1, 2, 0x80, 0x80, 1, 0x80, 0x80, 1], 6), "size");
        assert_eq!(field(&vec![0x20; limits.max_packet_bytes + 1], 6), "length");
    }
}
