use crate::bytes::Cursor;
use crate::comfort_noise::ComfortNoise;
use crate::header::StreamHeader;
use crate::packet::bound::BoundPacket;
use crate::packet::info::PacketInfo;
use crate::packet::payload::{Coding, Payload};
use crate::packet::segment::Segment;
use crate::packet_flags::{
    CODING_MASK, FIXED_WIDTH, HAS_END_TRIM, HAS_HEADER, HAS_REDUNDANCY, RANGE_CODED, SEGMENT, SID,
    STARTS_STREAM, VARIABLE,
};
use crate::redundancy;
use crate::{Error, Limits, Result};

/// A packet whose head has been read; [`bind`](Self::bind) checks the rest.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// The stream header, if the packet carries one.
    pub header: Option<StreamHeader>,
    data: &'a [u8],
    starts_stream: bool,
    end_trim: u32,
    /// What follows the head, copies of earlier frames and all.
    payload: Payload<'a>,
    noise: Option<ComfortNoise>,
    segment: Option<Segment>,
    has_redundancy: bool,
}

impl<'a> Packet<'a> {
    /// Reads a packet's head.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for anything that the format or `limits` do not allow.
    pub fn parse(data: &'a [u8], limits: &Limits) -> Result<Self> {
        let mut cursor = Cursor::new("packet", data);
        if data.len() > limits.max_packet_bytes {
            let reason = format!("{} bytes, allowed: up to {}", data.len(), limits.max_packet_bytes);
            return Err(cursor.field_error("length", reason));
        }
        // An empty packet is refused by the cursor below, which names the field.
        let toc = data.first().copied().unwrap_or_default();
        let coding = match toc & CODING_MASK {
            // A SID packet has no codes; fixed width of no stages has none either, so its length check holds for
            // both.
            FIXED_WIDTH | SID | SEGMENT => Coding::FixedWidth,
            RANGE_CODED => Coding::RangeCoded,
            other => {
                let known = format!("{FIXED_WIDTH}, {RANGE_CODED}, {SID} and {SEGMENT}");
                return Err(cursor.field_error("coding", format!("{other}, this reader knows {known}")));
            }
        };
        cursor.read_byte("first byte")?;
        let header = if toc & HAS_HEADER != 0 {
            // The header's own errors count from its own start and name it, so its table in the document applies.
            let (header, length) = StreamHeader::parse(cursor.rest())?;
            cursor.read_bytes("stream header", length)?;
            Some(header)
        } else {
            None
        };
        let end_trim =
            if toc & HAS_END_TRIM != 0 { cursor.read_ranged("end trim", 1, u32::MAX)? } else { 0 };
        let frames = cursor.read_ranged("frames", 1, limits.max_frames_per_packet)?;
        let is_segment = toc & CODING_MASK == SEGMENT;
        if is_segment && toc & HAS_REDUNDANCY != 0 {
            return Err(cursor.field_error("redundant frames", "in a segment"));
        }
        let segment = is_segment.then(|| Segment::read_from(&mut cursor)).transpose()?;
        let (stages, variable, noise) = if toc & CODING_MASK == SID {
            (0, false, Some(ComfortNoise::read_from(&mut cursor)?))
        } else {
            let (stages, variable) = read_stages(&mut cursor)?;
            (stages, variable, None)
        };
        let payload =
            Payload { coding, frames, stages, variable, data: cursor.rest(), offset: cursor.offset() };
        Ok(Self {
            header,
            data,
            starts_stream: toc & STARTS_STREAM != 0,
            end_trim,
            payload,
            noise,
            segment,
            has_redundancy: toc & HAS_REDUNDANCY != 0,
        })
    }

    /// Whether this is a SID packet: no codes, but the comfort noise of a DTX pause.
    pub fn is_sid(&self) -> bool {
        self.noise.is_some()
    }

