//! Packet loss concealment (PLC) and comfort noise.
//!
//! In a gap the last sound is held for a moment and then fades into background noise; where the frame after the gap is
//! known already, the sound leads to that. The noise has the level and the spectrum that [`NoiseFloor`] has found under
//! the decoded signal, or those of a SID frame. All transitions are crossfades, so neither a loss nor DTX clicks.

mod channels;

pub(crate) use channels::Concealments;

use crate::comfort_noise::{NoiseState, NoiseSynthesis};
use crate::noise_floor::NoiseFloor;
use crate::spectrum::{Analysis, Plan, Powers};

/// Factor of the held latent for each lost frame. The decoder networks are trained with losses concealed like this, so it
/// must not change without a new training.
pub(crate) const LATENT_DECAY: f32 = 0.9;
/// Lost frames with the network's output at full gain: 40 ms at 50 Hz, over which speech is nearly stationary.
const HOLD_FRAMES: u32 = 2;
/// Frames after those over which the held sound fades into the noise. Fewer would leave holes in short bursts of losses,
/// more would turn the held sound into a buzz.
const FADE_FRAMES: u32 = 8;
/// Frames over which the last sound before DTX fades. After that many inactive frames the decoder starts from its reset
/// state, and so does the encoder.
pub(crate) const DTX_FADE_FRAMES: u32 = 2;
/// Share of the way to a new SID frame's noise that each frame goes: steps would be audible as pumping.
const NOISE_SMOOTHING: f32 = 0.2;
/// Inaudible power of a bin: -110 dB of full scale over 500 bins.
const INAUDIBLE: f32 = 1e-14;

/// Conceals lost frames, makes comfort noise and fades decoded frames in after either.
pub(crate) struct Concealment {
    plan: Plan,
    analysis: Analysis,
    noise: NoiseSynthesis,
    state: State,
    scratch: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    floor: NoiseFloor,
    /// Frames since the last decoded one.
    gap_frames: u32,
    /// Whether any frame has been decoded: the network's output from its reset state is no sound to hold.
    has_signal: bool,
    /// Gain of the network's output, 0 to 1.
    gain: f32,
    /// Powers of the noise that is being added.
    noise_powers: Powers,
    /// Powers of the last SID frame, until a frame is decoded.
    sid_powers: Option<Powers>,
}

/// The state of a [`Concealment`] at a position of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ConcealmentSnapshot {
    state: Option<State>,
    signal: Vec<f32>,
    noise: NoiseState,
}

impl Concealment {
    /// A concealment for frames of `hop` samples at `rate` samples per second.
    pub(crate) fn new(hop: usize, rate: u32) -> Self {
        let plan = Plan::new(hop, rate);
        Self {
            analysis: Analysis::new(&plan),
            noise: NoiseSynthesis::new(&plan),
            state: State::new(),
            scratch: vec![0.0; hop],
            plan,
        }
    }

    /// Takes a decoded frame: fades it in after a gap and updates the noise floor.
    pub(crate) fn receive_frame(&mut self, pcm: &mut [f32]) {
        // After a gap the decoded frame fades in from the gain that the gap ended with.
        if self.state.gap_frames > 0 {
            self.crossfade_frame(pcm, 1.0);
            // The noise ends with this frame; its tail would sound in the next gap.
            self.noise.clear_tail();
            (self.state.gap_frames, self.state.sid_powers) = (0, None);
        }
        self.state.has_signal = true;
        let powers = self.analysis.measure_frame(pcm);
        self.state.floor.push_frame(&powers);
    }

    /// Whether the gain of the network's output is zero over the next lost frame, so that the network need not run.
    /// `frames_to_next` is as for [`conceal_frame`](Self::conceal_frame).
    pub(crate) fn is_silent(&self, frames_to_next: Option<u32>) -> bool {
        self.state.gain <= 0.0 && self.state.next_gain(frames_to_next) <= 0.0 || !self.state.has_signal
    }

    /// Whether the last packet was a SID frame.
    pub(crate) fn in_dtx(&self) -> bool {
        self.state.sid_powers.is_some()
    }

    /// Sets the comfort noise to the powers of a SID frame, which starts DTX or updates it.
    pub(crate) fn set_comfort_noise(&mut self, powers: &Powers) {
        // In a gap the powers move to the new ones in steps of `NOISE_SMOOTHING` instead.
        if self.state.gap_frames == 0 {
            self.state.noise_powers = *powers;
        }
        self.state.sid_powers = Some(*powers);
        self.state.floor.set_powers(powers);
    }

