//! Variable bit rate: how many stages a frame gets, so that the average meets a target.

/// Seconds of the target rate that may be saved up or overdrawn.
const MOST_SECONDS: i64 = 2;
/// Octaves by which a second's debt raises the price of a stage.
const OCTAVES_A_SECOND: f32 = 8.0;
/// Frames after which a debt that stays has raised it by as much again, and the most octaves that come of that.
const PATIENCE: f32 = 200.0;
const MOST_OCTAVES: f32 = 16.0;
/// Frames over which the price of a stage is averaged.
const MEMORY: f32 = 250.0;
/// What going to another number of stages costs, in stages for each step.
const STEP_COST: f32 = 0.05;
/// Loudness grows with this power of energy (Stevens).
const LOUDNESS: f32 = 0.3;

/// How the encoder arrives at its bit rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateControl {
    /// Every frame gets the same stages. Range coding then takes less than the rate of the codes, which is a cap.
    #[default]
    Constant,
    /// Frames get more stages where these remove more audible error, so that packets, heads included, take `bitrate`
    /// bits a second on average.
    Variable {
        /// Bits a second.
        bitrate: u32,
    },
}

/// What the codebook search found for a frame: for each number of stages the codes and what they leave.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    stages: usize,
    per_frame: usize,
    /// `[stages][code]`: the codes of one stage, of two, ...
    pub(super) paths: Vec<u16>,
    /// Squared error of a latent after no stage, one, two, ...
    pub(super) errors: Vec<f32>,
    /// Mean square of the frame's samples.
    pub(super) energy: f32,
}

impl Choices {
    pub(super) fn new(stages: usize, groups: usize) -> Self {
        let per_frame = stages * groups;
        let (paths, errors) = (vec![0; stages * per_frame], vec![0.0; stages + 1]);
        Self { stages, per_frame, paths, errors, energy: 0.0 }
    }

    /// The codes of the frame at so many stages, at least one.
    pub(super) fn codes(&self, count: usize) -> &[u16] {
        let start = (count - 1) * self.per_frame;
        &self.paths[start..start + count * (self.per_frame / self.stages)]
    }

    /// What the last of `count` stages removes, weighted by how loud the frame is.
    fn benefit(&self, count: usize) -> f32 {
        // A search may find nothing in a stage; the average over frames should not hear of that as of silence.
        let least = self.errors[count] / 64.0;
        (self.errors[count - 1] - self.errors[count]).max(least) * self.weight()
    }

    fn weight(&self) -> f32 {
        (self.energy + 1e-9).powf(LOUDNESS)
    }
}

/// Keeps the average at the target. Bits are counted in whole numbers; decisions depend on the frames alone, not on how
/// they came.
#[derive(Debug, Clone)]
pub(super) struct RateKeeper {
    /// Target of a frame in 256ths of a bit.
    target: i64,
    /// Bits of one stage at fixed width.
    stage_bits: i64,
    frame_rate: i64,
    stages: usize,
    /// 256ths of a bit taken beyond the target so far.
    debt: i64,
    /// What the frames of the packet being gathered are expected to take.
    expected: i64,
    /// Bits that packets take for each of fixed width, in 256ths.
    ratio: i64,
    /// Logarithm of what a stage at the target's number of them removes; none before the first frame.
    price: Option<f32>,
    /// Octaves by which debts that stayed have raised it.
    raised: f32,
    before: usize,
}

impl RateKeeper {
    /// Keeps `bitrate` at so many frames a second, each of 1 to `stages` stages that take `stage_bits`.
    pub(super) fn new(bitrate: u32, frame_rate: f64, stages: usize, stage_bits: usize) -> Self {
        let mut keeper = Self {
            target: 0,
            stage_bits: stage_bits as i64,
            frame_rate: (frame_rate as i64).max(1),
            stages,
            debt: 0,
            expected: 0,
            ratio: 256,
            price: None,
            raised: 0.0,
            before: 0,
        };
        keeper.set_bitrate(bitrate, frame_rate);
        keeper
    }

