//! Whether a recording is speech, or sound of another kind.

use std::f32::consts::TAU;

use crate::spectrum::{Analysis, Plan};

/// What the detector takes: 20 ms frames at 24 kHz.
const RATE: u32 = 24_000;
const HOP: usize = 480;
/// Frames that are judged together, 3 s: several syllables and at least one pause of most speech.
const FRAMES: usize = 150;
/// Frames of a recording's last part that are enough to judge it: the longest lag, and half as many again to average over.
const MIN_FRAMES: usize = 60;
/// Bands of [`Frame::bands`], equally wide on the scale asinh(f / 600 Hz) up to 12 kHz, by their first bins of 25 Hz.
const EDGES: [usize; 17] = [0, 6, 11, 18, 25, 34, 45, 58, 74, 94, 119, 151, 191, 240, 303, 382, 481];
const BANDS: usize = EDGES.len() - 1;
/// Bins of 25 Hz that are looked at one by one, 100 Hz to 5.1 kHz: where partials of tones are apart.
const LINES: std::ops::Range<usize> = 4..204;
/// Parts below this level, in dB of full scale, say nothing.
const SILENT_DB: f32 = -60.0;
/// Side to mid in dB above which a recording is in stereo: what lossy coding of one voice leaves in the side is below.
const STEREO_DB: f32 = -25.0;

/// Mean, standard deviation, weight, and weight of the square of each feature of [`Part::features`]: a logistic regression on 900
/// crops of 9 s of speech (with noise, in rooms, of telephones, of two talkers) and 900 of music and sounds, by
/// `models/fit_content.py`. Of unseen speakers and recordings it finds 395 of 396 crops of speech, 287 of 288 of music and 101 of 119
/// of sounds, with the 0.5 that is taken off; what is missed of the sounds are screams and slides.
const WEIGHTS: [[f32; 4]; 13] = [
    [0.380, 0.221, -0.021, -0.699],
    [0.282, 0.226, -0.466, 0.129],
    [0.215, 0.209, -0.731, 0.301],
    [0.164, 0.172, -0.732, 0.115],
    [1.375, 0.292, -0.169, -0.120],
    [0.202, 0.222, 0.474, -0.050],
    [0.783, 0.498, 0.877, -0.292],
    [0.709, 0.417, 0.036, -0.007],
    [0.538, 0.241, -0.531, -0.060],
    [-1.397, 1.152, -0.976, -0.139],
    [0.751, 0.405, 0.786, -0.291],
    [-2.817, 1.518, -0.401, -0.006],
    [0.890, 0.506, 1.008, 0.076],
];
const BIAS: f32 = 0.702 - 0.5;

/// What a recording is, as far as it decides which codec suits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Voices, in one channel or in two that are alike.
    Speech,
    /// Music, sounds, anything in stereo.
    General,
}

/// Tells speech from other sound by its syllables, pauses and pitch: the spectral lines of tones stay where they are, those of
/// voices glide.
///
/// Takes samples at 24 kHz, in one channel or two, and judges parts of 3 s; the recording is what the parts are on average.
///
/// ```
/// use siskin_audio::{Content, ContentDetector};
///
/// let mut detector = ContentDetector::new(1);
/// let chord = |i: usize| [220.0, 277.2, 329.6].map(|f| (0.262e-3 * f * i as f32).sin()).iter().sum::<f32>() / 6.0;
/// detector.push_samples(&(0..72_000).map(chord).collect::<Vec<f32>>());
/// assert_eq!(detector.content(), Some(Content::General));
/// ```
pub struct ContentDetector {
    channels: usize,
    analysis: Analysis,
    /// Samples of the next frame, of the mean of the channels.
    pending: Vec<f32>,
    part: Vec<Frame>,
    /// Sum of the parts' log-odds of speech, and their number.
    odds: (f32, u32),
    /// Powers of mid and side.
    mid_side: [f64; 2],
}

/// What is kept of a frame.
struct Frame {
    bands: [f32; BANDS],
    lines: Vec<f32>,
}

impl Frame {
    fn measured(analysis: &mut Analysis, pcm: &[f32]) -> Self {
        analysis.measure_frame(pcm);
        let bins: Vec<f32> = analysis.bin_powers().collect();
        let band = |b: usize| bins[EDGES[b]..EDGES[b + 1]].iter().sum::<f32>() / width(b);
        Self { bands: std::array::from_fn(band), lines: bins[LINES].to_vec() }
    }
}

impl ContentDetector {
    /// The rate of the samples in Hz.
    pub const SAMPLE_RATE: u32 = RATE;

