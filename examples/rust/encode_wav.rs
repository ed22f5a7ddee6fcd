//! Encodes a WAV file to Matroska.
//!
//! `cargo run --release -p siskin-examples --example encode_wav -- IN.wav OUT.mka`; IN.wav is mono at 24 kHz.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result, ensure};
use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::container::{Mode, Track, Writer, WriterOptions};
use siskin_core::runtime::Runtime;

/// Samples that the encoder gets at a time. Any number will do: the packets are the same.
const CHUNK: usize = 4096;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (input, output) = args.next().zip(args.next()).context("usage: encode_wav IN.wav OUT.mka")?;

    // The bundle has the trained networks and codebooks, the runtime runs them.
    let bundle = Bundle::find("speech-24k")?;
    let runtime = Runtime::load(&Default::default())?;
    // Fifty frames, a second, in a packet: a file need not be joined in the middle of one.
    let config = EncoderConfig { frames_per_packet: 50, ..Default::default() };
    let mut encoder = Encoder::new(&bundle, &runtime, &config)?;
    let rate = encoder.stream_header().sample_rate;

    let mut wav = hound::WavReader::open(&input)?;
    let spec = wav.spec();
    ensure!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, rate, 16),
        "{input} must be 16-bit mono at {rate} Hz"
    );

    // The writer does no input or output itself: it appends bytes to a buffer.
    let options = WriterOptions { mode: Mode::File, writing_app: "encode_wav".into(), ..Default::default() };
    let track = Track::audio(encoder.stream_header())
        .with_frames_per_packet(encoder.stream_header(), encoder.frames_per_packet());
    let mut writer = Writer::new(vec![track], options)?;
    let mut bytes = Vec::new();
    writer.write_header(&mut bytes)?;
    let mut write = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
        let ns = |samples: u64| samples * 1_000_000_000 / u64::from(rate);
        let (start, end) = (ns(packet.position), ns(packet.position + packet.samples));
        writer.write_block(0, start, end - start, true, packet.data, &mut bytes)
    };

    let samples = wav.samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32_768.0));
    let samples = samples.collect::<Result<Vec<f32>, _>>()?;
    for chunk in samples.chunks(CHUNK) {
        encoder.push_samples(chunk, &mut write)?;
    }
    encoder.finish_stream(&mut write)?;

    // The end of the file holds its index; the patches fill in the duration and where that index is.
    let patches = writer.finish(&mut bytes)?;
    let mut file = BufWriter::new(File::create(&output)?);
    file.write_all(&bytes)?;
    for patch in patches {
        patch.write_to(&mut file)?;
    }
    file.flush()?;
    let seconds = samples.len() as f64 / f64::from(rate);
    eprintln!("{seconds:.2} s in {} bytes, {:.2} kb/s", bytes.len(), bytes.len() as f64 * 8e-3 / seconds);
    Ok(())
}
