//! Voice activity detection (VAD): whether a frame is coded, or is background noise that a SID frame describes.

use siskin_bitstream::ComfortNoise;

use crate::noise_floor::NoiseFloor;
use crate::sid;
use crate::spectrum::{Analysis, BANDS, Plan, Powers};

/// Frames after the last active one that are coded too, so that no word loses its end: 0.2 s at 50 Hz, which bridges the
/// closure of a plosive.
const HANGOVER: u32 = 10;
/// A frame is active if a band is this much above the noise floor, or the mean of all bands. Noise itself varies by less
/// than this from frame to frame (test `silence_and_noise_are_no_sound`: under 5 % active).
const BAND_DB: f32 = 9.0;
const MEAN_DB: f32 = 4.0;
/// Softer frames are inaudible, in dB of full scale.
const SILENT_DB: f32 = -85.0;
/// Louder frames are never background noise: better a high rate than a lost voice.
const LOUD_DB: f32 = -30.0;
/// Upper bound of the floor before one is known: louder noise counts as sound for the first block.
const INITIAL_FLOOR_DB: f32 = -70.0;
/// A bin is a tone if its power is this multiple of its neighbors' mean and this share of the frame's power. Smoothed
/// noise stays below the multiple.
const TONE_RATIO: f32 = 6.0;
const TONE_SHARE: f32 = 0.03;
/// Neighboring bins on each side.
// 200 Hz at 25 Hz per bin: wide enough for a mean, narrow enough for the slope of noise.
const TONE_REACH: usize = 8;
/// Share of a bin's smoothed power that a new frame replaces: a time constant of 6 frames.
const SMOOTHING: f32 = 0.15;

/// Detects activity frame by frame from the level, the bands over a noise floor and tones, and measures the noise.
///
/// In doubt a frame is active: steady tones and loud noise are sound.
pub(crate) struct VoiceActivityDetector {
    plan: Plan,
    analysis: Analysis,
    floor: NoiseFloor,
    /// Smoothed power of each bin.
    bins: Vec<f32>,
    /// Smoothed powers of the noise since activity ended.
    noise: Powers,
    /// Frames still to be coded after the last active one.
    hangover: u32,
}

impl VoiceActivityDetector {
    pub(crate) fn new(hop: usize, rate: u32) -> Self {
        let plan = Plan::new(hop, rate);
        // The level spread evenly over all bins, as a white noise would be.
        let unknown = 10f32.powf(INITIAL_FLOOR_DB / 10.0) / plan.mean_square(&[1.0; BANDS]);
        Self {
            analysis: Analysis::new(&plan),
            floor: NoiseFloor::new(unknown),
            bins: vec![0.0; hop + 1],
            noise: Powers::default(),
            // A stream starts active: the first frames fill the window and the noise estimate.
            hangover: HANGOVER,
            plan,
        }
    }

    /// Analyzes a frame of a hop; returns whether it is to be coded.
    pub(crate) fn is_active(&mut self, pcm: &[f32]) -> bool {
        let powers = self.analysis.measure_frame(pcm);
        // Every frame, active or not: minimum statistics need no decision about speech.
        self.floor.push_frame(&powers);
        self.bins.iter_mut().zip(self.analysis.bin_powers()).for_each(|(b, p)| *b += SMOOTHING * (p - *b));
        // The window spans this frame and the one before: a sound counts in both.
        let level = 10.0 * self.plan.mean_square(&powers).max(f32::MIN_POSITIVE).log10();
        let active =
            level > SILENT_DB && (level > LOUD_DB || self.is_above_floor(&powers) || self.is_tonal());
        if active {
            self.hangover = HANGOVER;
            return true;
        }
        if self.hangover > 0 {
            self.hangover -= 1;
            // The noise estimate starts with the hangover, which still is coded.
            self.noise = powers;
            // Digital silence needs no hangover: there is nothing to cut off.
            return level > SILENT_DB;
        }
        // After digital silence begins, the estimate jumps to it at once.
        let weight = if level > SILENT_DB { SMOOTHING } else { 1.0 };
        self.noise.iter_mut().zip(powers).for_each(|(n, p)| *n += weight * (p - *n));
        false
    }

    /// The SID frame of the current noise.
    pub(crate) fn sid_frame(&self) -> ComfortNoise {
        sid::sid_from_powers(&self.plan, &self.noise)
    }

    /// Back to the state of a new detector.
    pub(crate) fn reset(&mut self) {
        let unknown = 10f32.powf(INITIAL_FLOOR_DB / 10.0) / self.plan.mean_square(&[1.0; BANDS]);
        self.analysis.reset();
        self.floor = NoiseFloor::new(unknown);
        self.bins.fill(0.0);
        (self.noise, self.hangover) = (Powers::default(), HANGOVER);
    }

