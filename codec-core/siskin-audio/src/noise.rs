//! Background noise between what is measured and what a packet says of it.

use super::spectrum::{Plan, Powers};
use siskin_bitstream::NoiseShape;

/// The step of a band's scale that stands for the mean of all bands.
const BAND_ZERO: f32 = 10.0;

/// The powers that a description means.
pub(super) fn powers(plan: &Plan, shape: &NoiseShape) -> Powers {
    let Some(level) = shape.level_db() else { return Powers::default() };
    let relative =
        shape.bands.map(|b| 10f32.powf((f32::from(b) - BAND_ZERO) * NoiseShape::BAND_STEP_DB / 10.0));
    let scale = 10f32.powf(level / 10.0) / plan.mean_square(&relative).max(f32::MIN_POSITIVE);
    relative.map(|r| r * scale)
}

/// The nearest description of these powers; digital silence below -96 dB.
pub(super) fn describe(plan: &Plan, powers: &Powers) -> NoiseShape {
    let mean_square = plan.mean_square(powers);
    let steps = 20.0 * mean_square.max(f32::MIN_POSITIVE).log10() + 193.0;
    if steps.is_nan() || steps < 1.0 {
        return NoiseShape::default();
    }
    // Beside the power that each bin would have if all had the same.
    let mean = mean_square / plan.mean_square(&[1.0; NoiseShape::BANDS]);
    let step = |power: f32| {
        let db = 10.0 * (power / mean).max(1e-9).log10();
        (db / NoiseShape::BAND_STEP_DB + BAND_ZERO).round().clamp(0.0, 15.0) as u8
    };
    NoiseShape { level: steps.round().min(NoiseShape::MAX_LEVEL.into()) as u8, bands: powers.map(step) }
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
        assert_eq!(describe(&plan, &Powers::default()), NoiseShape::default());
        assert_eq!(describe(&plan, &[f32::NAN; NoiseShape::BANDS]), NoiseShape::default());
        assert_eq!(powers(&plan, &NoiseShape::default()), Powers::default());
        assert_eq!(describe(&plan, &[1.0; NoiseShape::BANDS]).level, NoiseShape::MAX_LEVEL);
    }
}
