//! Bundles of small checkpoints with the layers of the published codecs, through the encoder, packets, tokens and the decoder.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use siskin_audio::tokens::{CodePackets, OnBadToken, PackedCodes, TokenStream, Tokenizer};
use siskin_audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_import::{Error, Kind, Result, import};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

/// Tensors of a checkpoint with values that are no pattern.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn add(&mut self, name: impl Into<String>, shape: &[usize], scale: f32) {
        let name = name.into();
        let seed = name.bytes().fold(1u32, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
        let mut state = seed | 1;
        let values = (0..shape.iter().product::<usize>()).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (scale * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)).to_le_bytes()
        });
        self.0.push((name, shape.to_vec(), values.collect()));
    }

    fn conv(&mut self, name: &str, shape: &[usize]) {
        let inputs: usize = shape[1..].iter().product();
        self.add(format!("{name}.weight"), shape, (3.0 / inputs as f32).sqrt());
        self.add(format!("{name}.bias"), &shape[..1], 0.05);
    }

    fn write(&self, path: &Path) {
        let views = self.0.iter().map(|(name, shape, data)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).expect("a tensor"))
        });
        let bytes = safetensors::serialize(views, None).expect("a file");
        std::fs::write(path, bytes).expect("a writable folder");
    }
}

fn add_units(t: &mut Tensors, name: &str, first: usize, channels: usize, inner: usize) {
    for i in first..first + 3 {
        let name = format!("{name}.{i}.block");
        t.add(format!("{name}.0.alpha"), &[1, channels, 1], 1.0);
        t.conv(&format!("{name}.1"), &[channels, inner, 7]);
        t.add(format!("{name}.2.alpha"), &[1, channels, 1], 1.0);
        t.conv(&format!("{name}.3"), &[channels, channels, 1]);
    }
}

fn add_quantizers(t: &mut Tensors, count: usize, size: usize, dim: usize) {
    for i in 0..count {
        let name = format!("quantizer.quantizers.{i}");
        t.add(format!("{name}.codebook.weight"), &[size, 8], 1.0 / (i + 1) as f32);
        t.conv(&format!("{name}.in_proj"), &[8, dim, 1]);
        t.conv(&format!("{name}.out_proj"), &[dim, 8, 1]);
    }
}

/// DAC at 24 kHz, whose strides are not all even, with 4 filters.
fn dac() -> Tensors {
    let mut t = Tensors::default();
    let (mut c, strides) = (4, [2, 4, 5, 8]);
    t.conv("encoder.block.0", &[c, 1, 7]);
    for (i, s) in strides.into_iter().enumerate() {
        let name = format!("encoder.block.{}.block", i + 1);
        add_units(&mut t, &name, 0, c, c);
        t.add(format!("{name}.3.alpha"), &[1, c, 1], 1.0);
        t.conv(&format!("{name}.4"), &[2 * c, c, 2 * s]);
        c *= 2;
    }
    t.add("encoder.block.5.alpha", &[1, c, 1], 1.0);
    t.conv("encoder.block.6", &[16, c, 3]);
    t.conv("decoder.model.0", &[c, 16, 7]);
    for (i, s) in strides.into_iter().rev().enumerate() {
        let name = format!("decoder.model.{}.block", i + 1);
        t.add(format!("{name}.0.alpha"), &[1, c, 1], 1.0);
        t.add(format!("{name}.1.weight"), &[c, c / 2, 2 * s], 0.3);
        t.add(format!("{name}.1.bias"), &[c / 2], 0.05);
        c /= 2;
        add_units(&mut t, &name, 2, c, c);
    }
    t.add("decoder.model.5.alpha", &[1, c, 1], 1.0);
    t.conv("decoder.model.6", &[1, c, 7]);
    add_quantizers(&mut t, 32, 1024, 16);
    t
}

