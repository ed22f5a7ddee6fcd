//! What is heard where no frame is: the last sound held for a moment, then background noise, and where the frame after is
//! known already, what leads to it.
//!
//! The noise has the level and the spectrum that [`NoiseFloor`] has found beneath what was decoded, or that the packet
//! of a pause describes. All transitions are cross-fades, so neither a loss nor a pause clicks.

use super::floor::NoiseFloor;
use super::spectrum::{Analysis, NoiseState, Plan, Powers, Synthesis};

/// What the held latent is multiplied by for each lost frame. The decoder networks are trained with losses like that.
pub(super) const LATENT_DECAY: f32 = 0.9;
/// Lost frames that are heard as the network makes them.
const HOLD_FRAMES: u32 = 2;
/// Frames after those in which the held sound has faded into the noise.
const FADE_FRAMES: u32 = 8;
/// Frames in which the last sound before a pause has faded. What comes after a longer pause starts from rest, in the
/// decoder and in the encoder.
pub(super) const PAUSE_FRAMES: u32 = 2;
/// How much of the way to a new description of the noise each frame goes: steps would be heard as pumping.
const NOISE_SMOOTHING: f32 = 0.2;
/// Power of a bin that nobody hears: -110 dB of full scale with 500 of them.
const INAUDIBLE: f32 = 1e-14;

/// Follows losses, pauses and recoveries.
pub(super) struct Concealment {
    plan: Plan,
    analysis: Analysis,
    noise: Synthesis,
    state: State,
    scratch: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    floor: NoiseFloor,
    /// Frames since the last one heard.
    missing: u32,
    /// Whether any frame has been heard: what a network makes of nothing at all is no sound to hold.
    begun: bool,
    /// How much of the network's output is heard, 0 to 1.
    gain: f32,
    /// The noise being made.
    powers: Powers,
    /// The noise that the pause's packet describes, until a frame is heard.
    pause: Option<Powers>,
}

/// The state at a moment of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ConcealmentSnapshot {
    state: Option<State>,
    signal: Vec<f32>,
    noise: NoiseState,
}

impl Concealment {
    /// Prepares for frames of `hop` samples.
    pub(super) fn new(hop: usize, rate: u32) -> Self {
        let plan = Plan::new(hop, rate);
        Self {
            analysis: Analysis::new(&plan),
            noise: Synthesis::new(&plan),
            state: State::new(),
            scratch: vec![0.0; hop],
            plan,
        }
    }

    /// Takes a frame that was decoded, fading it in after a loss or a pause.
    pub(super) fn heard(&mut self, pcm: &mut [f32]) {
        if self.state.missing > 0 {
            self.mix(pcm, 1.0);
            self.noise.rest();
            (self.state.missing, self.state.pause) = (0, None);
        }
        self.state.begun = true;
        let powers = self.analysis.measure(pcm);
        self.state.floor.follow(&powers);
    }

    /// Whether nothing of the network's output will be heard in the next missing frame, `ahead` being as for
    /// [`miss`](Self::miss).
    pub(super) fn is_silent(&self, ahead: Option<u32>) -> bool {
        self.state.gain <= 0.0 && self.state.next_gain(ahead) <= 0.0 || !self.state.begun
    }

    /// Whether a pause has begun and no frame has been heard since.
    pub(super) fn in_pause(&self) -> bool {
        self.state.pause.is_some()
    }

    /// Begins a pause, or describes its noise anew.
    pub(super) fn begin_pause(&mut self, powers: &Powers) {
        if self.state.missing == 0 {
            self.state.powers = *powers;
        }
        self.state.pause = Some(*powers);
        self.state.floor.set(powers);
    }

    /// Turns what the network makes of nothing new into a missing frame; samples of no matter if
    /// [`is_silent`](Self::is_silent). If the next frame that will be heard is known, it comes `ahead` frames later, at
    /// least 1.
    pub(super) fn miss(&mut self, pcm: &mut [f32], ahead: Option<u32>) {
        let gain = self.state.next_gain(ahead);
        let state = &mut self.state;
        if state.missing == 0 && state.pause.is_none() {
            state.powers = state.floor.powers();
        }
        state.missing = state.missing.saturating_add(1);
        if let Some(target) = state.pause {
            let step = |(power, target): (&mut f32, f32)| {
                // Digital silence is reached, not only neared.
                let weight = if *power < INAUDIBLE { 1.0 } else { NOISE_SMOOTHING };
                *power += weight * (target - *power);
            };
            state.powers.iter_mut().zip(target).for_each(step);
        }
        if !state.begun {
            state.gain = 0.0;
        }
        self.mix(pcm, gain);
    }

