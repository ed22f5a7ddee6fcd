//! Codecs of segments in stereo: EnCodec at 48 kHz, with small weights, through the encoder, packets, tokens and the decoder.

use siskin_audio::tokens::{
    CodePackets, FileFormat, OnBadToken, PackedCodes, TokenFile, TokenMeta, TokenStream,
};
use siskin_audio::tokens::{Tokenizer, codes_and_scale_from_packet};
use siskin_audio::{Decoder, EncodedPacket, Encoder, EncoderConfig, FrameEncoder, RateMode, Snapshot};
use siskin_import::testing::{small_dac, small_encodec_stereo};
use siskin_import::{Error, Kind, Result, import};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

const STRIDE: usize = 47_520;

fn bundle() -> (tempfile::TempDir, Bundle) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.safetensors");
    small_encodec_stereo().write(&path).expect("a writable folder");
    let imported = import(Kind::Encodec, &path).expect("a checkpoint");
    assert_eq!(
        (imported.name.as_str(), &*imported.recognised),
        ("encodec-48k", "EnCodec, 48 kHz stereo, 4 codebooks")
    );
    let bundle = imported.write(&folder.path().join("bundle")).expect("a bundle");
    (folder, bundle)
}

fn runtime() -> Runtime {
    Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup")
}

/// A tone that grows on the left, another that falls on the right.
fn sound(samples: usize) -> Vec<f32> {
    let part = |i: usize| i as f32 / samples as f32;
    let both = |i: usize| [(i as f32 * 0.05).sin() * part(i), (i as f32 * 0.021).sin() * (1.0 - part(i))];
    (0..samples).flat_map(|i| both(i).map(|x| 0.3 * x)).collect()
}

struct Packets {
    data: Vec<Vec<u8>>,
    samples: Vec<u64>,
}

fn encode(bundle: &Bundle, pcm: &[f32], cut: usize) -> Packets {
    let mut encoder = Encoder::new(bundle, &runtime(), &EncoderConfig::default()).expect("an encoder");
    assert_eq!((encoder.frames_per_packet(), encoder.latency_samples()), (150, 48_000));
    let (mut packets, mut end) = (Packets { data: Vec::new(), samples: Vec::new() }, 0);
    let mut keep = |p: EncodedPacket<'_>| -> Result<()> {
        assert_eq!(p.position, end, "packets follow one another");
        end += p.samples;
        packets.data.push(p.data.to_vec());
        packets.samples.push(p.samples);
        Ok(())
    };
    pcm.chunks(cut).for_each(|part| encoder.push_samples(part, &mut keep).expect("samples"));
    encoder.finish_stream(&mut keep).expect("an end");
    packets
}

fn decode(bundle: &Bundle, packets: &[Vec<u8>]) -> Vec<f32> {
    let (mut decoder, mut out) = (Decoder::new(bundle, &runtime()).expect("a decoder"), Vec::new());
    for packet in packets {
        let (start, decoded) = (out.len(), decoder.decode(packet, &mut out).expect("a packet"));
        assert_eq!(out.len() - start, 2 * decoded.samples);
    }
    out
}

#[test]
fn all_lengths_come_back_however_they_are_cut() {
    let (_folder, bundle) = bundle();
    // A sample, one frame, a stride and one sample more, the length that the published package cannot decode, a whole segment.
    for samples in [1, 320, 479, STRIDE, STRIDE + 1, STRIDE + 200, 48_000, STRIDE + 48_000 + 77] {
        let pcm = sound(samples);
        let packets = encode(&bundle, &pcm, pcm.len());
        assert_eq!(packets.data.len(), samples.div_ceil(STRIDE), "{samples}");
        assert!(
            packets.data == encode(&bundle, &pcm, 10_007).data,
            "{samples}: odd parts, between two channels"
        );
        let out = decode(&bundle, &packets.data);
        assert_eq!(out.len(), pcm.len(), "{samples}");
        // One sample of this sound is silence.
        let is_heard = samples == 1 || out.iter().any(|x| x.abs() > 1e-3);
        assert!(is_heard && out.iter().all(|x| x.is_finite()), "{samples}");
        // Tokens give the same: with scales and length, in any parts.
        let runtime = runtime();
        let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", None).expect("a tokenizer");
        let mut tokens = Vec::new();
        pcm.chunks(999).for_each(|part| tokenizer.push_samples(part, &mut tokens).expect("samples"));
        let length = tokenizer.finish_stream(false, &mut tokens).expect("an end");
        let scales = tokenizer.take_scales();
        assert_eq!((length, scales.len()), (samples as u64, packets.data.len()));
        let each = tokenizer.format().codes_per_frame();
        for part in [each, 7 * each, tokens.len()] {
            let mut stream = TokenStream::new(&bundle, &runtime, "parallel", each as u8, OnBadToken::Refuse)
                .expect("a stream");
            stream.set_length(length);
            stream.set_scales(scales.clone()).expect("scales of ours");
            let mut spoken = Vec::new();
            tokens.chunks(part).for_each(|t| {
                stream.push_tokens(t, &mut spoken).expect("tokens");
            });
            let ending = stream.finish_stream(&mut spoken).expect("an end");
            assert!(spoken == out, "{samples} in parts of {part}");
            assert_eq!((ending.samples, ending.frames as usize), (length, tokens.len() / each));
        }
        // And so do packets made of the tokens, which are those of the encoder.
        let codes: Vec<u16> = tokens.iter().map(|&t| t as u16).collect();
        assert!(packets_of(&bundle, &codes, each, scales, Some(length)).expect("codes") == packets.data);
    }
}

