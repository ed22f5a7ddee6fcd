//! Blocks of frames, as files are coded in: the same codes and samples as frame by frame, whatever the cuts.

use safetensors::SafeTensors;
use siskin_core::Result;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig, FrameEncoder, MAX_BLOCK};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};
use siskin_core::tokens::Tokenizer;

/// How far samples of blocks may be from those of single frames.
const TOLERANCE: f32 = 1e-4;

fn parts() -> (Bundle, Runtime) {
    let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
    let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
    (bundle, Runtime::load(&options).expect("ONNX Runtime: run ./x setup"))
}

/// Speech of the golden vectors, two seconds of it one and a half times, and a few samples over: blocks of a second leave a rest.
fn speech() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/golden/speech-24k.safetensors");
    let data = std::fs::read(path).expect("the golden vectors");
    let tensors = SafeTensors::deserialize(&data).expect("a safetensors file");
    let pcm = tensors.tensor("pcm").expect("pcm").data();
    let pcm: Vec<f32> = pcm.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    pcm.iter().chain(&pcm[..pcm.len() / 2]).chain(&pcm[..77]).copied().collect()
}

/// Latents of each frame with so many of them in a run.
fn latents(bundle: &Bundle, runtime: &Runtime, pcm: &[f32], block: usize) -> Vec<Vec<f32>> {
    let mut encoder = FrameEncoder::new(bundle, runtime).expect("the encoder");
    encoder.set_block(block);
    let mut found = Vec::new();
    for frame in pcm.chunks_exact(bundle.manifest().hop.into()) {
        encoder.push_frame(frame).expect("a frame");
        while let Some(latent) = encoder.take_latent() {
            found.push(latent.to_vec());
        }
    }
    encoder.mark_end().expect("the end");
    while let Some(latent) = encoder.take_latent() {
        found.push(latent.to_vec());
    }
    found
}

#[test]
fn latents_of_blocks_are_those_of_single_frames() {
    let ((bundle, runtime), pcm) = (parts(), speech());
    let single = latents(&bundle, &runtime, &pcm, 1);
    assert_eq!(single.len(), pcm.len() / usize::from(bundle.manifest().hop));
    for block in [2, 7, 16, 50, MAX_BLOCK] {
        let found = latents(&bundle, &runtime, &pcm, block);
        assert_eq!(found.len(), single.len());
        let differences = found.iter().flatten().zip(single.iter().flatten()).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0, f32::max);
        assert!(worst < 1e-5, "blocks of {block}: off by {worst}");
    }
}

/// Codes of a recording, in pieces of `cut` samples.
fn tokens(tokenizer: &mut Tokenizer, pcm: &[f32], cut: usize) -> Vec<i64> {
    let mut found = Vec::new();
    pcm.chunks(cut).for_each(|piece| tokenizer.push_samples(piece, &mut found).expect("a piece"));
    tokenizer.finish_stream(false, &mut found).expect("the end");
    found
}

#[test]
fn codes_of_files_are_those_of_live_streams_whatever_the_cuts() {
    let ((bundle, runtime), pcm) = (parts(), speech());
    let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", None).expect("the tokenizer");
    let live = tokens(&mut tokenizer, &pcm, 480);
    tokenizer.set_block(MAX_BLOCK);
    let whole = tokens(&mut tokenizer, &pcm, pcm.len());
    for cut in [1, 777, 24_000] {
        assert_eq!(tokens(&mut tokenizer, &pcm, cut), whole, "in pieces of {cut}");
    }
    assert_eq!(live.len(), whole.len());
    // All of them on the processors that are known; a sum in another order may move a latent across a border.
    let equal = live.iter().zip(&whole).filter(|(a, b)| a == b).count();
    assert!(equal * 1000 >= live.len() * 999, "{equal} of {} codes", live.len());
}

fn encode(
    bundle: &Bundle,
    runtime: &Runtime,
    frames_per_packet: u32,
    pcm: &[f32],
    cut: usize,
) -> Vec<Vec<u8>> {
    let config = EncoderConfig { frames_per_packet, lambda: 0.0, ..Default::default() };
    let mut encoder = Encoder::new(bundle, runtime, &config).expect("the encoder");
    let mut packets = Vec::new();
    let mut keep = |p: EncodedPacket<'_>| -> Result<()> {
        packets.push(p.data.to_vec());
        Ok(())
    };
    pcm.chunks(cut).for_each(|piece| encoder.push_samples(piece, &mut keep).expect("a piece"));
    encoder.finish_stream(&mut keep).expect("the end");
    packets
}

#[test]
fn samples_of_long_packets_are_those_of_packets_of_one_frame() {
    let ((bundle, runtime), pcm) = (parts(), speech());
    let decode = |packets: &[Vec<u8>]| {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(&bundle, &runtime).expect("the decoder");
        for packet in packets {
            decoder.decode(packet, &mut out).expect("a packet of ours");
        }
        out
    };
    let live = decode(&encode(&bundle, &runtime, 1, &pcm, 480));
    assert_eq!(live.len(), pcm.len());
    // 100 frames are two blocks, 53 have no divisor that is one.
    for frames in [7, 50, 53, 100] {
        let packets = encode(&bundle, &runtime, frames, &pcm, pcm.len());
        assert_eq!(encode(&bundle, &runtime, frames, &pcm, 333), packets, "{frames} frames a packet");
        let found = decode(&packets);
        let differences = found.iter().zip(&live).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0, f32::max);
        assert!(found.len() == live.len() && worst < TOLERANCE, "{frames} frames a packet: off by {worst}");
    }
}