    /// Goes from the present gain of the samples to another; the noise has what is missing of the power.
    fn mix(&mut self, pcm: &mut [f32], to: f32) {
        let from = std::mem::replace(&mut self.state.gain, to);
        let rest = |gain: f32| (1.0 - gain * gain).max(0.0).sqrt();
        let (noise_from, noise_to) = (rest(from), rest(to));
        self.noise.fill(&self.state.powers, &mut self.scratch);
        let step = 1.0 / pcm.len().max(1) as f32;
        for (i, (sample, noise)) in pcm.iter_mut().zip(&self.scratch).enumerate() {
            let at = (i + 1) as f32 * step;
            let heard = *sample * (from + (to - from) * at);
            *sample = heard + noise * (noise_from + (noise_to - noise_from) * at);
        }
    }

    /// What powers are powers of.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.analysis.reset();
        self.noise.reset();
        self.state = State::new();
    }

    /// Keeps the state in `into`.
    pub(super) fn snapshot(&self, into: &mut ConcealmentSnapshot) {
        into.state = Some(self.state);
        into.signal.clear();
        into.signal.extend_from_slice(self.analysis.signal());
        into.noise.copy_from(self.noise.state());
    }

    /// Puts back a state that was kept of the same bundle.
    pub(super) fn restore(&mut self, from: &ConcealmentSnapshot) {
        if let Some(state) = from.state {
            self.state = state;
            self.analysis.copy_from(&from.signal);
            self.noise.set_state(&from.noise);
        }
    }
}

impl State {
    fn new() -> Self {
        Self {
            floor: NoiseFloor::new(f32::INFINITY),
            missing: 0,
            begun: false,
            gain: 1.0,
            powers: Powers::default(),
            pause: None,
        }
    }

