//! The shipped bundle on ONNX Runtime: equal to the offline PyTorch model, deterministic, exact in length.

use safetensors::SafeTensors;
use siskin_core::audio::{
    Decoder, EncodedPacket, Encoder, EncoderConfig, FrameDecoder, FrameEncoder, Snapshot,
};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};
use siskin_core::{Error, Result};

/// How far the streaming graphs may be from the offline model.
const TOLERANCE: f32 = 1e-4;

/// The bundles that were trained here.
const TRAINED: [&str; 2] = ["speech-24k", "audio-48k"];

fn parts() -> (Bundle, Runtime) {
    parts_of("speech-24k")
}

fn parts_of(name: &str) -> (Bundle, Runtime) {
    let bundle = Bundle::find(name).expect("the shipped bundle");
    let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
    (bundle, Runtime::load(&options).expect("ONNX Runtime: run ./x setup"))
}

/// Golden vectors computed by `models/export.py` with the offline PyTorch model.
struct Golden {
    pcm: Vec<f32>,
    /// `[stage][group][frame]`.
    codes: Vec<u16>,
    decoded: Vec<f32>,
    decoded_default: Vec<f32>,
}

fn golden() -> Golden {
    golden_of("speech-24k")
}

fn golden_of(name: &str) -> Golden {
    let path = format!("{}/../testdata/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let data = std::fs::read(path).expect("the golden vectors");
    let tensors = SafeTensors::deserialize(&data).expect("a safetensors file");
    let floats = |name: &str| -> Vec<f32> {
        let view = tensors.tensor(name).expect(name);
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let codes = tensors.tensor("codes").expect("codes").data().chunks_exact(2);
    Golden {
        pcm: floats("pcm"),
        codes: codes.map(|b| u16::from_le_bytes([b[0], b[1]])).collect(),
        decoded: floats("decoded"),
        decoded_default: floats("decoded_default"),
    }
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn decoding_golden_codes_equals_the_offline_model() {
    TRAINED.iter().for_each(|name| check_decoding(name));
}

fn check_decoding(name: &str) {
    let ((bundle, runtime), golden) = (parts_of(name), golden_of(name));
    let header = bundle.stream_header();
    let frames = golden.codes.len() / header.codes_per_frame(header.stages);
    let default = bundle.manifest().default_stages;
    for (stages, expected) in [(header.stages, &golden.decoded), (default, &golden.decoded_default)] {
        let count = header.codes_per_frame(stages);
        let mut decoder = FrameDecoder::new(&bundle, &runtime).expect("the decoder");
        let mut out = Vec::new();
        for t in 0..frames {
            let codes: Vec<u16> = (0..count).map(|c| golden.codes[c * frames + t]).collect();
            out.extend_from_slice(decoder.decode_frame(&codes).expect("golden codes"));
        }
        out.truncate(expected.len());
        let worst = worst(&out, expected);
        assert!(worst < TOLERANCE, "{name}, {stages} stages: off by {worst}");
    }
}

#[test]
fn encoding_gives_the_golden_codes() {
    TRAINED.iter().for_each(|name| check_encoding(name));
}

fn check_encoding(name: &str) {
    let ((bundle, runtime), golden) = (parts_of(name), golden_of(name));
    let header = bundle.stream_header();
    let mut codes = vec![0; header.codes_per_frame(header.stages)];
    let frames = golden.codes.len() / codes.len();
    let mut encoder = FrameEncoder::new(&bundle, &runtime).expect("the encoder");
    encoder.set_search_width(1);
    let step = usize::from(bundle.manifest().hop) * usize::from(bundle.manifest().channels);
    let mut equal_first = 0;
    for t in 0..frames {
        encoder.encode_frame(&golden.pcm[t * step..(t + 1) * step], &mut codes).expect("a frame");
        equal_first += usize::from(codes[0] == golden.codes[t]);
    }
    // A latent halfway between two entries may fall to either with another order of summation.
    assert!(
        equal_first * 100 >= frames * 98,
        "{name}: {equal_first} of {frames} first-stage codes are equal"
    );
}

fn encode(encoder: &mut Encoder, pcm: &[f32], cut: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut emit = |p: EncodedPacket<'_>| -> Result<()> {
        packets.push(p.data.to_vec());
        Ok(())
    };
    for piece in pcm.chunks(cut) {
        encoder.push_samples(piece, &mut emit).expect("a piece");
    }
    encoder.finish_stream(&mut emit).expect("the end");
    packets
}

#[test]
fn a_stream_keeps_its_length_and_does_not_depend_on_the_cuts() {
    TRAINED.iter().for_each(|name| check_cuts(name));
}

fn check_cuts(name: &str) {
    let ((bundle, runtime), golden) = (parts_of(name), golden_of(name));
    let config = EncoderConfig { frames_per_packet: 7, ..Default::default() };
    let mut encoder = Encoder::new(&bundle, &runtime, &config).expect("the encoder");
    let whole = encode(&mut encoder, &golden.pcm, golden.pcm.len());
    assert_eq!(encode(&mut encoder, &golden.pcm, 333), whole, "after a reset, in pieces of 333");
    let mut out = Vec::new();
    let mut decoder = Decoder::new(&bundle, &runtime).expect("the decoder");
    for packet in &whole {
        decoder.decode(packet, &mut out).expect("a packet of ours");
    }
    assert_eq!(out.len(), golden.pcm.len());
    let energy = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>();
    let dot: f32 = out.iter().zip(&golden.pcm).map(|(a, b)| a * b).sum();
    let correlation = dot / (energy(&out) * energy(&golden.pcm)).sqrt();
    assert!(correlation > 0.5, "{name}: aligned to the sample and alike: {correlation}");
}

#[test]
fn range_coding_gives_the_same_samples() {
    let ((bundle, runtime), golden) = (parts(), golden());
    let mut sizes = Vec::new();
    let mut decoded = Vec::new();
    for entropy_coding in [false, true] {
        // Where bits weigh, codes are others.
        let config =
            EncoderConfig { frames_per_packet: 50, entropy_coding, lambda: 0.0, ..Default::default() };
        let mut encoder = Encoder::new(&bundle, &runtime, &config).expect("the encoder");
        assert_eq!(encoder.is_range_coding(), entropy_coding && bundle.manifest().entropy.is_some());
        let packets = encode(&mut encoder, &golden.pcm, golden.pcm.len());
        let mut decoder = Decoder::new(&bundle, &runtime).expect("the decoder");
        let mut out = Vec::new();
        for packet in &packets {
            decoder.decode(packet, &mut out).expect("a packet of ours");
        }
        sizes.push(packets.iter().map(Vec::len).sum::<usize>());
        decoded.push(out);
    }
    assert_eq!(decoded[0], decoded[1]);
    assert!(sizes[1] <= sizes[0], "{sizes:?}");
}

#[test]
fn weighing_bits_saves_some_whatever_the_cuts() {
    let ((bundle, runtime), golden) = (parts(), golden());
    let coded = |lambda, cut| {
        let config = EncoderConfig { frames_per_packet: 20, lambda, ..Default::default() };
        encode(&mut Encoder::new(&bundle, &runtime, &config).expect("the encoder"), &golden.pcm, cut)
    };
    let size = |packets: &[Vec<u8>]| packets.iter().map(Vec::len).sum::<usize>();
    let weighed = coded(1.0, golden.pcm.len());
    assert_eq!(coded(1.0, 777), weighed);
    if bundle.manifest().entropy.is_some() {
        assert!(size(&weighed) < size(&coded(0.0, golden.pcm.len())), "{}", size(&weighed));
    }
    let config = EncoderConfig { lambda: -1.0, ..Default::default() };
    assert!(matches!(Encoder::new(&bundle, &runtime, &config), Err(Error::Parameter { .. })));
}

#[test]
fn snapshots_take_both_networks_back() {
    let ((bundle, runtime), golden) = (parts(), golden());
    let mut encoder = FrameEncoder::new(&bundle, &runtime).expect("the encoder");
    let mut decoder = FrameDecoder::new(&bundle, &runtime).expect("the decoder");
    let (mut before, mut between) = (Snapshot::default(), Snapshot::default());
    let mut codes = vec![0; bundle.stream_header().codes_per_frame(bundle.manifest().default_stages)];
    for frame in golden.pcm.chunks_exact(480).take(9) {
        encoder.encode_frame(frame, &mut codes).expect("a frame");
        decoder.decode_frame(&codes).expect("a frame");
    }
    encoder.save_state(&mut before);
    decoder.save_state(&mut between);
    let frame = &golden.pcm[9 * 480..10 * 480];
    encoder.encode_frame(frame, &mut codes).expect("a frame");
    let first = (codes.clone(), decoder.decode_frame(&codes).expect("a frame").to_vec());
    encoder.encode_frame(&golden.pcm[20 * 480..21 * 480], &mut codes).expect("a frame");
    encoder.restore_state(&before).expect("its own snapshot");
    decoder.restore_state(&between).expect("its own snapshot");
    encoder.encode_frame(frame, &mut codes).expect("a frame");
    assert_eq!((codes.clone(), decoder.decode_frame(&codes).expect("a frame").to_vec()), first);
    assert!(decoder.restore_state(&Snapshot::default()).is_err());
}

#[test]
fn silence_stays_silent_and_full_scale_gets_no_louder() {
    let (bundle, runtime) = parts();
    let mut encoder = Encoder::new(&bundle, &runtime, &EncoderConfig::default()).expect("the encoder");
    let mut decoder = Decoder::new(&bundle, &runtime).expect("the decoder");
    let mut power = |pcm: &[f32]| {
        let mut out = Vec::new();
        for packet in encode(&mut encoder, pcm, pcm.len()) {
            decoder.decode(&packet, &mut out).expect("a packet of ours");
        }
        assert!(out.iter().all(|x| x.is_finite()));
        let settled = &out[out.len() / 2..];
        10.0 * (settled.iter().map(|x| f64::from(x * x)).sum::<f64>() / settled.len() as f64 + 1e-12).log10()
    };
    assert!(power(&[0.0; 48_000]) < -60.0, "silence gives {} dB", power(&[0.0; 48_000]));
    let tone: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.1).sin()).collect();
    assert!(power(&tone) < -3.0 + 3.0, "a full-scale tone of -3 dB gives {} dB", power(&tone));
}

