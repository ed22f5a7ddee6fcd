//! Bundles of small checkpoints with the layers of the published codecs, through the encoder, packets, tokens and the decoder.

use std::path::Path;

use siskin_audio::tokens::{CodePackets, OnBadToken, PackedCodes, TokenStream, Tokenizer};
use siskin_audio::{Decoder, EncodedPacket, Encoder, EncoderConfig, FrameEncoder, Snapshot};
use siskin_import::testing::{Tensors, small_dac, small_encodec, small_snac};
use siskin_import::{Error, Kind, Result, import};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

/// By how much samples may differ between networks that run one frame and several.
const BLOCK: f32 = 2e-6;

fn bundle_of(kind: Kind, tensors: &Tensors, folder: &Path) -> Bundle {
    tensors.import(kind, &folder.join("bundle")).expect("a bundle")
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
    for (kind, tensors) in [(Kind::Dac, small_dac()), (Kind::Snac, small_snac())] {
        let folder = tempfile::tempdir().expect("a folder");
        let bundle = bundle_of(kind, &tensors, folder.path());
        let (header, manifest) = (bundle.stream_header(), bundle.manifest());
        let hop = usize::from(header.hop);
        assert!(manifest.lookahead > 0 && header.pre_skip > 0, "{kind:?} looks ahead and lags");
        let pcm = sound(20 * hop + hop / 3);
        let file = encode(&bundle, 50, &pcm, pcm.len());
        assert!(file == encode(&bundle, 50, &pcm, 137), "{kind:?}: whatever the caller's buffers are");
        let out = decode(&bundle, &file);
        assert_eq!(out.len(), pcm.len(), "{kind:?}");
        assert!(out.iter().any(|x| x.abs() > 1e-3), "{kind:?} is heard");
        // Live: packets of one frame, the first of which holds what the decoder drops. Blocks round otherwise than frames.
        let live = decode(&bundle, &encode(&bundle, 1, &pcm, 960));
        assert_eq!(live.len(), out.len(), "{kind:?}");
        assert!(largest_difference(&live, &out) < BLOCK, "{kind:?}: whatever the packets hold");
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
        assert!(largest_difference(&spoken[..same], &out[..same]) < BLOCK, "{kind:?}");
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
        assert!(largest_difference(&again[..same], &out[..same]) < BLOCK, "{kind:?}");
    }
}

#[test]
fn encodec_mirrors_the_start_of_files_and_begins_live_streams_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = bundle_of(Kind::Encodec, &small_encodec(), folder.path());
    let pcm = sound(320 * 12 + 7);
    let file = encode(&bundle, 50, &pcm, 333);
    assert!(file == encode(&bundle, 50, &pcm, pcm.len()));
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
        assert!(largest_difference(&spoken[..out.len()], &out) < BLOCK);
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
        tensors.write(&path).expect("a writable folder");
        let error = import(kind, &path).map(drop).expect_err("refused");
        assert!(matches!(error, Error::BadBundle { .. }) && error.to_string().contains(reason), "{error}");
    };
    refused(Kind::Snac, &small_dac(), "encoder.block.1.block.0.block.1");
    refused(Kind::Encodec, &small_dac(), "encoder.layers.0.conv.weight");
    refused(Kind::Mimi, &small_snac(), "encoder.layers.0.conv.weight");
    let mut extra = small_dac();
    extra.add("decoder.model.9.alpha", &[1], 1.0);
    refused(Kind::Dac, &extra, "decoder.model.9.alpha is not one of this codec");
    let mut bad = small_dac();
    bad.set_first(f32::NAN);
    refused(Kind::Dac, &bad, "not finite");
}

#[test]
fn a_bundle_is_written_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.safetensors");
    small_dac().write(&path).expect("a writable folder");
    let made = import(Kind::Dac, &path).expect("a checkpoint");
    let target = folder.path().join("mine");
    std::fs::create_dir(&target).expect("a folder");
    std::fs::write(target.join("notes.txt"), "mine").expect("a file");
    assert!(made.write(&target).is_err());
    assert_eq!(std::fs::read_dir(&target).expect("the folder").count(), 1);
    let bundle = made.write(&folder.path().join("new")).expect("a bundle");
    assert_eq!((bundle.manifest().name.as_str(), bundle.manifest().sample_rate), ("new", 24_000));
}

