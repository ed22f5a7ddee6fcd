//! Damaged packets and files through the functions of C: an error or sound, never more.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "walks through many functions, as programs of C do it"
)]

use std::ptr::{null, null_mut};

use siskin_capi::decoder::*;
use siskin_capi::encoder::*;
use siskin_capi::model::*;
use siskin_capi::reader::*;
use siskin_capi::status::SiskinStatus::{SISKIN_END, SISKIN_ERROR_DATA, SISKIN_OK};
use siskin_capi::writer::*;

/// A whole file of two seconds and its packets.
fn coded(model: *const SiskinModel) -> (Vec<u8>, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mka");
    let name = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no zero byte");
    let sound: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.03).sin() * 0.2).collect();
    let config = SiskinEncoderConfig { frames_per_packet: 10, ..Default::default() };
    let (mut encoder, mut writer, mut packets) = (null_mut(), null_mut(), Vec::new());
    // SAFETY: the model is open, what is written to is there, and each object is freed once.
    unsafe {
        assert_eq!(siskin_encoder_new(model, &config, &mut encoder), SISKIN_OK);
        assert_eq!(siskin_writer_open(name.as_ptr(), encoder, &mut writer), SISKIN_OK);
        assert_eq!(siskin_encoder_push(encoder, sound.as_ptr(), sound.len()), SISKIN_OK);
        assert_eq!(siskin_encoder_finish(encoder), SISKIN_OK);
        let mut packet = std::mem::zeroed();
        while siskin_encoder_pull(encoder, &mut packet) == SISKIN_OK {
            assert_eq!(siskin_writer_write(writer, &packet), SISKIN_OK);
            packets.push(std::slice::from_raw_parts(packet.data, packet.length).to_vec());
        }
        assert_eq!(siskin_writer_close(writer), SISKIN_OK);
        siskin_encoder_free(encoder);
    }
    (std::fs::read(path).expect("a file"), packets)
}

/// The data with a few bytes changed, cut or repeated.
fn damaged(data: &[u8], random: &mut oorandom::Rand32) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..random.rand_range(1..5) {
        let at = random.rand_range(0..data.len() as u32) as usize;
        match random.rand_range(0..4) {
            0 => data[at] = random.rand_u32() as u8,
            1 => data[at] ^= 1 << random.rand_range(0..8),
            2 => data.truncate(at.max(1)),
            _ => data.extend_from_within(at..),
        }
    }
    data
}

#[test]
fn damage_is_an_error_or_sound() {
    let mut model = null_mut();
    // SAFETY: can be written to.
    assert_eq!(unsafe { siskin_model_open(null(), 0, &mut model) }, SISKIN_OK);
    let (file, packets) = coded(model);
    let mut random = oorandom::Rand32::new(7);
    let mut decoder = null_mut();
    // SAFETY: as in `coded`.
    assert_eq!(unsafe { siskin_decoder_new(model, null(), 0, &mut decoder) }, SISKIN_OK);
    let (mut refused, mut samples, mut count) = (0, null(), 0);
    for round in 0..300 {
        let packet = damaged(&packets[round % packets.len()], &mut random);
        // SAFETY: as in `coded`.
        let status = unsafe {
            siskin_decoder_decode(decoder, packet.as_ptr(), packet.len(), &mut samples, &mut count)
        };
        match status {
            SISKIN_OK => assert!(count <= 500 * 480, "{count} samples"),
            status => {
                assert!(count == 0 && samples.is_null(), "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 30, "{refused} of 300 damaged packets were refused");
    for _ in 0..300 {
        let broken = damaged(&file, &mut random);
        let mut reader = null_mut();
        // SAFETY: as in `coded`.
        unsafe {
            if siskin_reader_open_memory(broken.as_ptr(), broken.len(), &mut reader) != SISKIN_OK {
                assert!(reader.is_null());
                continue;
            }
            let mut block = std::mem::zeroed();
            let mut status = SISKIN_OK;
            // Each block takes some bytes of the file, so there is an end.
            for _ in 0..=broken.len() {
                status = siskin_reader_next(reader, &mut block);
                if status != SISKIN_OK {
                    break;
                }
            }
            assert!([SISKIN_END, SISKIN_ERROR_DATA].contains(&status), "{status:?}");
            siskin_reader_seek(reader, u64::from(random.rand_u32()));
            siskin_reader_close(reader);
        }
    }
    // SAFETY: as in `coded`.
    unsafe {
        siskin_decoder_free(decoder);
        siskin_model_close(model);
    }
}