    /// Another target from now on.
    pub(super) fn set_bitrate(&mut self, bitrate: u32, frame_rate: f64) {
        self.target = (f64::from(bitrate) * 256.0 / frame_rate) as i64;
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        (self.debt, self.expected, self.ratio, self.before) = (0, 0, 256, 0);
        (self.price, self.raised) = (None, 0.0);
    }

    /// How many stages a frame gets.
    pub(super) fn choose(&mut self, choices: &Choices) -> usize {
        let stage = self.stage_bits * self.ratio;
        let usual = (self.target / stage.max(1)).clamp(1, self.stages as i64) as usize;
        let now = choices.benefit(usual).max(1e-30).log2();
        let price = self.price.map_or(now, |before| before + (now - before) / MEMORY);
        self.price = Some(price);
        let second = (self.target * self.frame_rate).max(1);
        let most = MOST_SECONDS * second;
        let seconds = self.debt.clamp(-most, most) as f32 / second as f32;
        let octaves = OCTAVES_A_SECOND * seconds;
        self.raised = (self.raised + octaves / PATIENCE).clamp(-MOST_OCTAVES, MOST_OCTAVES);
        let price = (price + self.raised + octaves).exp2();
        let (weight, mut best, mut count) = (choices.weight(), f32::INFINITY, 1);
        for stages in 1..=self.stages {
            let steps = if self.before > 0 { stages.abs_diff(self.before) } else { 0 };
            let cost = weight * choices.errors[stages] + price * (stages as f32 + STEP_COST * steps as f32);
            if cost < best {
                (best, count) = (cost, stages);
            }
        }
        self.before = count;
        let bits = count as i64 * stage;
        self.expected += bits;
        self.debt += bits - self.target;
        count
    }

    /// Tells what the packet of the frames chosen since the last one took, and the bits of its codes at fixed width.
    pub(super) fn settle(&mut self, bytes: usize, fixed_bits: usize) {
        let taken = bytes as i64 * 8 * 256;
        self.debt += taken - self.expected;
        self.expected = 0;
        // Heads count too: what matters is what a stage more will take on average.
        let ratio = taken / (fixed_bits as i64).max(1);
        self.ratio = (self.ratio * 7 + ratio.clamp(64, 1024)) / 8;
        let most = MOST_SECONDS * self.target * self.frame_rate;
        self.debt = self.debt.clamp(-most, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames whose error halves with each stage, loud and soft by turns.
    fn frame(number: usize) -> Choices {
        let mut choices = Choices::new(9, 1);
        let wobble = 1.0 + (number * 37 % 11) as f32 / 20.0;
        (0..10).for_each(|s| choices.errors[s] = wobble * 0.7f32.powi(s as i32));
        choices.energy = if number / 40 % 3 == 2 { 1e-8 } else { 1e-2 * wobble };
        choices
    }

    #[test]
    fn the_average_meets_the_target() {
        for (bitrate, per_packet) in [(2500u32, 50), (6000, 50), (6000, 1), (7000, 10)] {
            let mut keeper = RateKeeper::new(bitrate, 50.0, 9, 20);
            let (mut codes, mut total, mut sums) = (0, 0usize, Vec::new());
            for number in 0..3000 {
                codes += keeper.choose(&frame(number)) * 20;
                if (number + 1) % per_packet == 0 {
                    // Range coding saves a twentieth, a head takes four bytes.
                    let bytes = 4 + codes * 19 / 20 / 8;
                    keeper.settle(bytes, codes);
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
    fn soft_frames_get_fewer_stages() {
        let mut keeper = RateKeeper::new(6000, 50.0, 9, 20);
        let (mut loud, mut soft) = ((0, 0), (0, 0));
        for number in 0..2000 {
            let choices = frame(number);
            let side = if choices.energy > 1e-4 { &mut loud } else { &mut soft };
            *side = (side.0 + keeper.choose(&choices), side.1 + 1);
        }
        assert!(loud.0 * soft.1 > 2 * soft.0 * loud.1, "{loud:?} {soft:?}");
    }
}
