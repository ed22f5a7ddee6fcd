//! SID frames: the powers of background noise, quantized as a packet has them.

use siskin_bitstream::ComfortNoise;

use crate::spectrum::{Plan, Powers};

/// Value of a band's scale that means the mean of all bands.
// Of 0 to 15, so a band can be 30 dB below the mean of all and 15 dB above it.
const BAND_ZERO: f32 = 10.0;

/// The powers that a SID frame stands for.
pub(crate) fn powers_from_sid(plan: &Plan, shape: &ComfortNoise) -> Powers {
    let Some(level) = shape.level_db() else { return Powers::default() };
    let relative =
        shape.bands.map(|b| 10f32.powf((f32::from(b) - BAND_ZERO) * ComfortNoise::BAND_STEP_DB / 10.0));
    // Band values are relative, so that the level alone sets the power; quantization errors of the bands do not add up.
    let scale = 10f32.powf(level / 10.0) / plan.mean_square(&relative).max(f32::MIN_POSITIVE);
    relative.map(|r| r * scale)
}

/// The SID frame nearest to these powers; digital silence below -96 dB.
pub(crate) fn sid_from_powers(plan: &Plan, powers: &Powers) -> ComfortNoise {
    let mean_square = plan.mean_square(powers);
    // Half decibels, 2 * 10 log10(p) + 193: level 1 is -96 dB.
    let steps = 20.0 * mean_square.max(f32::MIN_POSITIVE).log10() + 193.0;
    // NaN powers come from NaN samples, which count as silence.
    if steps.is_nan() || steps < 1.0 {
        return ComfortNoise::default();
    }
    // Relative to the power of each bin if all had the same.
    let mean = mean_square / plan.mean_square(&[1.0; ComfortNoise::BANDS]);
    let step = |power: f32| {
        // -90 dB is below the scale's lowest value: it only keeps the logarithm finite.
        let db = 10.0 * (power / mean).max(1e-9).log10();
        (db / ComfortNoise::BAND_STEP_DB + BAND_ZERO).round().clamp(0.0, 15.0) as u8
    };
    ComfortNoise { level: steps.round().min(ComfortNoise::MAX_LEVEL.into()) as u8, bands: powers.map(step) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_frame_comes_near() {
        let plan = Plan::new(480, 24_000);
        for (level, slope) in [(-90.0f32, 0.0f32), (-50.0, 1.5), (-20.0, -2.0)] {
            let shape: Powers = std::array::from_fn(|b| 10f32.powf(-slope * b as f32 / 10.0));
            let scale = 10f32.powf(level / 10.0) / plan.mean_square(&shape);
            let asked = shape.map(|p| p * scale);
            let found = powers_from_sid(&plan, &sid_from_powers(&plan, &asked));
            let off = 10.0 * (plan.mean_square(&found) / plan.mean_square(&asked)).log10();
            assert!(off.abs() < 0.3, "level off by {off} dB");
            for (band, (f, a)) in found.iter().zip(asked).enumerate() {
                assert!((10.0 * (f / a).log10()).abs() < 2.6, "band {band} of slope {slope}: {f} {a}");
            }
        }
    }

    #[test]
    fn silence_is_silence() {
        let plan = Plan::new(480, 24_000);
        assert_eq!(sid_from_powers(&plan, &Powers::default()), ComfortNoise::default());
        assert_eq!(sid_from_powers(&plan, &[f32::NAN; ComfortNoise::BANDS]), ComfortNoise::default());
        assert_eq!(powers_from_sid(&plan, &ComfortNoise::default()), Powers::default());
        assert_eq!(sid_from_powers(&plan, &[1.0; ComfortNoise::BANDS]).level, ComfortNoise::MAX_LEVEL);
    }
}