#[test]
fn an_explicit_provider_that_is_missing_is_an_error() {
    for provider in [Provider::Cuda, Provider::TensorRt] {
        let (bundle, _) = parts();
        let options = RuntimeOptions { provider, ..Default::default() };
        let made = Runtime::load(&options).and_then(|r| FrameEncoder::new(&bundle, &r));
        match made {
            Ok(encoder) => assert_eq!(encoder.provider(), provider, "a machine that has it"),
            Err(e) => assert!(
                matches!(&e, Error::Provider { provider: named, reason } if *named == provider.name() && !reason.is_empty()),
                "{e}"
            ),
        }
    }
}

#[test]
fn a_receptive_field_after_a_reset_samples_are_those_of_an_unbroken_decoding() {
    let ((bundle, runtime), golden) = (parts(), golden());
    let mut encoder = Encoder::new(&bundle, &runtime, &EncoderConfig::default()).expect("the encoder");
    let mut packets = Vec::new();
    let mut keep = |p: EncodedPacket<'_>| -> Result<()> {
        packets.push(p.data.to_vec());
        Ok(())
    };
    for _ in 0..4 {
        encoder.push_samples(&golden.pcm, &mut keep).expect("encoding");
    }
    encoder.finish_stream(&mut keep).expect("encoding");
    let mut decoder = Decoder::new(&bundle, &runtime).expect("the decoder");
    let (mut linear, mut starts) = (Vec::new(), Vec::new());
    for packet in &packets {
        starts.push(linear.len());
        decoder.decode(packet, &mut linear).expect("a packet");
    }
    let m = bundle.manifest();
    let field = m.receptive_field_frames.decoder as usize;
    let field_ns = field as u128 * u128::from(m.hop) * 1_000_000_000 / u128::from(m.sample_rate);
    assert_eq!(u128::from(m.warm_up_ns()), field_ns);
    assert!(packets.len() > 2 * field);
    for target in [field + 1, packets.len() / 2, packets.len() - 5] {
        decoder.reset();
        let mut out = Vec::new();
        for packet in &packets[target - field..target] {
            decoder.decode(packet, &mut out).expect("a packet");
        }
        out.clear();
        for packet in &packets[target..] {
            decoder.decode(packet, &mut out).expect("a packet");
        }
        // Bit for bit.
        assert!(linear[starts[target]..] == out, "from packet {target}");
    }
}
