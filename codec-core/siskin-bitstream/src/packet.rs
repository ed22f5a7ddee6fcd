//! Packets: a few bytes of head, then the codes of one or more frames, stage by stage.
//!
//! Codes of fixed width are *stage-major*: all frames' codes of the first residual stage, then of the second, and so on
//! (within a stage frame by frame, within a frame group by group). So cutting a packet after a whole stage leaves the
//! valid packet of a lower rate. Range-coded ones are coded again by [`cut`].

use super::frames::Frames;
use super::header::StreamHeader;
pub use super::payload::Coding;
use super::payload::{self, Payload};
use super::redundancy::{self, Copies};
use super::silence::NoiseShape;
use crate::bytes::BitWriter;
use crate::bytes::{Cursor, put_varint};
use crate::code_coder::CodeCoder;
use crate::{Error, Limits, Result};

const HAS_HEADER: u8 = 0x80;
const STARTS_STREAM: u8 = 0x40;
const HAS_END_TRIM: u8 = 0x20;
/// Coarse copies of earlier frames stand at the end: see [`redundancy`](super::redundancy).
pub(super) const HAS_REDUNDANCY: u8 = 0x10;
/// Bits 0 to 3 of the first byte: how the codes are coded.
const CODING_MASK: u8 = 0x0f;
const FIXED_WIDTH: u8 = 0;
const RANGE_CODED: u8 = 1;
/// No codes but a description of background noise.
const SILENCE: u8 = 2;
/// In the byte of the stages: each frame has its own number of them.
const VARIABLE: u8 = 0x80;

/// A packet's head, without its codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketInfo {
    /// This is the first packet of a stream: the decoder drops [`StreamHeader::pre_skip`] samples.
    pub starts_stream: bool,
    /// Samples a channel to drop from the end of the packet's last frame; set in a stream's last packet.
    pub end_trim: u32,
    /// Codec frames in the packet.
    pub frames: u32,
    /// Residual stages coded for each frame, or for the one that has most; 0 in a packet that describes background noise
    /// instead.
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
    write_head(header, info, in_band, FIXED_WIDTH, out);
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

/// Appends the packet of a pause to `out`: `info.frames` frames of background noise of this shape. `info.stages` is not
/// looked at.
///
/// # Errors
/// [`Error::Parameter`] if there is no frame.
pub fn write_silence(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    noise: &NoiseShape,
    out: &mut Vec<u8>,
) -> Result<()> {
    if info.frames == 0 {
        return Err(Error::parameter("frames", info.frames, "1 or more"));
    }
    write_head(header, info, in_band, SILENCE, out);
    noise.write(out);
    Ok(())
}

/// Writes what comes before the stages of a packet.
fn write_head(header: &StreamHeader, info: &PacketInfo, in_band: bool, coding: u8, out: &mut Vec<u8>) {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out.push(
        flag(in_band, HAS_HEADER)
            | flag(info.starts_stream, STARTS_STREAM)
            | flag(info.end_trim > 0, HAS_END_TRIM)
            | coding,
    );
    if in_band {
        header.write(!info.starts_stream, out);
    }
    if info.end_trim > 0 {
        put_varint(out, info.end_trim);
    }
    put_varint(out, info.frames);
}

/// Appends a packet of frames that may have different stages to `out`, range coded if there is a `coder` for the
/// stream and that takes fewer bytes. `info.frames` and `info.stages` are not looked at.
///
/// # Errors
/// [`Error::Parameter`] if there is no frame, or a frame or code does not fit the header or the tables.
pub fn write_frames(
    header: &StreamHeader,
    info: &PacketInfo,
    in_band: bool,
    frames: &Frames,
    coder: Option<&mut dyn CodeCoder>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let stages = frames.stages();
    if stages > header.stages || frames.counts().contains(&0) || frames.is_empty() {
        return Err(Error::parameter("stages", stages, format!("1 to {} in each frame", header.stages)));
    }
    let size = coder.as_ref().map_or(1 << header.code_bits, |c| c.codebook_size());
    if let Some(code) = frames.codes().iter().find(|&&c| usize::from(c) >= size) {
        return Err(Error::parameter("code", code, format!("0 to {}", size - 1)));
    }
    let first = out.len();
    out.push(0);
    if in_band {
        header.write(!info.starts_stream, out);
    }
    if info.end_trim > 0 {
        put_varint(out, info.end_trim);
    }
    put_varint(out, frames.len() as u32);
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out.push(stages | flag(frames.is_variable(), VARIABLE));
    let coding = match payload::write(header, frames, coder, out) {
        Coding::FixedWidth => FIXED_WIDTH,
        Coding::RangeCoded => RANGE_CODED,
    };
    out[first] = flag(in_band, HAS_HEADER)
        | flag(info.starts_stream, STARTS_STREAM)
        | flag(info.end_trim > 0, HAS_END_TRIM)
        | coding;
    Ok(())
}

