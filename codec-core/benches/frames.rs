//! Time of whole frames of the default bundle: encoded, alone and in packets of 50 with range coding, and decoded.

use criterion::{Criterion, criterion_group, criterion_main};
use siskin_core::Result;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

/// Frames of noise that goes up and down.
const FRAMES: usize = 500;

fn noise(hop: usize) -> Vec<f32> {
    let mut seed = 1u32;
    let samples = (0..FRAMES * hop).map(|i| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let white = (seed >> 8) as f32 / 8_388_608.0 - 1.0;
        0.2 * white * (i as f32 / (10 * hop) as f32).sin()
    });
    samples.collect()
}

fn frames(c: &mut Criterion) {
    let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
    let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
    let runtime = Runtime::load(&options).expect("ONNX Runtime: run ./x setup");
    let hop = usize::from(bundle.manifest().hop);
    let pcm = noise(hop);
    let mut group = c.benchmark_group("frame");
    for (name, frames_per_packet) in [("encode alone", 1), ("encode of 50", 50)] {
        let config = EncoderConfig { frames_per_packet, ..Default::default() };
        let mut encoder = Encoder::new(&bundle, &runtime, &config).expect("an encoder");
        let mut input = pcm.chunks_exact(hop).cycle();
        let mut none = |_: EncodedPacket<'_>| -> Result<()> { Ok(()) };
        group.bench_function(name, |b| {
            b.iter(|| {
                encoder.push_samples(input.next().expect("an endless input"), &mut none).expect("a frame")
            });
        });
    }
    let mut encoder = Encoder::new(&bundle, &runtime, &EncoderConfig::default()).expect("an encoder");
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut keep = |packet: EncodedPacket<'_>| -> Result<()> {
        packets.push(packet.data.to_vec());
        Ok(())
    };
    encoder.push_samples(&pcm, &mut keep).expect("noise");
    let mut decoder = Decoder::new(&bundle, &runtime).expect("a decoder");
    let (mut input, mut out) = (packets.iter().cycle(), Vec::with_capacity(hop));
    group.bench_function("decode", |b| {
        b.iter(|| {
            out.clear();
            decoder.decode(input.next().expect("an endless input"), &mut out).expect("a packet")
        });
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