fn packets_of(
    bundle: &Bundle,
    codes: &[u16],
    each: usize,
    scales: Vec<f32>,
    samples: Option<u64>,
) -> Result<Vec<Vec<u8>>> {
    let header = bundle.stream_header();
    let mut packets = CodePackets::new(header, each as u8, 50, true)?;
    packets.set_segments(bundle.manifest().segments.expect("a codec of segments"), scales, samples)?;
    let mut made = Vec::new();
    let mut keep = |p: PackedCodes<'_>| -> Result<()> {
        made.push(p.data.to_vec());
        Ok(())
    };
    codes.chunks(each).try_for_each(|frame| packets.push_frame(frame, &mut keep))?;
    packets.finish_stream(samples, &mut keep)?;
    Ok(made)
}

#[test]
fn lost_frames_are_the_same_in_tokens_and_packets() {
    let (_folder, bundle) = bundle();
    let runtime = runtime();
    let header = bundle.stream_header();
    let packets = encode(&bundle, &sound(STRIDE + 9000), 4096);
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for packet in &packets.data {
        scales.extend(codes_and_scale_from_packet(packet, &header, None, &mut codes).expect("a packet").1);
    }
    let (length, count) = ((STRIDE + 9000) as u64, codes.len() / 4);
    // The first, two within the first segment, the first of the second, which comes after the 150 of a whole one, and the last.
    let lost = [0, 70, 71, 150, count - 1];
    let mut stream =
        TokenStream::new(&bundle, &runtime, "parallel", 4, OnBadToken::Refuse).expect("a stream");
    stream.set_length(length);
    stream.set_scales(scales.clone()).expect("scales of ours");
    let mut made = CodePackets::new(header, 4, 50, true).expect("packets");
    let sizes = bundle.manifest().segments.expect("a codec of segments");
    made.set_segments(sizes, scales, Some(length)).expect("scales of ours");
    let (mut spoken, mut data) = (Vec::new(), Vec::new());
    let mut keep = |p: PackedCodes<'_>| -> Result<()> {
        data.push(p.data.to_vec());
        Ok(())
    };
    for (n, frame) in codes.chunks_exact(4).enumerate() {
        if lost.contains(&n) {
            stream.conceal(1, &mut spoken).expect("a lost frame");
            made.skip_frame(&mut keep).expect("a lost frame");
        } else {
            stream.push_codes(frame, &mut spoken).expect("a frame");
            made.push_frame(frame, &mut keep).expect("a frame");
        }
    }
    let ending = stream.finish_stream(&mut spoken).expect("an end");
    made.finish_stream(Some(length), &mut keep).expect("an end");
    assert_eq!((ending.frames as usize, ending.lost, ending.samples), (count, lost.len() as u64, length));
    assert!(spoken == decode(&bundle, &data), "the same samples");
    // The frame before takes the place of one that is lost.
    let mut filled = Vec::new();
    for packet in &data {
        codes_and_scale_from_packet(packet, &bundle.stream_header(), None, &mut filled).expect("a packet");
    }
    let mut expected = codes.clone();
    expected[..4].fill(0);
    for n in &lost[1..] {
        expected.copy_within(4 * (n - 1)..4 * n, 4 * n);
    }
    assert!(filled == expected);
}

