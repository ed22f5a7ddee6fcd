//! Sound through the functions of C: packets, files, codes, losses.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "walks through many functions, as programs of C do it"
)]

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::{null, null_mut};

use siskin_capi::decoder::*;
use siskin_capi::encoder::*;
use siskin_capi::model::*;
use siskin_capi::reader::*;
use siskin_capi::status::{SiskinStatus, siskin_last_error};
use siskin_capi::tokenizer::*;
use siskin_capi::writer::*;
use siskin_core::audio::Decoder;
use siskin_core::bundle::Bundle;
use siskin_core::import::Kind;
use siskin_core::import::testing::small_encodec_stereo;
use siskin_core::runtime::Runtime;

use SiskinStatus::{SISKIN_END, SISKIN_ERROR_DATA, SISKIN_ERROR_MODEL, SISKIN_ERROR_PARAMETER, SISKIN_OK};

fn last_error() -> String {
    // SAFETY: a text of the library's own.
    let text = unsafe { CStr::from_ptr(siskin_last_error()) };
    text.to_str().expect("UTF-8").to_owned()
}

fn ok(status: SiskinStatus) {
    assert_eq!(status, SISKIN_OK, "{}", last_error());
}

fn open_model() -> *mut SiskinModel {
    let mut model = null_mut();
    // SAFETY: `model` can be written to.
    ok(unsafe { siskin_model_open(null(), 0, &mut model) });
    model
}

fn channels(model: *const SiskinModel) -> u32 {
    let mut channels = 0;
    // SAFETY: the model is open, and `channels` can be written to.
    ok(unsafe { siskin_model_channels(model, &mut channels) });
    channels
}

/// A tone that glides, at 24 kHz.
fn glide(count: usize) -> Vec<f32> {
    let at = |i: usize| {
        let t = i as f32 / 24_000.0;
        0.3 * (std::f32::consts::TAU * (180.0 + 60.0 * t) * t).sin()
    };
    (0..count).map(at).collect()
}

/// Packets of `samples`, pushed in pieces, and the stream's header.
fn encode(
    model: *const SiskinModel,
    config: &SiskinEncoderConfig,
    pieces: &[&[f32]],
) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut encoder, mut packets) = (null_mut(), Vec::new());
    let (mut data, mut length) = (null(), 0);
    // SAFETY: the model is open, and what is written to is there; the encoder is freed once, at the end.
    let header = unsafe {
        ok(siskin_encoder_new(model, config, &mut encoder));
        let mut pull = || loop {
            let mut packet = SiskinPacket {
                data: null(),
                length: 0,
                first_sample: 0,
                sample_count: 0,
                is_random_access: false,
            };
            match siskin_encoder_pull(encoder, &mut packet) {
                SISKIN_OK => packets.push(std::slice::from_raw_parts(packet.data, packet.length).to_vec()),
                status => return assert_eq!(status, SISKIN_END),
            }
        };
        for piece in pieces {
            ok(siskin_encoder_push(encoder, piece.as_ptr(), piece.len()));
            pull();
        }
        ok(siskin_encoder_finish(encoder));
        pull();
        ok(siskin_encoder_header(encoder, &mut data, &mut length));
        let header = std::slice::from_raw_parts(data, length).to_vec();
        siskin_encoder_free(encoder);
        header
    };
    (packets, header)
}

/// Decodes packets; those that `is_lost` names are concealed.
fn decode(
    model: *const SiskinModel,
    header: &[u8],
    packets: &[Vec<u8>],
    is_lost: impl Fn(usize) -> bool,
) -> Vec<f32> {
    let (mut decoder, mut out) = (null_mut(), Vec::new());
    let (mut samples, mut count) = (null(), 0);
    // SAFETY: as in `encode`.
    unsafe {
        ok(siskin_decoder_new(model, header.as_ptr(), header.len(), &mut decoder));
        for (number, packet) in packets.iter().enumerate() {
            if is_lost(number) {
                let next = packets.get(number + 1).map_or(&[][..], Vec::as_slice);
                ok(siskin_decoder_conceal(decoder, 1, next.as_ptr(), next.len(), &mut samples, &mut count));
            } else {
                ok(siskin_decoder_decode(decoder, packet.as_ptr(), packet.len(), &mut samples, &mut count));
            }
            out.extend_from_slice(std::slice::from_raw_parts(samples, count));
        }
        siskin_decoder_free(decoder);
    }
    out
}

