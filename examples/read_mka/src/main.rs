//! Prints what is in a coded file, packet by packet, without decoding it. A demuxer, a relay or an inspector needs no more than the
//! crate `siskin-bitstream`, and so neither ONNX Runtime nor any network.
//!
//! `cargo run --release -p read-mka-without-onnx -- FILE`
#![allow(clippy::print_stdout, reason = "a program that tells what it found")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use siskin_bitstream::container::{AUDIO_CODEC_ID, Block, Reader};
use siskin_bitstream::packet::Packet;
use siskin_bitstream::{Limits, StreamHeader};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: read-mka-without-onnx FILE")?;
    let mut reader = Reader::open(BufReader::new(File::open(&path)?))?;
    for track in reader.tracks() {
        println!("track {}: {}", track.number, track.codec_id);
    }
    let track = reader.tracks().iter().find(|t| t.codec_id == AUDIO_CODEC_ID);
    let track = track.ok_or_else(|| format!("{path} has no track of {AUDIO_CODEC_ID}"))?.clone();
    let (header, _) = StreamHeader::parse(&track.codec_private)?;
    println!(
        "bundle {} (id {}), {} Hz, frames of {} samples",
        header.bundle_name, header.bundle, header.sample_rate, header.hop
    );

    let limits = Limits::default();
    let (mut block, mut packets, mut samples, mut bytes) = (Block::default(), 0, 0, 0);
    while reader.next_block(&mut block)? {
        if block.track != track.number {
            continue;
        }
        // A file from elsewhere may hold anything: a packet that is not valid is an error with its field and offset.
        let bound = Packet::parse(&block.data, &limits).and_then(|packet| packet.bind(&header));
        match bound {
            Ok(packet) => {
                let info = packet.info();
                println!(
                    "{:>9.3} s: {} frames of {} stages, {} bytes",
                    block.pts_ns as f64 / 1e9,
                    info.frames,
                    info.stages,
                    block.data.len()
                );
                samples += packet.sample_count();
            }
            Err(error) => println!("{:>9.3} s: {error}", block.pts_ns as f64 / 1e9),
        }
        packets += 1;
        bytes += block.data.len();
    }
    let seconds = samples as f64 / f64::from(header.sample_rate);
    println!("{packets} packets, {seconds:.3} s, {bytes} bytes in packets");
    if reader.is_truncated() {
        println!("the file is cut off");
    }
    Ok(())
}
