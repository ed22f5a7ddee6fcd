//! Frames of a fitted group on any number of decoder threads.

use siskin_bitstream::{Colorimetry, VideoHeader};
use siskin_model::runtime::{Provider, Runtime, RuntimeOptions};
use siskin_video::{Decoder, Kind};

use crate::tests::clip;
use crate::{Encoder, EncoderConfig, Limits, Target};

const FRAMES: usize = 11;

fn runtime(threads: usize) -> Runtime {
    Runtime::load(&RuntimeOptions { provider: Provider::Cpu, threads, ..Default::default() })
        .expect("ONNX Runtime")
}

fn packet(kind: Kind) -> Vec<u8> {
    let (width, height, colorimetry) = (48, 32, Colorimetry::default());
    let header = VideoHeader { width, height, frame_rate: (25, 1), pixel_aspect: (1, 1), colorimetry };
    let config = EncoderConfig { kind, parameters: Some(6000), epochs: [1, 1], ..Default::default() };
    let mut encoder = Encoder::new(header, &runtime(1), &config).expect("a valid stream");
    let frames = clip(width as usize, height as usize, FRAMES);
    encoder.encode(&frames, None, Target::Lambda(1.0), &mut |_| Ok(())).expect("a fit").data
}

fn decoder(threads: usize, limits: Limits, packet: &[u8]) -> Decoder {
    let mut decoder = Decoder::new(&runtime(threads));
    decoder.set_limits(limits);
    decoder.load(packet).expect("a packet");
    decoder
}

#[test]
fn pictures_are_the_same_in_any_order_on_any_threads() {
    for kind in [Kind::Content(4), Kind::Index, Kind::Disentangled(8)] {
        let packet = packet(kind);
        let mut picture = Vec::new();
        let mut alone = decoder(1, Limits::default(), &packet);
        let expected: Vec<Vec<u8>> = (0..FRAMES)
            .map(|i| alone.frame(i, &mut picture).map(|()| picture.clone()).expect("a frame"))
            .collect();
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]));
        for threads in [2, 3, 16] {
            let mut side_by_side = decoder(threads, Limits::default(), &packet);
            let skipping = [0, 1, 4, 6, 10, 10, 3, 2, 9, 0];
            for index in (0..FRAMES).chain(skipping).chain((0..FRAMES).rev()) {
                side_by_side.frame(index, &mut picture).expect("a frame");
                assert!(picture == expected[index], "{kind:?}, {threads} threads: frame {index}");
            }
            assert!(side_by_side.frame(FRAMES, &mut picture).is_err());
            assert!(picture == expected[0], "a picture that does not exist changed the one at hand");
            // Another group in the middle of this one.
            side_by_side.load(&packet).expect("a packet");
            side_by_side.frame(5, &mut picture).expect("a frame");
            assert!(picture == expected[5], "{kind:?}, {threads} threads");
        }
    }
}
