//! Rate control: which quality the next frame gets so that the bit rate is met over a second.

use std::collections::VecDeque;

/// Bits fall with this power of the qstep, about; learning from every frame makes up for the rest.
// The tests hold the rate within a tenth for sources of 0.9 to 1.6, so the exact value matters little.
const POWER: f64 = 1.1;
/// Seconds over which the reservoir is filled again: longer lets the rate drift, shorter makes quality restless.
const HORIZON: f64 = 1.0;
/// Largest change of quality from one predicted frame to the next, so that one costly frame does not show as a jump.
const MAX_CHANGE: f64 = 4.0;
/// So many frames that are coded together may change by that together: by more than that from one packet to the next shows.
const MAX_CHANGES: usize = 2;
/// The last frame of a packet of several costs so many times what another one does, about: a packet of three frames costs more
/// than three eighths of one of eight.
const LAST_FRAME_COST: f64 = 5.0;
/// The part that a packet of several frames has in what is learned, at most.
const MAX_PACKET_WEIGHT: f64 = 0.5;
/// A packet of several frames that takes this many times what it should is coded again.
const MAX_PACKET_EXCESS: f64 = 1.4;
/// Bits of a keyframe over those of a predicted frame at one quality, as long as only one kind has been seen.
const KEYFRAME_RATIO: f64 = 4.0;
/// A keyframe gets at most this part of the bits of a second, or of the time since the keyframe before: what more it took, the
/// frames behind it would lack.
const KEYFRAME_SHARE: f64 = 0.35;
/// After too much has been spent a keyframe still gets this part of that, as it must come.
const MIN_KEYFRAME_PART: f64 = 0.25;
/// A keyframe that takes this many times what it should is coded again.
const MAX_KEYFRAME_EXCESS: f64 = 1.15;
/// A predicted frame by itself that takes this part of a second's bits is coded again.
// What changes all at once and is no new scene took up to .77 of a second's bits in one frame, and the worst second 1.1 to 1.7 times
// the rate; with this and the limit of keyframes it takes 1.1 to 1.36 (bikes, Bunny, carphone and cuts at three rates each).
const MAX_FRAME_PART: f64 = 0.2;
/// How much coarser it may become at a time.
const MAX_FRAME_CHANGE: u8 = 8;
/// No second should take more than this many times its bits: what would is given less, and coded again.
// Budgets and their excess are each within bounds, but a keyframe and two packets behind it that took a third more each were 1.47 times the
// rate, and cuts 16 frames apart 1.69 times; with this 1.36 at most (nine clips at three rates each, lookahead of 8).
const MAX_SECOND: f64 = 1.35;
/// However much was taken in the last second, this part of a budget stays: else quality would fall for a packet alone.
const MIN_ROOM: f64 = 0.4;
/// However much the keyframe takes, this part of the bits of an interval stays for its predicted frames.
const MIN_PREDICTED_SHARE: f64 = 0.2;
/// Seconds of the rate by which more may have been spent than allowed before the controller is in debt: a keyframe takes up to
/// [`KEYFRAME_SHARE`]. In debt quality falls as far as it has to at once, and no scene cut makes a keyframe.
const MAX_DEBT: f64 = 0.5;
/// A frame that costs this many times the mean has changed the source, and counts more than others from then on.
const SURPRISE: f64 = 2.0;
/// Costs of predicted frames follow those of keyframes from scene to scene by this power.
const SCENE_POWER: f64 = 0.5;
/// However empty the reservoir is, a predicted frame gets this part of its mean bits, so that motion never stops.
const MIN_FRAME_SHARE: f64 = 0.15;

/// Chooses qualities for a bit rate; its model is `bits = cost / qstep^POWER`.
#[derive(Debug, Clone)]
pub(crate) struct RateController {
    /// Bits per second.
    rate: f64,
    /// Qualities for which the qstep doubles, and how many there are.
    octave: f64,
    qualities: f64,
    /// Bits per pixel of keyframes and of predicted frames at quality 0 before any frame: guesses that the first frame replaces.
    guesses: [f64; 2],
    /// Costs of keyframes and of predicted frames, as learned.
    costs: [Option<f64>; 2],
    /// Bits that time has allowed beyond those spent; below 0 where too much was spent.
    reservoir: f64,
    last: Option<f64>,
    /// Seconds since the last keyframe began; none before the first.
    since_keyframe: Option<f64>,
    /// Bits of the last packets, as parts of a second's, and how long they last: together at least a second.
    recent: VecDeque<(f64, f64)>,
}

