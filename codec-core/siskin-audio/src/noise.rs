//! Background noise between what is measured and what a packet says of it.

use super::spectrum::{Plan, Powers};
use siskin_bitstream::ComfortNoise;

/// The step of a band's scale that stands for the mean of all bands.
const BAND_ZERO: f32 = 10.0;

/// The powers that a description means.
pub(super) fn powers(plan: &Plan, shape: &ComfortNoise) -> Powers {
    let Some(level) = shape.level_db() else { return Powers::default() };
    let relative =
        shape.bands.map(|b| 10f32.powf((f32::from(b) - BAND_ZERO) * ComfortNoise::BAND_STEP_DB / 10.0));
    let scale = 10f32.powf(level / 10.0) / plan.mean_square(&relative).max(f32::MIN_POSITIVE);
    relative.map(|r| r * scale)
}

/// The nearest description of these powers; digital silence below -96 dB.
pub(super) fn describe(plan: &Plan, powers: &Powers) -> ComfortNoise {
    let mean_square = plan.mean_square(powers);
    let steps = 20.0 * mean_square.max(f32::MIN_POSITIVE).log10() + 193.0;
    if steps.is_nan() || steps < 1.0 {
        return ComfortNoise::default();
    }
    // Beside the power that each bin would have if all had the same.
    let mean = mean_square / plan.mean_square(&[1.0; ComfortNoise::BANDS]);
    let step = |power: f32| {
        let db = 10.0 * (power / mean).max(1e-9).log10();
        (db / ComfortNoise::BAND_STEP_DB + BAND_ZERO).round().clamp(0.0, 15.0) as u8
    };
    ComfortNoise { level: steps.round().min(ComfortNoise::MAX_LEVEL.into()) as u8, bands: powers.map(step) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_comes_near() {
        let plan = Plan::new(480, 24_000);
        for (level, slope) in [(-90.0f32, 0.0f32), (-50.0, 1.5), (-20.0, -2.0)] {
            let shape: Powers = std::array::from_fn(|b| 10f32.powf(-slope * b as f32 / 10.0));
            let scale = 10f32.powf(level / 10.0) / plan.mean_square(&shape);
            let asked = shape.map(|p| p * scale);
            let found = powers(&plan, &describe(&plan, &asked));
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
        assert_eq!(describe(&plan, &Powers::default()), ComfortNoise::default());
        assert_eq!(describe(&plan, &[f32::NAN; ComfortNoise::BANDS]), ComfortNoise::default());
        assert_eq!(powers(&plan, &ComfortNoise::default()), Powers::default());
        assert_eq!(describe(&plan, &[1.0; ComfortNoise::BANDS]).level, ComfortNoise::MAX_LEVEL);
    }
}
