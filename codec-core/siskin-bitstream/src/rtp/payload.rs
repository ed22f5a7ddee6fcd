use crate::bytes::{BitReader, BitWriter, Cursor};
use crate::comfort_noise::ComfortNoise;
use crate::header::StreamHeader;
use crate::packet_flags::flag_bit;
use crate::{Error, Result};

// The highest bit alone: a later version may lay out all the others anew.
const VERSION: u8 = 0x80;
pub(super) const STARTS_STREAM: u8 = 0x40;
const HAS_REDUNDANCY: u8 = 0x20;
pub(super) const HAS_HEADER: u8 = 0x10;
const FRAMES_MASK: u8 = 0x0f;
/// In place of the stages: the payload is a part of a segment.
// Above all numbers of stages, which readers of before refuse.
pub(super) const SEGMENT: u8 = 0x80;

/// Most frames of one payload.
// Four bits of the first byte: 320 ms at 50 frames per second, more than a conversation can wait.
pub const MAX_FRAMES: u8 = 16;
/// Most earlier frames that a payload repeats.
// As many as a payload has frames, so that each payload can repeat the whole one before it.
pub const MAX_REDUNDANT: usize = 16;

/// What a payload holds, without its codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// The payload begins a stream.
    pub starts_stream: bool,
    /// Frames, 1 to [`MAX_FRAMES`].
    pub frames: u8,
    /// Residual stages of these frames; 0 in a SID payload, which describes comfort noise.
    pub stages: u8,
    /// Residual stages of the copies of earlier frames: the first for the frame just before the payload's first, the
    /// second for the one before that. 0 for none of that frame.
    pub redundancy: Vec<u8>,
}

impl PayloadInfo {
    /// Bytes of the payload, without a stream header.
    pub fn byte_len(&self, header: &StreamHeader) -> usize {
        // First byte and stages; the count of copies and a byte for each.
        let head = 2 + if self.redundancy.is_empty() { 0 } else { 1 + self.redundancy.len() };
        head + (self.code_count(header) * usize::from(header.code_bits)).div_ceil(8)
    }

    fn code_count(&self, header: &StreamHeader) -> usize {
        let own = usize::from(self.frames) * header.codes_per_frame(self.stages);
        own + self.redundancy.iter().map(|&s| header.codes_per_frame(s)).sum::<usize>()
    }

    fn check_counts(&self, header: &StreamHeader) -> Result<()> {
        if !(1..=MAX_FRAMES).contains(&self.frames) {
            return Err(Error::parameter("frames", self.frames, format!("1 to {MAX_FRAMES}")));
        }
        if self.redundancy.len() > MAX_REDUNDANT {
            return Err(Error::parameter(
                "redundancy",
                self.redundancy.len(),
                format!("up to {MAX_REDUNDANT}"),
            ));
        }
        // 0 is allowed in copies, where it means that there is none of that frame.
        let most = self.redundancy.iter().copied().fold(self.stages, u8::max);
        if self.stages == 0 || most > header.stages {
            return Err(Error::parameter("stages", most.min(self.stages), format!("1 to {}", header.stages)));
        }
        Ok(())
    }
}

