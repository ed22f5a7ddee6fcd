//! Nothing comes out of the shipped bundle louder than it went in, whatever goes in.
//!
//! Loudness is the root mean square over 0.4 s, the window of momentary loudness in EBU Tech 3341. In each window it may
//! be at most 3 dB above the most that the input has in that window or its neighbours; below -70 dB nothing counts as
//! loud. No sample leaves full scale.

use std::f32::consts::TAU;

use safetensors::SafeTensors;
use siskin_core::Result;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

const RATE: f32 = 24_000.0;
const LENGTH: usize = 38_400;
const WINDOW: usize = 9600;
/// -70 dB of full scale.
const QUIET: f32 = 3.16e-4;
/// 3 dB as a factor.
const MOST: f32 = 1.413;

struct Codec {
    bundle: Bundle,
    runtime: Runtime,
}

impl Codec {
    fn new() -> Self {
        let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
        let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
        Self { bundle, runtime: Runtime::load(&options).expect("ONNX Runtime: run ./x setup") }
    }

    /// What comes back of a signal at one, few, some and all stages, with pauses described and without.
    fn round_trips(&self, pcm: &[f32]) -> Vec<(String, Vec<f32>)> {
        let all = self.bundle.manifest().quantizer.stages;
        let cases = [(1, false), (all.div_ceil(6), false), (all.div_ceil(3), true), (all, false)];
        let trip = |(stages, dtx)| (format!("{stages} stages, dtx {dtx}"), self.round_trip(pcm, stages, dtx));
        cases.into_iter().map(trip).collect()
    }

    fn round_trip(&self, pcm: &[f32], stages: u8, dtx: bool) -> Vec<f32> {
        let config = EncoderConfig { stages: Some(stages), dtx, search_width: 1, ..Default::default() };
        let mut encoder = Encoder::new(&self.bundle, &self.runtime, &config).expect("an encoder");
        let mut decoder = Decoder::new(&self.bundle, &self.runtime).expect("a decoder");
        let (hop, mut out) = (u64::from(encoder.stream_header().hop), Vec::new());
        let mut emit = |p: EncodedPacket<'_>| -> Result<()> {
            decoder.conceal(((p.position - out.len() as u64) / hop) as u32, &mut out)?;
            decoder.decode(p.data, &mut out).map(drop)
        };
        encoder.push_samples(pcm, &mut emit).expect("a signal");
        encoder.finish_stream(&mut emit).expect("the end");
        assert_eq!(out.len(), pcm.len());
        out
    }

    /// Checks a signal at several levels, in dB below its own.
    fn check(&self, name: &str, pcm: &[f32], levels: &[f32]) {
        for db in levels {
            let gain = 10f32.powf(-db / 20.0);
            let scaled: Vec<f32> = pcm.iter().map(|x| x * gain).collect();
            for (case, out) in self.round_trips(&scaled) {
                let name = format!("{name} at -{db} dB, {case}");
                assert!(out.iter().all(|x| x.is_finite()), "{name}: not a number");
                assert!(peak(&out) <= 1.0, "{name}: beyond full scale");
                louder(&name, &scaled, &out);
            }
        }
    }
}

fn rms(window: &[f32]) -> f32 {
    (window.iter().map(|x| x * x).sum::<f32>() / window.len() as f32).sqrt()
}

fn peak(window: &[f32]) -> f32 {
    window.iter().fold(0.0, |most, x| x.abs().max(most))
}

/// Fails where a window of `out` is louder than it may be.
fn louder(name: &str, pcm: &[f32], out: &[f32]) {
    let given: Vec<f32> = pcm.chunks(WINDOW).map(rms).collect();
    for (n, window) in out.chunks(WINDOW).enumerate() {
        let near = &given[n.saturating_sub(1)..given.len().min(n + 2)];
        let allowed = near.iter().copied().fold(QUIET, f32::max) * MOST;
        let found = rms(window);
        assert!(found <= allowed, "{name}: {found} in window {n}, allowed {allowed}");
    }
}

fn signal(sample: impl Fn(f32) -> f32) -> Vec<f32> {
    (0..LENGTH).map(|i| sample(i as f32 / RATE)).collect()
}

/// White noise of full scale at most.
fn white() -> Vec<f32> {
    let mut seed = 1u32;
    signal(|_| 0.0)
        .iter()
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// The speech of the golden vectors, at full scale.
fn speech() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/golden/speech-24k.safetensors");
    let data = std::fs::read(path).expect("the golden vectors");
    let tensors = SafeTensors::deserialize(&data).expect("a safetensors file");
    let bytes = tensors.tensor("pcm").expect("pcm").data().chunks_exact(4);
    let pcm: Vec<f32> = bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).take(LENGTH).collect();
    normal(&pcm)
}

