use proptest::prelude::*;

use super::*;
use crate::tests::header;

fn sample(codebooks: usize, count: usize) -> TokenFile {
    let meta = TokenMeta {
        id: Some("clip é".into()),
        samples: Some(123),
        text: Some("a \"text\"\nof two lines".into()),
        words: vec![Word { text: "a".into(), start: 0.0, end: 0.25, speaker: None }],
        ..TokenMeta::from_stream_header(&header(), 16)
    };
    TokenFile::from_frames(codebooks, &frames(codebooks, count).concat(), meta).expect("whole frames")
}

#[test]
fn files_come_back_bit_exact() {
    for (codebooks, count) in [(1, 1), (4, 9), (18, 100), (3, 0)] {
        let file = sample(codebooks, count);
        assert_eq!(file.to_frames(), frames(codebooks, count).concat());
        for format in FileFormat::ALL {
            let bytes = file.to_bytes(format).expect("a file");
            assert_eq!(bytes, file.to_bytes(format).expect("a file"), "the same bytes each time");
            let back = TokenFile::from_bytes(format, &bytes).expect("a file of ours");
            let shape = |f: &TokenFile| (f.codebooks, f.frames, f.codes.clone());
            assert_eq!(shape(&back), shape(&file), "{format:?}");
            if format != FileFormat::Npy {
                assert_eq!(back.meta, file.meta, "{format:?}");
            }
        }
    }
}

#[test]
fn an_npy_is_what_numpy_writes() {
    let bytes = sample(2, 3).to_bytes(FileFormat::Npy).expect("a file");
    let head = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3), }";
    assert!(bytes.starts_with(head), "{:?}", String::from_utf8_lossy(&bytes));
    assert_eq!(bytes.len(), 128 + 12);
}