/// Appends to `out` the packet of a lower rate that `data` holds: the first `stages` stages of each frame. A packet that
/// has no more is copied; what is cut loses its copies of earlier frames. `coder` is needed for range-coded packets; `frames` is for use again.
///
/// # Errors
/// [`Error::Bitstream`] for a packet that is not valid.
pub fn cut(
    header: &StreamHeader,
    data: &[u8],
    stages: u8,
    mut coder: Option<&mut dyn CodeCoder>,
    frames: &mut Frames,
    out: &mut Vec<u8>,
) -> Result<()> {
    let packet = Packet::parse(data, &Limits::default())?;
    let info = packet.info(header)?;
    if info.stages <= stages {
        out.extend_from_slice(data);
        return Ok(());
    }
    packet.frames(header, reborrow(&mut coder), frames)?;
    frames.cut(stages);
    write_frames(header, &info, packet.header.is_some(), frames, coder, out)
}

/// Lends a coder that is needed again: `as_deref_mut` would borrow for as long as the trait object lives.
fn reborrow<'a>(coder: &'a mut Option<&mut dyn CodeCoder>) -> Option<&'a mut dyn CodeCoder> {
    match coder {
        Some(coder) => Some(&mut **coder),
        None => None,
    }
}

/// The packet `data` without the stream header that it carries; none if it carries none, or must because it starts a
/// stream.
pub fn without_header(data: &[u8]) -> Option<Vec<u8>> {
    let (&first, rest) = data.split_first()?;
    if first & (HAS_HEADER | STARTS_STREAM) != HAS_HEADER {
        return None;
    }
    let (_, length) = StreamHeader::parse(rest).ok()?;
    let mut out = Vec::with_capacity(data.len() - length);
    out.push(first & !HAS_HEADER);
    out.extend_from_slice(&rest[length..]);
    Some(out)
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
    /// What follows the head, copies and all: see [`Body::split`].
    payload: Payload<'a>,
    silence: Option<NoiseShape>,
    has_redundancy: bool,
}