#[test]
fn sound_comes_back_in_its_length_however_it_was_cut() {
    let model = open_model();
    let mut info = SiskinModelInfo::default();
    // SAFETY: open, and can be written to.
    ok(unsafe { siskin_model_info(model, &mut info) });
    assert_eq!((info.sample_rate, info.frame_samples, info.codebook_size), (24_000, 480, 1024));
    assert_eq!(channels(model), 1);
    let sound = glide(24_000 + 77);
    let config = SiskinEncoderConfig { stages: 4, redundancy: 1, ..Default::default() };
    let (packets, header) = encode(model, &config, &[&sound]);
    let pieces: Vec<&[f32]> = sound.chunks(311).collect();
    assert_eq!(encode(model, &config, &pieces), (packets.clone(), header.clone()));
    let whole = decode(model, &header, &packets, |_| false);
    assert_eq!(whole.len(), sound.len());
    let energy = |s: &[f32]| s.iter().map(|v| v * v).sum::<f32>();
    let ratio = energy(&whole) / energy(&sound);
    assert!((0.5..2.0).contains(&ratio), "energy times {ratio}");
    // A lost packet costs no time, and the packet behind it repeats its frame, so little sound either.
    let lossy = decode(model, &header, &packets, |n| n % 10 == 5);
    assert_eq!(lossy.len(), whole.len());
    let difference: f32 = lossy.iter().zip(&whole).map(|(a, b)| (a - b) * (a - b)).sum();
    assert!(difference > 0.0 && difference < 0.5 * energy(&whole), "{difference} of {}", energy(&whole));
    // SAFETY: closed once.
    unsafe { siskin_model_close(model) };
}

/// What the library in Rust makes of packets.
fn decode_in_rust(folder: &Path, packets: &[Vec<u8>]) -> Vec<f32> {
    let runtime = Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup");
    let bundle = Bundle::open(folder).expect("a bundle");
    let (mut decoder, mut out) = (Decoder::new(&bundle, &runtime).expect("a decoder"), Vec::new());
    packets.iter().for_each(|packet| {
        decoder.decode(packet, &mut out).expect("a packet");
    });
    out
}

#[test]
fn segments_of_two_channels_are_interleaved_and_have_no_codes_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bundle");
    small_encodec_stereo().import(Kind::Encodec, &path).expect("a bundle");
    let name = CString::new(path.to_str().expect("UTF-8")).expect("no zero byte");
    let (mut model, mut tokenizer, mut decoder) = (null_mut(), null_mut(), null_mut());
    // SAFETY: `model` can be written to.
    ok(unsafe { siskin_model_open(name.as_ptr(), 0, &mut model) });
    assert_eq!(channels(model), 2);
    // A glide on the left, and the same louder and backwards on the right; a segment and a part of one.
    let left = glide(60_000);
    let sound: Vec<f32> = left.iter().zip(left.iter().rev()).flat_map(|(&l, &r)| [l, 2.0 * r]).collect();
    let config = SiskinEncoderConfig::default();
    let (packets, header) = encode(model, &config, &[&sound]);
    // In odd pieces, which end between two channels.
    let pieces: Vec<&[f32]> = sound.chunks(999).collect();
    assert_eq!(encode(model, &config, &pieces), (packets.clone(), header.clone()));
    assert_eq!(packets.len(), 2);
    let found = decode(model, &header, &packets, |_| false);
    assert_eq!(found.len(), sound.len());
    assert!(found == decode_in_rust(&path, &packets));
    let exchanged: Vec<f32> = sound.as_chunks::<2>().0.iter().flat_map(|&[l, r]| [r, l]).collect();
    assert_ne!(encode(model, &config, &[&exchanged]).0, packets, "channels have places");
    let (mut samples, mut count) = (null(), 0);
    // SAFETY: as in `encode`.
    unsafe {
        ok(siskin_decoder_new(model, header.as_ptr(), header.len(), &mut decoder));
        // Frames of 320 samples of each channel.
        ok(siskin_decoder_conceal(decoder, 3, null(), 0, &mut samples, &mut count));
        assert_eq!(count, 3 * 2 * 320);
        let refused = siskin_decoder_decode_codes(decoder, [0; 4].as_ptr(), 4, &mut samples, &mut count);
        assert_eq!((refused, count), (SISKIN_ERROR_PARAMETER, 0));
        assert!(last_error().contains("segments"), "{}", last_error());
        assert_eq!(siskin_tokenizer_new(model, 0, &mut tokenizer), SISKIN_ERROR_PARAMETER);
        assert!(tokenizer.is_null() && last_error().contains("segments"), "{}", last_error());
        siskin_decoder_free(decoder);
        siskin_model_close(model);
    }
}

