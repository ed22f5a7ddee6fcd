//! Processor time of the library's audio coding, without files and their formats: milliseconds per second of sound.
//!
//!     cargo run --release -p siskin-core --example audio_speed -- SPEECH.wav
//!
//! SPEECH is 16-bit mono at the bundle's rate. Each line ends with a hash of the packets or codes, so that two builds can be
//! compared: `scripts/audio_speed.py` does so with the whole program.
#![allow(clippy::print_stdout, reason = "a program that tells what it found")]

use std::error::Error;

use siskin_core::Result;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig, MAX_BLOCK, RateMode};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};
use siskin_core::tokens::Tokenizer;

/// Seconds of processor time so far, in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th fields after it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A hash of numbers, for comparisons only.
fn hash(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(7, |hash, n| hash.wrapping_mul(1_000_003).wrapping_add(n))
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("a WAV file is missing")?;
    let mut file = hound::WavReader::open(path)?;
    let bundle = Bundle::find("speech-24k")?;
    let manifest = bundle.manifest();
    let format = file.spec();
    if (format.channels, format.sample_rate, format.bits_per_sample) != (1, manifest.sample_rate, 16) {
        return Err(format!("{format:?}, wanted: 16 bits, mono, {} Hz", manifest.sample_rate).into());
    }
    let pcm: Vec<f32> = file
        .samples::<i16>()
        .map(|s| s.map(|s| f32::from(s) / 32_768.0))
        .collect::<std::result::Result<_, _>>()?;
    let seconds = pcm.len() as f64 / f64::from(manifest.sample_rate);
    let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
    let runtime = Runtime::load(&options)?;
    let report = |name: &str, start: f64, hash: u64| {
        println!("{name:<32}{:>8.2} ms/s  {hash:016x}", (cpu_seconds() - start) * 1e3 / seconds);
    };

    let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", None)?;
    tokenizer.set_block(MAX_BLOCK);
    let (mut tokens, start) = (Vec::new(), cpu_seconds());
    tokenizer.push_samples(&pcm, &mut tokens)?;
    tokenizer.finish_stream(false, &mut tokens)?;
    report("tokens", start, hash(tokens.iter().map(|&t| t as u64)));

    let variable = RateMode::Variable { bitrate: 6000 };
    for (name, frames_per_packet, rate_mode) in [
        ("VBR at 6 kb/s, 50 frames", 50, variable),
        ("6 stages, 50 frames", 50, RateMode::Constant),
        ("6 stages, 1 frame", 1, RateMode::Constant),
    ] {
        let config = EncoderConfig { frames_per_packet, rate_mode, ..Default::default() };
        let mut encoder = Encoder::new(&bundle, &runtime, &config)?;
        let mut packets: Vec<Vec<u8>> = Vec::new();
        let mut keep = |packet: EncodedPacket<'_>| -> Result<()> {
            packets.push(packet.data.to_vec());
            Ok(())
        };
        let start = cpu_seconds();
        encoder.push_samples(&pcm, &mut keep)?;
        encoder.finish_stream(&mut keep)?;
        report(&format!("encode, {name}"), start, hash(packets.iter().flatten().map(|&b| b.into())));
        let mut decoder = Decoder::new(&bundle, &runtime)?;
        let (mut out, start) = (Vec::new(), cpu_seconds());
        for packet in &packets {
            decoder.decode(packet, &mut out)?;
        }
        // Rounded to 12 bits: samples of two builds differ in the last bits.
        report(
            &format!("decode, {name}"),
            start,
            hash(out.iter().map(|x| (x * 2048.0).round() as i64 as u64)),
        );
    }
    Ok(())
}