/// SNAC at 24 kHz with 4 filters.
fn snac() -> Tensors {
    let mut t = Tensors::default();
    let (mut c, strides) = (4, [2, 4, 8, 8]);
    t.conv("encoder.block.0", &[c, 1, 7]);
    for (i, s) in strides.into_iter().enumerate() {
        let name = format!("encoder.block.{}.block", i + 1);
        add_units(&mut t, &name, 0, c, 1);
        t.add(format!("{name}.3.alpha"), &[1, c, 1], 1.0);
        t.conv(&format!("{name}.4"), &[2 * c, c, 2 * s]);
        c *= 2;
    }
    t.conv("encoder.block.5", &[c, 1, 7]);
    t.conv("decoder.model.0", &[c, 1, 7]);
    t.conv("decoder.model.1", &[32, c, 1]);
    let mut d = 32;
    for (i, s) in strides.into_iter().rev().enumerate() {
        let name = format!("decoder.model.{}.block", i + 2);
        t.add(format!("{name}.0.alpha"), &[1, d, 1], 1.0);
        t.add(format!("{name}.1.weight"), &[d, d / 2, 2 * s], 0.3);
        t.add(format!("{name}.1.bias"), &[d / 2], 0.05);
        d /= 2;
        t.add(format!("{name}.2.linear.weight"), &[d, d, 1], 0.3);
        add_units(&mut t, &name, 3, d, 1);
    }
    t.add("decoder.model.6.alpha", &[1, d, 1], 1.0);
    t.conv("decoder.model.7", &[1, d, 7]);
    add_quantizers(&mut t, 3, 4096, c);
    t
}

/// EnCodec has one size.
fn encodec() -> Tensors {
    let mut t = Tensors::default();
    let residual = |t: &mut Tensors, name: &str, c: usize| {
        t.conv(&format!("{name}.block.1.conv"), &[c / 2, c, 3]);
        t.conv(&format!("{name}.block.3.conv"), &[c, c / 2, 1]);
        t.conv(&format!("{name}.shortcut.conv"), &[c, c, 1]);
    };
    let (mut c, strides) = (32, [2, 4, 5, 8]);
    t.conv("encoder.layers.0.conv", &[c, 1, 7]);
    for (i, s) in strides.into_iter().enumerate() {
        residual(&mut t, &format!("encoder.layers.{}", 3 * i + 1), c);
        t.conv(&format!("encoder.layers.{}.conv", 3 * i + 3), &[2 * c, c, 2 * s]);
        c *= 2;
    }
    for name in ["encoder.layers.13", "decoder.layers.1"] {
        for i in 0..2 {
            for part in ["weight_ih", "weight_hh"] {
                t.add(format!("{name}.lstm.{part}_l{i}"), &[4 * c, c], 0.04);
            }
            for part in ["bias_ih", "bias_hh"] {
                t.add(format!("{name}.lstm.{part}_l{i}"), &[4 * c], 0.04);
            }
        }
    }
    t.conv("encoder.layers.15.conv", &[128, c, 7]);
    t.conv("decoder.layers.0.conv", &[c, 128, 7]);
    for (i, s) in strides.into_iter().rev().enumerate() {
        let name = format!("decoder.layers.{}.conv", 3 * i + 3);
        t.add(format!("{name}.weight"), &[c, c / 2, 2 * s], 0.05);
        t.add(format!("{name}.bias"), &[c / 2], 0.05);
        c /= 2;
        residual(&mut t, &format!("decoder.layers.{}", 3 * i + 4), c);
    }
    t.conv("decoder.layers.15.conv", &[1, 32, 7]);
    for i in 0..4 {
        t.add(format!("quantizer.layers.{i}.codebook.embed"), &[1024, 128], 0.5 / (i + 1) as f32);
    }
    t
}

fn bundle_of(kind: Kind, tensors: &Tensors, folder: &Path) -> Bundle {
    let path = folder.join("checkpoint.safetensors");
    tensors.write(&path);
    import(kind, &path).expect("a checkpoint").write(&folder.join("bundle")).expect("a bundle")
}

fn runtime() -> Runtime {
    Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup")
}