#[test]
fn the_largest_scale_gives_finite_samples() {
    let (_folder, bundle) = bundle();
    let header = bundle.stream_header();
    let packets = encode(&bundle, &sound(2 * STRIDE), 4096);
    let mut codes = Vec::new();
    for packet in &packets.data {
        codes_and_scale_from_packet(packet, &header, None, &mut codes).expect("a packet");
    }
    let samples = Some(2 * STRIDE as u64);
    let decoded = |scale: f32| {
        decode(&bundle, &packets_of(&bundle, &codes, 4, vec![scale; 2], samples).expect("a scale"))
    };
    let (plain, loud) = (decoded(1.0), decoded(f32::MAX));
    assert_eq!(loud.len(), plain.len());
    for (n, (&loud, plain)) in loud.iter().zip(plain).enumerate() {
        // Both segments have the same scale, so mixing does not change it.
        let expected = (f64::from(plain) * f64::from(f32::MAX)).clamp(f32::MIN.into(), f32::MAX.into());
        let error = (f64::from(loud) - expected).abs();
        // Where one of the two that are mixed is beyond the finite, only the sign is known.
        let is_mixed = (2 * STRIDE..2 * STRIDE + 2 * 480).contains(&n);
        assert!(loud.is_finite() && (is_mixed || error < 1e-6 * f64::from(f32::MAX)), "{n}: {loud} {plain}");
    }
}

#[test]
fn scales_go_through_files_bit_by_bit() {
    let (_folder, bundle) = bundle();
    let header = bundle.stream_header();
    let pcm = sound(STRIDE + 3000);
    let packets = encode(&bundle, &pcm, pcm.len());
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for packet in &packets.data {
        scales.extend(codes_and_scale_from_packet(packet, &header, None, &mut codes).expect("a packet").1);
    }
    let mut meta = TokenMeta::from_stream_header(&header, 1024);
    (meta.samples, meta.scales) = (Some(pcm.len() as u64 / 2), scales.clone());
    let file = TokenFile::from_frames(4, &codes, meta).expect("whole frames");
    for format in [FileFormat::Safetensors, FileFormat::Jsonl] {
        let back = TokenFile::from_bytes(format, &file.to_bytes(format).expect("a file")).expect("a file");
        assert_eq!(back, file);
        let made = packets_of(&bundle, &back.to_frames(), 4, back.meta.scales, back.meta.samples);
        assert!(made.expect("codes of ours") == packets.data);
    }
    let refused = file.to_bytes(FileFormat::Npy).expect_err("no place for scales").to_string();
    assert!(refused.contains("scales"), "{refused}");
    // A length that is not that of the frames.
    for samples in [10, STRIDE as u64, 10 * STRIDE as u64] {
        assert!(packets_of(&bundle, &codes, 4, scales.clone(), Some(samples)).is_err(), "{samples}");
    }
    assert!(packets_of(&bundle, &codes, 4, vec![f32::NAN], None).is_err());
}

#[test]
fn a_lost_segment_is_silence_of_its_length_and_a_late_start_agrees_after_one() {
    let (_folder, bundle) = bundle();
    let pcm = sound(4 * STRIDE);
    let packets = encode(&bundle, &pcm, pcm.len());
    let whole = decode(&bundle, &packets.data);
    let mut decoder = Decoder::new(&bundle, &runtime()).expect("a decoder");
    let mut out = Vec::new();
    decoder.decode(&packets.data[0], &mut out).expect("a packet");
    decoder.conceal(packets.samples[1].div_ceil(320) as u32, &mut out).expect("silence");
    out.truncate(2 * (packets.samples[0] + packets.samples[1]) as usize);
    let (gap, behind) = (2 * STRIDE, out.len());
    assert!(out[..gap] == whole[..gap]);
    assert!(out[gap..gap + 100].iter().any(|x| x.abs() > 1e-3), "the end of the segment fades");
    assert!(out[gap + 2 * 480..].iter().all(|&x| x == 0.0));
    let mut snapshot = Snapshot::default();
    decoder.save_state(&mut snapshot);
    decoder.decode(&packets.data[2], &mut out).expect("a packet");
    // Faded in over the overlap, and then the same.
    assert!(out[behind + 2 * 480..] == whole[behind + 2 * 480..3 * 2 * STRIDE]);
    let (mut again, mut once_more) = (Vec::new(), Decoder::new(&bundle, &runtime()).expect("a decoder"));
    once_more.set_header(&bundle.stream_header()).expect("its own header");
    once_more.restore_state(&snapshot).expect("a state of this bundle");
    once_more.decode(&packets.data[2], &mut again).expect("a packet");
    assert!(again[..] == out[behind..]);
    // A state that is none of this bundle's changes nothing.
    once_more.save_state(&mut snapshot);
    assert!(matches!(once_more.restore_state(&Snapshot::default()), Err(Error::Parameter { .. })));
    let mut after = Snapshot::default();
    once_more.save_state(&mut after);
    assert!(after == snapshot);

    let mut late = Decoder::new(&bundle, &runtime()).expect("a decoder");
    late.set_header(&bundle.stream_header()).expect("its own header");
    let mut out = Vec::new();
    late.decode(&packets.data[1], &mut out).expect("a packet");
    late.decode(&packets.data[2], &mut out).expect("a packet");
    assert!(out[2 * STRIDE..] == whole[4 * STRIDE..6 * STRIDE]);
}