#[test]
fn npy_in_other_orders_and_types() {
    let array = |head: &str, body: &[u8]| {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((head.len() as u16).to_le_bytes());
        out.extend(head.bytes());
        out.extend(body);
        TokenFile::from_bytes(FileFormat::Npy, &out)
    };
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n";
    assert_eq!(array(fortran, &[1, 2, 3, 4, 5, 6]).expect("a matrix").codes, [1, 3, 5, 2, 4, 6]);
    let wide = "{\"shape\": (1, 2), \"fortran_order\": False, \"descr\": \"<i4\"}\n";
    assert_eq!(array(wide, &[7, 0, 0, 0, 1, 1, 0, 0]).expect("a matrix").codes, [7, 257]);
    let negative = array(wide, &[255, 255, 255, 255, 0, 0, 0, 0]).expect_err("-1");
    assert!(matches!(negative, crate::Error::Token(TokenError::Range { value: -1, .. })), "{negative}");
    for (head, reason) in [
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }", "bad descr: |O"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", "bad descr: <f4"),
        ("{'descr': '<u2', 'fortran_order': False, 'shape': (9, 9), }", "bad shape"),
        ("{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }", "allowed: [K, T]"),
        ("{'descr': '<u2', 'fortran_order': False}", "bad shape"),
        ("{}", "bad descr"),
    ] {
        let error = array(head, &[0; 8]).expect_err(head).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn codes_beyond_the_codebook_are_found() {
    let mut file = sample(4, 9);
    assert!(file.check_codes(16).is_ok());
    file.codes[2 * 9 + 5] = 16;
    let error = file.check_codes(16).expect_err("16");
    let (position, codebook) = (5 * 4 + 2, 2);
    let expected = TokenError::Range { position, codebook, value: 16, low: 0, high: 15 };
    assert!(matches!(error, crate::Error::Token(e) if e == expected));
}

#[test]
fn json_lines_of_other_programs() {
    let read = |text: &str| TokenFile::from_bytes(FileFormat::Jsonl, text.as_bytes());
    let file = read("{\"utt\": 7, \"codes\": [[1, 2], [3, 4]]}\n").expect("codes are enough");
    assert_eq!((file.codebooks, file.frames, file.codes), (2, 2, vec![1, 2, 3, 4]));
    for (text, reason) in [
        ("{\"codes\": [[1, 2], [3]]}", "row 1 has 1 codes, row 0 has 2"),
        ("{\"codes\": [[1, 70000]]}", "token 1 is 70000"),
        ("{\"codes\": [[1.5]]}", "bad line"),
        ("{\"codes\": []}", "0 codebooks"),
        ("{}", "codes"),
        ("", "none"),
        ("{\"codes\": [[1]]}\n{\"codes\": [[1]]}", "several"),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(mut data in proptest::collection::vec(any::<u8>(), 0..300), head in 0..4usize) {
        let heads: [&[u8]; 4] = [b"", b"\x93NUMPY\x01\x00\x40\x00", b"\x20\0\0\0\0\0\0\0{\"codes\":", b"{\"codes\":[["];
        data.splice(0..0, heads[head].iter().copied());
        for format in FileFormat::ALL {
            TokenFile::from_bytes(format, &data).ok();
        }
    }

    #[test]
    fn flipped_bits_are_errors_or_other_codes(bit in 0..2000usize) {
        for format in FileFormat::ALL {
            let mut data = sample(4, 9).to_bytes(format).expect("a file");
            let bit = bit % (data.len() * 8);
            data[bit / 8] ^= 1 << (bit % 8);
            if let Ok(file) = TokenFile::from_bytes(format, &data) {
                prop_assert_eq!(file.codes.len(), file.codebooks * file.frames);
            }
        }
    }
}

/// As EnCodec's package writes it: three frames of two codebooks, 950 samples.
fn ecdc(header: &str) -> Vec<u8> {
    let mut file = b"ECDC\0".to_vec();
    file.extend((header.len() as u32).to_be_bytes());
    file.extend(header.bytes());
    // 1, 1023, 512, 0, 3, 682 at ten bits each, the least significant bit first.
    file.extend([0x01, 0xfc, 0x0f, 0x20, 0x00, 0x03, 0xa8, 0x0a]);
    file
}

#[test]
fn ecdc_files_have_their_codes_frame_by_frame() {
    let file = ecdc(r#"{"m": "encodec_24khz", "al": 950, "nc": 2, "lm": false}"#);
    let tokens = TokenFile::from_bytes(FileFormat::Ecdc, &file).expect("a file");
    assert_eq!(tokens.to_frames(), [1, 1023, 512, 0, 3, 682]);
    assert_eq!((tokens.codebooks, tokens.frames, tokens.meta.samples), (2, 3, Some(950)));
    assert!(tokens.to_bytes(FileFormat::Ecdc).is_err(), "only read");
    for cut in 0..file.len() {
        assert!(TokenFile::from_bytes(FileFormat::Ecdc, &file[..cut]).is_err(), "cut at {cut}");
    }
    for (field, header) in [
        ("lm", r#"{"m": "encodec_24khz", "al": 950, "nc": 2, "lm": true}"#),
        ("m", r#"{"m": "encodec_32khz", "al": 950, "nc": 2, "lm": false}"#),
        ("nc", r#"{"m": "encodec_24khz", "al": 950, "nc": 0, "lm": false}"#),
        ("al", r#"{"m": "encodec_24khz", "al": 18446744073709551615, "nc": 2, "lm": false}"#),
    ] {
        let error = TokenFile::from_bytes(FileFormat::Ecdc, &ecdc(header)).expect_err(header);
        assert!(matches!(&error, siskin_error::Error::TokenFile { field: f, .. } if f == field), "{error}");
    }
}

#[test]
fn ecdc_files_of_segments_have_a_scale_for_each() {
    // 47,530 samples: a segment of 149 frames and one of a single frame, each with a scale in big-endian order before it.
    let header = r#"{"m": "encodec_48khz", "al": 47530, "nc": 2, "lm": false}"#;
    let mut file = b"ECDC\0".to_vec();
    file.extend((header.len() as u32).to_be_bytes());
    file.extend(header.bytes());
    let first = file.len();
    file.extend(0.25f32.to_be_bytes());
    file.extend([0xff; (149 * 2 * 10usize).div_ceil(8)]);
    file.extend(1e-8f32.to_be_bytes());
    file.extend([0x01, 0x08, 0x00]);
    let parse = |file: &[u8]| TokenFile::from_bytes(FileFormat::Ecdc, file);
    let tokens = parse(&file).expect("a file");
    assert_eq!((tokens.codebooks, tokens.frames, tokens.meta.samples), (2, 150, Some(47_530)));
    assert_eq!(
        (tokens.meta.scales.as_slice(), tokens.meta.model.as_str()),
        (&[0.25, 1e-8][..], "encodec-48k")
    );
    let frames = tokens.to_frames();
    assert!(frames[..298].iter().all(|&c| c == 1023) && frames[298..] == [1, 2]);
    for cut in [first, first + 3, first + 4, file.len() - 8, file.len() - 1] {
        assert!(parse(&file[..cut]).is_err(), "cut at {cut}");
    }
    assert!(parse(&[&file[..], &[0]].concat()).is_err(), "a byte too many");
    file[first..first + 4].copy_from_slice(&f32::NAN.to_be_bytes());
    assert!(parse(&file).expect_err("no scale").to_string().contains("scale"));
}
