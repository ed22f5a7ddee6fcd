//! Logits to integer probabilities, and the models that the range coder takes.

use std::borrow::Borrow;
use std::num::NonZeroU32;

use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use pulp::{Simd, WithSimd};

/// Probabilities are multiples of 2^-24.
// That of constriction's default coder. A unit for each of 65,536 entries takes 0.4 % of it.
pub(super) const PRECISION: usize = 24;
/// Fractional bits of a logit, whose unit is an octave (a factor of 2).
pub(super) const LOGIT_BITS: u32 = 8;

/// `2^(16 - i / 256)`, rounded.
static POWERS: [u32; 1 << LOGIT_BITS] = power_table();

/// Products of `2^(-1/2)`, `2^(-1/4)`, ... in 62-bit fixed point: exact by definition, as no library's power is.
const fn power_table() -> [u32; 256] {
    const ROOTS: [u64; 8] = [
        0x2d41_3ccc_fe77_9921,
        0x35d1_3f32_b5a7_5abd,
        0x3ab0_31b9_f749_0e4c,
        0x3d49_5f45_4921_b30b,
        0x3ea0_ecb6_dc8a_80cf,
        0x3f4f_8303_3d21_b05d,
        0x3fa7_8457_1ee3_e213,
        0x3fd3_b2d6_5447_b229,
    ];
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        // The exponent's bits select the factors: eight products at most, whose errors stay far below the 46 bits
        // dropped at the end.
        let (mut value, mut bit) = (1u128 << 62, 0);
        while bit < 8 {
            if i >> (7 - bit) & 1 == 1 {
                value = (value * ROOTS[bit] as u128) >> 62;
            }
            bit += 1;
        }
        table[i] = ((value + (1 << 45)) >> 46) as u32;
        i += 1;
    }
    table
}

/// How far each logit is below the highest, in 256ths of an octave. Below 2^-16 of the most likely entry nothing is left
/// but the unit that each has.
#[inline(always)]
pub(super) fn distances_below_highest(logits: &[i32]) -> impl Iterator<Item = u32> {
    let highest = logits.iter().copied().max().unwrap_or_default();
    logits.iter().map(move |&logit| highest.abs_diff(logit).min(16 << LOGIT_BITS))
}

/// Probabilities of all entries of a codebook, as multiples of `2^-PRECISION`; none is zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Distribution {
    probabilities: Vec<u32>,
    arch: pulp::Arch,
}

/// Turns logits into probabilities.
struct Normalize<'a> {
    logits: &'a [i32],
    probabilities: &'a mut [u32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    // All is integers: the vectors' width makes no difference but in time.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { logits, probabilities } = self;
        let mut sum = 0u64;
        for (weight, below) in probabilities.iter_mut().zip(distances_below_highest(logits)) {
            *weight = POWERS[(below & 0xff) as usize] >> (below >> LOGIT_BITS);
            sum += u64::from(*weight);
        }
        // One unit for each entry keeps every code codable, however unlikely the tables find it.
        let shared = (1u64 << PRECISION) - logits.len() as u64;
        // One division per distribution and a multiplication per entry, instead of a division per entry.
        let scale = (shared << 32) / sum.max(1);
        let mut given = 0u32;
        for weight in &mut *probabilities {
            *weight = 1 + ((u64::from(*weight) * scale) >> 32) as u32;
            given += *weight;
        }
        if let Some(last) = probabilities.last_mut() {
            // Rounding down leaves less than a unit per entry; the last one takes it, so that a reader needs no
            // second pass.
            *last += (1 << PRECISION) - given;
        }
    }
}

impl Distribution {
    /// Takes the logits of 2 to 65,536 entries.
    ///
    /// Each entry gets one unit, the rest is shared in proportion to `2^logit`; what rounding leaves over goes to the
    /// last entry.
    pub(super) fn set_logits(&mut self, logits: &[i32]) {
        self.probabilities.resize(logits.len(), 0);
        self.arch.dispatch(Normalize { logits, probabilities: &mut self.probabilities });
    }

    /// Entries.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.probabilities.len()
    }

    /// The part of an entry; none if there is no such entry.
    pub(super) fn part_of(&self, entry: usize) -> Option<Part> {
        let probability = NonZeroU32::new(*self.probabilities.get(entry)?)?;
        // Summed only as far as the entry: an encoder asks for one part of each distribution.
        Some(Part { left: self.probabilities[..entry].iter().sum(), probability })
    }
}

/// Where an entry lies among the probabilities.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    left: u32,
    probability: NonZeroU32,
}

#[cfg(test)]
impl Part {
    /// The probability.
    pub(super) fn size(&self) -> u32 {
        self.probability.get()
    }
}

impl EntropyModel<PRECISION> for Part {
    type Symbol = ();
    type Probability = u32;
}

impl EncoderModel<PRECISION> for Part {
    fn left_cumulative_and_probability(&self, _: impl Borrow<()>) -> Option<(u32, NonZeroU32)> {
        Some((self.left, self.probability))
    }
}

impl EntropyModel<PRECISION> for Distribution {
    type Symbol = usize;
    type Probability = u32;
}

impl DecoderModel<PRECISION> for Distribution {
    fn quantile_function(&self, quantile: u32) -> (usize, u32, NonZeroU32) {
        let (mut entry, mut left) = (0, 0u32);
        // Blocks first: their sums are quick, the entry within one is not.
        for block in self.probabilities.chunks_exact(32) {
            let right = left + block.iter().sum::<u32>();
            if right > quantile {
                break;
            }
            (entry, left) = (entry + 32, right);
        }
        let last = self.probabilities.len().saturating_sub(1);
        while entry < last && left + self.probabilities[entry] <= quantile {
            left += self.probabilities[entry];
            entry += 1;
        }
        let probability = self.probabilities.get(entry).copied().and_then(NonZeroU32::new);
        (entry.min(last), left, probability.unwrap_or(NonZeroU32::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_two() {
        for (i, &power) in POWERS.iter().enumerate() {
            let exact = 2f64.powf(16.0 - i as f64 / 256.0);
            assert!((f64::from(power) - exact).abs() < 0.51, "{i}: {power}, {exact}");
        }
    }

    #[test]
    fn probabilities_add_up_and_none_is_zero() {
        for logits in [vec![0; 2], vec![i32::MIN, i32::MAX, 0], (0..1000).map(|i| -i * 97).collect()] {
            let mut d = Distribution::default();
            d.set_logits(&logits);
            assert_eq!(d.probabilities.iter().sum::<u32>(), 1 << PRECISION);
            assert!(d.probabilities.iter().all(|&p| p > 0));
        }
    }

    #[test]
    fn each_quantile_leads_to_its_entry() {
        let mut d = Distribution::default();
        d.set_logits(&(0..100).map(|i| (i * 37 % 11) * 100).collect::<Vec<_>>());
        for entry in 0..100 {
            let part = d.part_of(entry).expect("one of 100");
            for quantile in [part.left, part.left + part.probability.get() - 1] {
                assert_eq!(d.quantile_function(quantile), (entry, part.left, part.probability));
            }
        }
        assert!(d.part_of(100).is_none());
    }
}
