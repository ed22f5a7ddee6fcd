//! What the streams of a process share, and that none hears the others. One test, since it looks at the memory of the process.

use std::sync::Arc;
use std::thread;

use siskin_core::audio::{Decoder, Encoder, ResidualQuantizer, load_entropy_tables};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

/// Half a second of a glide that differs from stream to stream.
fn signal(stream: usize) -> Vec<f32> {
    let mut phase = 0.0f32;
    (0..12_000)
        .map(|i| {
            phase += (120.0 + 40.0 * stream as f32 + i as f32 * 0.01) / 24_000.0;
            0.3 * (phase * std::f32::consts::TAU).sin() + 0.1 * (phase * 3.0 * std::f32::consts::TAU).sin()
        })
        .collect()
}

/// A stream's encoder and decoder, each with a bundle that it has opened itself, as elements do.
struct Pair(Encoder, Decoder);

impl Pair {
    fn open() -> Self {
        let runtime = Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() });
        let runtime = runtime.expect("ONNX Runtime");
        let bundle = || Bundle::find("speech-24k").expect("the shipped bundle");
        let encoder = Encoder::new(&bundle(), &runtime, &Default::default()).expect("an encoder");
        Self(encoder, Decoder::new(&bundle(), &runtime).expect("a decoder"))
    }

    /// The packets of a signal and the samples' bits, in pieces so that streams on other threads come in between.
    fn run(&mut self, pcm: &[f32]) -> (Vec<Vec<u8>>, Vec<u32>) {
        let (mut packets, mut out) = (Vec::new(), Vec::new());
        let mut keep = |p: siskin_core::audio::EncodedPacket<'_>| -> siskin_core::Result<()> {
            packets.push(p.data.to_vec());
            Ok(())
        };
        for piece in pcm.chunks(700) {
            self.0.push_samples(piece, &mut keep).expect("encoding");
        }
        self.0.finish_stream(&mut keep).expect("encoding");
        for packet in &packets {
            self.1.decode(packet, &mut out).expect("a packet of ours");
        }
        (packets, out.into_iter().map(f32::to_bits).collect())
    }
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn streams_share_weights_and_nothing_else() {
    const STREAMS: usize = 10;
    let signals: Vec<_> = (0..STREAMS).map(signal).collect();
    let mut first = Pair::open();
    let expected_first = first.run(&signals[0]);
    let one = resident();
    let mut pairs = vec![first];
    pairs.extend((1..STREAMS).map(|_| Pair::open()));
    let ten = resident();
    // In pipelines on two cores 1.4 times as much (`docs/architecture.md`), and 5.3 times where each pair had all weights
    // for itself.
    assert!(ten <= 2 * one, "{one} KiB with one pair, {ten} KiB with ten");

    let (a, b) =
        (Bundle::find("speech-24k").expect("it ships"), Bundle::find("speech-24k").expect("it ships"));
    let file = &a.manifest().decoder.file;
    assert!(std::ptr::eq(&*a.file_bytes(file).expect("listed"), &*b.file_bytes(file).expect("listed")));
    let [x, y] = [&a, &b].map(|bundle| ResidualQuantizer::from_bundle(bundle).expect("codebooks"));
    assert!(std::ptr::eq(x.codebooks(), y.codebooks()));
    let [x, y] = [&a, &b].map(|bundle| load_entropy_tables(bundle).expect("tables").expect("it has some"));
    assert!(Arc::ptr_eq(&x, &y));

    // One after another, then all at once: packets and samples are the same to the bit.
    let alone: Vec<_> = signals
        .iter()
        .enumerate()
        .map(|(n, pcm)| if n == 0 { expected_first.clone() } else { Pair::open().run(pcm) })
        .collect();
    pairs[0] = Pair::open();
    let together: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> =
            pairs.iter_mut().zip(&signals).map(|(pair, pcm)| scope.spawn(move || pair.run(pcm))).collect();
        running.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    for (n, (alone, together)) in alone.iter().zip(&together).enumerate() {
        assert!(alone == together, "stream {n}");
    }
    assert_ne!(alone[0].1, alone[1].1, "signals that differ");
}