impl RateController {
    pub(crate) fn new(rate: f64, octave: f32, qualities: u16) -> Self {
        Self {
            rate,
            octave: octave.into(),
            qualities: qualities.into(),
            guesses: [6.0, 1.5],
            costs: [None; 2],
            reservoir: 0.0,
            last: None,
            since_keyframe: None,
            recent: VecDeque::new(),
        }
    }

    /// With other guesses of the bits per pixel of keyframes and of predicted frames at quality 0.
    pub(crate) fn with_guesses(self, guesses: [f64; 2]) -> Self {
        Self { guesses, ..self }
    }

    /// Another bit rate from now on.
    pub(crate) fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// The quality of the next frame, which lasts `seconds`; one of `interval` is a keyframe. `pixels` is its size.
    pub(crate) fn choose_quality(&self, is_keyframe: bool, seconds: f64, interval: u32, pixels: usize) -> u8 {
        self.choose_quality_of(is_keyframe, (1, seconds), interval, pixels)
    }

    /// The same of the next frames, of which each lasts `seconds`.
    pub(crate) fn choose_quality_of(
        &self,
        is_keyframe: bool,
        (frames, seconds): (usize, f64),
        interval: u32,
        pixels: usize,
    ) -> u8 {
        // A keyframe in the middle of a scene and the frames around it have content in common, so either predicts the
        // other better than a constant.
        let [keyframe, predicted] = self.costs;
        let own = if is_keyframe {
            // A keyframe is never cheaper than a predicted frame, which shows earlier that the source has become dearer.
            keyframe.map(|c| predicted.map_or(c, |p| c.max(p))).or(predicted.map(|c| c * KEYFRAME_RATIO))
        } else {
            predicted.or(keyframe.map(|c| c / KEYFRAME_RATIO))
        };
        let cost = own.unwrap_or(pixels as f64 * self.guesses[usize::from(!is_keyframe)]);
        let bits = match is_keyframe {
            true => self.keyframe_budget(seconds, interval),
            false => self.predicted_budget(seconds, interval),
        };
        let count = frames.max(1) as f64;
        let bits = bits.min(self.room(count * bits, count * seconds) / count);
        let cost = cost * frames_worth(frames) / count;
        let quality = (cost / bits.max(1.0)).powf(1.0 / POWER).log2() * self.octave;
        let near = match self.last {
            // Keyframes are free to jump: a scene cut changes what is seen anyway.
            Some(last) if !is_keyframe => {
                let change = MAX_CHANGE * frames.min(MAX_CHANGES) as f64;
                let worst = if self.is_in_debt() { f64::INFINITY } else { last + change };
                quality.clamp(last - change, worst)
            }
            _ => quality,
        };
        near.clamp(0.0, self.qualities - 1.0).round() as u8
    }

    /// Bits that a keyframe should take.
    fn keyframe_budget(&self, seconds: f64, interval: u32) -> f64 {
        // At least four frames' worth: a keyframe costs several predicted ones, however short the interval is.
        // Where cuts follow one another, each keyframe has what the last scene has earned: nine cuts in six seconds took 6 to 7 %
        // above the rate, and their worst second 1.7 times.
        let earned = self.since_keyframe.unwrap_or(HORIZON).min(HORIZON);
        let frames = f64::from(interval.max(2)).min(earned / seconds.max(1e-3)).max(4.0);
        let most = self.rate * seconds * frames * KEYFRAME_SHARE;
        (most + self.reservoir.min(0.0)).max(most * MIN_KEYFRAME_PART)
    }

    /// Bits that a predicted frame should take.
    fn predicted_budget(&self, seconds: f64, interval: u32) -> f64 {
        let (share, interval) = (self.rate * seconds, f64::from(interval.max(2)));
        // What the keyframe takes is spread over the frames that follow.
        // The keyframe's cost at the current quality, as if it had been coded with it.
        let quality = self.last.unwrap_or(0.0);
        let of_keyframe = self.costs[0].map_or(0.0, |c| c / (quality / self.octave).exp2().powf(POWER));
        let rest =
            (share * interval - of_keyframe).max(share * interval * MIN_PREDICTED_SHARE) / (interval - 1.0);
        // Each frame pays back its part of the debt, so the reservoir decays within the horizon and does not
        // oscillate.
        (rest + self.reservoir * seconds / HORIZON).max(share * MIN_FRAME_SHARE)
    }

