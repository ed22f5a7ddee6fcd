//! Variable bit rate: how many stages a frame gets, so that the average meets a target.
//!
//! A frame gets the number of stages that minimizes `D + lambda R` (distortion weighted by loudness, rate in stages).
//! Lambda follows the fill of a bit reservoir with a proportional and an integral term.

/// Fill of the reservoir in seconds of the target rate, saved or overdrawn, at which it is clipped: the longest span over
/// which the encoder may miss its target.
const MAX_RESERVOIR_SECONDS: i64 = 2;
/// Proportional term: octaves by which lambda rises for each second of the target rate that is overdrawn.
const OCTAVES_PER_SECOND: f32 = 8.0;
/// Integral term: frames after which a constant fill has moved lambda by the proportional term once more. 4 s at 50 Hz,
/// longer than a sentence, so that a loud word alone does not move it.
const INTEGRAL_FRAMES: f32 = 200.0;
/// Clip of the integral term, so that hours of silence do not wind it up.
const MAX_INTEGRAL_OCTAVES: f32 = 16.0;
/// Frames over which the usual gain of a stage is averaged: 5 s at 50 Hz.
const AVERAGE_FRAMES: f32 = 250.0;
/// Rate that a change of the number of stages counts as, in stages for each stage of difference. It trades error for
/// fewer audible switches between neighboring frames.
const SWITCH_COST: f32 = 0.05;
/// Loudness grows with this power of the energy (Stevens' power law).
const LOUDNESS_EXPONENT: f32 = 0.3;

/// How the encoder chooses its bit rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateMode {
    /// Every frame gets the same number of stages. With range coding the rate of the codes is an upper bound.
    #[default]
    Constant,
    /// Average bit rate: a frame gets more stages where these remove more audible error. Packets, heads included, take
    /// `bitrate` on average.
    Variable {
        /// Bits per second.
        bitrate: u32,
    },
}

/// What the codebook search found for one frame: codes and error for each number of stages.
#[derive(Debug, Clone)]
pub(crate) struct StageCandidates {
    stages: usize,
    max_codes: usize,
    /// `[stages][code]`: the codes of one stage, of two, ...
    pub(crate) paths: Vec<u16>,
    /// Squared error of the latent after no stage, one, two, ...
    pub(crate) errors: Vec<f32>,
    /// Mean square of the frame's samples.
    pub(crate) energy: f32,
}

impl StageCandidates {
    pub(crate) fn new(stages: usize, groups: usize) -> Self {
        let max_codes = stages * groups;
        let (paths, errors) = (vec![0; stages * max_codes], vec![0.0; stages + 1]);
        Self { stages, max_codes, paths, errors, energy: 0.0 }
    }

    /// The codes of the frame with `count` stages, at least one.
    pub(crate) fn codes_at(&self, count: usize) -> &[u16] {
        let start = (count - 1) * self.max_codes;
        &self.paths[start..start + count * (self.max_codes / self.stages)]
    }

    /// Error that the last of `count` stages removes, weighted by the frame's loudness.
    fn stage_gain(&self, count: usize) -> f32 {
        // A search may find nothing in a stage. Without this floor the average over frames would take that for silence.
        let least = self.errors[count] / 64.0;
        (self.errors[count - 1] - self.errors[count]).max(least) * self.loudness_weight()
    }

    fn loudness_weight(&self) -> f32 {
        (self.energy + 1e-9).powf(LOUDNESS_EXPONENT)
    }
}

/// Keeps the average rate at the target. Bits are counted in integers, and decisions depend on the frames alone, not on
/// how the input was cut.
#[derive(Debug, Clone)]
pub(crate) struct RateController {
    /// Target per frame in 256ths of a bit.
    target_bits: i64,
    /// Bits of one stage at fixed width.
    stage_bits: i64,
    frame_rate: i64,
    stages: usize,
    /// Fill of the bit reservoir in 256ths of a bit: saved if positive, overdrawn if negative.
    reservoir: i64,
    /// What the frames of the packet being gathered were counted as.
    expected_bits: i64,
    /// Bits that packets take for each bit at fixed width, in 256ths.
    coded_ratio: i64,
    /// Averaged logarithm of the gain of a stage at the target rate; none before the first frame.
    log_gain: Option<f32>,
    /// Integral term of lambda, in octaves.
    integral: f32,
    previous_stages: usize,
}

