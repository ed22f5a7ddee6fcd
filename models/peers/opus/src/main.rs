//! Codes a clip with libopus 1.6.1 so that `models/evaluate.py` can compare it with the same clip in other codecs.
//!
//! `encode` writes Ogg Opus; `decode` takes away the packets whose numbers a file lists and conceals or rebuilds them.
mod file;
mod libopus;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use libopus::{Decoder, Encoder, FRAME, RATE};
use opusic_sys as sys;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// WAV (24 kHz mono) to Ogg Opus: voice mode, 20 ms packets, constrained variable rate, complexity 10
    Encode {
        input: PathBuf,
        output: PathBuf,
        /// Bits a second that the encoder aims at, redundancy included
        #[arg(long)]
        bitrate: i32,
        /// Deep redundancy in each packet, in units of 10 ms, 0 to 100
        #[arg(long, default_value_t = 0)]
        dred: i32,
        /// Losses that the encoder is told to expect, in per cent
        #[arg(long, default_value_t = 0)]
        expect_loss: i32,
    },
    /// Ogg Opus to WAV (32-bit float)
    Decode {
        input: PathBuf,
        output: PathBuf,
        /// Below 5 nothing neural, 5 deep concealment, 6 also LACE, 7 to 10 NoLACE instead
        #[arg(long, default_value_t = 0)]
        complexity: i32,
        /// File with the numbers of the packets that are lost, from 0, separated by white space
        #[arg(long)]
        lost: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Encode { input, output, bitrate, dred, expect_loss } => {
            encode(&input, &output, bitrate, dred, expect_loss)
        }
        Verb::Decode { input, output, complexity, lost } => {
            decode(&input, &output, complexity, lost.as_deref())
        }
    }
}

fn samples(path: &Path) -> Result<Vec<f32>> {
    let mut wav = hound::WavReader::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec = wav.spec();
    if spec.sample_rate as usize != RATE || spec.channels != 1 {
        bail!(
            "{} has {} Hz and {} channels; {RATE} Hz mono is needed",
            path.display(),
            spec.sample_rate,
            spec.channels
        );
    }
    let full = (1i64 << (spec.bits_per_sample - 1)) as f32;
    Ok(match spec.sample_format {
        hound::SampleFormat::Float => wav.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            wav.samples::<i32>().map(|s| Ok::<_, hound::Error>(s? as f32 / full)).collect::<Result<_, _>>()?
        }
    })
}

fn encode(input: &Path, output: &Path, bitrate: i32, dred: i32, expect_loss: i32) -> Result<()> {
    let pcm = samples(input)?;
    let mut encoder = Encoder::new()?;
    encoder.set(sys::OPUS_SET_BITRATE_REQUEST, bitrate)?;
    encoder.set(sys::OPUS_SET_COMPLEXITY_REQUEST, 10)?;
    encoder.set(sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, expect_loss)?;
    encoder.set(sys::OPUS_SET_DRED_DURATION_REQUEST, dred)?;
    let skip = encoder.lookahead()?;
    let mut packets = Vec::new();
    for start in (0..pcm.len() + skip).step_by(FRAME) {
        let mut frame = [0.0; FRAME];
        let part = &pcm[start.min(pcm.len())..(start + FRAME).min(pcm.len())];
        frame[..part.len()].copy_from_slice(part);
        packets.push(encoder.encode(&frame)?);
    }
    let stream = file::Stream { skip, samples: pcm.len(), packets };
    file::write(output, &stream)?;
    let bytes: usize = stream.packets.iter().map(Vec::len).sum();
    println!(
        "{}",
        serde_json::json!({ "packets": stream.packets.len(), "packet_bytes": bytes, "samples": pcm.len() })
    );
    Ok(())
}

fn decode(input: &Path, output: &Path, complexity: i32, lost: Option<&Path>) -> Result<()> {
    let stream = file::read(input)?;
    let lost: HashSet<usize> = match lost {
        None => HashSet::new(),
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .split_whitespace()
            .map(|word| word.parse().with_context(|| format!("{word:?} is no packet number")))
            .collect::<Result<_>>()?,
    };
    let mut decoder = Decoder::new(complexity)?;
    let (mut pcm, mut waiting) = (Vec::with_capacity(stream.packets.len() * FRAME), 0);
    for (i, packet) in stream.packets.iter().enumerate() {
        if lost.contains(&i) {
            waiting += 1;
            continue;
        }
        if waiting > 0 {
            pcm.extend(decoder.rebuild(packet, waiting)?.into_iter().flatten());
            waiting = 0;
        }
        pcm.extend(decoder.decode(Some(packet))?);
    }
    for _ in 0..waiting {
        pcm.extend(decoder.decode(None)?);
    }
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut wav = hound::WavWriter::create(output, spec)?;
    for sample in pcm.iter().skip(stream.skip).take(stream.samples) {
        wav.write_sample(*sample)?;
    }
    wav.finalize()?;
    let gone = stream.packets.len().min(lost.iter().filter(|&&i| i < stream.packets.len()).count());
    println!(
        "{}",
        serde_json::json!({ "packets": stream.packets.len(), "lost": gone, "samples": stream.samples })
    );
    Ok(())
}