    /// Checks the packet against the header of its stream.
    ///
    /// # Errors
    /// What [`StreamHeader::accepts`] returns if the packet carries a header; [`Error::Bitstream`] if it has more stages
    /// than the stream, trims more than it holds, or has not exactly the bytes that its codes and copies need.
    pub fn bind(self, stream: &StreamHeader) -> Result<BoundPacket<'a>> {
        let Self { header, data, starts_stream, end_trim, payload, noise, segment, has_redundancy } = self;
        // Before anything that is read by the stream's stages and bits: with another bundle all of it would be
        // noise.
        header.as_ref().map_or(Ok(()), |carried| stream.accepts(carried))?;
        // Copies are cut off the end first, since the codes' length is checked against what is left.
        let (payload, copies) = if has_redundancy {
            let (data, copies) = redundancy::split_payload(stream, payload.data, payload.offset)?;
            (Payload { data, ..payload }, Some(copies))
        } else {
            (payload, None)
        };
        let Payload { frames, stages, offset, .. } = payload;
        let fail = |field, reason: String| Err(Error::bitstream("packet", field, offset, reason));
        if stages > stream.stages {
            return fail("stages", format!("{stages}, the stream has {}", stream.stages));
        }
        payload.check_length(stream)?;
        let skip = if starts_stream { u32::from(stream.pre_skip) } else { 0 };
        let all = frames.saturating_mul(stream.hop.into());
        if skip > all {
            return fail(
                "frames",
                format!("{frames}, too few for the {skip} samples that a stream begins with"),
            );
        }
        // A whole frame to be dropped would be a frame that need not be there.
        let most = (u32::from(stream.hop) - 1).min(all - skip);
        if end_trim > most {
            return fail("end trim", format!("{end_trim} samples, allowed: up to {most}"));
        }
        let overlap = segment.map_or(0, |s| s.overlap);
        // Something has to be heard before the next packet, or time would stand still.
        let most = (all - skip - end_trim).saturating_sub(1);
        if overlap > most {
            return fail("overlap", format!("{overlap} samples, allowed: up to {most}"));
        }
        let info = PacketInfo { starts_stream, end_trim, frames, stages, overlap };
        let stream = stream.without_name();
        Ok(BoundPacket { data, stream, header, info, payload, noise, segment, copies })
    }
}

/// The byte of the stages: how many, and whether that is the most of frames that have their own.
fn read_stages(cursor: &mut Cursor<'_>) -> Result<(u8, bool)> {
    let byte = cursor.rest().first().copied().unwrap_or_default();
    let (stages, variable) = (byte & !VARIABLE, byte & VARIABLE != 0);
    // Frames of at most one stage cannot differ.
    let least = if variable { 2 } else { 1 };
    // An empty rest is left to `read_byte`, whose error says that the byte is missing.
    if !cursor.rest().is_empty() && !(least..=64).contains(&stages) {
        return Err(cursor.field_error("stages", format!("{stages}, allowed: {least} to 64")));
    }
    cursor.read_byte("stages")?;
    Ok((stages, variable))
}

/// The packet `data` without the stream header that it carries; none if it carries none, or must because it starts a
/// stream.
pub fn without_header(data: &[u8]) -> Option<Vec<u8>> {
    // A damaged header stays in: the packet is then left as it is, and the decoder says what is wrong with it.
    let (first, rest) = split_header(data).ok()?;
    if first & (HAS_HEADER | STARTS_STREAM) != HAS_HEADER {
        return None;
    }
    let mut out = Vec::with_capacity(1 + rest.len());
    out.push(first & !HAS_HEADER);
    out.extend_from_slice(rest);
    Some(out)
}

