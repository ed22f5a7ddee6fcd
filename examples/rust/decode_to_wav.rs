//! Decodes the sound of a Matroska file to WAV. Packets that are damaged are concealed.
//!
//! `cargo run --release -p siskin-examples --example decode_to_wav -- IN.mka OUT.wav`

use std::fs::File;
use std::io::BufReader;

use anyhow::{Context, Result};
use siskin_core::audio::Decoder;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Reader};
use siskin_core::runtime::Runtime;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (input, output) = args.next().zip(args.next()).context("usage: decode_to_wav IN.mka OUT.wav")?;

    let mut reader = Reader::open(BufReader::new(File::open(&input)?))?;
    let track = reader.tracks().iter().find(|t| t.codec_id == AUDIO_CODEC_ID);
    let track = track.with_context(|| format!("{input} has no track of {AUDIO_CODEC_ID}"))?.clone();
    let (header, _) = StreamHeader::parse(&track.codec_private)?;

    // The header names the bundle that the stream was encoded with; no other can decode it.
    let bundle = Bundle::for_stream(&header, None)?;
    let runtime = Runtime::load(&Default::default())?;
    let mut decoder = Decoder::new(&bundle, &runtime)?;
    decoder.set_header(&header)?;

    let mut samples = Vec::new();
    let mut block = Block::default();
    // What a packet that cannot be read would have held is not known; the last good one tells.
    let mut frames = 1;
    while reader.next_block(&mut block)? {
        if block.track != track.number {
            continue;
        }
        match decoder.decode(&block.data, &mut samples) {
            Ok(decoded) => frames = decoded.info.frames,
            Err(error) => {
                eprintln!("{input}: {error}, concealed");
                decoder.conceal(frames, &mut samples)?;
            }
        }
    }

    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: header.sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&output, spec)?;
    for sample in &samples {
        wav.write_sample((sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16)?;
    }
    wav.finalize()?;
    eprintln!("{:.2} s", samples.len() as f64 / f64::from(header.sample_rate));
    Ok(())
}