impl<'a> Body<'a> {
    /// The packet's codes without what [`redundancy`](super::redundancy) has appended, and that.
    fn split(&self, header: &StreamHeader) -> Result<(Payload<'a>, Option<Copies<'a>>)> {
        if !self.has_redundancy {
            return Ok((self.payload, None));
        }
        let (data, copies) = redundancy::split(header, self.payload.data, self.payload.offset)?;
        Ok((Payload { data, ..self.payload }, Some(copies)))
    }
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
        let coding = match toc & CODING_MASK {
            FIXED_WIDTH | SILENCE => Coding::FixedWidth,
            RANGE_CODED => Coding::RangeCoded,
            other => {
                let known = format!("{FIXED_WIDTH}, {RANGE_CODED} and {SILENCE}");
                return Err(cursor.error("coding", format!("{other}, this reader knows {known}")));
            }
        };
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
        let (stages, variable, silence) = if toc & CODING_MASK == SILENCE {
            (0, false, Some(NoiseShape::parse(&mut cursor)?))
        } else {
            let (stages, variable) = stages(&mut cursor)?;
            (stages, variable, None)
        };
        let payload =
            Payload { coding, frames, stages, variable, data: cursor.rest(), offset: cursor.offset() };
        let body = Body {
            starts_stream: toc & STARTS_STREAM != 0,
            end_trim,
            payload,
            silence,
            has_redundancy: toc & HAS_REDUNDANCY != 0,
        };
        Ok(Self { header, body })
    }

    /// Checks the packet against the stream's header and returns its head.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if the packet has more stages than the stream, trims more than it holds, or has not
    /// exactly the bytes that its codes need.
    pub fn info(&self, header: &StreamHeader) -> Result<PacketInfo> {
        let Body { starts_stream, end_trim, .. } = self.body;
        let (payload, _) = self.body.split(header)?;
        let Payload { frames, stages, offset, .. } = payload;
        let fail = |field, reason| Err(Error::Bitstream { what: "packet", field, offset, reason });
        if stages > header.stages {
            return fail("stages", format!("{stages}, the stream has {}", header.stages));
        }
        payload.check(header)?;
        let info = PacketInfo { starts_stream, end_trim, frames, stages };
        let skip = if starts_stream { u32::from(header.pre_skip) } else { 0 };
        let most = (u32::from(header.hop) - 1).min(frames.saturating_mul(header.hop.into()) - skip);
        if end_trim > most {
            return fail("end trim", format!("{end_trim} samples, allowed: up to {most}"));
        }
        Ok(info)
    }

    /// How the codes are coded.
    pub fn coding(&self) -> Coding {
        self.body.payload.coding
    }

    /// Whether each frame has its own number of stages.
    pub fn is_variable(&self) -> bool {
        self.body.payload.variable
    }

    /// Unpacks the codes into `out`; the packet of a pause has none. Those of fixed width may exceed the codebook's size if that is no power of two;
    /// the quantizer refuses them.
    ///
    /// # Errors
    /// What [`Packet::info`] returns, and [`Error::Bitstream`] if the codes are range coded and do not decode, or
    /// there is no `coder` for the stream.
    pub fn frames(
        &self,
        header: &StreamHeader,
        coder: Option<&mut dyn CodeCoder>,
        out: &mut Frames,
    ) -> Result<()> {
        self.info(header)?;
        if self.body.silence.is_some() {
            out.clear(header.groups);
            return Ok(());
        }
        self.body.split(header)?.0.read(header, coder, out)
    }

    /// The background noise that the packet of a pause describes.
    pub fn silence(&self) -> Option<&NoiseShape> {
        self.body.silence.as_ref()
    }

    /// The copies of frames before the packet's first, if it carries some.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if the packet is too short for what it says.
    pub fn copies(&self, header: &StreamHeader) -> Result<Option<Copies<'a>>> {
        self.body.split(header).map(|(_, copies)| copies)
    }
}

/// The byte of the stages: how many, and whether that is the most of frames that have their own.
fn stages(cursor: &mut Cursor<'_>) -> Result<(u8, bool)> {
    let byte = cursor.rest().first().copied().unwrap_or_default();
    let (stages, variable) = (byte & !VARIABLE, byte & VARIABLE != 0);
    let least = if variable { 2 } else { 1 };
    if !cursor.rest().is_empty() && !(least..=64).contains(&stages) {
        return Err(cursor.error("stages", format!("{stages}, allowed: {least} to 64")));
    }
    cursor.byte("stages")?;
    Ok((stages, variable))
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
            let mut out = Frames::default();
            packet.frames(&sample(), None, &mut out).expect("codes of fixed width");
            let prefix: Vec<u16> = codes(3).chunks(18).flat_map(|f| f[..12].to_vec()).collect();
            assert_eq!(out.codes(), prefix);
        }
    }

    #[test]
    fn a_packet_has_the_bytes_that_the_document_says() {
        let golden = include_str!("../../../testdata/golden/packet.hex").trim();
        let info = PacketInfo { starts_stream: true, end_trim: 33, frames: 1, stages: 3 };
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
                if packet.info(&header).is_ok() {
                    let read = packet.frames(&header, None, &mut Frames::default());
                    prop_assert_eq!(read.is_ok(), packet.coding() == Coding::FixedWidth);
                    if let Ok(Some(copies)) = packet.copies(&header) {
                        (0..=copies.count()).for_each(|back| copies.frame(back, &mut Vec::new()));
                    }
                }
            }
        }
    }
}
