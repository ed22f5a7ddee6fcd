//! Packets: a few bytes of head, then the codes of one or more frames, stage by stage.
//!
//! Codes are *stage-major*: all frames' codes of the first residual stage, then of the second, and so on (within a
//! stage frame by frame, within a frame group by group). So cutting a packet after a whole stage leaves the valid
//! packet of a lower rate.

use super::bits::{BitReader, BitWriter};
use super::cursor::{Cursor, put_varint};
use super::header::StreamHeader;
use crate::{Error, Limits, Result};

const HAS_HEADER: u8 = 0x80;
const STARTS_STREAM: u8 = 0x40;
const HAS_END_TRIM: u8 = 0x20;
/// Bits 0 to 4 of the first byte: how the codes are coded. 0 is fixed width; others are not defined yet.
const CODING_MASK: u8 = 0x1f;
const FIXED_WIDTH: u8 = 0;

/// A packet's head, without its codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketInfo {
    /// This is the first packet of a stream: the decoder drops [`StreamHeader::pre_skip`] samples.
    pub starts_stream: bool,
    /// Samples a channel to drop from the end of the packet's last frame; set in a stream's last packet.
    pub end_trim: u32,
    /// Codec frames in the packet.
    pub frames: u32,
    /// Residual stages coded for each frame.
    pub stages: u8,
}

impl PacketInfo {
    /// Samples a channel that the packet decodes to, in a stream of this header.
    pub fn samples(&self, header: &StreamHeader) -> u64 {
        let all = u64::from(self.frames) * u64::from(header.hop);
        let skip = if self.starts_stream { u64::from(header.pre_skip) } else { 0 };
        all.saturating_sub(skip).saturating_sub(self.end_trim.into())
    }
}

/// Appends a packet to `out`.
///
/// `codes` is frame-major, `[frame][stage][group]`, with `header.stages` stages a frame of which the first
/// `info.stages` are written. `in_band` puts the stream header into the packet: the long form where the packet
/// starts the stream, the short form elsewhere.
///
/// # Errors
/// [`Error::Parameter`] if the counts do not fit the header or each other.
pub fn write(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    codes: &[u16],
    out: &mut Vec<u8>,
) -> Result<()> {
    let per_frame = header.codes_per_frame(header.stages);
    if info.stages == 0 || info.stages > header.stages {
        return Err(Error::parameter("stages", info.stages, format!("1 to {}", header.stages)));
    }
    if info.frames == 0 || codes.len() != info.frames as usize * per_frame {
        let allowed = format!("{} frames of {per_frame} codes", info.frames.max(1));
        return Err(Error::parameter("codes", codes.len(), allowed));
    }
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out.push(
        flag(in_band, HAS_HEADER)
            | flag(info.starts_stream, STARTS_STREAM)
            | flag(info.end_trim > 0, HAS_END_TRIM)
            | FIXED_WIDTH,
    );
    if in_band {
        header.write(!info.starts_stream, out);
    }
    if info.end_trim > 0 {
        put_varint(out, info.end_trim);
    }
    put_varint(out, info.frames);
    out.push(info.stages);
    let mut bits = BitWriter::new(out);
    let groups = usize::from(header.groups);
    for stage in 0..usize::from(info.stages) {
        for frame in codes.chunks_exact(per_frame) {
            for &code in &frame[stage * groups..(stage + 1) * groups] {
                bits.put(code, header.code_bits.into());
            }
        }
    }
    bits.finish();
    Ok(())
}

/// A packet whose head has been read and whose length has been checked; codes come out on demand.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// The stream header, if the packet carries one.
    pub header: Option<StreamHeader>,
    body: Body<'a>,
}