fn normal(pcm: &[f32]) -> Vec<f32> {
    let most = peak(pcm);
    pcm.iter().map(|x| x / most).collect()
}

/// Plucked chords over a beat of noise.
fn song() -> Vec<f32> {
    let noise = white();
    let chords = [[220.0f32, 277.2, 329.6], [196.0, 246.9, 293.7], [174.6, 220.0, 261.6]];
    let pcm: Vec<f32> = noise
        .iter()
        .enumerate()
        .map(|(i, noise)| {
            let (t, beat) = (i as f32 / RATE, i % 12_000);
            let since = beat as f32 / RATE;
            let harmonics = |f: &f32| {
                (1..8)
                    .map(|h| (TAU * f * h as f32 * t).sin() * (-since * 3.0 * h as f32).exp() / h as f32)
                    .sum::<f32>()
            };
            let chord: f32 = chords[i / 12_000 % 3].iter().map(harmonics).sum();
            chord + 2.0 * noise * (-since * 40.0).exp()
        })
        .collect();
    normal(&pcm)
}

#[test]
fn speech_from_full_scale_to_nearly_nothing() {
    let codec = Codec::new();
    codec.check("speech", &speech(), &[0.0, 20.0, 40.0, 60.0]);
}

#[test]
fn music() {
    Codec::new().check("music", &song(), &[0.0, 20.0, 40.0, 60.0]);
}

#[test]
fn white_and_pink_noise() {
    let (codec, white) = (Codec::new(), white());
    codec.check("white noise", &white, &[0.0, 20.0, 40.0, 60.0]);
    // P. Kellet's filter of three poles: -3 dB an octave within 0.5 dB above 10 Hz.
    let mut poles = [0.0f32; 3];
    let pink: Vec<f32> = white
        .iter()
        .map(|&x| {
            poles[0] = 0.99765 * poles[0] + x * 0.099_046;
            poles[1] = 0.963 * poles[1] + x * 0.296_516_4;
            poles[2] = 0.57 * poles[2] + x * 1.052_691_3;
            0.2 * (poles.iter().sum::<f32>() + x * 0.1848)
        })
        .collect();
    codec.check("pink noise", &normal(&pink), &[0.0, 20.0, 40.0, 60.0]);
}

#[test]
fn pure_tones() {
    let codec = Codec::new();
    for frequency in [60.0, 200.0, 1000.0, 3000.0, 7000.0, 11_000.0] {
        let tone = signal(|t| (TAU * frequency * t).sin());
        codec.check(&format!("{frequency} Hz"), &tone, &[0.0, 30.0, 60.0]);
    }
}

#[test]
fn silence_constants_squares_and_impulses() {
    let codec = Codec::new();
    codec.check("silence", &[0.0; LENGTH], &[0.0]);
    codec.check("a constant", &[1.0; LENGTH], &[0.0, 40.0]);
    codec.check("a square wave", &signal(|t| (TAU * 150.0 * t).sin().signum()), &[0.0, 40.0]);
    let impulses: Vec<f32> = (0..LENGTH).map(|i| if i % 4801 == 100 { 1.0 } else { 0.0 }).collect();
    codec.check("impulses", &impulses, &[0.0, 40.0]);
}

#[test]
fn a_constant_comes_back_as_nothing() {
    for (case, out) in Codec::new().round_trips(&[1.0; LENGTH]) {
        assert!(rms(&out[LENGTH / 2..]) < 0.01, "{case}: {}", rms(&out[LENGTH / 2..]));
    }
}

#[test]
fn what_is_no_number_counts_as_silence_and_what_is_too_loud_is_bounded() {
    let codec = Codec::new();
    let mut pcm = signal(|t| 0.1 * (TAU * 300.0 * t).sin());
    for (i, bad) in
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e9].into_iter().enumerate()
    {
        pcm[2000 * i + 500] = bad;
    }
    for (case, out) in codec.round_trips(&pcm) {
        assert!(out.iter().all(|x| x.is_finite() && x.abs() <= 1.0), "{case}");
        let (given, found) = (rms(&pcm[24_000..]), rms(&out[24_000..]));
        assert!(
            found < given * MOST && found > given * 0.1,
            "{case}: it goes on after the fault, {found} of {given}"
        );
    }
}
