//! Quantizer step sizes: powers of two in sixteenths of an octave, so that one byte says which, and every machine computes
//! the same number.

use std::f32::consts::SQRT_2;

use siskin_entropy::clamp_symbol;

/// The largest index.
pub const STEPS: u8 = 255;
/// Step sizes per octave.
// A sixteenth of an octave is 4.4 %; it changes a symbol by a sixteenth of a bit, so that sizes are met within 1 or 2
// %.
const PARTS: i32 = 16;
/// The index of the step 1.
// Twelve octaves below 1 and nearly four above: parameters are small, differences between GOPs smaller.
const ONE: i32 = 192;
/// 2^(i/16), rounded to 32-bit floats.
#[rustfmt::skip]
const MANTISSAS: [f32; 16] = [
    1.0, 1.044_273_7, 1.090_507_7, 1.138_788_6, 1.189_207_1, 1.241_857_8, 1.296_839_6, 1.354_255_6,
    SQRT_2, 1.476_826_2, 1.542_210_8, 1.610_490_3, 1.681_792_9, 1.756_252_2, 1.834_008_1, 1.915_206_6,
];

/// The step size of an index: `2^((index - 192) / 16)`.
///
/// ```
/// use siskin_video::quantizer::{quantize_values, step_size};
///
/// // An octave below 1 is a half: 0.74 is nearest to 0.5.
/// assert_eq!(step_size(192 - 16), 0.5);
/// assert_eq!(quantize_values([0.74, -1.1].into_iter(), 0.5), [1, -2]);
/// ```
pub fn step_size(index: u8) -> f32 {
    let (octave, part) =
        ((i32::from(index) - ONE).div_euclid(PARTS), (i32::from(index) - ONE).rem_euclid(PARTS));
    // A power of two is exact, and so is the product.
    MANTISSAS[part as usize] * f32::from_bits(((127 + octave) as u32) << 23)
}

/// The index whose step is nearest to a step given by its natural logarithm.
pub fn nearest_step_index(log_step: f32) -> u8 {
    let index = f64::from(log_step) / std::f64::consts::LN_2 * f64::from(PARTS) + f64::from(ONE);
    index.round().clamp(0.0, STEPS.into()) as u8
}

/// Rounds values to multiples of a step size and gives the multiples; NaN becomes 0.
pub fn quantize_values(values: impl Iterator<Item = f32>, step: f32) -> Vec<i32> {
    values.map(|v| clamp_symbol(v / step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_powers_of_two() {
        for i in 0..=STEPS {
            let exact = 2f64.powf((f64::from(i) - 192.0) / 16.0);
            assert!((f64::from(step_size(i)) / exact - 1.0).abs() < 1e-7, "{i}");
            assert_eq!(nearest_step_index(step_size(i).ln()), i);
        }
        assert_eq!(step_size(192), 1.0);
        assert_eq!(step_size(176), 0.5);
    }

    #[test]
    fn nan_and_infinity_become_a_symbol() {
        let symbols = quantize_values([f32::NAN, f32::INFINITY, -1e30, 0.74].into_iter(), 0.5);
        assert_eq!(symbols, [0, 32_767, -32_768, 1]);
    }
}