#[test]
fn what_segments_do_not_have_is_refused() {
    let (_folder, bundle) = bundle();
    let runtime = runtime();
    let refused = |config: &EncoderConfig| {
        let made = Encoder::new(&bundle, &runtime, config).map(drop);
        made.expect_err("no such segments").to_string()
    };
    assert!(refused(&EncoderConfig { dtx: true, ..Default::default() }).contains("dtx"));
    assert!(refused(&EncoderConfig { redundancy: 1, ..Default::default() }).contains("redundancy"));
    let rate_mode = RateMode::Variable { bitrate: 6000 };
    assert!(refused(&EncoderConfig { rate_mode, ..Default::default() }).contains("constant"));
    assert!(matches!(FrameEncoder::new(&bundle, &runtime), Err(Error::Parameter { .. })));
    let mut decoder = Decoder::new(&bundle, &runtime).expect("a decoder");
    let mut out = Vec::new();
    assert!(matches!(decoder.decode_codes(&[1; 4], &mut out), Err(Error::Parameter { .. })));
    assert!(matches!(decoder.decode_latent(&[0.0; 128], &mut out), Err(Error::Parameter { .. })));
    assert!(out.is_empty());
}

#[test]
fn latents_are_refused_before_a_segment_that_is_begun_ends() {
    let (_folder, bundle) = bundle();
    let open = || {
        TokenStream::new(&bundle, &runtime(), "parallel", 4, OnBadToken::Refuse).expect("a stream of tokens")
    };
    let ([mut stream, mut undisturbed], tokens) = ([open(), open()], [5; 4 * 200]);
    let (mut out, mut expected) = (Vec::new(), Vec::new());
    stream.push_tokens(&tokens[..4 * 70], &mut out).expect("tokens");
    assert!(matches!(stream.push_latents(&[0.0; 128], &mut out), Err(Error::Parameter { .. })));
    assert!(out.is_empty(), "{} samples of a segment that goes on", out.len());
    stream.push_tokens(&tokens[4 * 70..], &mut out).expect("tokens");
    undisturbed.push_tokens(&tokens, &mut expected).expect("tokens");
    for (stream, out) in [(&mut stream, &mut out), (&mut undisturbed, &mut expected)] {
        stream.finish_stream(out).expect("an end");
    }
    assert!(out == expected && !out.is_empty());
}

#[test]
fn a_snapshot_is_of_the_decoder_that_saved_it_last() {
    let ((_folder, bundle), folder) = (bundle(), tempfile::tempdir().expect("a folder"));
    let dac = small_dac().import(Kind::Dac, &folder.path().join("dac")).expect("a bundle");
    let [mut segments, mut frames] =
        [&bundle, &dac].map(|bundle| Decoder::new(bundle, &runtime()).expect("a decoder"));
    let mut snapshot = Snapshot::default();
    segments.save_state(&mut snapshot);
    frames.save_state(&mut snapshot);
    assert!(matches!(segments.restore_state(&snapshot), Err(Error::Parameter { .. })));
    frames.restore_state(&snapshot).expect("its own");
    segments.save_state(&mut snapshot);
    assert!(matches!(frames.restore_state(&snapshot), Err(Error::Parameter { .. })));
    segments.restore_state(&snapshot).expect("its own");
}
