//! rten computes what ONNX Runtime computes: samples, codes, and the errors of a bundle that is not one.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use siskin_core::audio::file::{AudioFile, FileDecoder};
use siskin_core::audio::{Encoder, FrameEncoder};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions, StepNetwork, TensorSpec, Value};
use siskin_core::{Error, Limits};

fn runtimes() -> [Runtime; 2] {
    let options = RuntimeOptions { provider: Provider::Cpu, ..Default::default() };
    [Runtime::load(&options).expect("ONNX Runtime"), Runtime::with_rten(&options).expect("rten")]
}

fn bundle() -> Bundle {
    Bundle::find("speech-24k").expect("the shipped bundle")
}

/// All samples of a coded file.
fn decode(runtime: &Runtime, name: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name);
    let file = AudioFile::open(BufReader::new(File::open(path).expect("a file")), Limits::default());
    let mut decoder = FileDecoder::new(file.expect("a coded file"), &bundle(), runtime).expect("a decoder");
    let mut samples = Vec::new();
    while decoder.decode_next(&mut samples).expect("decoding") {}
    assert_eq!(decoder.losses(), &Default::default());
    samples
}

#[test]
fn samples_are_those_of_onnx_runtime() {
    let [ort, rten] = runtimes().map(|runtime| decode(&runtime, "compat/speech-24k-0.2.0.mka"));
    assert_eq!(ort.len(), rten.len());
    let loudest = ort.iter().fold(0.0f32, |most, s| most.max(s.abs()));
    assert!(ort.len() > 48_000 && loudest > 0.05, "{} samples up to {loudest}", ort.len());
    let worst = ort.iter().zip(&rten).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    // Both add in their own order; 32-bit floats then differ in the last bits. Measured: 6e-6.
    assert!(worst < 1e-4, "samples differ by {worst}");
    eprintln!("samples differ by up to {worst}");
}

#[test]
fn codes_are_those_of_onnx_runtime() {
    let [ort, rten] = runtimes();
    let speech = decode(&ort, "compat/speech-24k-0.2.0.mka");
    let shape = bundle().manifest().quantizer.clone();
    let codes = |runtime: &Runtime| -> Vec<u16> {
        let mut encoder = FrameEncoder::new(&bundle(), runtime).expect("an encoder");
        let mut all = Vec::new();
        for frame in speech.chunks_exact(usize::from(bundle().manifest().hop)) {
            let mut codes = vec![0; usize::from(shape.stages) * usize::from(shape.groups)];
            encoder.encode_frame(frame, &mut codes).expect("encoding");
            all.extend(codes);
        }
        all
    };
    let [a, b] = [codes(&ort), codes(&rten)];
    assert_eq!(a.len(), b.len());
    let other = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    eprintln!("{other} of {} codes differ", a.len());
    // A latent that lies midway between two entries of a codebook may fall to either, and the later stages of its frame follow.
    assert!(other * 1000 <= a.len(), "{other} of {} codes differ", a.len());
}

#[test]
fn a_stream_of_rten_is_played_by_onnx_runtime() {
    let [ort, rten] = runtimes();
    let speech = decode(&ort, "compat/speech-24k-0.2.0.mka");
    let mut encoder = Encoder::new(&bundle(), &rten, &Default::default()).expect("an encoder");
    let mut decoders = [&ort, &rten].map(|runtime| {
        (siskin_core::audio::Decoder::new(&bundle(), runtime).expect("a decoder"), Vec::<f32>::new())
    });
    let mut play = |packet: siskin_core::audio::EncodedPacket<'_>| -> siskin_core::Result<()> {
        for (decoder, samples) in &mut decoders {
            decoder.decode(packet.data, samples)?;
        }
        Ok(())
    };
    encoder.push_samples(&speech, &mut play).expect("encoding");
    encoder.finish_stream(&mut play).expect("encoding");
    let [(_, a), (_, b)] = &decoders;
    assert_eq!((a.len(), b.len()), (speech.len(), speech.len()));
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn states_are_saved_and_come_back() {
    let [_, rten] = runtimes();
    let bundle = bundle();
    let spec = &bundle.manifest().decoder;
    let mut network =
        rten.open_network(spec, &bundle.file_bytes(&spec.file).expect("listed")).expect("a network");
    let run = |network: &mut Box<dyn StepNetwork>, value: f32| -> Vec<f32> {
        network.input().fill(value);
        network.run().expect("a run");
        network.output().to_vec()
    };
    let first = run(&mut network, 0.5);
    let mut states = Vec::new();
    network.save(&mut states);
    assert_eq!(states.len(), spec.states.len());
    let second = run(&mut network, -0.25);
    assert_ne!(first, second);
    network.restore(&states).expect("its own states");
    assert_eq!(run(&mut network, -0.25), second);
    network.reset();
    assert_eq!(run(&mut network, 0.5), first);
    assert!(matches!(network.restore(&states[1..]), Err(Error::Parameter { .. })));
}

