//! Writes what the web player's tests play, with the samples that the program decodes from it (ONNX Runtime):
//!
//!   cargo run -p siskin-web --example fixtures FOLDER SPEECH.mka
//!
//! - speech.mka: the file given; long.mka: a minute made of it, in packets of a second; each with its samples in NAME.f32;
//! - again.mka: the samples of speech.mka, encoded once more;
//! - hours.mka: that minute 120 times, as a file that is too long to be fetched whole;
//! - damaged.mka: long.mka with a packet overwritten, and its samples; cut.mka: half of long.mka;
//! - noise.mka: no Matroska; other.mka: Matroska without a track of ours.

use std::error::Error;
use std::io::Cursor;
use std::path::PathBuf;

use siskin_core::Limits;
use siskin_core::audio::file::{AudioFile, FileDecoder};
use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;
use siskin_core::container::{Mode, Track, Writer, WriterOptions};
use siskin_core::media::{Rounding, TimeBase};
use siskin_core::runtime::{Runtime, RuntimeOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Seconds of long.mka.
const LONG: usize = 60;
/// How often it is in hours.mka.
const TURNS: u64 = 120;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, speech] = arguments.as_slice() else {
        return Err("usage: fixtures FOLDER SPEECH.mka".into());
    };
    std::fs::create_dir_all(folder)?;
    let bundle = Bundle::find("speech-24k")?;
    let runtime = Runtime::load(&RuntimeOptions::default())?;
    let write = |name: &str, file: &[u8]| -> Result<Vec<f32>> {
        let samples = decode(file, &bundle, &runtime)?;
        std::fs::write(folder.join(name).with_extension("mka"), file)?;
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        std::fs::write(folder.join(name).with_extension("f32"), bytes)?;
        Ok(samples)
    };
    let spoken = write("speech", &std::fs::read(speech)?)?;
    let (header, packets) = encode(&spoken, &bundle, &runtime)?;
    std::fs::write(folder.join("again.mka"), write_file(&header, &packets, 1)?)?;
    let minute: Vec<f32> = spoken.iter().copied().cycle().take(LONG * 24_000).collect();
    let (header, packets) = encode(&minute, &bundle, &runtime)?;
    let long = write_file(&header, &packets, 1)?;
    write("long", &long)?;
    std::fs::write(folder.join("hours.mka"), write_file(&header, &packets, TURNS)?)?;

    // A packet's head and first codes; the container around it stays whole.
    let mut damaged = long.clone();
    let packet = packets.get(packets.len() / 2).map(|p| p.2.as_slice()).unwrap_or_default();
    let at = long.windows(packet.len()).position(|w| w == packet).ok_or("the file lacks a packet")?;
    damaged[at..at + 40].iter_mut().for_each(|byte| *byte ^= 0x5a);
    write("damaged", &damaged)?;
    write("cut", &long[..long.len() / 2])?;

    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(folder.join("noise.mka"), noise)?;
    std::fs::write(folder.join("other.mka"), other_codec()?)?;
    Ok(())
}

fn decode(file: &[u8], bundle: &Bundle, runtime: &Runtime) -> Result<Vec<f32>> {
    let file = AudioFile::open(Cursor::new(file), Limits::default())?;
    let mut decoder = FileDecoder::new(file, bundle, runtime)?;
    let mut samples = Vec::new();
    while decoder.decode_next(&mut samples)? {}
    Ok(samples)
}

/// Where a packet begins and how long it lasts, in samples, and its bytes.
type Coded = (u64, u64, Vec<u8>);

fn encode(samples: &[f32], bundle: &Bundle, runtime: &Runtime) -> Result<(StreamHeader, Vec<Coded>)> {
    let config = EncoderConfig { frames_per_packet: 50, ..Default::default() };
    let mut encoder = Encoder::new(bundle, runtime, &config)?;
    let mut packets = Vec::new();
    let mut keep = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
        packets.push((packet.position, packet.samples, packet.data.to_vec()));
        Ok(())
    };
    encoder.push_samples(samples, &mut keep)?;
    encoder.finish_stream(&mut keep)?;
    Ok((encoder.stream_header().clone(), packets))
}

/// A file of packets, over and over.
fn write_file(header: &StreamHeader, packets: &[Coded], turns: u64) -> Result<Vec<u8>> {
    let mut writer = Writer::new(
        vec![Track::audio(header).with_frames_per_packet(header, 50)],
        WriterOptions {
            mode: Mode::File,
            tags: vec![("TITLE".into(), "A minute".into())],
            ..Default::default()
        },
    )?;
    let clock = TimeBase::from_sample_rate(header.sample_rate);
    let time = |samples: u64| clock.ticks_to_ns(samples, Rounding::Down).unwrap_or(u64::MAX);
    let mut file = Vec::new();
    writer.write_header(&mut file)?;
    for turn in 0..turns {
        let origin = turn * (LONG as u64) * 24_000;
        for (first, count, data) in packets {
            let (start, end) = (time(origin + first), time(origin + first + count));
            writer.write_block(0, start, end - start, true, data, &mut file)?;
        }
    }
    for patch in writer.finish(&mut file)? {
        patch.apply(&mut file)?;
    }
    Ok(file)
}

/// Matroska without a track of Siskin.
fn other_codec() -> Result<Vec<u8>> {
    let mut writer = Writer::new(vec![Track::text()], WriterOptions::default())?;
    let mut file = Vec::new();
    writer.write_header(&mut file)?;
    writer.write_block(0, 0, 20_000_000, true, b"text", &mut file)?;
    writer.finish(&mut file)?;
    Ok(file)
}