/// The first byte of the packet `data`, and what follows it and the stream header, if there is one.
///
/// # Errors
/// What [`StreamHeader::parse`] returns; [`Error::Bitstream`] for no bytes.
pub(crate) fn split_header(data: &[u8]) -> Result<(u8, &[u8])> {
    let mut cursor = Cursor::new("packet", data);
    let first = cursor.read_byte("first byte")?;
    if first & HAS_HEADER != 0 {
        let (_, length) = StreamHeader::parse(cursor.rest())?;
        cursor.read_bytes("stream header", length)?;
    }
    Ok((first, cursor.rest()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Frames;
    use crate::header::sample;
    use crate::packet::write_packet;

    fn codes(frames: u32) -> Vec<u16> {
        (0..frames * 18).map(|i| (i * 37 % 1024) as u16).collect()
    }

    fn written(info: &PacketInfo, in_band: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write_packet(&sample(), info, in_band, &codes(info.frames), &mut out).expect("valid counts");
        out
    }

    #[test]
    fn a_packet_comes_back() {
        for (starts_stream, end_trim, in_band) in [(true, 0, true), (false, 33, false), (false, 0, true)] {
            let info = PacketInfo { starts_stream, end_trim, frames: 3, stages: 12, ..Default::default() };
            let bytes = written(&info, in_band);
            let packet = Packet::parse(&bytes, &Limits::default()).expect("a packet");
            assert_eq!(packet.header.is_some(), in_band);
            let packet = packet.bind(&sample()).expect("a packet of the stream");
            assert_eq!((packet.info(), packet.header().is_some()), (info, in_band));
            assert_eq!(packet.sample_count(), info.sample_count(&sample()));
            let mut out = Frames::default();
            packet.read_codes(None, &mut out).expect("codes of fixed width");
            let prefix: Vec<u16> = codes(3).chunks(18).flat_map(|f| f[..12].to_vec()).collect();
            assert_eq!(out.codes(), prefix);
        }
    }

    #[test]
    fn a_packet_has_the_bytes_that_the_document_says() {
        let golden = include_str!("../../../../testdata/golden/packet.hex").trim();
        let info = PacketInfo { starts_stream: true, end_trim: 33, frames: 1, stages: 3, overlap: 0 };
        assert_eq!(hex::encode(written(&info, true)), golden);
    }

    #[test]
    fn a_header_can_be_taken_out() {
        for (starts_stream, in_band) in [(true, true), (false, true), (false, false)] {
            let info = PacketInfo { starts_stream, frames: 2, stages: 3, ..Default::default() };
            let bare = (in_band && !starts_stream).then(|| written(&info, false));
            assert_eq!(without_header(&written(&info, in_band)), bare);
        }
        assert_eq!(without_header(&[0x80, 1, 2]), None);
    }

    #[test]
    fn a_packet_of_another_stream_is_not_bound() {
        let bytes = written(&PacketInfo { frames: 1, stages: 3, ..Default::default() }, true);
        let parse = || Packet::parse(&bytes, &Limits::default()).expect("a packet");
        let other = StreamHeader { bundle: crate::BundleId([9; 8]), ..sample() };
        assert!(matches!(parse().bind(&other), Err(Error::WrongBundle { .. })));
        let forged = StreamHeader { hop: 240, ..sample() };
        assert!(matches!(parse().bind(&forged), Err(Error::Bitstream { field: "shape", .. })));
        assert!(parse().bind(&sample()).is_ok());
    }

    #[test]
    fn a_stage_prefix_is_a_cut_packet() {
        let full = written(&PacketInfo { frames: 4, stages: 12, ..Default::default() }, false);
        let low = written(&PacketInfo { frames: 4, stages: 3, ..Default::default() }, false);
        let mut cut = full[..3 + (4usize * 3 * 10).div_ceil(8)].to_vec();
        cut[2] = 3;
        assert_eq!(cut, low);
        let packet = Packet::parse(&full, &Limits::default()).and_then(|p| p.bind(&sample()));
        let (mut prefix, mut frames) = (Vec::new(), Frames::default());
        packet.and_then(|p| p.write_prefix(3, None, &mut frames, &mut prefix)).expect("a packet of ours");
        assert_eq!(prefix, low);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let info = PacketInfo { frames: 2, stages: 6, ..Default::default() };
        let bytes = written(&info, false);
        let longer = [bytes.as_slice(), &[0]].concat();
        for data in [&bytes[..bytes.len() - 1], &longer] {
            let packet = Packet::parse(data, &Limits::default()).expect("the head is whole");
            let text = packet.bind(&sample()).map(drop).map_err(|e| e.to_string());
            assert!(text.as_ref().is_err_and(|t| t.contains("bad codes at byte 3")), "{text:?}");
        }
    }

    #[test]
    fn six_kilobits_cost_three_bytes_of_head() {
        let bytes = written(&PacketInfo { frames: 50, stages: 12, ..Default::default() }, false);
        assert_eq!(bytes.len(), 3 + 750);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(&data, &Limits::default()) {
                let header = packet.header.clone().unwrap_or_else(sample);
                if let Ok(packet) = packet.bind(&header) {
                    let read = packet.read_codes(None, &mut Frames::default());
                    prop_assert_eq!(read.is_ok(), packet.coding() == Coding::FixedWidth);
                    if let Some(copies) = packet.redundant_frames() {
                        (0..=copies.frame_count()).for_each(|back| copies.read_frame(back, &mut Vec::new()));
                    }
                }
            }
        }
    }
}