#[test]
fn pauses_lose_no_frame_of_a_codec_that_runs_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = bundle_of(Kind::Encodec, &small_encodec(), folder.path());
    // Sound, a second and a half of faint noise, sound. The pause begins in the middle of six frames, which would be a block.
    let mut pcm = sound(24_000 + 4 * 320);
    let mut state = 1u32;
    pcm.extend((0..36_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as f32 / u32::MAX as f32 - 0.5) * 1e-3
    }));
    pcm.extend(sound(24_000));
    let config = EncoderConfig { frames_per_packet: 6, dtx: true, ..Default::default() };
    let mut encoder = Encoder::new(&bundle, &runtime(), &config).expect("an encoder");
    let (mut packets, mut pauses) = (Vec::new(), 0);
    let mut keep = |p: EncodedPacket<'_>| -> Result<()> {
        pauses += usize::from(p.is_sid);
        packets.push((p.data.to_vec(), p.position));
        Ok(())
    };
    pcm.chunks(999).for_each(|part| encoder.push_samples(part, &mut keep).expect("samples"));
    encoder.finish_stream(&mut keep).expect("an end");
    assert!(pauses > 0, "there is a pause");
    let (mut decoder, mut out) = (Decoder::new(&bundle, &runtime()).expect("a decoder"), Vec::new());
    for (data, position) in &packets {
        // What lies between two packets is a pause: comfort noise goes on.
        let gap = usize::try_from(*position).expect("a place").checked_sub(out.len()).expect("in order");
        assert_eq!(gap % 320, 0);
        decoder.conceal(gap as u32 / 320, &mut out).expect("noise");
        decoder.decode(data, &mut out).expect("a packet");
    }
    assert_eq!(out.len(), pcm.len());
    // Behind it the sound stands where it stood, once the networks have forgotten that they began anew.
    let plain = decode(&bundle, &encode(&bundle, 6, &pcm, 999));
    let (found, expected) = (&out[72_000..], &plain[72_000..]);
    let mean = expected.iter().sum::<f32>() / expected.len() as f32;
    let energy = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>();
    let error = energy(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let share = error / energy(&mut expected.iter().map(|x| x - mean));
    assert!(share < 0.01, "{share} of the sound is another");
    // A file's packets would be mirrored, with frames that a pause has not.
    let config = EncoderConfig { frames_per_packet: 50, dtx: true, ..Default::default() };
    assert!(Encoder::new(&bundle, &runtime(), &config).is_err());
}

#[test]
fn an_encoder_with_frames_on_their_way_goes_on_from_a_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = bundle_of(Kind::Dac, &small_dac(), folder.path());
    let mut encoder = FrameEncoder::new(&bundle, &runtime()).expect("an encoder");
    encoder.set_block(4);
    let pcm = sound(320 * 40);
    let frames: Vec<&[f32]> = pcm.chunks_exact(320).collect();
    let encode = |encoder: &mut FrameEncoder, frames: &[&[f32]]| -> Vec<[u16; 32]> {
        let mut all = Vec::new();
        for frame in frames {
            encoder.push_frame(frame).expect("a frame");
            let mut codes = [0; 32];
            while encoder.take_codes(&mut codes) {
                all.push(codes);
            }
        }
        all
    };
    // In the middle of a block, with the look-ahead filled in part and then whole.
    for at in [5, 18] {
        encoder.reset();
        encode(&mut encoder, &frames[..at]);
        let mut snapshot = Snapshot::default();
        encoder.save_state(&mut snapshot);
        let first = encode(&mut encoder, &frames[at..]);
        assert!(!first.is_empty());
        encoder.restore_state(&snapshot).expect("its own snapshot");
        assert!(encode(&mut encoder, &frames[at..]) == first, "after {at} frames");
    }
}