#[derive(Debug, Clone, Copy)]
struct Body<'a> {
    starts_stream: bool,
    end_trim: u32,
    frames: u32,
    stages: u8,
    codes: &'a [u8],
    codes_offset: usize,
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
            return Err(cursor.error("length", reason));
        }
        let toc = data.first().copied().unwrap_or_default();
        if toc & CODING_MASK != FIXED_WIDTH {
            return Err(
                cursor.error("coding", format!("{}, this reader knows {FIXED_WIDTH}", toc & CODING_MASK))
            );
        }
        cursor.byte("first byte")?;
        let header = if toc & HAS_HEADER != 0 {
            let (header, length) = StreamHeader::parse(cursor.rest())?;
            cursor.bytes("stream header", length)?;
            Some(header)
        } else {
            None
        };
        let end_trim = if toc & HAS_END_TRIM != 0 { cursor.ranged("end trim", 1, u32::MAX)? } else { 0 };
        let frames = cursor.ranged("frames", 1, limits.max_frames_per_packet)?;
        let stages = cursor.ranged("stages", 1, 64)? as u8;
        let body = Body {
            starts_stream: toc & STARTS_STREAM != 0,
            end_trim,
            frames,
            stages,
            codes: cursor.rest(),
            codes_offset: cursor.offset(),
        };
        Ok(Self { header, body })
    }

    /// Checks the packet against the stream's header and returns its head.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if the packet has more stages than the stream, trims more than it holds, or has not
    /// exactly the bytes that its codes need.
    pub fn info(&self, header: &StreamHeader) -> Result<PacketInfo> {
        let Body { starts_stream, end_trim, frames, stages, codes, codes_offset } = self.body;
        let fail =
            |field, reason| Err(Error::Bitstream { what: "packet", field, offset: codes_offset, reason });
        if stages > header.stages {
            return fail("stages", format!("{stages}, the stream has {}", header.stages));
        }
        let bits =
            u64::from(frames) * (header.codes_per_frame(stages) * usize::from(header.code_bits)) as u64;
        if codes.len() as u64 != bits.div_ceil(8) {
            let reason = format!("{} bytes, {frames} frames need {}", codes.len(), bits.div_ceil(8));
            return fail("codes", reason);
        }
        let info = PacketInfo { starts_stream, end_trim, frames, stages };
        let skip = if starts_stream { u32::from(header.pre_skip) } else { 0 };
        let most = (u32::from(header.hop) - 1).min(frames.saturating_mul(header.hop.into()) - skip);
        if end_trim > most {
            return fail("end trim", format!("{end_trim} samples, allowed: up to {most}"));
        }
        Ok(info)
    }

    /// Unpacks the codes, frame-major `[frame][stage][group]` with `info.stages` stages a frame, into `out`.
    ///
    /// Call [`Packet::info`] first: it checks that the bytes are there. Codes may still exceed the codebook's size
    /// if that is no power of two; the quantizer refuses those.
    pub fn codes(&self, header: &StreamHeader, info: &PacketInfo, out: &mut Vec<u16>) {
        let groups = usize::from(header.groups);
        let per_frame = header.codes_per_frame(info.stages);
        out.clear();
        out.resize(info.frames as usize * per_frame, 0);
        let mut bits = BitReader::new(self.body.codes);
        for stage in 0..usize::from(info.stages) {
            for frame in out.chunks_exact_mut(per_frame) {
                for code in &mut frame[stage * groups..(stage + 1) * groups] {
                    *code = bits.take(header.code_bits.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header::sample;
    use super::*;

    fn codes(frames: u32) -> Vec<u16> {
        (0..frames * 18).map(|i| (i * 37 % 1024) as u16).collect()
    }

    fn written(info: &PacketInfo, in_band: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write(&sample(), info, in_band, &codes(info.frames), &mut out).expect("valid counts");
        out
    }

    #[test]
    fn a_packet_comes_back() {
        for (starts_stream, end_trim, in_band) in [(true, 0, true), (false, 33, false), (false, 0, true)] {
            let info = PacketInfo { starts_stream, end_trim, frames: 3, stages: 12 };
            let bytes = written(&info, in_band);
            let packet = Packet::parse(&bytes, &Limits::default()).expect("a packet");
            assert_eq!(packet.header.is_some(), in_band);
            assert_eq!(packet.info(&sample()).ok(), Some(info));
            let mut out = Vec::new();
            packet.codes(&sample(), &info, &mut out);
            let prefix: Vec<u16> = codes(3).chunks(18).flat_map(|f| f[..12].to_vec()).collect();
            assert_eq!(out, prefix);
        }
    }

    #[test]
    fn a_packet_has_the_bytes_that_the_document_says() {
        let golden = include_str!("../../../testdata/golden/packet.hex").trim();
        let info = PacketInfo { starts_stream: true, end_trim: 33, frames: 1, stages: 3 };
        assert_eq!(hex::encode(written(&info, true)), golden);
    }

    #[test]
    fn a_stage_prefix_is_a_cut_packet() {
        let full = written(&PacketInfo { frames: 4, stages: 12, ..Default::default() }, false);
        let low = written(&PacketInfo { frames: 4, stages: 3, ..Default::default() }, false);
        let mut cut = full[..3 + (4usize * 3 * 10).div_ceil(8)].to_vec();
        cut[2] = 3;
        assert_eq!(cut, low);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let info = PacketInfo { frames: 2, stages: 6, ..Default::default() };
        let bytes = written(&info, false);
        let longer = [bytes.as_slice(), &[0]].concat();
        for data in [&bytes[..bytes.len() - 1], &longer] {
            let packet = Packet::parse(data, &Limits::default()).expect("the head is whole");
            let text = packet.info(&sample()).map_err(|e| e.to_string());
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
                if let Ok(info) = packet.info(&header) {
                    packet.codes(&header, &info, &mut Vec::new());
                }
            }
        }
    }
}