/// A tone that grows and a click, of a length that is no whole number of frames.
fn sound(samples: usize) -> Vec<f32> {
    let tone = |i: usize| (i as f32 * 0.05).sin() * 0.2 * i as f32 / samples as f32;
    (0..samples).map(|i| tone(i) + if i == samples / 3 { 0.5 } else { 0.0 }).collect()
}

fn encode(bundle: &Bundle, frames_per_packet: u32, pcm: &[f32], cut: usize) -> Vec<Vec<u8>> {
    let config = EncoderConfig { frames_per_packet, ..Default::default() };
    let mut encoder = Encoder::new(bundle, &runtime(), &config).expect("an encoder");
    let (mut packets, mut end) = (Vec::new(), 0);
    let mut keep = |p: EncodedPacket<'_>| -> Result<()> {
        assert_eq!(p.position, end, "packets follow one another");
        end += p.samples;
        packets.push(p.data.to_vec());
        Ok(())
    };
    pcm.chunks(cut).for_each(|part| encoder.push_samples(part, &mut keep).expect("samples"));
    encoder.finish_stream(&mut keep).expect("an end");
    packets
}

fn decode(bundle: &Bundle, packets: &[Vec<u8>]) -> Vec<f32> {
    let (mut decoder, mut out) = (Decoder::new(bundle, &runtime()).expect("a decoder"), Vec::new());
    for packet in packets {
        decoder.decode(packet, &mut out).expect("a packet");
    }
    out
}

fn tokens_of(bundle: &Bundle, pcm: &[f32]) -> (usize, Vec<i64>) {
    let mut tokenizer = Tokenizer::new(bundle, &runtime(), "parallel", None).expect("a tokenizer");
    let (each, mut tokens) = (tokenizer.format().codes_per_frame(), Vec::new());
    pcm.chunks(1000).for_each(|part| tokenizer.push_samples(part, &mut tokens).expect("samples"));
    tokenizer.finish_stream(false, &mut tokens).expect("an end");
    (each, tokens)
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn streams_of_a_codec_that_looks_ahead_do_not_depend_on_how_they_are_cut() {
    for (kind, tensors) in [(Kind::Dac, dac()), (Kind::Snac, snac())] {
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = bundle_of(kind, &tensors, folder.path());
        let (header, manifest) = (bundle.stream_header(), bundle.manifest());
        let hop = usize::from(header.hop);
        assert!(manifest.lookahead > 0 && header.pre_skip > 0, "{kind:?} looks ahead and lags");
        let pcm = sound(20 * hop + hop / 3);
        let file = encode(&bundle, 50, &pcm, pcm.len());
        assert_eq!(file, encode(&bundle, 50, &pcm, 137), "{kind:?}: whatever the caller's buffers are");
        let out = decode(&bundle, &file);
        assert_eq!(out.len(), pcm.len(), "{kind:?}");
        assert!(out.iter().any(|x| x.abs() > 1e-3), "{kind:?} is heard");
        // Live: packets of one frame, the first of which holds what the decoder drops.
        assert_eq!(
            decode(&bundle, &encode(&bundle, 1, &pcm, 960)),
            out,
            "{kind:?}: whatever the packets hold"
        );
        // Tokens: as many frames as the samples fill, and a decoder that comes to the end by itself.
        let (each, tokens) = tokens_of(&bundle, &pcm);
        assert_eq!(tokens.len(), each * pcm.len().div_ceil(hop), "{kind:?}");
        let mut stream = TokenStream::new(&bundle, &runtime(), "parallel", header.stages, OnBadToken::Refuse)
            .expect("a stream");
        let mut spoken = Vec::new();
        for frame in tokens.chunks(each) {
            stream.push_tokens(frame, &mut spoken).expect("tokens");
        }
        stream.finish_stream(&mut spoken).expect("an end");
        assert_eq!(spoken.len(), pcm.len().next_multiple_of(hop), "{kind:?}");
        // The packets' last frames are of silence; up to where those are heard both are the same.
        let same = pcm.len().saturating_sub(2 * usize::from(header.pre_skip) + hop);
        assert_eq!(spoken[..same], out[..same], "{kind:?}");
        // And packets made of the tokens alone.
        let mut packets = CodePackets::new(header.clone(), header.stages, 7, true).expect("packets");
        let mut made: Vec<Vec<u8>> = Vec::new();
        let mut keep = |p: PackedCodes<'_>| -> Result<()> {
            made.push(p.data.to_vec());
            Ok(())
        };
        for frame in tokens.chunks(each) {
            let codes: Vec<u16> = frame.iter().map(|&t| t as u16).collect();
            packets.push_frame(&codes, &mut keep).expect("a frame");
        }
        packets.finish_stream(Some(pcm.len() as u64), &mut keep).expect("an end");
        let again = decode(&bundle, &made);
        assert_eq!(again.len(), pcm.len(), "{kind:?}");
        assert_eq!(again[..same], out[..same], "{kind:?}");
    }
}