    /// Turns the network's output from a held or interpolated latent into the samples of a lost frame; `pcm` may hold
    /// anything if [`is_silent`](Self::is_silent). If the frame after the gap is known, it comes `frames_to_next` frames
    /// later, at least 1.
    pub(crate) fn conceal_frame(&mut self, pcm: &mut [f32], frames_to_next: Option<u32>) {
        let gain = self.state.next_gain(frames_to_next);
        let state = &mut self.state;
        // The noise of a gap stays that of its start: the floor is not updated without decoded frames.
        if state.gap_frames == 0 && state.sid_powers.is_none() {
            state.noise_powers = state.floor.noise_powers();
        }
        state.gap_frames = state.gap_frames.saturating_add(1);
        if let Some(target) = state.sid_powers {
            let step = |(power, target): (&mut f32, f32)| {
                // An inaudible power jumps to the target, so that digital silence is reached exactly.
                let weight = if *power < INAUDIBLE { 1.0 } else { NOISE_SMOOTHING };
                *power += weight * (target - *power);
            };
            state.noise_powers.iter_mut().zip(target).for_each(step);
        }
        if !state.has_signal {
            state.gain = 0.0;
        }
        self.crossfade_frame(pcm, gain);
    }

    /// Moves the gain of the samples from the current one to `to`; the noise fills up the power.
    fn crossfade_frame(&mut self, pcm: &mut [f32], to: f32) {
        let from = std::mem::replace(&mut self.state.gain, to);
        // Held sound and noise are uncorrelated: the squares of their gains add up to one.
        let rest = |gain: f32| (1.0 - gain * gain).max(0.0).sqrt();
        let (noise_from, noise_to) = (rest(from), rest(to));
        self.noise.fill_frame(&self.state.noise_powers, &mut self.scratch);
        let step = 1.0 / pcm.len().max(1) as f32;
        for (i, (sample, noise)) in pcm.iter_mut().zip(&self.scratch).enumerate() {
            // The last sample has the target gain, so that the next frame continues without a step.
            let at = (i + 1) as f32 * step;
            let held = *sample * (from + (to - from) * at);
            *sample = held + noise * (noise_from + (noise_to - noise_from) * at);
        }
    }

    /// The bands that powers refer to.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Back to the state of a new instance.
    pub(crate) fn reset(&mut self) {
        self.analysis.reset();
        self.noise.reset();
        self.state = State::new();
    }

    /// Saves the state to `into`.
    pub(crate) fn save_state(&self, into: &mut ConcealmentSnapshot) {
        into.state = Some(self.state);
        into.signal.clear();
        into.signal.extend_from_slice(self.analysis.signal_history());
        into.noise.copy_from(self.noise.noise_state());
    }

    /// Restores a state of the same bundle.
    pub(crate) fn restore_state(&mut self, from: &ConcealmentSnapshot) {
        if let Some(state) = from.state {
            self.state = state;
            self.analysis.set_signal_history(&from.signal);
            self.noise.set_noise_state(&from.noise);
        }
    }
}

impl State {
    fn new() -> Self {
        Self {
            // No upper bound: before a floor is known, losses fade to silence, not to invented noise.
            floor: NoiseFloor::new(f32::INFINITY),
            gap_frames: 0,
            has_signal: false,
            gain: 1.0,
            noise_powers: Powers::default(),
            sid_powers: None,
        }
    }

    /// Gain of the network's output at the end of the next lost frame.
    fn next_gain(&self, frames_to_next: Option<u32>) -> f32 {
        if !self.has_signal {
            return 0.0;
        }
        let held = |frames: u32| 1.0 - frames.saturating_sub(HOLD_FRAMES) as f32 / FADE_FRAMES as f32;
        let lost = self.gap_frames.saturating_add(1);
        match (self.sid_powers, frames_to_next) {
            // A loss that turns out to be DTX fades on from its current gain.
            (Some(_), _) => (self.gain - 1.0 / DTX_FADE_FRAMES as f32).max(0.0),
            // Never louder again within one gap.
            (None, None) => held(lost).clamp(0.0, self.gain),
            // Mirrored at the end: the held sound comes back towards the known frame.
            (None, Some(frames)) => held(lost.min(frames)).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests;