    /// A detector of samples in one channel, or in more that are interleaved, of which the first two are taken.
    pub fn new(channels: u8) -> Self {
        Self {
            channels: usize::from(channels.max(1)),
            analysis: Analysis::new(&Plan::new(HOP, RATE)),
            pending: Vec::with_capacity(HOP),
            part: Vec::with_capacity(FRAMES),
            odds: (0.0, 0),
            mid_side: [0.0; 2],
        }
    }

    /// Takes samples, interleaved. What is cut off of a sample of all channels is left out; NaN and infinite samples are silence.
    pub fn push_samples(&mut self, pcm: &[f32]) {
        for sample in pcm.chunks_exact(self.channels) {
            let of = |c: usize| if sample[c].is_finite() { sample[c].clamp(-4.0, 4.0) } else { 0.0 };
            let (left, right) = (of(0), of(1.min(self.channels - 1)));
            self.mid_side[0] += f64::from(left + right).powi(2);
            self.mid_side[1] += f64::from(left - right).powi(2);
            self.pending.push(0.5 * (left + right));
            if self.pending.len() == HOP {
                self.take_frame();
            }
        }
    }

    /// What the samples so far are; none where there is too little sound (1.2 s) to say.
    pub fn content(&self) -> Option<Content> {
        let [mid, side] = self.mid_side;
        if side > mid * 10f64.powf(f64::from(STEREO_DB) / 10.0) && mid + side > 0.0 {
            return Some(Content::General);
        }
        let (mut sum, mut count) = self.odds;
        if count == 0
            && self.part.len() >= MIN_FRAMES
            && let Some(odds) = odds_of_speech(&self.part)
        {
            (sum, count) = (odds, 1);
        }
        (count > 0).then_some(if sum > 0.0 { Content::Speech } else { Content::General })
    }

    fn take_frame(&mut self) {
        self.part.push(Frame::measured(&mut self.analysis, &self.pending));
        self.pending.clear();
        if self.part.len() == FRAMES {
            if let Some(odds) = odds_of_speech(&self.part) {
                self.odds = (self.odds.0 + odds, self.odds.1 + 1);
            }
            self.part.clear();
        }
    }
}

/// Log-odds of a part being speech; none where it is silent.
fn odds_of_speech(part: &[Frame]) -> Option<f32> {
    let features = Part::new(part)?.features();
    let odds = features.iter().zip(WEIGHTS).map(|(x, [mean, deviation, weight, square])| {
        let z = (x - mean) / deviation;
        z * weight + z * z * square
    });
    Some(BIAS + odds.sum::<f32>())
}

/// A part of a recording, measured.
struct Part<'a> {
    frames: &'a [Frame],
    /// Level of each frame in dB, and of the part.
    levels: Vec<f32>,
    level: f32,
    /// Mean power of a frame.
    power: f32,
    /// Frames that are not softer than the part by more than 25 dB.
    loud: Vec<bool>,
}

fn decibels(power: f32) -> f32 {
    10.0 * power.log10()
}

fn width(band: usize) -> f32 {
    (EDGES[band + 1] - EDGES[band]) as f32
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0u32), |(s, c), v| (s + v, c + 1));
    if count == 0 { 0.0 } else { sum / count as f32 }
}

fn deviation(values: &[f32]) -> f32 {
    let middle = mean(values.iter().copied());
    mean(values.iter().map(|v| (v - middle).powi(2))).sqrt()
}

impl<'a> Part<'a> {
    fn new(frames: &'a [Frame]) -> Option<Self> {
        let of_frame =
            |f: &Frame| 2.0 * f.bands.iter().enumerate().map(|(b, p)| p * width(b)).sum::<f32>() + 1e-10;
        let powers: Vec<f32> = frames.iter().map(of_frame).collect();
        let power = mean(powers.iter().copied());
        let level = decibels(power);
        let levels: Vec<f32> = powers.into_iter().map(decibels).collect();
        let loud = levels.iter().map(|l| *l > level - 25.0).collect();
        (level > SILENT_DB).then_some(Self { frames, levels, level, power, loud })
    }

    /// In the order of [`WEIGHTS`]: how alike the lines of frames 2, 6, 16 and 40 apart are, how far lines stand out, share of
    /// pauses, spread of the level, its course between syllables, change of the bands from frame to frame, share of the lowest
    /// band, change of the bands over 160 ms, share of what is above 5.7 kHz, spread of the balance of hiss and voice.
    fn features(&self) -> [f32; 13] {
        let (alike, peak) = self.lines();
        let bands = self.bands_in_decibels();
        let course: Vec<f32> = self.levels.iter().map(|l| l.max(self.level - 35.0)).collect();
        let pauses = mean(self.levels.iter().map(|l| f32::from(u8::from(*l < self.level - 12.0))));
        [
            alike[0],
            alike[1],
            alike[2],
            alike[3],
            peak / 10.0,
            pauses,
            deviation(&course) / 10.0,
            -syllables(&course),
            self.change(&bands, 1) / 5.0,
            self.share(0..1) / 10.0,
            self.change(&bands, 8) / 10.0,
            self.share(12..BANDS) / 10.0,
            self.balance() / 10.0,
        ]
    }

