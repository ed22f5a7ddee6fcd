//! A codec of two channels that codes frame by frame: a small network of ours, whose channels do not mix.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use siskin_audio::tokens::{OnBadToken, TokenStream, Tokenizer};
use siskin_audio::{Decoder, EncodedPacket, Encoder, EncoderConfig, LatentEncoder};
use siskin_graph::onnx::{Attribute, Writer};
use siskin_import::Result;
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

const HOP: usize = 8;
/// Latents of a channel.
const DIM: usize = 4;
const STAGES: usize = 6;
const SIZE: usize = 16;

/// A number without a pattern, from -1 to 1.
fn value(i: usize) -> f32 {
    ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
}

/// The lower half of a cosine transform of a frame of one channel alone, the same for both: `[2 * DIM, 2, HOP]`.
fn weights() -> Vec<f32> {
    let at = |d: usize, channel: usize, t: usize| {
        let (own, place) = (d / DIM == channel, (d % DIM) as f32);
        let length = if d.is_multiple_of(DIM) { 0.125f32.sqrt() } else { 0.5 };
        if own { length * (std::f32::consts::PI * (t as f32 + 0.5) * place / HOP as f32).cos() } else { 0.0 }
    };
    (0..2 * DIM).flat_map(|d| (0..2).flat_map(move |c| (0..HOP).map(move |t| at(d, c, t)))).collect()
}

fn graph(op: &str, [input, output]: [&str; 2], [from, to]: [[usize; 2]; 2]) -> Vec<u8> {
    let mut writer = Writer::new(op);
    let x = writer.add_input(input, &[1, from[0], from[1]]);
    let w = writer.add_floats(&[2 * DIM, 2, HOP], &weights());
    let y = writer.add_node(op, &[&x, &w], &[Attribute::Ints("strides", vec![HOP as i64])]);
    writer.set_output(output, &[1, to[0], to[1]], &y);
    writer.to_bytes()
}

fn bundle(change: impl FnOnce(&mut Value)) -> std::result::Result<Bundle, siskin_model::Error> {
    let (pcm, latents) = ([2, HOP], [2 * DIM, 1]);
    let books: Vec<u8> = (0..STAGES)
        .flat_map(|stage| {
            // Both groups have the same entries.
            let book =
                move |_| (0..SIZE * DIM).map(move |i| value(i + 100 * stage) / 2f32.powi(stage as i32));
            (0..2).flat_map(book).flat_map(f32::to_le_bytes)
        })
        .collect();
    let shape = vec![STAGES, 2, SIZE, DIM];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &books).expect("a tensor");
    let files = BTreeMap::from([
        ("encoder.onnx".to_owned(), graph("Conv", ["pcm", "latents"], [pcm, latents])),
        ("decoder.onnx".to_owned(), graph("ConvTranspose", ["latents", "pcm"], [latents, pcm])),
        ("books".to_owned(), safetensors::serialize([("codebooks", view)], None).expect("tensors")),
    ]);
    let hashes: BTreeMap<_, _> = files.iter().map(|(n, f)| (n, hex::encode(Sha256::digest(f)))).collect();
    let network = |file: &str, input: &str, output: &str| json!({ "file": file, "input": input, "output": output, "states": [] });
    let mut manifest = json!({
        "format": 1, "kind": "audio", "name": "stereo", "version": "1.0.0", "licence": "MIT",
        "sample_rate": 48_000, "channels": 2, "hop": HOP, "delay": 0, "lookahead": 0, "latent_dim": 2 * DIM,
        "quantizer": { "type": "grvq", "groups": 2, "stages": STAGES, "size": SIZE, "dim": 2 * DIM, "file": "books" },
        "prefixes": [], "default_stages": STAGES,
        "encoder": network("encoder.onnx", "pcm", "latents"),
        "decoder": network("decoder.onnx", "latents", "pcm"),
        "files": hashes,
    });
    change(&mut manifest);
    Bundle::from_memory(manifest.to_string().as_bytes(), files)
}

fn runtime() -> Runtime {
    Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup")
}

fn tone(samples: usize, pitch: f32) -> Vec<f32> {
    (0..samples).map(|i| 0.5 * (i as f32 * pitch).sin()).collect()
}

fn interleave(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).flat_map(|(&l, &r)| [l, r]).collect()
}

fn channel(pcm: &[f32], number: usize) -> Vec<f32> {
    pcm.iter().skip(number).step_by(2).copied().collect()
}

fn encode(bundle: &Bundle, pcm: &[f32], cut: usize, frames_per_packet: u32) -> Vec<Vec<u8>> {
    let config = EncoderConfig { frames_per_packet, ..Default::default() };
    let mut encoder = Encoder::new(bundle, &runtime(), &config).expect("an encoder");
    let (mut packets, mut end) = (Vec::new(), 0);
    let mut keep = |p: EncodedPacket<'_>| -> Result<()> {
        assert_eq!(p.position, end);
        end += p.samples;
        packets.push(p.data.to_vec());
        Ok(())
    };
    pcm.chunks(cut).for_each(|part| encoder.push_samples(part, &mut keep).expect("samples"));
    encoder.finish_stream(&mut keep).expect("an end");
    packets
}

