//! What is lost where two channels are mixed down to one.

use ffmpeg_next::format::Sample;
use ffmpeg_next::frame;

/// Decibels from which on a mix has lost too much. Two channels that have nothing in common lose 3, a wide recording 4 to 6.
const TOLD_DB: f64 = 12.0;

/// Powers of two channels and of their mean, over a whole input.
#[derive(Debug, Default)]
pub(super) struct Mixdown {
    channels: f64,
    mix: f64,
}

impl Mixdown {
    /// Takes a decoded frame; only frames of two channels say something.
    pub(super) fn take(&mut self, frame: &frame::Audio) {
        if frame.channels() != 2 {
            return;
        }
        match frame.format() {
            Sample::U8(_) => self.take_as::<u8>(frame, |s| (f64::from(s) - 128.0) / 128.0),
            Sample::I16(_) => self.take_as::<i16>(frame, |s| f64::from(s) / 32_768.0),
            Sample::I32(_) => self.take_as::<i32>(frame, |s| f64::from(s) / 2_147_483_648.0),
            Sample::F32(_) => self.take_as::<f32>(frame, f64::from),
            Sample::F64(_) => self.take_as::<f64>(frame, |s| s),
            // 64-bit integers come from no decoder.
            _ => {}
        }
    }

    fn take_as<T: Copy + frame::audio::Sample>(&mut self, frame: &frame::Audio, value: impl Fn(T) -> f64)
    where
        (T, T): frame::audio::Sample,
    {
        if frame.is_planar() {
            let pairs = frame.plane::<T>(0).iter().zip(frame.plane::<T>(1));
            pairs.for_each(|(&left, &right)| self.take_pair(value(left), value(right)));
        } else {
            let pairs = frame.plane::<(T, T)>(0).iter();
            pairs.for_each(|&(left, right)| self.take_pair(value(left), value(right)));
        }
    }

    fn take_pair(&mut self, left: f64, right: f64) {
        self.channels += (left * left + right * right) / 2.0;
        self.mix += ((left + right) / 2.0).powi(2);
    }

    /// By how many decibels the mix is softer than the channels on average, where that is more than it should be.
    pub(super) fn loss(&self) -> Option<f64> {
        // The mix may be digital silence, and is then as soft as the least step of 24 bits.
        let loss = 10.0 * (self.channels / self.mix.max(self.channels * 1e-14)).log10();
        (loss > TOLD_DB).then_some(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss of tones, of which `right` makes the right channel's from time and the left one.
    fn loss(right: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let mut mixdown = Mixdown::default();
        for i in 0..48_000 {
            let time = f64::from(i) / 48_000.0;
            let left = (time * 440.0 * std::f64::consts::TAU).sin();
            mixdown.take_pair(left, right(time, left));
        }
        mixdown.loss()
    }

    #[test]
    fn only_channels_against_each_other_are_told_of() {
        assert_eq!(loss(|_, left| left), None);
        assert_eq!(loss(|_, _| 0.0), None, "3 dB, as one channel is silent");
        assert_eq!(loss(|time, _| (time * 550.0 * std::f64::consts::TAU).sin()), None);
        assert!(loss(|_, left| -left).is_some_and(|db| db > 100.0));
        assert!(loss(|_, left| -0.8 * left).is_some_and(|db| (db - 19.1).abs() < 0.1));
        assert_eq!(Mixdown::default().loss(), None, "silence");
    }
}
