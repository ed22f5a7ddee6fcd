use siskin_media::{Colorimetry, Rounding, Size, TimeBase};

use crate::bytes::{Cursor, put_varint};
use crate::{Limits, Result};

/// First bytes of every video stream header.
// Another one than that of audio, so that a header in the wrong track is refused at its first bytes.
const MAGIC: [u8; 3] = *b"SKV";
/// The only version so far.
const VERSION: u8 = 1;
/// What a decoder needs to know before the first packet of a video stream.
///
/// It stands in the container (Matroska `CodecPrivate`, caps field `streamheader`) and in-band at key packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoHeader {
    /// Columns, 1 to 16,384.
    pub width: u32,
    /// Rows, 1 to 16,384.
    pub height: u32,
    /// Frames a second as a fraction; the numerator is 0 where the rate is not constant.
    pub frame_rate: (u32, u32),
    /// Shape of a pixel as a fraction, width to height.
    pub pixel_aspect: (u32, u32),
    /// What the source's values mean.
    pub colorimetry: Colorimetry,
}

impl VideoHeader {
    /// Appends the header's bytes.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        for value in [
            self.width,
            self.height,
            self.frame_rate.0,
            self.frame_rate.1,
            self.pixel_aspect.0,
            self.pixel_aspect.1,
        ] {
            put_varint(out, value);
        }
        // Not checked: H.273 grows, and a code point that is not known here goes through to players that know it.
        let Colorimetry { primaries, transfer, matrix, full_range } = self.colorimetry;
        out.extend_from_slice(&[primaries, transfer, matrix, full_range.into()]);
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }

    /// Reads a header from the start of `data`; the second value is its length in bytes.
    ///
    /// # Errors
    /// [`crate::Error::Bitstream`] for anything outside the ranges above or beyond `limits`.
    pub fn parse(data: &[u8], limits: &Limits) -> Result<(Self, usize)> {
        let mut cursor = Cursor::new("video header", data);
        if cursor.read_bytes("magic", MAGIC.len())? != MAGIC {
            return Err(Cursor::new("video header", data).field_error("magic", "not a Siskin video stream"));
        }
        if let Some(&found) = cursor.rest().first().filter(|&&v| v != VERSION) {
            return Err(cursor.field_error("version", format!("{found}, this reader knows {VERSION}")));
        }
        cursor.read_byte("version")?;
        let width = cursor.read_ranged("width", 1, Size::MAX_SIDE)?;
        let height = cursor.read_ranged("height", 1, Size::MAX_SIDE)?;
        // Beside the sides' own bound: 16,384 squared would be 400 MB a frame in I420, from a header of 20 bytes.
        if u64::from(width) * u64::from(height) > limits.max_video_pixels {
            let reason = format!("{width}x{height}, allowed: up to {} pixels", limits.max_video_pixels);
            return Err(cursor.field_error("size", reason));
        }
        // A numerator of 0 means a variable rate, as in GStreamer's caps; the denominator divides, so it is at
        // least 1.
        let frame_rate = (cursor.read_varint("frame rate")?, cursor.read_ranged("frame rate", 1, u32::MAX)?);
        // Bounded, so that a side times it stays below 2^34 and display sizes are exact in 64 bits.
        let one = |cursor: &mut Cursor<'_>| cursor.read_ranged("pixel aspect", 1, 1 << 20);
        let pixel_aspect = (one(&mut cursor)?, one(&mut cursor)?);
        let colorimetry = Colorimetry {
            primaries: cursor.read_byte("primaries")?,
            transfer: cursor.read_byte("transfer")?,
            matrix: cursor.read_byte("matrix")?,
            full_range: cursor.read_byte_in("range", 0, 1)? == 1,
        };
        Ok((Self { width, height, frame_rate, pixel_aspect, colorimetry }, cursor.offset()))
    }

    /// Duration of a frame in nanoseconds; none where the rate is not constant.
    pub fn frame_duration_ns(&self) -> Option<u64> {
        let (n, d) = self.frame_rate;
        // Below 2^62: a denominator of 32 bits times 10^9.
        (n > 0).then(|| 1_000_000_000 * u64::from(d) / u64::from(n))
    }

    /// How long `frames` frames last, in nanoseconds; none where the rate is not constant. What no clock holds ends at the largest that
    /// one does: a header may say a frame a century.
    pub fn frames_to_ns(&self, frames: u64) -> Option<u64> {
        let base = self.time_base()?;
        Some(base.ticks_to_ns(frames, Rounding::Nearest).unwrap_or(u64::MAX))
    }

    /// Frames that last `ns` nanoseconds, to the nearest; none where the rate is not constant.
    pub fn ns_to_frames(&self, ns: u64) -> Option<u64> {
        self.time_base()?.ns_to_ticks(ns, Rounding::Nearest)
    }

    fn time_base(&self) -> Option<TimeBase> {
        TimeBase::from_rate(self.frame_rate.0, self.frame_rate.1).ok()
    }

    /// Columns and rows.
    ///
    /// # Errors
    /// As for [`VideoHeader::check`].
    pub fn size(&self) -> Result<Size> {
        Size::new(self.width, self.height)
    }

    /// Pixels of a frame.
    pub fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Fails where a size cannot be coded.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a side outside 1 to 16,384.
    pub fn check(&self) -> Result<()> {
        self.size().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn sample() -> VideoHeader {
        VideoHeader {
            width: 1280,
            height: 720,
            frame_rate: (30_000, 1001),
            pixel_aspect: (1, 1),
            colorimetry: Colorimetry { matrix: 6, ..Default::default() },
        }
    }

    #[test]
    fn a_header_comes_back() {
        let bytes = sample().to_bytes();
        assert_eq!(VideoHeader::parse(&bytes, &Limits::default()).ok(), Some((sample(), bytes.len())));
        for cut in 0..bytes.len() {
            assert!(VideoHeader::parse(&bytes[..cut], &Limits::default()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_slowest_rate_has_no_duration_that_overflows() {
        let slowest = VideoHeader { frame_rate: (1, u32::MAX), ..sample() };
        let group = crate::video_packet::GopInfo {
            coding: crate::video_packet::Coding::Fitted,
            header: None,
            number: 0,
            is_keyframe: true,
            frames: 1000,
            durations: None,
        };
        assert_eq!(group.duration_ns(&slowest), Some(u64::MAX));
        assert_eq!(group.duration_ns(&sample()), Some(33_366_666_667));
    }

    #[test]
    fn huge_pictures_are_refused() {
        let huge = VideoHeader { width: 16_000, height: 16_000, ..sample() };
        let error = VideoHeader::parse(&huge.to_bytes(), &Limits::default());
        assert!(matches!(error, Err(Error::Bitstream { field: "size", .. })), "{error:?}");
    }
}