    /// Bits that a packet of so many `seconds` may take, if the second that ends with it is to take no more than it may. It is never far
    /// below the packet's `budget`.
    fn room(&self, budget: f64, seconds: f64) -> f64 {
        let (mut left, mut spent) = (HORIZON - seconds, 0.0);
        for &(part, seconds) in self.recent.iter().rev().filter(|(_, seconds)| *seconds > 0.0) {
            spent += part * (left.max(0.0) / seconds).min(1.0);
            left -= seconds;
        }
        (self.rate * (MAX_SECOND * seconds.max(HORIZON) - spent)).max(MIN_ROOM * budget)
    }

    /// The quality that a keyframe should have had, if it took far more `bits` than it should with this one: a new scene says
    /// nothing of its cost before it is coded.
    pub(crate) fn second_quality(&self, quality: u8, bits: f64, seconds: f64, interval: u32) -> Option<u8> {
        let budget = self.keyframe_budget(seconds, interval);
        let room = self.coarser(quality, bits / self.room(budget, seconds), 1.0);
        self.coarser(quality, bits / budget, MAX_KEYFRAME_EXCESS).max(room)
    }

    /// The same of a packet of predicted frames of which each lasts `seconds`.
    pub(crate) fn second_quality_of(
        &self,
        quality: u8,
        bits: f64,
        (frames, seconds): (usize, f64),
        interval: u32,
    ) -> Option<u8> {
        let budget = frames as f64 * self.predicted_budget(seconds, interval);
        // In small steps: a page that was coarse takes ten times the bits where it becomes finer, and no more than half as many where
        // that stops short.
        let room = self.coarser(quality, bits / self.room(budget, frames as f64 * seconds), 1.0);
        let second = self.coarser(quality, bits / budget, MAX_PACKET_EXCESS).max(room)?;
        Some(second.min(quality + MAX_CHANGE as u8))
    }

    /// The same of a predicted frame by itself that lasts `seconds`.
    pub(crate) fn second_quality_of_frame(
        &self,
        quality: u8,
        bits: f64,
        seconds: f64,
        interval: u32,
    ) -> Option<u8> {
        let budget = self.predicted_budget(seconds, interval);
        let most =
            (MAX_PACKET_EXCESS * budget).max(self.rate * MAX_FRAME_PART).min(self.room(budget, seconds));
        let second = self.coarser(quality, bits / most, 1.0)?;
        Some(second.min(quality + MAX_FRAME_CHANGE))
    }

    /// The quality that would have taken so many times fewer bits, if they were more than `most` times too many.
    fn coarser(&self, quality: u8, over: f64, most: f64) -> Option<u8> {
        let wanted = f64::from(quality) + over.powf(1.0 / POWER).log2() * self.octave;
        let wanted = wanted.round().min(self.qualities - 1.0) as u8;
        (over > most && wanted > quality).then_some(wanted)
    }

    /// Whether far more has been spent than time has allowed.
    pub(crate) fn is_in_debt(&self) -> bool {
        self.reservoir < -self.rate * MAX_DEBT
    }

    /// Whether the next predicted frame, of this quality, must repeat the frame before: quality can fall no further, and the debt
    /// would only grow. So noise at a few bits per pixel becomes a lower frame rate.
    pub(crate) fn must_repeat_frame(&self, quality: u8) -> bool {
        self.is_in_debt() && f64::from(quality) >= self.qualities - 1.0
    }

    /// Learns from the bits of a frame.
    pub(crate) fn record_frame(&mut self, is_keyframe: bool, quality: u8, bits: f64, seconds: f64) {
        self.record_frames(is_keyframe, quality, bits, (1, seconds));
    }

    /// Learns from the bits of frames that have one quality and last `seconds` in all.
    pub(crate) fn record_frames(
        &mut self,
        is_keyframe: bool,
        quality: u8,
        bits: f64,
        (frames, seconds): (usize, f64),
    ) {
        self.since_keyframe =
            if is_keyframe { Some(seconds) } else { self.since_keyframe.map(|s| s + seconds) };
        // Normalized to a qstep of 1, so that frames of different qualities teach one number.
        let cost =
            (bits / frames_worth(frames)).max(1.0) * (f64::from(quality) / self.octave).exp2().powf(POWER);
        if let ([Some(keyframe), Some(predicted)], true) = (&mut self.costs, is_keyframe) {
            // A new scene that is dearer in its keyframe will be in what follows.
            *predicted *= (cost / *keyframe).clamp(0.25, 4.0).powf(SCENE_POWER);
        }
        let mean = &mut self.costs[usize::from(!is_keyframe)];
        // Keyframes are seldom, so each counts more.
        let weight = if is_keyframe || mean.is_some_and(|m| cost > m * SURPRISE) { 0.5 } else { 0.25 };
        // As if each frame had been recorded by itself.
        let weight = (1.0 - f64::powf(1.0 - weight, frames.max(1) as f64)).min(weight.max(MAX_PACKET_WEIGHT));
        *mean = Some(mean.map_or(cost, |m| (1.0 - weight) * m + weight * cost));
        self.spend(bits, seconds);
        self.last = Some(quality.into());
    }

