//! Names for how much work an encoding is given.

use std::str::FromStr;

use super::encoder::EncoderConfig;
use crate::{Error, Result};

/// Weight of a bit a pixel at quality 50, and points of quality that halve it.
const MIDDLE_LAMBDA: f64 = 10.0;
const POINTS_AN_OCTAVE: f64 = 10.0;
/// Most passes over the frames of a group.
const MAX_PASSES: u32 = 100_000;

/// How often a fit passes over the frames of a group of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// 40 passes.
    Fast,
    /// 130 passes.
    #[default]
    Medium,
    /// 400 passes, the papers' number.
    Slow,
    /// 1600 passes.
    Placebo,
}

impl Preset {
    /// All, from quick to thorough.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Medium, Self::Slow, Self::Placebo];

    /// The name that users type.
    // `fast`, `medium` and `slow` are what users of other encoders expect them to be: efforts of the block codec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "nerv-fast",
            Self::Medium => "nerv",
            Self::Slow => "nerv-slow",
            Self::Placebo => "nerv-placebo",
        }
    }

    /// An encoder's configuration with this preset's passes and rates. Short fits learn faster than the papers' long ones.
    pub fn config(self) -> EncoderConfig {
        let (epochs, rates) = match self {
            // Three quarters of the epochs go to distortion alone, as in the papers (300 and 100).
            Self::Fast => ([30, 10], [1e-2, 2e-3]),
            Self::Medium => ([100, 30], [6e-3, 1e-3]),
            Self::Slow => ([300, 100], [3e-3, 5e-4]),
            Self::Placebo => ([1200, 400], [3e-3, 5e-4]),
        };
        EncoderConfig { epochs, rates, ..EncoderConfig::default() }
    }
}

impl EncoderConfig {
    /// Sets the passes over the frames in all, a quarter of them with the bits in the loss.
    ///
    /// # Errors
    /// [`Error::Parameter`] for passes out of 2 to 100,000.
    ///
    /// ```
    /// use siskin_fit::Preset;
    ///
    /// let mut config = Preset::Slow.config();
    /// config.set_passes(40)?;
    /// assert_eq!(config.epochs, [30, 10]);
    /// # Ok::<(), siskin_fit::Error>(())
    /// ```
    pub fn set_passes(&mut self, passes: u32) -> Result<()> {
        if !(2..=MAX_PASSES).contains(&passes) {
            return Err(Error::parameter("epochs", passes, format!("2 to {MAX_PASSES}")));
        }
        // At least one, or step sizes would stay as they were guessed.
        let coding = (passes / 4).max(1);
        self.epochs = [passes - coding, coding];
        Ok(())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| Error::parameter("preset", name, Self::ALL.map(Self::name).join(", ")))
    }
}

/// The weight of a bit a pixel for a quality of 0 to 100.
///
/// # Errors
/// [`Error::Parameter`] for a quality out of that range.
///
/// ```
/// use siskin_fit::lambda_of_quality;
///
/// // Ten points of quality halve the weight of a bit.
/// assert_eq!(lambda_of_quality(50.0)?, 10.0);
/// assert_eq!(lambda_of_quality(60.0)?, 5.0);
/// assert!(lambda_of_quality(101.0).is_err());
/// # Ok::<(), siskin_fit::Error>(())
/// ```
pub fn lambda_of_quality(quality: f64) -> Result<f64> {
    if !(0.0..=100.0).contains(&quality) {
        return Err(Error::parameter("quality", quality, "0 to 100"));
    }
    Ok(MIDDLE_LAMBDA * ((50.0 - quality) / POINTS_AN_OCTAVE).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_others_are_refused() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>().ok(), Some(preset));
        }
        assert!("best".parse::<Preset>().is_err_and(|e| e.to_string().contains("nerv-fast, nerv, ")));
    }

    #[test]
    fn passes_and_qualities_keep_to_their_ranges() {
        let mut config = Preset::Fast.config();
        assert!(config.set_passes(1).is_err() && config.set_passes(100_001).is_err());
        for passes in [2, 3, 40, 100_000] {
            config.set_passes(passes).expect("in range");
            assert!(config.epochs[0] + config.epochs[1] == passes && config.epochs[1] > 0);
        }
        let qualities = [40.0, 50.0, 60.0].map(|q| lambda_of_quality(q).expect("in range"));
        assert_eq!(qualities, [20.0, 10.0, 5.0]);
        assert!(lambda_of_quality(f64::NAN).is_err() && lambda_of_quality(100.5).is_err());
    }
}