/// Appends a payload to `out`.
///
/// `codes` holds the payload's frames, `[frame][stage][group]` with `info.stages` stages each; `redundant` holds
/// the frames before, nearest first, with at least as many stages as `info.redundancy` asks for.
///
/// # Errors
/// [`Error::Parameter`] if the counts do not fit the header or each other.
pub fn write_payload(
    header: &StreamHeader,
    info: &PayloadInfo,
    in_band: bool,
    codes: &[u16],
    redundant: &[&[u16]],
    out: &mut Vec<u8>,
) -> Result<()> {
    info.check_counts(header)?;
    let per_frame = header.codes_per_frame(info.stages);
    if codes.len() != per_frame * usize::from(info.frames) {
        let allowed = format!("{} frames of {per_frame} codes", info.frames);
        return Err(Error::parameter("codes", codes.len(), allowed));
    }
    let enough = |(&stages, frame): (&u8, &&[u16])| frame.len() >= header.codes_per_frame(stages);
    if redundant.len() < info.redundancy.len() || !info.redundancy.iter().zip(redundant).all(enough) {
        return Err(Error::parameter("redundant frames", redundant.len(), "as redundancy asks for"));
    }
    out.push(
        flag_bit(info.starts_stream, STARTS_STREAM)
            | flag_bit(!info.redundancy.is_empty(), HAS_REDUNDANCY)
            | flag_bit(in_band, HAS_HEADER)
            | (info.frames - 1),
    );
    out.push(info.stages);
    if in_band {
        header.write_to(true, out);
    }
    if !info.redundancy.is_empty() {
        out.push(info.redundancy.len() as u8);
        out.extend_from_slice(&info.redundancy);
    }
    let groups = usize::from(header.groups);
    let mut bits = BitWriter::new(out);
    for stage in 0..usize::from(info.stages) {
        for frame in codes.chunks_exact(per_frame) {
            frame[stage * groups..(stage + 1) * groups]
                .iter()
                .for_each(|&c| bits.write_bits(c, header.code_bits.into()));
        }
    }
    // Each copy's stages lie together: they are read one frame at a time, and never truncated.
    for (&stages, frame) in info.redundancy.iter().zip(redundant) {
        frame[..header.codes_per_frame(stages)]
            .iter()
            .for_each(|&c| bits.write_bits(c, header.code_bits.into()));
    }
    bits.fill_byte();
    Ok(())
}

/// Appends a SID payload to `out`: `frames` frames of comfort noise, and more until the next payload.
///
/// # Errors
/// [`Error::Parameter`] for frames out of 1 to [`MAX_FRAMES`].
pub fn write_sid_payload(
    header: &StreamHeader,
    starts_stream: bool,
    frames: u8,
    in_band: bool,
    noise: &ComfortNoise,
    out: &mut Vec<u8>,
) -> Result<()> {
    if !(1..=MAX_FRAMES).contains(&frames) {
        return Err(Error::parameter("frames", frames, format!("1 to {MAX_FRAMES}")));
    }
    out.extend_from_slice(&[
        flag_bit(starts_stream, STARTS_STREAM) | flag_bit(in_band, HAS_HEADER) | (frames - 1),
        // No stages: what makes it a SID payload.
        0,
    ]);
    if in_band {
        header.write_to(true, out);
    }
    noise.write_to(out);
    Ok(())
}

/// A payload with its codes unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// What it holds.
    pub info: PayloadInfo,
    /// The payload's frames, `[frame][stage][group]`.
    pub codes: Vec<u16>,
    /// The copies of earlier frames, nearest first, `[stage][group]` each; empty where there is none.
    pub redundant: Vec<Vec<u16>>,
    /// The comfort noise, in a SID payload.
    pub noise: Option<ComfortNoise>,
}

/// A frame of a payload, or the copy of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadFrame<'a> {
    /// Frames from the payload's first; below 0 for a copy of an earlier frame.
    pub offset: i64,
    /// The codes, `[stage][group]`.
    pub codes: &'a [u16],
}

impl Payload {
    /// The frames in the order of their time: copies of earlier ones first, where there are some.
    pub fn frames(&self) -> impl Iterator<Item = PayloadFrame<'_>> {
        let count = self.redundant.len();
        // Nearest first in the payload, oldest first here.
        let copies = self.redundant.iter().rev().enumerate();
        let copies = copies.map(move |(i, codes)| PayloadFrame { offset: i as i64 - count as i64, codes });
        let per_frame = self.codes.len() / usize::from(self.info.frames.max(1));
        let own = (0..).zip(self.codes.chunks_exact(per_frame.max(1)));
        let own = own.map(|(offset, codes)| PayloadFrame { offset, codes });
        copies.filter(|copy| !copy.codes.is_empty()).chain(own)
    }
}

/// A payload whose head has been read, which is enough to know its stream; [`bind`](Self::bind) unpacks it.
#[derive(Debug, Clone)]
pub struct PayloadHead<'a> {
    /// The stream header that the payload carries, if it does.
    pub header: Option<StreamHeader>,
    first: u8,
    data: &'a [u8],
    /// Bytes of the stream header.
    header_bytes: usize,
}

