//! Where contexts begin, as learned from clips (`learning.rs`): `docs/video-bitstream.md` has the formulas.

use super::contexts::COUNT;

/// A line for keyframes and one for the frames behind them: of each context two levels, at [`FINE`] and at [`COARSE`], as characters
/// from `A` on.
static TABLE: [u8; 2 * LINE] = *include_bytes!("starts.txt");
const LINE: usize = 2 * COUNT + 1;
const FIRST: u8 = b'A';
/// Qualities between which levels are interpolated.
const FINE: u8 = 8;
const COARSE: u8 = 56;

/// Levels of probability; the middle one is 1/2.
pub(super) const LEVELS: u8 = 31;

/// The probability of a level, of 65,536.
pub(super) fn probability(level: u8) -> u16 {
    let (level, middle) = (u16::from(level), u16::from(LEVELS / 2));
    if level < middle {
        return 200 + 145 * level * level;
    }
    let above = (2 * middle).saturating_sub(level);
    if level == middle { 1 << 15 } else { 65_336 - 145 * above * above }
}

/// The level at a quality, of those at both ends.
pub(super) fn between(fine: u8, coarse: u8, quality: u8) -> u8 {
    let (at, whole) = (u32::from(quality.clamp(FINE, COARSE) - FINE), u32::from(COARSE - FINE));
    ((u32::from(fine) * (whole - at) + u32::from(coarse) * at + whole / 2) / whole) as u8
}

/// The probability of a yes with which a context begins.
pub(super) fn start(is_keyframe: bool, context: usize, quality: u8) -> u16 {
    let line = if is_keyframe { 0 } else { LINE };
    let level = |i: usize| TABLE[line + 2 * context + i].saturating_sub(FIRST).min(LEVELS - 1);
    probability(between(level(0), level(1), quality))
}

/// The characters of two levels.
#[cfg(test)]
pub(super) fn characters(levels: [u8; 2]) -> [char; 2] {
    levels.map(|level| char::from(FIRST + level))
}
