//! Rate control: which quality the next picture gets so that bits come out as asked, a second at a time.

/// Bits fall by this power of the step, about.
const POWER: f64 = 1.1;
/// Seconds over which what was spent too much is saved again.
const HORIZON: f64 = 1.0;
/// Largest change of quality from one predicted picture to the next.
const MOST_CHANGE: f64 = 4.0;

/// Chooses qualities for a bit rate.
#[derive(Debug, Clone)]
pub(super) struct RateControl {
    /// Bits a second.
    rate: f64,
    /// Qualities for which the step doubles, and how many there are.
    octave: f64,
    qualities: f64,
    /// Bits times step to the power, of pictures that stand alone and of predicted ones.
    costs: [Option<f64>; 2],
    /// Bits spent beyond what time has allowed.
    debt: f64,
    last: Option<f64>,
}

impl RateControl {
    pub(super) fn new(rate: f64, octave: f32, qualities: u16) -> Self {
        Self {
            rate,
            octave: octave.into(),
            qualities: qualities.into(),
            costs: [None; 2],
            debt: 0.0,
            last: None,
        }
    }

    /// Another bit rate from now on.
    pub(super) fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// The quality of the next picture, which lasts `seconds`; one of `interval` stands alone. `pixels` is its size.
    pub(super) fn choose(&self, key: bool, seconds: f64, interval: u32, pixels: usize) -> u8 {
        let share = self.rate * seconds;
        let own = self.costs[usize::from(!key)].or(self.costs[usize::from(key)].map(|c| {
            // What is known of the other kind: one that stands alone costs some four times as much.
            if key { c * 4.0 } else { c / 4.0 }
        }));
        // About what pictures need at a step of 1 where nothing is known yet.
        let cost = own.unwrap_or(pixels as f64 * if key { 6.0 } else { 1.5 });
        let interval = f64::from(interval.max(2));
        let bits = if key {
            share * interval.min(HORIZON / seconds.max(1e-3)).max(4.0) * 0.35
        } else {
            // What a key picture takes is spread over those that follow.
            let quality = self.last.unwrap_or(0.0);
            let of_key = self.costs[0].map_or(0.0, |c| c / (quality / self.octave).exp2().powf(POWER));
            let rest = (share * interval - of_key).max(share * interval * 0.2) / (interval - 1.0);
            (rest - self.debt * seconds / HORIZON).max(share * 0.15)
        };
        let quality = (cost / bits.max(1.0)).powf(1.0 / POWER).log2() * self.octave;
        let near = match self.last {
            Some(last) if !key => quality.clamp(last - MOST_CHANGE, last + MOST_CHANGE),
            _ => quality,
        };
        near.clamp(0.0, self.qualities - 1.0).round() as u8
    }

    /// Learns what a picture took.
    pub(super) fn spent(&mut self, key: bool, quality: u8, bits: f64, seconds: f64) {
        let cost = bits.max(1.0) * (f64::from(quality) / self.octave).exp2().powf(POWER);
        let mean = &mut self.costs[usize::from(!key)];
        *mean = Some(mean.map_or(cost, |m| if key { 0.5 * m + 0.5 * cost } else { 0.75 * m + 0.25 * cost }));
        // Long ease must not be paid back by a burst.
        let ease = -self.rate * HORIZON;
        self.debt = (self.debt + bits - self.rate * seconds).max(ease);
        self.last = Some(quality.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose pictures cost bits by a power of the step that the control does not know exactly.
    fn run(rate: f64, power: f64, cost: impl Fn(u32) -> f64) -> f64 {
        let mut control = RateControl::new(rate, 8.0, 48);
        let (mut all, frames) = (0.0, 300);
        for i in 0..frames {
            let key = i % 60 == 0;
            let quality = control.choose(key, 1.0 / 30.0, 60, 100_000);
            let bits = cost(i) * if key { 6.0 } else { 1.0 } / (f64::from(quality) / 8.0).exp2().powf(power);
            control.spent(key, quality, bits, 1.0 / 30.0);
            all += bits;
        }
        all / (f64::from(frames) / 30.0)
    }

    #[test]
    fn the_rate_comes_out_as_asked() {
        for (rate, power) in [(200e3, 0.9), (500e3, 1.3), (1e6, 1.6)] {
            let found = run(rate, power, |i| 150e3 * (1.0 + 0.5 * (f64::from(i) / 40.0).sin()));
            assert!((found / rate - 1.0).abs() < 0.1, "{found} of {rate}");
        }
    }
}