    fn bands_in_decibels(&self) -> Vec<[f32; BANDS]> {
        let floor = 1e-10 + 1e-7 * self.power;
        self.frames.iter().map(|f| f.bands.map(|p| decibels(p + floor))).collect()
    }

    /// Mean change of the bands in dB over `lag` frames, where it ends in a loud one.
    fn change(&self, bands: &[[f32; BANDS]], lag: usize) -> f32 {
        let pairs = bands.iter().zip(bands.iter().skip(lag)).zip(self.loud.iter().skip(lag));
        let loud = pairs.filter(|(_, is_loud)| **is_loud);
        mean(loud.map(|((a, b), _)| mean(a.iter().zip(b).map(|(x, y)| (x - y).abs()))))
    }

    /// Share of bands of the whole power in dB.
    fn share(&self, bands: std::ops::Range<usize>) -> f32 {
        let of = |range: std::ops::Range<usize>| {
            self.frames.iter().map(|f| range.clone().map(|b| f.bands[b] * width(b)).sum::<f32>()).sum::<f32>()
        };
        let all = of(0..BANDS);
        decibels((of(bands) + 1e-9 * all + 1e-12) / (all + 1e-12))
    }

    /// Spread in dB of the power above 3 kHz against that from 275 Hz to 1.9 kHz, in loud frames.
    fn balance(&self) -> f32 {
        let of = |f: &Frame, range: std::ops::Range<usize>| {
            range.map(|b| f.bands[b] * width(b)).sum::<f32>() + 1e-12
        };
        let loud = self.frames.iter().zip(&self.loud).filter(|(_, is_loud)| **is_loud);
        let ratios: Vec<f32> = loud.map(|(f, _)| decibels(of(f, 10..BANDS) / of(f, 2..8))).collect();
        deviation(&ratios)
    }

    /// Correlation of the lines of loud frames so many frames apart, and how many dB the eight highest stand out.
    fn lines(&self) -> ([f32; 4], f32) {
        let floor = 1e-11 + 1e-8 * self.power;
        let raised: Vec<Vec<f32>> = self.frames.iter().map(|f| standing_out(&f.lines, floor)).collect();
        let norms: Vec<f32> =
            raised.iter().map(|r| r.iter().map(|x| x * x).sum::<f32>().sqrt() + 1e-6).collect();
        let alike = |lag: usize| {
            let later = (lag..raised.len()).filter(|&t| self.loud[t] && self.loud[t - lag]);
            mean(later.map(|t| {
                let product: f32 = raised[t].iter().zip(&raised[t - lag]).map(|(a, b)| a * b).sum();
                product / (norms[t] * norms[t - lag])
            }))
        };
        let peak = |lines: &[f32]| {
            let mut sorted = lines.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            mean(sorted.into_iter().take(8))
        };
        let loud = raised.iter().zip(&self.loud).filter(|(_, is_loud)| **is_loud);
        ([2, 6, 16, 40].map(alike), mean(loud.map(|(r, _)| peak(r))))
    }
}

/// By how many dB each line stands out from the mean of the 17 around it, without their mean.
fn standing_out(lines: &[f32], floor: f32) -> Vec<f32> {
    let log: Vec<f32> = lines.iter().map(|p| decibels(p + floor)).collect();
    let last = log.len() as isize - 1;
    let around = |i: usize| mean((-8..=8).map(|d| log[(i as isize + d).clamp(0, last) as usize]));
    let mut out: Vec<f32> = (0..log.len()).map(|i| (log[i] - around(i)).clamp(-10.0, 20.0)).collect();
    let middle = mean(out.iter().copied());
    out.iter_mut().for_each(|x| *x -= middle);
    out
}

