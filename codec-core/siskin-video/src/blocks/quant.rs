//! Quantization steps, and what levels stand for. Integers only.

use super::coefficients::MAX_LEVEL;

/// Qualities of a frame; 0 is the finest.
pub(crate) const QUALITIES: u8 = 64;
/// Qualities for which the step doubles.
pub(crate) const OCTAVE: u8 = 8;
/// Luma steps are in 64ths of a level of 8 bits: those of qualities 0 to 7.
// round(64 * 0.75 * 2^(q / 8)).
const STEPS: [i32; OCTAVE as usize] = [48, 52, 57, 62, 68, 74, 81, 88];

/// The step of a quality, in 64ths of a level of 8 bits.
pub(super) fn step(quality: u8) -> i32 {
    STEPS[usize::from(quality % OCTAVE)] << (quality / OCTAVE)
}

/// The quality that chroma has where luma has `quality`.
// Chroma in 4:2:0 weighs about four times as much per sample as luma in the squared error over RGB, but a step half as wide
// costs luma too many bits; between the two.
pub(super) fn chroma_quality(quality: u8) -> u8 {
    quality.saturating_sub(CHROMA_FINER)
}
const CHROMA_FINER: u8 = 4;

/// What a level stands for: a coefficient of a block of `1 << log` (see [`super::transform`]).
#[inline]
pub(super) fn dequantize(level: i16, step: i32, log: u32) -> i16 {
    // Within 32 bits for all levels of up to MAX_LEVEL and steps of up to 2^14.
    const { assert!(MAX_LEVEL as i64 * (88 << 7) < 1 << 30) };
    let shift = log - 1;
    let value = (i32::from(level) * step + (1 << (shift - 1))) >> shift;
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_in_an_octave() {
        assert_eq!((step(0), step(8), step(63)), (48, 96, 88 << 7));
        assert_eq!(dequantize(3, 64, 5), 12);
        assert_eq!(dequantize(i16::MIN, step(63), 2), i16::MIN);
    }
}