#[test]
fn encodec_mirrors_the_start_of_files_and_begins_live_streams_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = bundle_of(Kind::Encodec, &encodec(), folder.path());
    let pcm = sound(320 * 12 + 7);
    let file = encode(&bundle, 50, &pcm, 333);
    assert_eq!(file, encode(&bundle, 50, &pcm, pcm.len()));
    let out = decode(&bundle, &file);
    assert_eq!(out.len(), pcm.len());
    let (each, tokens) = tokens_of(&bundle, &pcm);
    let mut stream =
        TokenStream::new(&bundle, &runtime(), "parallel", each as u8, OnBadToken::Refuse).expect("a stream");
    // One frame at a time, and all at once: the file's samples.
    for size in [each, tokens.len()] {
        let mut spoken = Vec::new();
        for part in tokens.chunks(size) {
            stream.push_tokens(part, &mut spoken).expect("tokens");
        }
        stream.finish_stream(&mut spoken).expect("an end");
        assert_eq!(spoken.len(), pcm.len().next_multiple_of(320));
        assert_eq!(spoken[..out.len()], out);
    }
    // Shorter than what is mirrored: whatever there is, in its length.
    for samples in [1, 320, 2000] {
        assert_eq!(decode(&bundle, &encode(&bundle, 50, &pcm[..samples], 100)).len(), samples);
    }
    let live = decode(&bundle, &encode(&bundle, 1, &pcm, 320));
    assert_eq!(live.len(), out.len());
    assert!(largest_difference(&live, &out) > 1e-6, "a live stream begins from silence");
}

#[test]
fn a_checkpoint_of_another_codec_is_refused_with_the_first_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.safetensors");
    let refused = |kind, tensors: &Tensors, reason: &str| {
        tensors.write(&path);
        let error = import(kind, &path).map(drop).expect_err("refused");
        assert!(matches!(error, Error::BadBundle { .. }) && error.to_string().contains(reason), "{error}");
    };
    refused(Kind::Snac, &dac(), "encoder.block.1.block.0.block.1");
    refused(Kind::Encodec, &dac(), "encoder.layers.0.conv.weight");
    refused(Kind::Mimi, &snac(), "encoder.layers.0.conv.weight");
    let mut extra = dac();
    extra.add("decoder.model.9.alpha", &[1], 1.0);
    refused(Kind::Dac, &extra, "decoder.model.9.alpha is not one of this codec");
    let mut bad = dac();
    bad.0[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(Kind::Dac, &bad, "not finite");
}

#[test]
fn a_bundle_is_written_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.safetensors");
    dac().write(&path);
    let made = import(Kind::Dac, &path).expect("a checkpoint");
    let target = folder.path().join("mine");
    std::fs::create_dir(&target).expect("a folder");
    std::fs::write(target.join("notes.txt"), "mine").expect("a file");
    assert!(made.write(&target).is_err());
    assert_eq!(std::fs::read_dir(&target).expect("the folder").count(), 1);
    let bundle = made.write(&folder.path().join("new")).expect("a bundle");
    assert_eq!((bundle.manifest().name.as_str(), bundle.manifest().sample_rate), ("new", 24_000));
}