#[test]
fn a_file_that_was_written_is_read_and_sought_in() {
    let model = open_model();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mka");
    let name = CString::new(path.to_str().expect("UTF-8")).expect("no zero byte");
    let sound = glide(5 * 24_000);
    let config = SiskinEncoderConfig { bitrate: 6_000, frames_per_packet: 50, ..Default::default() };
    let (mut encoder, mut writer, mut reader) = (null_mut(), null_mut(), null_mut());
    // SAFETY: as in `encode`.
    unsafe {
        ok(siskin_encoder_new(model, &config, &mut encoder));
        ok(siskin_writer_open(name.as_ptr(), encoder, &mut writer));
        ok(siskin_encoder_push(encoder, sound.as_ptr(), sound.len()));
        ok(siskin_encoder_finish(encoder));
        let mut packet = std::mem::zeroed();
        while siskin_encoder_pull(encoder, &mut packet) == SISKIN_OK {
            ok(siskin_writer_write(writer, &packet));
        }
        ok(siskin_writer_close(writer));
        siskin_encoder_free(encoder);
        ok(siskin_reader_open(name.as_ptr(), &mut reader));
        let mut track = std::mem::zeroed::<SiskinTrack>();
        ok(siskin_reader_track(reader, 0, &mut track));
        assert_eq!(track.kind, SiskinTrackKind::SISKIN_TRACK_AUDIO);
        assert_eq!(CStr::from_ptr(track.codec_id), c"A_SISKIN");
        assert_eq!(siskin_reader_track(reader, 1, &mut track), SISKIN_END);
        let header = std::slice::from_raw_parts(track.header, track.header_length).to_vec();
        let mut block = std::mem::zeroed::<SiskinBlock>();
        let mut packets = Vec::new();
        while siskin_reader_next(reader, &mut block) == SISKIN_OK {
            packets.push(std::slice::from_raw_parts(block.data, block.length).to_vec());
        }
        assert_eq!(decode(model, &header, &packets, |_| false).len(), sound.len());
        ok(siskin_reader_seek(reader, 3_200_000_000));
        ok(siskin_reader_next(reader, &mut block));
        assert!((2_900_000_000..=3_200_000_000).contains(&block.time_ns), "{}", block.time_ns);
        siskin_reader_close(reader);
        siskin_model_close(model);
    }
}