impl<'a> PayloadHead<'a> {
    /// Reads a payload's head.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for bytes that are no payload of this version.
    pub fn parse(data: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new("RTP payload", data);
        let first = cursor.read_byte("first byte")?;
        if first & VERSION != 0 {
            return Err(Cursor::new("RTP payload", data).field_error("version", "1, this reader knows 0"));
        }
        // Skipped here, as its range depends on the stream; `bind` reads it.
        cursor.read_byte("stages")?;
        if first & HAS_HEADER == 0 {
            return Ok(Self { header: None, first, data, header_bytes: 0 });
        }
        let (header, header_bytes) = StreamHeader::parse(cursor.rest())?;
        Ok(Self { header: Some(header), first, data, header_bytes })
    }

    /// Whether the payload is a part of a segment, which [`Depacketizer`](super::Depacketizer) puts together.
    pub fn is_segment(&self) -> bool {
        self.data.get(1) == Some(&SEGMENT)
    }

    pub(super) fn starts_stream(&self) -> bool {
        self.first & STARTS_STREAM != 0
    }

    /// What follows the head of a part of a segment.
    pub(super) fn segment_body(&self) -> &'a [u8] {
        self.data.get(2 + self.header_bytes..).unwrap_or_default()
    }

    /// Checks the payload against the header of its stream and unpacks it.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for anything that the format does not allow, and what [`StreamHeader::accepts`] returns if
    /// the payload carries a header.
    pub fn bind(&self, stream: &StreamHeader) -> Result<Payload> {
        self.header.as_ref().map_or(Ok(()), |carried| stream.accepts(carried))?;
        let mut cursor = Cursor::new("RTP payload", self.data);
        let first = self.first;
        cursor.read_byte("first byte")?;
        // A byte and no varint: one padded to two bytes would move everything behind it.
        let stages = cursor.read_byte("stages")?;
        if stages > stream.stages {
            return Err(cursor.field_error("stages", format!("{stages}, allowed: 0 to {}", stream.stages)));
        }
        cursor.read_bytes("stream header", self.header_bytes)?;
        if stages == 0 {
            return parse_sid(first, cursor);
        }
        let mut redundancy = Vec::new();
        if first & HAS_REDUNDANCY != 0 {
            let count = cursor.read_ranged("redundancy", 1, MAX_REDUNDANT as u32)? as usize;
            redundancy.extend_from_slice(cursor.read_bytes("redundant stages", count)?);
            if let Some(bad) = redundancy.iter().find(|&&s| s > stream.stages) {
                return Err(cursor
                    .field_error("redundant stages", format!("{bad}, the stream has {}", stream.stages)));
            }
        }
        let frames = (first & FRAMES_MASK) + 1;
        let info = PayloadInfo { starts_stream: first & STARTS_STREAM != 0, frames, stages, redundancy };
        // Exactly the bytes that the codes need: a payload has no length field, so this is what finds a cut.
        let needed = (info.code_count(stream) * usize::from(stream.code_bits)).div_ceil(8);
        let rest = cursor.rest();
        if rest.len() != needed {
            return Err(
                cursor.field_error("codes", format!("{} bytes, {frames} frames need {needed}", rest.len()))
            );
        }
        let (groups, per_frame) = (usize::from(stream.groups), stream.codes_per_frame(stages));
        let mut bits = BitReader::new(rest);
        let mut codes = vec![0; per_frame * usize::from(frames)];
        for stage in 0..usize::from(stages) {
            for frame in codes.chunks_exact_mut(per_frame) {
                let part = &mut frame[stage * groups..(stage + 1) * groups];
                part.iter_mut().for_each(|c| *c = bits.read_bits(stream.code_bits.into()));
            }
        }
        let mut copy = |&stages: &u8| -> Vec<u16> {
            // The bits go on where the frames' end, without a gap.
            (0..stream.codes_per_frame(stages)).map(|_| bits.read_bits(stream.code_bits.into())).collect()
        };
        let redundant = info.redundancy.iter().map(&mut copy).collect();
        Ok(Payload { info, codes, redundant, noise: None })
    }
}

