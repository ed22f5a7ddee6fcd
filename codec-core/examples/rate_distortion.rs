//! What the encoder's search gains by its width and by lambda, with the packets of files.
//!
//! `cargo run --release -p siskin-core --example rate_distortion -- STAGES CLIP.wav...`; clips are mono at the bundle's
//! sample rate. Prints for each search the bits of a
//! frame, what that is less than fixed width, the mean squared error of the latents and the encoder's time for a frame.
#![allow(clippy::print_stdout, reason = "a program that tells what it found")]

use std::error::Error;
use std::f32::consts::TAU;
use std::time::Instant;

use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig, FrameEncoder, ResidualQuantizer};
use siskin_core::bitstream::Frames;
use siskin_core::bitstream::packet::{Packet, PacketInfo, write_frames};
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::runtime::Runtime;
use siskin_core::{Limits, Result};

/// Widths and weights that are tried.
const SEARCHES: [(usize, f32); 10] =
    [(1, 0.0), (4, 0.0), (4, 0.6), (8, 0.0), (8, 0.4), (8, 0.6), (8, 0.8), (8, 1.0), (16, 0.0), (16, 0.8)];

struct Clip {
    pcm: Vec<f32>,
    /// `[frame]` latents before the quantizer.
    latents: Vec<Vec<f32>>,
}

impl Clip {
    fn read(path: &str, bundle: &Bundle, runtime: &Runtime) -> std::result::Result<Self, Box<dyn Error>> {
        let mut reader = hound::WavReader::open(path)?;
        let (spec, manifest) = (reader.spec(), bundle.manifest());
        if spec.sample_rate != manifest.sample_rate || spec.channels != 1 {
            return Err(format!("{path}: {spec:?}, needed: mono of {} Hz", manifest.sample_rate).into());
        }
        let pcm: Vec<f32> = match spec.sample_format {
            hound::SampleFormat::Float => reader.samples::<f32>().collect::<hound::Result<_>>()?,
            hound::SampleFormat::Int => {
                let scale = 0.5f32.powi(i32::from(spec.bits_per_sample) - 1);
                reader.samples::<i32>().map(|x| x.map(|x| x as f32 * scale)).collect::<hound::Result<_>>()?
            }
        };
        // What the encoder's network hears: the encoder's filter stands before it.
        let (pole, mut input, mut output) = ((-TAU * 20.0 / spec.sample_rate as f32).exp(), 0.0, 0.0);
        let heard: Vec<f32> = pcm
            .iter()
            .map(|&x| {
                output = pole * output + 0.5 * (1.0 + pole) * (x - input);
                input = x;
                output
            })
            .collect();
        let mut encoder = FrameEncoder::new(bundle, runtime)?;
        let frames = heard.chunks_exact(manifest.hop.into());
        let latents = frames.map(|f| encoder.encode_latent(f).map(<[f32]>::to_vec)).collect::<Result<_>>()?;
        Ok(Self { pcm, latents })
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [stages, paths @ ..] = args.as_slice() else { return Err("STAGES CLIP.wav...".into()) };
    let (bundle, runtime) = (Bundle::find("speech-24k")?, Runtime::load(&Default::default())?);
    let clips =
        paths.iter().map(|p| Clip::read(p, &bundle, &runtime)).collect::<std::result::Result<Vec<_>, _>>()?;
    let (header, quantizer) = (bundle.stream_header(), ResidualQuantizer::from_bundle(&bundle)?);
    let mut coder = siskin_core::audio::load_entropy_tables(&bundle)?.map(Coder::new);
    println!(
        "| width | lambda | bits per frame | less than fixed width | error | us per frame |\n|---|---|---|---|---|---|"
    );
    for (search_width, lambda) in SEARCHES {
        let stages = Some(stages.parse()?);
        let config =
            EncoderConfig { stages, frames_per_packet: 50, search_width, lambda, ..Default::default() };
        let mut encoder = Encoder::new(&bundle, &runtime, &config)?;
        let (mut bytes, mut fixed, mut count, mut error, mut seconds) = (0, 0, 0, 0.0, 0.0);
        let (mut frames, mut written) = (Frames::default(), Vec::new());
        let mut decoded = vec![0.0; quantizer.latent_dim()];
        for clip in &clips {
            let mut packets = Vec::new();
            let mut keep = |packet: EncodedPacket<'_>| -> Result<()> {
                packets.push(packet.data.to_vec());
                Ok(())
            };
            let clock = Instant::now();
            encoder.push_samples(&clip.pcm, &mut keep)?;
            encoder.finish_stream(&mut keep)?;
            seconds += clock.elapsed().as_secs_f64();
            let mut latents = clip.latents.iter();
            for data in &packets {
                let packet = Packet::parse(data, &Limits::default())?.bind(&header)?;
                packet.read_codes(coder.as_mut().map(|c| c as _), &mut frames)?;
                for (coder, bytes) in [(coder.as_mut(), &mut bytes), (None, &mut fixed)] {
                    written.clear();
                    write_frames(
                        &header,
                        &PacketInfo::default(),
                        false,
                        &frames,
                        coder.map(|c| c as _),
                        &mut written,
                    )?;
                    *bytes += written.len();
                }
                count += frames.len();
                for (codes, latent) in frames.iter().zip(&mut latents) {
                    quantizer.dequantize_codes(codes, &mut decoded)?;
                    let squares = latent.iter().zip(&decoded).map(|(a, b)| f64::from(a - b).powi(2));
                    error += squares.sum::<f64>();
                }
            }
        }
        let (count, bits) = (count as f64, bytes as f64 * 8.0 / count as f64);
        let (less, error, us) =
            (100.0 - 100.0 * bytes as f64 / fixed as f64, error / count, seconds * 1e6 / count);
        println!("| {search_width} | {lambda} | {bits:.2} | {less:.2} % | {error:.3} | {us:.0} |");
    }
    Ok(())
}