    /// Takes note of a frame that repeats the one before, whose bits say nothing of the source.
    pub(crate) fn record_repeated_frame(&mut self, bits: f64, seconds: f64) {
        self.since_keyframe = self.since_keyframe.map(|s| s + seconds);
        self.spend(bits, seconds);
    }

    /// Takes bits from the reservoir, and notes when.
    fn spend(&mut self, bits: f64, seconds: f64) {
        // The reservoir holds a second at most: a long still must not be followed by a burst.
        self.reservoir = (self.reservoir - bits + self.rate * seconds).min(self.rate * HORIZON);
        self.recent.push_back((bits / self.rate, seconds));
        let mut all: f64 = self.recent.iter().map(|(_, seconds)| seconds).sum();
        while let Some((_, first)) = self.recent.front().filter(|(_, first)| all - first >= HORIZON) {
            all -= first;
            self.recent.pop_front();
        }
    }
}

/// What frames of one packet cost, in frames of a packet of eight.
fn frames_worth(frames: usize) -> f64 {
    const USUAL: f64 = 8.0;
    match frames {
        0 | 1 => 1.0,
        n => (LAST_FRAME_COST + n as f64 - 1.0) * USUAL / (LAST_FRAME_COST + USUAL - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose frames cost bits by a power of the qstep that the controller does not know exactly.
    fn run(rate: f64, power: f64, cost: impl Fn(u32) -> f64) -> f64 {
        let mut control = RateController::new(rate, 8.0, 48);
        let (mut all, frames) = (0.0, 300);
        for i in 0..frames {
            let is_keyframe = i % 60 == 0;
            let quality = control.choose_quality(is_keyframe, 1.0 / 30.0, 60, 100_000);
            let bits =
                cost(i) * if is_keyframe { 6.0 } else { 1.0 } / (f64::from(quality) / 8.0).exp2().powf(power);
            control.record_frame(is_keyframe, quality, bits, 1.0 / 30.0);
            all += bits;
        }
        all / (f64::from(frames) / 30.0)
    }

    #[test]
    fn a_source_that_turns_to_noise_keeps_the_rate() {
        // Thirty times the bits from one frame to the next, and the keyframes cost no more than predicted frames.
        let (rate, seconds) = (300e3, 1.0 / 30.0);
        let mut control = RateController::new(rate, 8.0, 48);
        let mut seconds_of_bits = [0.0; 10];
        for i in 0..300u32 {
            let is_keyframe = i % 60 == 0;
            let quality = control.choose_quality(is_keyframe, seconds, 60, 100_000);
            let cost = if i < 100 { 20e3 } else { 600e3 };
            let bits = cost / (f64::from(quality) / 8.0).exp2().powf(1.3);
            control.record_frame(is_keyframe, quality, bits, seconds);
            seconds_of_bits[i as usize / 30] += bits;
        }
        // The second in which it turns may take more, none after it.
        assert!(seconds_of_bits[4..].iter().all(|&bits| bits < 1.3 * rate), "{seconds_of_bits:.0?}");
        assert!(seconds_of_bits[4..].iter().sum::<f64>() > 0.7 * 6.0 * rate, "{seconds_of_bits:.0?}");
        assert!(seconds_of_bits[3] < 4.0 * rate, "{seconds_of_bits:.0?}");
    }

    #[test]
    fn a_frame_that_would_take_much_of_a_second_is_coded_again() {
        let (rate, seconds) = (300e3, 0.04);
        let mut control = RateController::new(rate, 8.0, 48);
        (0..50).for_each(|i| control.record_frame(i == 0, 20, if i == 0 { 60e3 } else { 10e3 }, seconds));
        let second = |quality, bits| control.second_quality_of_frame(quality, bits, seconds, 120);
        // A fifth of a second's bits.
        assert_eq!((second(20, 59e3), second(47, 400e3)), (None, None));
        assert_eq!((second(20, 90e3), second(20, 900e3), second(44, 900e3)), (Some(24), Some(28), Some(47)));
    }

    #[test]
    fn cuts_in_a_row_keep_the_rate() {
        // A scene in 16 frames where 120 may pass, each other one four times as dear.
        let (rate, seconds) = (500e3, 0.04);
        let mut control = RateController::new(rate, 8.0, 48);
        let mut all = Vec::new();
        for i in 0..160u32 {
            let is_keyframe = i % 16 == 0;
            let quality = control.choose_quality(is_keyframe, seconds, 120, 100_000);
            let cost = if i / 16 % 2 == 0 { 200e3 } else { 50e3 } * if is_keyframe { 12.0 } else { 1.0 };
            let bits = cost / (f64::from(quality) / 8.0).exp2().powf(1.2);
            control.record_frame(is_keyframe, quality, bits, seconds);
            all.push(bits);
        }
        let mean = all.iter().sum::<f64>() / (160.0 * seconds);
        let worst = all[16..].windows(25).map(|w| w.iter().sum::<f64>()).fold(0.0, f64::max);
        assert!((mean / rate - 1.0).abs() < 0.05 && worst < 1.3 * rate, "{mean} {worst}");
    }

    #[test]
    fn no_second_takes_far_more_than_the_rate() {
        // Scenes in packets of eight frames, of which each other one becomes dearer from packet to packet, three times in a row.
        for growth in [1.3, 1.5, 1.7] {
            let (rate, seconds, interval) = (150e3, 0.04, 1000);
            let mut control = RateController::new(rate, 8.0, 48);
            let mut all = Vec::new();
            let rising = [0, 0, 1, 2, 3, 3, 3].map(|i| 50e3 * f64::powi(growth, i));
            let scenes = [&[10e3; 5][..], &rising].repeat(3);
            for (i, &cost) in scenes.into_iter().flat_map(|scene| scene.iter().enumerate()) {
                let (is_keyframe, count) = (i == 0, if i == 0 { 1 } else { 8 });
                let worth = if is_keyframe { 14.0 } else { frames_worth(count) };
                let bits_at = |quality: u8| cost * worth / (f64::from(quality) / 8.0).exp2().powf(1.2);
                let mut quality = control.choose_quality_of(is_keyframe, (count, seconds), interval, 100_000);
                for _ in 0..2 {
                    let bits = bits_at(quality);
                    let second = match is_keyframe {
                        true => control.second_quality(quality, bits, seconds, interval),
                        false => control.second_quality_of(quality, bits, (count, seconds), interval),
                    };
                    quality = second.unwrap_or(quality);
                }
                let bits = bits_at(quality);
                control.record_frames(is_keyframe, quality, bits, (count, count as f64 * seconds));
                all.extend(std::iter::repeat_n(bits / count as f64, count));
            }
            let mean = all.iter().sum::<f64>() / (all.len() as f64 * seconds);
            let worst = all.windows(25).map(|w| w.iter().sum::<f64>()).fold(0.0, f64::max);
            assert!((mean / rate - 1.0).abs() < 0.05 && worst < 1.4 * rate, "{growth}: {mean} {worst}");
        }
    }

    #[test]
    fn what_the_worst_quality_cannot_hold_repeats_frames() {
        let (rate, seconds) = (20e3, 1.0 / 30.0);
        let mut control = RateController::new(rate, 8.0, 48);
        let (mut all, mut repeated) = (0.0, 0);
        for i in 0..300u32 {
            let quality = control.choose_quality(i == 0, seconds, 1000, 20_000);
            if i > 0 && control.must_repeat_frame(quality) {
                assert_eq!(quality, 47);
                control.record_repeated_frame(100.0, seconds);
                (all, repeated) = (all + 100.0, repeated + 1);
                continue;
            }
            let bits = 200e3 / (f64::from(quality) / 8.0).exp2();
            control.record_frame(i == 0, quality, bits, seconds);
            all += bits;
        }
        let found = all / 10.0;
        assert!((0.7..1.3).contains(&(found / rate)), "{found} of {rate}, {repeated} repeated");
        assert!((150..300).contains(&repeated), "{repeated}");
    }

    #[test]
    fn the_rate_comes_out_as_asked() {
        for (rate, power) in [(200e3, 0.9), (500e3, 1.3), (1e6, 1.6)] {
            let found = run(rate, power, |i| 150e3 * (1.0 + 0.5 * (f64::from(i) / 40.0).sin()));
            assert!((found / rate - 1.0).abs() < 0.1, "{found} of {rate}");
        }
    }
}