    /// Whether a frame is above the noise floor.
    fn is_above_floor(&self, powers: &Powers) -> bool {
        // Both sides of the ratio are bounded below, so that a band of zeros is neither infinite nor NaN.
        let smallest = 10f32.powf(SILENT_DB / 10.0) / self.plan.mean_square(&[1.0; BANDS]);
        let floor = self.floor.noise_powers();
        let ratio = |b: usize| 10.0 * (powers[b].max(smallest) / floor[b].max(smallest)).log10();
        let ratios = (0..BANDS).map(ratio);
        ratios.clone().fold(0.0, f32::max) > BAND_DB || ratios.sum::<f32>() / BANDS as f32 > MEAN_DB
    }

    /// Whether the smoothed spectrum has a line, which noise does not.
    fn is_tonal(&self) -> bool {
        let total: f32 = self.bins.iter().sum();
        (1..self.bins.len()).any(|k| {
            let power = self.bins[k];
            // Weak lines, such as mains hum under noise, are background.
            if power < TONE_SHARE * total {
                return false;
            }
            // The sine window spreads a line over three bins.
            let around = k.saturating_sub(TONE_REACH)..(k + TONE_REACH + 1).min(self.bins.len());
            let others = around.filter(|i| i.abs_diff(k) > 2);
            let (sum, count) = others.fold((0.0, 0), |(sum, count), i| (sum + self.bins[i], count + 1));
            power * count as f32 > TONE_RATIO * sum
        })
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::comfort_noise::NoiseSynthesis;

    const HOP: usize = 480;

    /// Share of active frames of a signal after its first three seconds.
    fn share(pcm: &[f32]) -> f32 {
        let mut vad = VoiceActivityDetector::new(HOP, 24_000);
        let active: Vec<bool> = pcm.chunks_exact(HOP).map(|f| vad.is_active(f)).collect();
        let settled = &active[150.min(active.len())..];
        settled.iter().filter(|&&a| a).count() as f32 / settled.len() as f32
    }

    fn noise(db: f32, slope: f32, seconds: usize) -> Vec<f32> {
        let plan = Plan::new(HOP, 24_000);
        let mut source = NoiseSynthesis::new(&plan);
        let shape: Powers = std::array::from_fn(|b| 10f32.powf(-slope * b as f32 / 10.0));
        let scale = 10f32.powf(db / 10.0) / plan.mean_square(&shape);
        let mut out = vec![0.0; seconds * 24_000];
        out.chunks_exact_mut(HOP).for_each(|frame| source.fill_frame(&shape.map(|p| p * scale), frame));
        out
    }

    fn tone(frequency: f32, level: f32) -> Vec<f32> {
        (0..240_000).map(|i| level * (TAU * frequency * i as f32 / 24_000.0).sin()).collect()
    }

    #[test]
    fn silence_and_noise_are_no_sound() {
        assert_eq!(share(&[0.0; 240_000]), 0.0);
        for db in [-40.0, -60.0, -80.0] {
            for slope in [0.0, 2.0] {
                let found = share(&noise(db, slope, 20));
                assert!(found < 0.05, "{db} dB falling {slope} dB a band: {found}");
            }
        }
    }

    #[test]
    fn tones_and_loud_noise_are_sound() {
        for frequency in [110.0, 440.0, 1000.0, 5000.0] {
            for level in [0.5, 0.01] {
                assert_eq!(share(&tone(frequency, level)), 1.0, "{frequency} Hz at {level}");
            }
        }
        assert_eq!(share(&noise(-20.0, 0.0, 10)), 1.0);
    }

    #[test]
    fn bursts_in_noise_are_found_and_end_late() {
        let mut pcm = noise(-55.0, 1.0, 20);
        let bursts = (200..1000).step_by(100);
        for start in bursts.clone() {
            let at = start * HOP;
            for (i, x) in pcm[at..at + 20 * HOP].iter_mut().enumerate() {
                *x += 0.02 * (TAU * 200.0 * i as f32 / 24_000.0).sin();
            }
        }
        let mut vad = VoiceActivityDetector::new(HOP, 24_000);
        let active: Vec<bool> = pcm.chunks_exact(HOP).map(|f| vad.is_active(f)).collect();
        for start in bursts {
            assert!(active[start..start + 20 + HANGOVER as usize].iter().all(|&a| a), "burst at {start}");
            assert!(!active[start + 75..start + 95].iter().any(|&a| a), "pause after {start}");
        }
    }

    #[test]
    fn the_noise_is_described_as_it_is() {
        let mut vad = VoiceActivityDetector::new(HOP, 24_000);
        let pcm = noise(-50.0, 2.0, 10);
        assert_eq!(pcm.chunks_exact(HOP).map(|frame| vad.is_active(frame)).last(), Some(false));
        let level = vad.sid_frame().level_db().expect("noise");
        assert!((level + 50.0).abs() < 1.5, "{level}");
        vad.reset();
        assert_eq!(vad.sid_frame(), ComfortNoise::default());
    }
}