    /// How much of the network's output is heard at the end of the next missing frame.
    fn next_gain(&self, ahead: Option<u32>) -> f32 {
        if !self.begun {
            return 0.0;
        }
        let held = |frames: u32| 1.0 - frames.saturating_sub(HOLD_FRAMES) as f32 / FADE_FRAMES as f32;
        let missing = self.missing.saturating_add(1);
        match (self.pause, ahead) {
            // A loss that turns out to be a pause goes on from where it is.
            (Some(_), _) => (self.gain - 1.0 / PAUSE_FRAMES as f32).max(0.0),
            (None, None) => held(missing).clamp(0.0, self.gain),
            (None, Some(ahead)) => held(missing.min(ahead)).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: usize = 480;

    fn concealment() -> Concealment {
        Concealment::new(HOP, 24_000)
    }

    /// Mean squares of frames.
    fn levels(pcm: &[f32]) -> Vec<f32> {
        pcm.chunks_exact(HOP).map(|f| f.iter().map(|x| x * x).sum::<f32>() / HOP as f32).collect()
    }

    /// Noise of a level, heard by a concealment.
    fn noisy(level: f32, frames: usize, hearing: &mut Concealment) -> Vec<f32> {
        let mut noise = Synthesis::new(hearing.plan());
        let power = level * level / hearing.plan().mean_square(&[1.0; super::super::spectrum::BANDS]);
        let mut out = vec![0.0; HOP * frames];
        for frame in out.chunks_exact_mut(HOP) {
            noise.fill(&[power; super::super::spectrum::BANDS], frame);
            hearing.heard(frame);
        }
        out
    }

    #[test]
    fn a_long_loss_fades_into_nothing_where_there_was_no_noise() {
        let mut conceal = concealment();
        conceal.heard(&mut [0.0; HOP]);
        let mut out = vec![1.0; 20 * HOP];
        for frame in out.chunks_exact_mut(HOP) {
            conceal.miss(frame, None);
        }
        assert!(conceal.is_silent(None));
        assert!(out[10 * HOP..].iter().all(|&x| x == 0.0));
        let mut frame = [1.0; HOP];
        conceal.heard(&mut frame);
        out.extend_from_slice(&frame);
        let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 1.1 / HOP as f32, "{steepest}");
        let mut next = [1.0; HOP];
        conceal.heard(&mut next);
        assert_eq!(next, [1.0; HOP]);
    }

    #[test]
    fn a_loss_in_noise_is_not_heard_in_the_level() {
        let mut conceal = concealment();
        let before = noisy(0.01, 100, &mut conceal);
        let mean: f32 = levels(&before[20 * HOP..]).iter().sum::<f32>() / 80.0;
        let mut lost = Vec::new();
        let mut source = Synthesis::new(conceal.plan());
        // Other noise than that of the concealment, which begins alike.
        (0..5).for_each(|_| source.fill(&[0.0; 12], &mut [0.0; HOP]));
        for _ in 0..60 {
            let mut frame = vec![0.0; HOP];
            // What a network would make of it while it is heard: noise as before.
            source.fill(&[mean / conceal.plan().mean_square(&[1.0; 12]); 12], &mut frame);
            conceal.miss(&mut frame, None);
            lost.extend_from_slice(&frame);
        }
        for (n, level) in levels(&lost).iter().enumerate().skip(1) {
            let off = 10.0 * (level / mean).log10();
            assert!(off.abs() < 3.0, "lost frame {n} off by {off} dB");
        }
    }

    #[test]
    fn a_pause_keeps_its_level_from_description_to_description() {
        let mut conceal = concealment();
        noisy(0.1, 10, &mut conceal);
        let power = |level: f32| [level * level / conceal.plan().mean_square(&[1.0; 12]); 12];
        let (loud, soft) = (power(0.02), power(0.01));
        let mut out = vec![0.0; 100 * HOP];
        conceal.begin_pause(&loud);
        for (n, frame) in out.chunks_exact_mut(HOP).enumerate() {
            if n % 20 == 0 {
                conceal.begin_pause(if n < 60 { &loud } else { &soft });
            }
            conceal.miss(frame, None);
        }
        let db = |range: &[f32]| 10.0 * (range.iter().sum::<f32>() / range.len() as f32).log10();
        let levels = levels(&out);
        assert!((db(&levels[3..60]) + 34.0).abs() < 1.0, "{}", db(&levels[3..60]));
        assert!((db(&levels[85..]) + 40.0).abs() < 1.0, "{}", db(&levels[85..]));
        let steps = levels[3..].windows(2).map(|w| 10.0 * (w[1] / w[0]).log10());
        assert!(steps.clone().all(|s| s.abs() < 2.5), "{:?}", steps.collect::<Vec<_>>());
    }

    #[test]
    fn a_loss_whose_end_is_known_comes_back_before_it() {
        for lost in [1, 4, 30] {
            let mut conceal = concealment();
            conceal.heard(&mut [0.0; HOP]);
            let mut out = vec![1.0; lost * HOP];
            for (n, frame) in out.chunks_exact_mut(HOP).enumerate() {
                conceal.miss(frame, Some((lost - n) as u32));
            }
            assert_eq!(out[lost * HOP - 1], 1.0, "{lost} lost");
            assert_eq!(out.contains(&0.0), lost == 30, "{lost} lost");
            let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < 1.1 / HOP as f32, "{lost} lost: {steepest}");
        }
    }

    #[test]
    fn a_state_put_back_gives_the_same_noise() {
        let mut conceal = concealment();
        noisy(0.01, 60, &mut conceal);
        let mut snapshot = ConcealmentSnapshot::default();
        conceal.miss(&mut [0.1; HOP], None);
        conceal.snapshot(&mut snapshot);
        let again = |conceal: &mut Concealment| {
            let mut out = vec![0.05; 12 * HOP];
            out.chunks_exact_mut(HOP).for_each(|frame| conceal.miss(frame, None));
            conceal.heard(&mut out[..HOP]);
            conceal.miss(&mut out[HOP..2 * HOP], None);
            out
        };
        let first = again(&mut conceal);
        conceal.restore(&snapshot);
        assert_eq!(again(&mut conceal), first);
    }
}
