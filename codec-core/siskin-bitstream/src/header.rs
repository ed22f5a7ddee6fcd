use std::fmt;

use crate::bytes::{Cursor, put_varint};
use crate::{Error, Result};

/// First bytes of every stream header.
// Checked first, so that other data are refused as no Siskin audio and not by the range of some field.
const MAGIC: [u8; 3] = *b"SKA";
/// The only version so far.
const VERSION: u8 = 1;

/// What names a bundle in a stream: the first 8 bytes of its hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
// Eight bytes are enough to tell bundles apart (among a thousand, two are alike with a probability of 3e-14) and
// cost a quarter of the hash in each in-band header.
pub struct BundleId(pub [u8; 8]);

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In hexadecimal, as messages, docs and SDP have it.
        write!(f, "BundleId({self})")
    }
}

/// What a decoder needs to know before the first packet of an audio stream.
///
/// It stands in the container (Matroska `CodecPrivate`, caps field `streamheader`) and in-band at joining points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHeader {
    /// The bundle that decodes the stream.
    pub bundle: BundleId,
    /// The bundle's name, for messages; empty in the short in-band form.
    pub bundle_name: String,
    /// Samples a second, 1 to 768,000.
    pub sample_rate: u32,
    /// Channels, 1 to 255.
    pub channels: u8,
    /// Samples a codec frame and channel, 1 to 65,535.
    pub hop: u16,
    /// Codebooks a residual stage (1 for RVQ, more for group-residual VQ), 1 to 16.
    pub groups: u8,
    /// Residual stages of the bundle, 1 to 64; packets may carry fewer.
    pub stages: u8,
    /// Bits of one code, 1 to 16.
    pub code_bits: u8,
    /// Samples to drop from the start of the decoded stream, the codec's delay; the first packet holds more.
    pub pre_skip: u16,
}

impl StreamHeader {
    /// Longest bundle name, in bytes of UTF-8.
    pub const MAX_NAME: usize = 64;

    /// Codes in one frame at `stages` residual stages.
    pub fn codes_per_frame(&self, stages: u8) -> usize {
        usize::from(stages) * usize::from(self.groups)
    }

    /// Bits a second of the bare codes at `stages` residual stages.
    ///
    /// ```
    /// use siskin_bitstream::{BundleId, StreamHeader};
    ///
    /// let header = StreamHeader {
    ///     bundle: BundleId([0; 8]),
    ///     bundle_name: "speech-24k".into(),
    ///     sample_rate: 24_000,
    ///     channels: 1,
    ///     hop: 480,
    ///     groups: 2,
    ///     stages: 9,
    ///     code_bits: 10,
    ///     pre_skip: 240,
    /// };
    /// assert_eq!((header.frame_rate(), header.code_rate(6)), (50.0, 6000.0));
    /// ```
    pub fn code_rate(&self, stages: u8) -> f64 {
        let bits = self.codes_per_frame(stages) * usize::from(self.code_bits);
        bits as f64 * self.frame_rate()
    }

    /// Checks that the stream has so many residual stages.
    ///
    /// # Errors
    /// [`Error::Parameter`] for 0 or more than the bundle has.
    pub fn check_stages(&self, stages: u8) -> Result<()> {
        if (1..=self.stages).contains(&stages) {
            return Ok(());
        }
        Err(Error::parameter("stages", stages, format!("1 to {}", self.stages)))
    }

    /// Codec frames a second.
    pub fn frame_rate(&self) -> f64 {
        f64::from(self.sample_rate) / f64::from(self.hop)
    }