#[test]
fn codes_come_out_and_go_in() {
    let model = open_model();
    let sound = glide(12_000);
    let (mut tokenizer, mut decoder) = (null_mut(), null_mut());
    let (mut codes, mut code_count, mut samples, mut count) = (null(), 0, null(), 0);
    // SAFETY: as in `encode`.
    unsafe {
        ok(siskin_tokenizer_new(model, 3, &mut tokenizer));
        ok(siskin_tokenizer_push(tokenizer, sound.as_ptr(), sound.len(), &mut codes, &mut code_count));
        let mut all = std::slice::from_raw_parts(codes, code_count).to_vec();
        ok(siskin_tokenizer_finish(tokenizer, &mut codes, &mut code_count));
        all.extend_from_slice(std::slice::from_raw_parts(codes, code_count));
        siskin_tokenizer_free(tokenizer);
        // Three stages of two codes.
        assert_eq!(all.len() % 6, 0);
        assert!(all.len() / 6 >= 25, "{} frames of half a second", all.len() / 6);
        ok(siskin_decoder_new(model, null(), 0, &mut decoder));
        for frame in all.chunks(6) {
            ok(siskin_decoder_decode_codes(decoder, frame.as_ptr(), 6, &mut samples, &mut count));
            assert_eq!(count, 480);
        }
        let wrong = [1024u16, 0, 0, 0, 0, 0];
        let status = siskin_decoder_decode_codes(decoder, wrong.as_ptr(), 6, &mut samples, &mut count);
        assert_eq!((status, count), (SISKIN_ERROR_DATA, 0), "{}", last_error());
        siskin_decoder_free(decoder);
        siskin_model_close(model);
    }
}

#[test]
fn mistakes_are_told_and_null_frees_nothing() {
    let (mut model, mut encoder, mut decoder, mut reader) = (null_mut(), null_mut(), null_mut(), null_mut());
    let opened = open_model();
    // SAFETY: null pointers and open objects; what is written to is there.
    unsafe {
        assert_eq!(siskin_model_open(c"no-such-bundle".as_ptr(), 0, &mut model), SISKIN_ERROR_MODEL);
        assert!(model.is_null() && last_error().contains("no-such-bundle"), "{}", last_error());
        assert_eq!(siskin_model_open(c"\xff".as_ptr(), 0, &mut model), SISKIN_ERROR_PARAMETER);
        assert_eq!(siskin_model_open(null(), 0, null_mut()), SISKIN_ERROR_PARAMETER);
        assert_eq!(siskin_encoder_new(null(), null(), &mut encoder), SISKIN_ERROR_PARAMETER);
        let config = SiskinEncoderConfig { stages: 99, ..Default::default() };
        assert_eq!(siskin_encoder_new(opened, &config, &mut encoder), SISKIN_ERROR_PARAMETER);
        assert!(encoder.is_null() && last_error().contains("99"), "{}", last_error());
        assert_eq!(siskin_encoder_push(null_mut(), null(), 0), SISKIN_ERROR_PARAMETER);
        ok(siskin_encoder_new(opened, null(), &mut encoder));
        assert_eq!(siskin_encoder_push(encoder, null(), 3), SISKIN_ERROR_PARAMETER);
        assert_eq!(siskin_encoder_push(encoder, [0.0; 1].as_ptr(), usize::MAX), SISKIN_ERROR_PARAMETER);
        ok(siskin_encoder_push(encoder, null(), 0));
        siskin_encoder_free(encoder);
        assert_eq!(siskin_decoder_new(opened, [0u8; 4].as_ptr(), 4, &mut decoder), SISKIN_ERROR_DATA);
        assert_eq!(siskin_reader_open(c"/no/such/file".as_ptr(), &mut reader), SiskinStatus::SISKIN_ERROR_IO);
        assert_eq!(siskin_reader_open_memory([0u8; 4].as_ptr(), 4, &mut reader), SISKIN_ERROR_DATA);
        assert_eq!(siskin_writer_close(null_mut()), SISKIN_OK);
        siskin_encoder_free(null_mut());
        siskin_decoder_free(null_mut());
        siskin_tokenizer_free(null_mut());
        siskin_reader_close(null_mut());
        siskin_model_close(null_mut());
        siskin_model_close(opened);
    }
}