fn parse_sid(first: u8, mut cursor: Cursor<'_>) -> Result<Payload> {
    if first & HAS_REDUNDANCY != 0 {
        return Err(cursor.field_error("redundancy", "in a SID payload"));
    }
    let noise = ComfortNoise::read_from(&mut cursor)?;
    if !cursor.rest().is_empty() {
        return Err(cursor.field_error("length", format!("{} bytes after the noise", cursor.rest().len())));
    }
    let info = PayloadInfo {
        starts_stream: first & STARTS_STREAM != 0,
        frames: (first & FRAMES_MASK) + 1,
        ..Default::default()
    };
    Ok(Payload { info, noise: Some(noise), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::sample;

    fn parse(stream: &StreamHeader, data: &[u8]) -> Result<Payload> {
        PayloadHead::parse(data)?.bind(stream)
    }

    fn frame(seed: u16, stages: usize) -> Vec<u16> {
        (0..stages as u16).map(|s| (seed * 31 + s * 7) % 1024).collect()
    }

    fn written(info: &PayloadInfo, in_band: bool) -> (Vec<u8>, Vec<u16>, Vec<Vec<u16>>) {
        let codes: Vec<u16> =
            (0..u16::from(info.frames)).flat_map(|f| frame(f, usize::from(info.stages))).collect();
        let redundant: Vec<Vec<u16>> =
            info.redundancy.iter().enumerate().map(|(i, &s)| frame(100 + i as u16, s.into())).collect();
        let parts: Vec<&[u16]> = redundant.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        write_payload(&sample(), info, in_band, &codes, &parts, &mut out).expect("valid counts");
        (out, codes, redundant)
    }

    #[test]
    fn payloads_come_back() {
        for redundancy in [vec![], vec![3], vec![6, 0, 3]] {
            for in_band in [false, true] {
                let info = PayloadInfo {
                    starts_stream: in_band,
                    frames: 2,
                    stages: 12,
                    redundancy: redundancy.clone(),
                };
                let (bytes, codes, redundant) = written(&info, in_band);
                let header_bytes = if in_band { 24 } else { 0 };
                assert_eq!(bytes.len(), info.byte_len(&sample()) + header_bytes);
                assert_eq!(PayloadHead::parse(&bytes).expect("a payload of ours").header.is_some(), in_band);
                assert_eq!(
                    parse(&sample(), &bytes).ok(),
                    Some(Payload { info, codes, redundant, noise: None })
                );
            }
        }
    }

    #[test]
    fn stages_are_one_byte() {
        let info = PayloadInfo { frames: 1, stages: 5, ..Default::default() };
        let mut padded = written(&info, false).0;
        // 5 as a varint of two bytes.
        padded.splice(1..2, [0x85, 0]);
        let error = parse(&sample(), &padded).expect_err("133 stages");
        assert!(matches!(error, Error::Bitstream { field: "stages", .. }), "{error}");
    }

    #[test]
    fn a_frame_of_six_kilobits_takes_seventeen_bytes() {
        let info = PayloadInfo { frames: 1, stages: 12, ..Default::default() };
        assert_eq!(written(&info, false).0.len(), 17);
    }

    #[test]
    fn every_truncation_and_any_longer_payload_is_refused() {
        let info = PayloadInfo { frames: 3, stages: 6, redundancy: vec![3, 3], ..Default::default() };
        let (bytes, ..) = written(&info, true);
        for cut in 0..bytes.len() {
            assert!(parse(&sample(), &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(parse(&sample(), &[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn another_bundles_payload_is_refused() {
        let (mut bytes, ..) = written(&PayloadInfo { frames: 1, stages: 3, ..Default::default() }, true);
        bytes[2 + 4] ^= 1;
        assert!(matches!(parse(&sample(), &bytes), Err(Error::WrongBundle { .. })));
    }

    #[test]
    fn a_pause_comes_back_and_takes_nine_bytes() {
        let noise = ComfortNoise { level: 90, bands: [3; ComfortNoise::BANDS] };
        for (starts_stream, in_band) in [(true, true), (false, false)] {
            let mut out = Vec::new();
            write_sid_payload(&sample(), starts_stream, 16, in_band, &noise, &mut out).expect("16 frames");
            let payload = parse(&sample(), &out).expect("a payload");
            assert_eq!(payload.noise, Some(noise));
            assert_eq!((payload.info.starts_stream, payload.info.frames), (starts_stream, 16));
            assert!((0..out.len()).all(|cut| parse(&sample(), &out[..cut]).is_err()));
            assert!(parse(&sample(), &[&out[..], &[0]].concat()).is_err());
            assert!(in_band || out.len() == 9);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(payload) = parse(&sample(), &data) {
                prop_assert_eq!(payload.codes.len(), usize::from(payload.info.frames) * usize::from(payload.info.stages));
            }
        }
    }
}