    /// Appends the header's bytes; without the bundle's name if `short`.
    pub fn write_to(&self, short: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.bundle.0);
        put_varint(out, self.sample_rate);
        out.push(self.channels);
        put_varint(out, self.hop.into());
        out.extend_from_slice(&[self.groups, self.stages, self.code_bits]);
        put_varint(out, self.pre_skip.into());
        let name = if short { "" } else { &self.bundle_name };
        // The name is for messages only, so a long one is cut, between characters since readers want UTF-8; bundles
        // refuse names beyond the bound when they are loaded.
        let end = name.floor_char_boundary(Self::MAX_NAME);
        out.push(end as u8);
        out.extend_from_slice(&name.as_bytes()[..end]);
    }

    /// The header's bytes in the long form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(false, &mut out);
        out
    }

    /// Reads a header from the start of `data`; the second value is its length in bytes.
    ///
    /// # Errors
    /// [`Error::Bitstream`](crate::Error::Bitstream) for anything outside the ranges above.
    pub fn parse(data: &[u8]) -> Result<(Self, usize)> {
        let mut cursor = Cursor::new("stream header", data);
        if cursor.read_bytes("magic", MAGIC.len())? != MAGIC {
            return Err(Cursor::new("stream header", data).field_error("magic", "not a Siskin audio stream"));
        }
        if cursor.rest().first().is_some_and(|&v| v != VERSION) {
            let found = cursor.rest()[0];
            return Err(cursor.field_error("version", format!("{found}, this reader knows {VERSION}")));
        }
        cursor.read_byte("version")?;
        let mut id = [0; 8];
        id.copy_from_slice(cursor.read_bytes("bundle id", 8)?);
        // 768 kHz is the highest rate of audio converters.
        let sample_rate = cursor.read_ranged("sample rate", 1, 768_000)?;
        let channels = byte_in(&mut cursor, "channels", 1, 255)?;
        let hop = cursor.read_ranged("hop", 1, u16::MAX.into())? as u16;
        let groups = byte_in(&mut cursor, "groups", 1, 16)?;
        let stages = byte_in(&mut cursor, "stages", 1, 64)?;
        let code_bits = byte_in(&mut cursor, "code bits", 1, 16)?;
        // The first packet carries it whole, which `Packet::bind` checks.
        let pre_skip = cursor.read_ranged("pre-skip", 0, u16::MAX.into())? as u16;
        let name_len = byte_in(&mut cursor, "name length", 0, Self::MAX_NAME as u8)?;
        let name = cursor.read_bytes("name", name_len.into())?;
        let bundle_name = std::str::from_utf8(name).map_err(|e| cursor.field_error("name", e))?.to_owned();
        let header = Self {
            bundle: BundleId(id),
            bundle_name,
            sample_rate,
            channels,
            hop,
            groups,
            stages,
            code_bits,
            pre_skip,
        };
        Ok((header, cursor.offset()))
    }

    /// The same without the bundle's name; allocates nothing.
    #[must_use]
    pub fn without_name(&self) -> Self {
        Self { bundle_name: String::new(), ..*self }
    }

    /// Checks that what decodes this stream decodes the stream of `other` too.
    ///
    /// # Errors
    /// [`Error::WrongBundle`] if that one needs another bundle, [`Error::Bitstream`] if it needs the same bundle and
    /// says that the bundle is what it is not.
    pub fn accepts(&self, other: &Self) -> Result<()> {
        // The short in-band form has no name, so names never decide.
        if other.without_name() == self.without_name() {
            return Ok(());
        }
        // Asked first: it is what a user can mend, by installing the bundle.
        if other.bundle != self.bundle {
            return Err(other.wrong_bundle(format!("{} ({})", self.bundle_name, self.bundle)));
        }
        // The id covers networks and codebooks, which fix the shape: this header is forged or damaged, or the manifest
        // was changed by hand.
        let reason = format!("not that of {}, the bundle that the header names", self.bundle_name);
        // The shape begins behind magic, version and bundle id.
        Err(Error::bitstream("stream header", "shape", 12, reason))
    }

    /// The error that this stream's bundle is missing; `found` names what there is instead.
    pub fn wrong_bundle(&self, found: String) -> Error {
        Error::WrongBundle {
            needed_name: self.bundle_name.clone(),
            needed_id: self.bundle.to_string(),
            found,
        }
    }

    /// Whether both headers describe the same stream: a short form equals its long one.
    pub fn same_stream(&self, other: &Self) -> bool {
        // Names count only where both headers have one; two that differ are taken for two streams.
        let names = self.bundle_name.is_empty() || other.bundle_name.is_empty();
        names && self.without_name() == other.without_name() || self == other
    }
}

fn byte_in(cursor: &mut Cursor<'_>, field: &'static str, low: u8, high: u8) -> Result<u8> {
    match cursor.rest().first() {
        // Looked at before it is read, so that the error's offset is the field's own.
        Some(b) if !(low..=high).contains(b) => {
            Err(cursor.field_error(field, format!("{b}, allowed: {low} to {high}")))
        }
        _ => cursor.read_byte(field),
    }
}

#[cfg(test)]
pub(crate) fn sample() -> StreamHeader {
    StreamHeader {
        bundle: BundleId([1, 2, 3, 4, 5, 6, 7, 8]),
        bundle_name: "speech-24k".into(),
        sample_rate: 24_000,
        channels: 1,
        hop: 480,
        groups: 1,
        stages: 18,
        code_bits: 10,
        pre_skip: 240,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_forms_come_back() {
        let header = sample();
        let long = header.to_bytes();
        assert_eq!(long.len(), 34);
        assert_eq!(StreamHeader::parse(&long).ok(), Some((header.clone(), 34)));
        let mut short = Vec::new();
        header.write_to(true, &mut short);
        let (parsed, length) = StreamHeader::parse(&short).expect("a short header");
        assert_eq!((length, parsed.bundle_name.as_str()), (24, ""));
        assert!(parsed.same_stream(&header));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut header = sample();
        header.bundle_name = format!("{}ü", "x".repeat(StreamHeader::MAX_NAME - 1));
        let (parsed, _) = StreamHeader::parse(&header.to_bytes()).expect("UTF-8");
        assert_eq!(parsed.bundle_name, "x".repeat(StreamHeader::MAX_NAME - 1));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let long = sample().to_bytes();
        for cut in 0..long.len() {
            assert!(StreamHeader::parse(&long[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_forged_shape_is_not_another_bundle() {
        let (own, mut other) = (sample(), sample());
        other.bundle_name.clear();
        assert!(own.accepts(&other).is_ok());
        other.hop = 240;
        assert!(matches!(own.accepts(&other), Err(Error::Bitstream { field: "shape", .. })));
        other.bundle.0[0] ^= 1;
        assert!(matches!(own.accepts(&other), Err(Error::WrongBundle { .. })));
    }

    #[test]
    fn rates() {
        assert_eq!(sample().code_rate(12), 6000.0);
        assert_eq!(sample().codes_per_frame(3), 3);
    }
}