/// What a stage of a frame costs.
struct Price {
    /// The averaged logarithm of the gain, this frame's among it.
    log_gain: f32,
    integral: f32,
    lambda: f32,
}

impl RateController {
    /// A controller for `bitrate` bits per second at `frame_rate` frames per second, each of 1 to `stages` stages of
    /// `stage_bits` bits.
    pub(crate) fn new(bitrate: u32, frame_rate: f64, stages: usize, stage_bits: usize) -> Self {
        let mut controller = Self {
            target_bits: 0,
            stage_bits: stage_bits as i64,
            frame_rate: (frame_rate as i64).max(1),
            stages,
            reservoir: 0,
            expected_bits: 0,
            coded_ratio: 256,
            log_gain: None,
            integral: 0.0,
            previous_stages: 0,
        };
        controller.set_bitrate(bitrate, frame_rate);
        controller
    }

    /// Changes the target for the frames that follow.
    pub(crate) fn set_bitrate(&mut self, bitrate: u32, frame_rate: f64) {
        self.target_bits = (f64::from(bitrate) * 256.0 / frame_rate) as i64;
    }

    /// Back to the state of a new controller.
    pub(crate) fn reset(&mut self) {
        (self.reservoir, self.expected_bits, self.coded_ratio, self.previous_stages) = (0, 0, 256, 0);
        (self.log_gain, self.integral) = (None, 0.0);
    }

    /// Number of stages that the target pays for: there one more stage is worth lambda, on average.
    fn usual_stages(&self) -> usize {
        let stage = self.stage_bits * self.coded_ratio;
        (self.target_bits / stage.max(1)).clamp(1, self.stages as i64) as usize
    }

    /// What a stage costs in this frame, with the average gain and the integral term that it follows from.
    fn price(&self, candidates: &StageCandidates) -> Price {
        let now = candidates.stage_gain(self.usual_stages()).max(1e-30).log2();
        // The mean of logarithms, so that one loud frame moves it no more than a soft one.
        let log_gain = self.log_gain.map_or(now, |before| before + (now - before) / AVERAGE_FRAMES);
        let second = (self.target_bits * self.frame_rate).max(1);
        let most = MAX_RESERVOIR_SECONDS * second;
        let overdrawn = (-self.reservoir).clamp(-most, most) as f32 / second as f32;
        let octaves = OCTAVES_PER_SECOND * overdrawn;
        let integral =
            (self.integral + octaves / INTEGRAL_FRAMES).clamp(-MAX_INTEGRAL_OCTAVES, MAX_INTEGRAL_OCTAVES);
        Price { log_gain, integral, lambda: (log_gain + integral + octaves).exp2() }
    }

    /// What `stages` stages cost without their error.
    fn stages_cost(&self, lambda: f32, stages: usize) -> f32 {
        let change = if self.previous_stages > 0 { stages.abs_diff(self.previous_stages) } else { 0 };
        lambda * (stages as f32 + SWITCH_COST * change as f32)
    }

    /// The cheapest of 1 to `most` stages, and its cost; of equals the fewer stages.
    fn cheapest(&self, candidates: &StageCandidates, lambda: f32, most: usize) -> (usize, f32) {
        let weight = candidates.loudness_weight();
        let (mut count, mut best) = (1, f32::INFINITY);
        for stages in 1..=most {
            let cost = weight * candidates.errors[stages] + self.stages_cost(lambda, stages);
            if cost < best {
                (count, best) = (stages, cost);
            }
        }
        (count, best)
    }

    /// Whether [`choose_stages`](Self::choose_stages) cannot take more than `count` stages, up to which the errors are known: more
    /// would cost too much even without any error.
    pub(crate) fn is_enough(&self, candidates: &StageCandidates, count: usize) -> bool {
        // The average follows the gain at the usual number.
        if count < self.usual_stages() {
            return false;
        }
        let lambda = self.price(candidates).lambda;
        let (_, best) = self.cheapest(candidates, lambda, count);
        (count + 1..=self.stages).all(|stages| self.stages_cost(lambda, stages) >= best)
    }

