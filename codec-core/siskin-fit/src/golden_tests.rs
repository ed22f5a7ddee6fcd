//! A packet that was written once must be read for ever: `testdata/golden/video-packet.hex`, two pictures of 16 by 16.
//!
//! After a change of the format write it anew:
//! `cargo test -p siskin-fit --lib write_golden_packet -- --ignored`

use siskin_video::{Decoder, Kind, gop};

use super::*;
use crate::Limits;
use siskin_bitstream::{Colorimetry, VideoHeader};
use siskin_model::runtime::{Provider, Runtime, RuntimeOptions};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/video-packet.hex");

fn header() -> VideoHeader {
    VideoHeader {
        width: 16,
        height: 16,
        frame_rate: (30_000, 1001),
        pixel_aspect: (4, 3),
        colorimetry: Colorimetry { primaries: 1, transfer: 1, matrix: 1, full_range: false },
    }
}

fn runtime() -> Runtime {
    Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() }).expect("ONNX Runtime")
}

/// Lines of hexadecimal digits: the packet, then the bytes of its first frame.
fn golden() -> (Vec<u8>, Vec<u8>) {
    let text = std::fs::read_to_string(PATH).expect("the golden packet");
    let mut lines = text.lines().map(|l| hex::decode(l).expect("hexadecimal digits"));
    (lines.next().expect("a packet"), lines.next().expect("a picture"))
}

#[test]
fn the_golden_packet_is_read_and_written_alike() {
    let (packet, _) = golden();
    let gop = gop::parse_gop(&packet, &header(), None, &Limits::default()).expect("a packet");
    assert_eq!((gop.number, gop.is_keyframe, gop.frames), (0, true, 2));
    assert_eq!(gop::write_gop(&gop, &header()).expect("the same symbols"), packet);
}

#[test]
fn the_golden_packet_shows_its_picture() {
    let (packet, picture) = golden();
    let mut decoder = Decoder::new(&runtime());
    decoder.load(&packet).expect("a packet");
    let mut found = Vec::new();
    decoder.frame(0, &mut found).expect("a picture");
    // Another processor may sum in another order, and round another way.
    assert!(found.len() == picture.len() && found.iter().zip(&picture).all(|(a, b)| a.abs_diff(*b) <= 1));
}

#[test]
#[ignore = "writes the golden packet"]
fn write_golden_packet() {
    let config = EncoderConfig {
        kind: Kind::Content(2),
        parameters: Some(2000),
        epochs: [40, 20],
        rates: [2e-2, 5e-3],
        ..Default::default()
    };
    let frames = tests::clip(16, 16, 2);
    let mut encoder = Encoder::new(header(), &runtime(), &config).expect("a valid stream");
    let coded = encoder.encode(&frames, None, Target::Lambda(20.0), &mut |_| Ok(())).expect("a fit");
    let mut decoder = Decoder::new(&runtime());
    decoder.load(&coded.data).expect("a packet");
    let mut picture = Vec::new();
    decoder.frame(0, &mut picture).expect("a picture");
    let text = format!("{}\n{}\n", hex::encode(&coded.data), hex::encode(&picture));
    std::fs::write(PATH, text).expect("a writable folder");
}