/// Share, as a logarithm, that 2.5 to 8 Hz have of the course of the level from 0.3 to 25 Hz.
fn syllables(course: &[f32]) -> f32 {
    let (count, middle) = (course.len(), mean(course.iter().copied()));
    let window = |i: usize| 0.5 - 0.5 * (TAU * i as f32 / (count - 1) as f32).cos();
    let tapered: Vec<f32> = course.iter().enumerate().map(|(i, l)| (l - middle) * window(i)).collect();
    let power = |k: usize| {
        let turn = |i: usize| TAU * (k * i % count) as f32 / count as f32;
        let (re, im) = tapered
            .iter()
            .enumerate()
            .fold((0.0, 0.0), |(re, im), (i, x)| (re + x * turn(i).cos(), im - x * turn(i).sin()));
        re * re + im * im
    };
    let seconds = count as f32 * HOP as f32 / RATE as f32;
    let between = |low: f32, high: f32| {
        (0..=count / 2).filter(|&k| (low..high).contains(&(k as f32 / seconds))).map(power).sum::<f32>() + 1.0
    };
    (between(2.5, 8.0) / between(0.3, 25.0)).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the training's own code, in 64 bits, gives for `voice` and `chord`.
    const OF_VOICE: [f32; 13] =
        [0.017, 0.001, 0.008, 0.012, 1.048, 0.367, 1.278, 0.291, 0.98, -0.48, 1.963, -1.783, 3.123];
    const OF_CHORD: [f32; 13] =
        [0.989, 0.99, 0.988, 0.99, 1.508, 0.0, 0.026, 0.089, 0.105, -3.396, 0.109, -7.366, 0.731];

    /// Syllables of a gliding voice, with a hiss after each.
    fn voice(i: usize) -> f32 {
        let t = i as f64 / 24_000.0;
        let turn = |f: f64| std::f64::consts::TAU * f * t;
        let pitch = std::f64::consts::TAU * (140.0 * t + 8.0 * turn(0.9).sin());
        let pause = if turn(0.6).sin() > -0.7 { 1.0 } else { 0.0 };
        let voiced: f64 = (1..20).map(|k| (f64::from(k) * pitch).sin() / f64::from(k)).sum();
        let hiss = (1e4 * (i as f64 * 12.9898).sin()).sin() * (turn(3.5) + 3.6).sin().max(0.0);
        (0.1 * turn(3.5).sin().max(0.0) * pause * voiced + 0.02 * hiss) as f32
    }

    fn chord(i: usize) -> f32 {
        let t = i as f64 / 24_000.0;
        ([220.0, 277.2, 329.6].map(|f| (std::f64::consts::TAU * f * t).sin()).iter().sum::<f64>() / 6.0)
            as f32
    }

    fn samples(of: impl Fn(usize) -> f32, seconds: usize) -> Vec<f32> {
        (0..24_000 * seconds).map(of).collect()
    }

    fn heard(channels: u8, pcm: &[f32]) -> Option<Content> {
        let mut detector = ContentDetector::new(channels);
        detector.push_samples(pcm);
        detector.content()
    }

    #[test]
    fn features_are_those_that_the_weights_were_fitted_to() {
        for (pcm, wanted) in [(samples(voice, 3), OF_VOICE), (samples(chord, 3), OF_CHORD)] {
            let mut analysis = Analysis::new(&Plan::new(HOP, RATE));
            let part: Vec<Frame> =
                pcm.chunks(HOP).map(|frame| Frame::measured(&mut analysis, frame)).collect();
            let found = Part::new(&part).expect("sound").features();
            for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
                assert!((a - b).abs() < 0.01, "feature {i}: {a}, wanted {b}");
            }
        }
    }

    #[test]
    fn voices_chords_and_stereo_are_told_apart() {
        let (voice, chord) = (samples(voice, 6), samples(chord, 6));
        assert_eq!(heard(1, &voice), Some(Content::Speech));
        assert_eq!(heard(1, &chord), Some(Content::General));
        let pair = |right: f32| voice.iter().flat_map(|&x| [x, x * right]).collect::<Vec<f32>>();
        assert_eq!(heard(2, &pair(1.0)), Some(Content::Speech), "the same in both channels");
        assert_eq!(heard(2, &pair(0.95)), Some(Content::Speech), "the side 32 dB below");
        assert_eq!(heard(2, &pair(0.0)), Some(Content::General), "left alone");
    }

    #[test]
    fn what_says_nothing_decides_nothing() {
        assert_eq!(heard(1, &[]), None);
        assert_eq!(heard(2, &[0.0; 480_000]), None);
        assert_eq!(heard(1, &samples(chord, 1)), None, "a second is too short");
        assert_eq!(heard(1, &[f32::NAN; 240_000]), None);
        assert_eq!(heard(1, &samples(chord, 2)), Some(Content::General));
        // Silence before and after says nothing about what is between.
        let padded = [vec![0.0; 240_000], samples(voice, 6), vec![0.0; 240_000]].concat();
        assert_eq!(heard(1, &padded), Some(Content::Speech));
    }

    #[test]
    fn the_answer_does_not_depend_on_how_samples_were_cut() {
        let pcm = samples(|i| 0.5 * voice(i) + 0.5 * chord(i / 2 * 2), 9);
        let mut pieces = ContentDetector::new(2);
        let whole = {
            let mut detector = ContentDetector::new(2);
            detector.push_samples(&pcm);
            detector.odds
        };
        for piece in pcm.chunks(2 * 777) {
            pieces.push_samples(piece);
        }
        assert_eq!(pieces.odds, whole);
    }
}