#[test]
fn whole_networks_give_what_onnx_runtime_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/bundles/text2vec/text.onnx");
    let graph = std::fs::read(path).expect("a network of the shipped voices");
    let [(shape, a), (other_shape, b)] = runtimes().map(|runtime| {
        let mut network = runtime.open_whole_network("text.onnx", &graph).expect("a network");
        assert!(network.has_output("durations") && !network.has_output("nothing"));
        let tokens: Vec<i64> = (1..=12).collect();
        let inputs = [("tokens", Value::I64(&[1, 12], &tokens)), ("speaker", Value::I64(&[1], &[0]))];
        assert!(matches!(network.run(&inputs, &["nothing"]), Err(Error::Network { .. })));
        network.run(&inputs, &["hidden"]).expect("a run").remove(0)
    });
    assert_eq!((&shape, a.len()), (&other_shape, b.len()));
    let scale = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert!(scale > 0.1 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * scale), "up to {scale}");
}

#[test]
fn tensor_networks_give_what_onnx_runtime_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/bundles/speech-24k/encoder.onnx");
    let graph = std::fs::read(path).expect("the encoder");
    let spec = TensorSpec { name: "encoder", inputs: &["pcm"], outputs: &["latents"], states: STATES };
    let [a, b] = runtimes().map(|runtime| {
        // The graph takes any number of frames; here one.
        let sizes = [("input_samples", 480), ("output_samples", 1)];
        let mut network = runtime.open_sized_tensor_network(&spec, &sizes, &graph).expect("a network");
        let mut all = Vec::new();
        for step in 0..5 {
            let pcm = network.input(0);
            pcm.iter_mut().enumerate().for_each(|(i, s)| *s = (0.02 * (i + 480 * step) as f32).sin() * 0.3);
            network.run().expect("a run");
            all.extend_from_slice(network.output(0));
        }
        all.extend_from_slice(network.state(1));
        all
    });
    let scale = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert_eq!(a.len(), b.len());
    assert!(scale > 0.1 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * scale), "up to {scale}");
}

const STATES: &[(&str, &str)] = &[
    ("s0", "s0_next"),
    ("s1", "s1_next"),
    ("s2", "s2_next"),
    ("s3", "s3_next"),
    ("s4", "s4_next"),
    ("s5", "s5_next"),
];

#[test]
fn what_cannot_run_is_refused() {
    let [_, rten] = runtimes();
    let bundle = bundle();
    let spec = &bundle.manifest().decoder;
    let graph = &bundle.file_bytes(&spec.file).expect("listed");
    assert!(matches!(rten.open_network(spec, &graph[..1000]), Err(Error::Network { .. })));
    let mut other = spec.clone();
    other.states[0].shape[2] += 1;
    let reason = rten.open_network(&other, graph).map(|_| ()).expect_err("other shapes").to_string();
    assert!(reason.contains("state s0 has the shapes"), "{reason}");
    let options = RuntimeOptions { provider: Provider::Cuda, ..Default::default() };
    let cuda = Runtime::with_rten(&options).expect("options");
    assert!(matches!(cuda.open_network(spec, graph), Err(Error::Provider { provider: "cuda", .. })));
}