fn decode(bundle: &Bundle, packets: &[Vec<u8>], lost: Option<usize>) -> Vec<f32> {
    let (mut decoder, mut out) = (Decoder::new(bundle, &runtime()).expect("a decoder"), Vec::new());
    for (number, packet) in packets.iter().enumerate() {
        if Some(number) == lost {
            decoder.conceal(4, &mut out).expect("a gap");
        } else {
            decoder.decode(packet, &mut out).expect("a packet");
        }
    }
    out
}

#[test]
fn channels_are_coded_apart_and_come_out_in_their_places() {
    let bundle = bundle(|_| {}).expect("a bundle");
    let samples = 1003;
    let (low, high) = (tone(samples, 0.05), tone(samples, 0.31));
    let pcm = interleave(&low, &high);
    let packets = encode(&bundle, &pcm, pcm.len(), 4);
    // Also in odd parts, which end between two channels.
    assert!(packets == encode(&bundle, &pcm, 7, 4));
    let out = decode(&bundle, &packets, None);
    assert_eq!(out.len(), pcm.len());
    let energy = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    let error: Vec<f32> = out.iter().zip(&pcm).map(|(a, b)| a - b).collect();
    for number in 0..2 {
        let (error, own) = (energy(&channel(&error, number)), energy(&channel(&pcm, number)));
        assert!(error < 0.7 * own, "channel {number}: {error} of {own}");
    }
    // The network treats both alike, so exchanged channels come out exchanged; and so do those that concealment makes.
    let swapped = encode(&bundle, &interleave(&high, &low), 960, 4);
    for lost in [None, Some(9)] {
        let (out, other) = (decode(&bundle, &packets, lost), decode(&bundle, &swapped, lost));
        assert_eq!(out.len(), pcm.len());
        assert!(channel(&out, 0) == channel(&other, 1) && channel(&out, 1) == channel(&other, 0), "{lost:?}");
    }
}

#[test]
fn tokens_and_latents_have_both_channels() {
    let bundle = bundle(|_| {}).expect("a bundle");
    let runtime = runtime();
    let pcm = interleave(&tone(803, 0.05), &tone(803, 0.31));
    let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", None).expect("a tokenizer");
    let mut tokens = Vec::new();
    pcm.chunks(33).for_each(|part| tokenizer.push_samples(part, &mut tokens).expect("samples"));
    assert_eq!(tokenizer.finish_stream(false, &mut tokens).expect("an end"), 803);
    let mut stream =
        TokenStream::new(&bundle, &runtime, "parallel", STAGES as u8, OnBadToken::Refuse).expect("a stream");
    stream.set_length(803);
    let mut out = Vec::new();
    stream.push_tokens(&tokens, &mut out).expect("tokens");
    let ending = stream.finish_stream(&mut out).expect("an end");
    assert_eq!((ending.samples, ending.frames, out.len()), (803, 101, pcm.len()));
    let encode = |pcm: &[f32], cut: usize| {
        let mut latents = LatentEncoder::new(&bundle, &runtime).expect("an encoder");
        pcm.chunks(cut).for_each(|part| latents.push_samples(part).expect("samples"));
        latents.finish_stream().expect("an end")
    };
    let latents = encode(&pcm, pcm.len());
    // In odd parts, which end between two channels; and a sample that lacks one counts, as in packets.
    assert!([1, 7, 33].iter().all(|&cut| encode(&pcm, cut) == latents));
    assert_eq!(encode(&pcm[..2 * 200 + 1], 99).samples, 201);
    let mut heard = Vec::new();
    let mut keep = |pcm: &[f32]| -> Result<()> {
        heard.extend_from_slice(pcm);
        Ok(())
    };
    latents.decode_all(&bundle, &runtime, &mut keep).expect("its own latents");
    assert_eq!((latents.samples, heard.len()), (803, pcm.len()));
}

#[test]
fn what_does_not_fit_is_refused() {
    let stereo = bundle(|_| {}).expect("a bundle");
    let config = EncoderConfig { dtx: true, ..Default::default() };
    let refused = Encoder::new(&stereo, &runtime(), &config).map(drop).expect_err("dtx").to_string();
    assert!(refused.contains("several channels"), "{refused}");
    let three = bundle(|m| m["channels"] = json!(3)).expect_err("three channels").to_string();
    assert!(three.contains("channels 3"), "{three}");
    // The graph has two channels, whatever the manifest says.
    let mono = bundle(|m| m["channels"] = json!(1)).expect("a manifest by itself");
    let refused =
        Encoder::new(&mono, &runtime(), &EncoderConfig::default()).map(drop).expect_err("two channels");
    assert!(refused.to_string().contains("values per frame"), "{refused}");
    for segments in [
        json!({ "samples": 100, "stride": 90, "normalized": true }),
        json!({ "samples": 80, "stride": 96, "normalized": true }),
        json!({ "samples": 80, "stride": 32, "normalized": true }),
        json!({ "samples": 80, "stride": 72, "normalized": true }),
        // Numbers of which the double is none.
        json!({ "samples": u64::MAX, "stride": 1u64 << 63, "normalized": true }),
    ] {
        let refused = bundle(|m| m["segments"] = segments.clone()).expect_err("no such segments").to_string();
        assert!(refused.contains("segments") && !refused.contains("  "), "{segments}: {refused}");
    }
}
