//! Bits of a packet's first byte (`docs/bitstream.md`, packets).

/// The stream header follows.
pub(crate) const HAS_HEADER: u8 = 0x80;
/// First packet of a stream.
// A flag and not inferred from the header in-band, since live streams repeat the header without starting anew.
pub(crate) const STARTS_STREAM: u8 = 0x40;
/// Samples to drop at the end follow.
pub(crate) const HAS_END_TRIM: u8 = 0x20;
/// Coarse copies of earlier frames stand at the end: see [`redundancy`](crate::redundancy).
pub(crate) const HAS_REDUNDANCY: u8 = 0x10;
/// Bits 0 to 3: how the codes are coded.
// Four bits for four codings: a new coding needs no new version, and old readers refuse it by number.
pub(crate) const CODING_MASK: u8 = 0x0f;
/// Codes of fixed width.
pub(crate) const FIXED_WIDTH: u8 = 0;
/// Range-coded codes.
pub(crate) const RANGE_CODED: u8 = 1;
/// No codes but comfort noise (SID).
pub(crate) const SID: u8 = 2;
/// A segment: codes of fixed width behind an overlap and a scale.
pub(crate) const SEGMENT: u8 = 3;
/// In the byte of the stages: each frame has its own number of them.
// Fits beside the stages, which are 64 at most.
pub(crate) const VARIABLE: u8 = 0x80;

/// `bit` if it is set.
pub(crate) fn flag_bit(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}