    /// Chooses the number of stages of a frame.
    pub(crate) fn choose_stages(&mut self, candidates: &StageCandidates) -> usize {
        let price = self.price(candidates);
        (self.log_gain, self.integral) = (Some(price.log_gain), price.integral);
        let (count, _) = self.cheapest(candidates, price.lambda, self.stages);
        self.previous_stages = count;
        let bits = count as i64 * self.stage_bits * self.coded_ratio;
        self.expected_bits += bits;
        // By what the frame should take; the packet's bytes put it right when they are known.
        self.reservoir -= bits - self.target_bits;
        count
    }

    /// Replaces the expected size of the frames since the last packet by the packet's `bytes`; `fixed_bits` is the size of
    /// its codes at fixed width.
    pub(crate) fn update_reservoir(&mut self, bytes: usize, fixed_bits: usize) {
        let coded_bits = bytes as i64 * 8 * 256;
        self.reservoir -= coded_bits - self.expected_bits;
        self.expected_bits = 0;
        // The packet's head counts too: the ratio predicts what one stage more takes on average.
        let ratio = coded_bits / (fixed_bits as i64).max(1);
        // Over about eight packets; the clamp keeps one odd packet from turning the rate by more than four either
        // way.
        self.coded_ratio = (self.coded_ratio * 7 + ratio.clamp(64, 1024)) / 8;
        let most = MAX_RESERVOIR_SECONDS * self.target_bits * self.frame_rate;
        self.reservoir = self.reservoir.clamp(-most, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames whose error halves with each stage, loud and soft by turns.
    fn frame(number: usize) -> StageCandidates {
        let mut candidates = StageCandidates::new(9, 1);
        let wobble = 1.0 + (number * 37 % 11) as f32 / 20.0;
        (0..10).for_each(|s| candidates.errors[s] = wobble * 0.7f32.powi(s as i32));
        candidates.energy = if number / 40 % 3 == 2 { 1e-8 } else { 1e-2 * wobble };
        candidates
    }

    #[test]
    fn the_average_meets_the_target() {
        for (bitrate, per_packet) in [(2500u32, 50), (6000, 50), (6000, 1), (7000, 10)] {
            let mut controller = RateController::new(bitrate, 50.0, 9, 20);
            let (mut codes, mut total, mut sums) = (0, 0usize, Vec::new());
            for number in 0..3000 {
                codes += controller.choose_stages(&frame(number)) * 20;
                if (number + 1) % per_packet == 0 {
                    // Range coding saves a twentieth, a head takes four bytes.
                    let bytes = 4 + codes * 19 / 20 / 8;
                    controller.update_reservoir(bytes, codes);
                    total += bytes * 8;
                    codes = 0;
                    sums.push(total);
                }
            }
            let window = 500 / per_packet;
            for (later, earlier) in sums.iter().skip(window).zip(&sums) {
                let rate = (later - earlier) as f64 / 10.0;
                let off = rate / f64::from(bitrate) - 1.0;
                assert!(off.abs() < 0.06, "{bitrate} b/s in packets of {per_packet}: {rate}");
            }
        }
    }

    #[test]
    fn stages_that_are_not_searched_would_not_be_chosen() {
        let (mut all, mut some) =
            (RateController::new(6000, 50.0, 9, 20), RateController::new(6000, 50.0, 9, 20));
        let mut spared = 0;
        for number in 0..2000 {
            let whole = frame(number);
            let mut known = StageCandidates { errors: vec![0.0; 10], ..whole.clone() };
            known.errors[0] = whole.errors[0];
            let searched = (1..=9).find(|&count| {
                known.errors[count] = whole.errors[count];
                some.is_enough(&known, count)
            });
            spared += 9 - searched.unwrap_or(9);
            assert_eq!(some.choose_stages(&known), all.choose_stages(&whole), "frame {number}");
        }
        assert!(spared > 2000, "{spared}");
    }

    #[test]
    fn soft_frames_get_fewer_stages() {
        let mut controller = RateController::new(6000, 50.0, 9, 20);
        let (mut loud, mut soft) = ((0, 0), (0, 0));
        for number in 0..2000 {
            let candidates = frame(number);
            let side = if candidates.energy > 1e-4 { &mut loud } else { &mut soft };
            *side = (side.0 + controller.choose_stages(&candidates), side.1 + 1);
        }
        assert!(loud.0 * soft.1 > 2 * soft.0 * loud.1, "{loud:?} {soft:?}");
    }
}
