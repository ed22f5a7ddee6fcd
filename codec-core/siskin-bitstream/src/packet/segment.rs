use crate::bytes::{Cursor, put_varint};
use crate::{Error, Result};

/// What a packet says of a segment: frames that a codec codes together, with a loudness of their own, and whose end overlaps
/// with the start of the next packet's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Samples per channel at the end that are mixed with the first of the next packet; 0 in a stream's last.
    pub overlap: u32,
    /// What the decoded samples are multiplied by; finite and not below 0.
    pub scale: f32,
}

impl Segment {
    /// Whether `scale` is one that a packet may have.
    pub fn is_scale(scale: f32) -> bool {
        scale.is_finite() && scale >= 0.0
    }

    pub(super) fn read_from(cursor: &mut Cursor<'_>) -> Result<Self> {
        let overlap = cursor.read_varint("overlap")?;
        // Looked at before it is read, so that the error's offset is the field's own; a short rest is left to `read_bytes`.
        let scale = cursor.rest().first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes));
        if !Self::is_scale(scale) {
            return Err(cursor.field_error("scale", format!("{scale}, allowed: finite values from 0 on")));
        }
        cursor.read_bytes("scale", 4)?;
        Ok(Self { overlap, scale })
    }

    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.overlap);
        out.extend_from_slice(&self.scale.to_le_bytes());
    }

    pub(super) fn check_scale(&self) -> Result<()> {
        if Self::is_scale(self.scale) {
            return Ok(());
        }
        Err(Error::parameter("scale", self.scale, "finite values from 0 on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::sample;
    use crate::packet::{Packet, PacketInfo, write_segment};
    use crate::{Frames, Limits, StreamHeader};

    fn stream() -> StreamHeader {
        StreamHeader { channels: 2, pre_skip: 0, ..sample() }
    }

    fn frames() -> Frames {
        let mut frames = Frames::new(1);
        (0..3u16).for_each(|n| frames.push_frame(&[n, 100 * n, 7]));
        frames
    }

    const SEGMENT: Segment = Segment { overlap: 200, scale: 0.1 };

    fn written(info: &PacketInfo, segment: Segment) -> Vec<u8> {
        let mut out = Vec::new();
        write_segment(&stream(), info, true, segment, &frames(), &mut out).expect("a segment");
        out
    }

    #[test]
    fn a_segment_comes_back_bit_by_bit() {
        let info = PacketInfo { starts_stream: true, end_trim: 11, ..Default::default() };
        let bytes = written(&info, SEGMENT);
        // The place of the scale, which the document gives: behind first byte, header, trim, frames and the overlap's two bytes.
        let head = 1 + stream().to_bytes().len() + 1 + 1 + 2;
        assert_eq!(bytes[head..head + 4], 0.1f32.to_le_bytes());
        let packet = Packet::parse(&bytes, &Limits::default()).expect("a packet");
        let packet = packet.bind(&stream()).expect("a packet of the stream");
        assert_eq!(packet.segment(), Some(SEGMENT));
        let info = packet.info();
        assert_eq!((info.frames, info.stages, info.overlap, info.end_trim), (3, 3, 200, 11));
        assert_eq!(packet.sample_count(), 3 * 480 - 200 - 11);
        let (mut found, mut prefix) = (Frames::default(), Vec::new());
        packet.read_codes(None, &mut found).expect("codes");
        assert_eq!(found, frames());
        packet.write_prefix(1, None, &mut found, &mut prefix).expect("a lower rate");
        let low =
            Packet::parse(&prefix, &Limits::default()).and_then(|p| p.bind(&stream())).expect("a packet");
        assert_eq!((low.segment(), low.info().stages), (Some(SEGMENT), 1));
        assert_eq!(low.sample_count(), packet.sample_count());
    }

    #[test]
    fn bad_segments_are_refused() {
        let info = PacketInfo::default();
        let parse = |bytes: &[u8]| {
            let packet = Packet::parse(bytes, &Limits::default()).and_then(|p| p.bind(&stream()).map(drop));
            packet.expect_err("a bad packet").to_string()
        };
        for cut in 0..written(&info, SEGMENT).len() {
            parse(&written(&info, SEGMENT)[..cut]);
        }
        assert!(parse(&written(&info, Segment { overlap: 3 * 480, scale: 1.0 })).contains("overlap"));
        let head = 1 + stream().without_name().to_bytes().len() + 1 + 2;
        for scale in [f32::NAN, f32::INFINITY, -0.5] {
            let mut bytes = written(&info, SEGMENT);
            bytes[head..head + 4].copy_from_slice(&scale.to_le_bytes());
            let text = parse(&bytes);
            assert!(text.contains("scale") && text.contains(&format!("byte {head}")), "{text}");
            let refused = write_segment(
                &stream(),
                &info,
                true,
                Segment { overlap: 0, scale },
                &frames(),
                &mut Vec::new(),
            );
            assert!(refused.is_err());
        }
        // Copies of frames before a segment have no place in it.
        let mut bytes = written(&info, SEGMENT);
        bytes[0] |= 0x10;
        assert!(parse(&bytes).contains("redundan"));
    }
}
