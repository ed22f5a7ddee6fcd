//! From frames to a packet and back, on sizes that take a second.

use siskin_graph::Graph;
use siskin_video::{Architecture, Block, Decoder, Kind, Modulation, gop, inspect, psnr};

use super::*;
use crate::{Error, Limits};
use siskin_bitstream::{Colorimetry, VideoHeader};
use siskin_model::runtime::{Provider, Runtime, RuntimeOptions};

fn runtime() -> Runtime {
    Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() }).expect("ONNX Runtime")
}

fn header(width: u32, height: u32) -> VideoHeader {
    VideoHeader {
        width,
        height,
        frame_rate: (25, 1),
        pixel_aspect: (1, 1),
        colorimetry: Colorimetry::default(),
    }
}

/// A disc that moves over a gradient.
pub(super) fn clip(width: usize, height: usize, frames: usize) -> Vec<Vec<u8>> {
    (0..frames)
        .map(|f| {
            let centre = width as f64 * (0.3 + 0.05 * f as f64);
            (0..width * height)
                .flat_map(|i| {
                    let (x, y) = ((i % width) as f64, (i / width) as f64);
                    let near = (x - centre).hypot(y - height as f64 / 2.0) < height as f64 / 4.0;
                    let base = [x / width as f64, y / height as f64, 0.5];
                    base.map(|v| if near { 230 - (v * 60.0) as u8 } else { (40.0 + v * 120.0) as u8 })
                })
                .collect()
        })
        .collect()
}

fn config() -> EncoderConfig {
    EncoderConfig { parameters: Some(6000), epochs: [25, 8], rates: [1.5e-2, 3e-3], ..Default::default() }
}

fn encode(config: &EncoderConfig, size: (u32, u32), clips: &[Vec<Vec<u8>>], target: Target) -> Vec<CodedGop> {
    let mut encoder = Encoder::new(header(size.0, size.1), &runtime(), config).expect("a valid stream");
    clips.iter().map(|c| encoder.encode(c, None, target, &mut |_| Ok(())).expect("a fit")).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_clip_comes_back_and_looks_like_itself() {
    let frames = clip(64, 48, 8);
    let coded = encode(&config(), (64, 48), std::slice::from_ref(&frames), Target::Lambda(2.0)).remove(0);
    // The mean colour alone gives 14 dB.
    assert!(mean(&coded.psnr) > 19.0, "{:?}", coded.psnr);
    let mut decoder = Decoder::new(&runtime());
    let info = decoder.load(&coded.data).expect("a packet");
    assert_eq!((info.frames, info.is_keyframe, info.header), (8, true, Some(header(64, 48))));
    let mut picture = Vec::new();
    for index in [7, 0, 3] {
        decoder.frame(index, &mut picture).expect("a frame");
        assert!((psnr(&frames[index], &picture) - coded.psnr[index]).abs() < 0.01);
    }
    assert!(decoder.frame(8, &mut picture).is_err());
}

#[test]
fn every_kind_and_size_works() {
    let runs = EncoderConfig { epochs: [2, 1], ..config() };
    let content = Kind::Content(4);
    for (size, kind, modulation, optimizer) in [
        ((17u32, 23u32), content, Modulation::Affine, Optimizer::Adan),
        ((16, 16), Kind::Index, Modulation::Affine, Optimizer::Adam),
        ((40, 24), content, Modulation::Grid(3), Optimizer::Adam),
        ((24, 40), Kind::Index, Modulation::Grid(2), Optimizer::Adan),
        ((40, 24), Kind::Disentangled(128), Modulation::Affine, Optimizer::Adan),
        ((33, 18), Kind::Disentangled(8), Modulation::Grid(2), Optimizer::Adan),
    ] {
        let config = EncoderConfig { kind, modulation, optimizer, ..runs.clone() };
        let frames = clip(size.0 as usize, size.1 as usize, 3);
        let coded = encode(&config, size, &[frames], Target::Lambda(1.0));
        assert!(mean(&coded[0].psnr) > 8.0, "{size:?} {kind:?}: {:?}", coded[0].psnr);
    }
}

#[test]
fn a_size_is_kept() {
    let frames = clip(64, 48, 4);
    let bits = 12_000.0;
    let coded = encode(
        &EncoderConfig { epochs: [6, 3], ..config() },
        (64, 48),
        std::slice::from_ref(&frames),
        Target::Bits(bits),
    );
    assert!(coded[0].data.len() as f64 * 8.0 <= bits, "{}", coded[0].data.len());
    let impossible = Encoder::new(header(64, 48), &runtime(), &EncoderConfig { epochs: [1, 0], ..config() })
        .and_then(|mut e| e.encode(&frames, None, Target::Bits(100.0), &mut |_| Ok(())));
    assert!(matches!(impossible, Err(Error::Parameter { name: "size of a group", .. })), "{impossible:?}");
}

#[test]
fn a_group_can_lean_on_the_one_before() {
    let frames = clip(32, 32, 3);
    let config = EncoderConfig { keyframe_interval: 2, epochs: [4, 2], ..config() };
    let clips = [frames.clone(), frames.clone(), frames];
    let coded = encode(&config, (32, 32), &clips, Target::Lambda(2.0));
    assert_eq!(coded.iter().map(|c| c.is_keyframe).collect::<Vec<_>>(), [true, false, true]);
    let mut decoder = Decoder::new(&runtime());
    let missing = decoder.load(&coded[1].data);
    assert!(matches!(missing, Err(Error::MissingHeader)), "{missing:?}");
    decoder.load(&coded[2].data).expect("a key packet");
    let missing = decoder.load(&coded[1].data).map(|_| ());
    assert!(matches!(missing, Err(Error::MissingPredecessor { number: 1, needed: 0, found: Some(2) })));
    // What was loaded before is still there.
    decoder.frame(0, &mut Vec::new()).expect("the group before");
    decoder.load(&coded[0].data).expect("a key packet");
    decoder.load(&coded[1].data).expect("the packet after it");
    decoder.frame(2, &mut Vec::new()).expect("a frame");
}

#[test]
fn damage_is_found() {
    let frames = clip(16, 16, 2);
    let config = EncoderConfig { epochs: [1, 1], parameters: Some(2000), ..config() };
    let coded = encode(&config, (16, 16), &[frames], Target::Lambda(1.0)).remove(0);
    for at in (0..coded.data.len()).step_by(7) {
        let mut data = coded.data.clone();
        data[at] ^= 0x10;
        assert!(inspect(&data, &Limits::default()).is_err(), "flipped at {at}");
        assert!(inspect(&coded.data[..at], &Limits::default()).is_err(), "cut at {at}");
    }
}

/// Changes a byte and repairs the checksum, as an attacker would.
fn forged(data: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut body = data[..data.len() - 4].to_vec();
    body[at] = value;
    let checksum = crc32fast::hash(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

#[test]
fn forged_packets_are_errors_or_pictures() {
    let frames = clip(16, 16, 2);
    let mut limits = Limits::default();
    (limits.max_video_parameters, limits.max_video_memory) = (1 << 20, 64 << 20);
    for kind in [Kind::Content(16), Kind::Disentangled(8)] {
        let config = EncoderConfig { kind, epochs: [1, 1], parameters: Some(2000), ..config() };
        let coded = encode(&config, (16, 16), std::slice::from_ref(&frames), Target::Lambda(1.0)).remove(0);
        let mut decoder = Decoder::new(&runtime());
        decoder.set_limits(limits.clone());
        let mut errors = 0;
        for at in 0..80 {
            for value in [0x00, 0x7f, 0xff] {
                let outcome = decoder.load(&forged(&coded.data, at, value));
                let outcome = outcome.and_then(|_| decoder.frame(0, &mut Vec::new()));
                errors += usize::from(outcome.is_err());
            }
        }
        assert!(errors > 40, "{kind:?}: {errors}");
    }
}

#[test]
fn weights_that_overflow_are_an_error_and_leave_the_picture() {
    let frames = clip(32, 32, 4);
    let mut overflowed = 0;
    for kind in [Kind::Content(4), Kind::Index, Kind::Disentangled(8)] {
        let config = EncoderConfig { kind, epochs: [1, 1], parameters: Some(4000), ..config() };
        let good = encode(&config, (32, 32), std::slice::from_ref(&frames), Target::Lambda(1.0)).remove(0);
        let mut gop =
            gop::parse_gop(&good.data, &header(32, 32), None, &Limits::default()).expect("a packet");
        for group in &mut gop.groups {
            group.step = u8::MAX;
            (0..).zip(&mut group.symbols).for_each(|(i, s)| *s = if i % 3 == 0 { -30_000 } else { 30_000 });
        }
        let bad = gop::write_gop(&gop, &header(32, 32)).expect("a packet");
        for threads in [1, 3] {
            let options = RuntimeOptions { provider: Provider::Cpu, threads, ..Default::default() };
            let mut decoder = Decoder::new(&Runtime::load(&options).expect("ONNX Runtime"));
            let mut picture = Vec::new();
            decoder.load(&good.data).and_then(|_| decoder.frame(3, &mut picture)).expect("a picture");
            let held = picture.clone();
            decoder.load(&bad).expect("a packet whose symbols are allowed");
            for index in 0..4 {
                match decoder.frame(index, &mut picture) {
                    Err(Error::NotFinite { number: 0 }) => {
                        overflowed += 1;
                        assert!(picture == held, "the last good picture was lost");
                    }
                    other => {
                        other.expect("a picture");
                        picture.clone_from(&held);
                    }
                }
            }
            decoder.load(&good.data).and_then(|_| decoder.frame(3, &mut picture)).expect("a picture");
            assert!(picture == held);
        }
    }
    assert!(overflowed > 0);
}

#[test]
fn attention_over_too_many_places_is_refused() {
    let blocks = vec![Block { stride: 2, kernel: 3, channels: 12 }];
    let (kind, modulation) = (Kind::Disentangled(8), Modulation::Affine);
    let of = |base| Architecture {
        kind,
        modulation,
        time_width: 8,
        base,
        stem: 4,
        blocks: blocks.clone(),
        head_kernel: 1,
    };
    let most = Limits::default().max_video_memory;
    assert!(of((9, 16)).memory_bytes() < most / 8, "{}", of((9, 16)).memory_bytes());
    assert!(
        [(512, 512), (4096, 4096), (u16::MAX, u16::MAX)].into_iter().all(|b| of(b).memory_bytes() > most)
    );
    // A strip, whose smallest grid has as many places: nothing is fitted that could not be decoded.
    let config = EncoderConfig { kind, epochs: [1, 1], ..config() };
    let mut encoder = Encoder::new(header(16_384, 16), &runtime(), &config).expect("a valid stream");
    let refused = encoder.encode(&clip(16_384, 16, 1), None, Target::Lambda(1.0), &mut |_| Ok(()));
    assert!(matches!(refused, Err(Error::Parameter { name: "network", .. })), "{refused:?}");
}

#[test]
fn limits_hold_before_anything_is_allocated() {
    let frames = clip(64, 48, 2);
    let config = EncoderConfig { epochs: [1, 1], ..config() };
    let coded = encode(&config, (64, 48), &[frames], Target::Lambda(1.0)).remove(0);
    let refused = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        let mut decoder = Decoder::new(&runtime());
        decoder.set_limits(limits);
        match decoder.load(&coded.data) {
            Err(Error::Bitstream { field, .. }) => field,
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!(refused(|l| l.max_video_parameters = 1000), "network");
    assert_eq!(refused(|l| l.max_video_memory = 1000), "network");
    assert_eq!(refused(|l| l.max_video_frames = 1), "frames");
    assert_eq!(refused(|l| l.max_video_pixels = 1000), "size");
    assert_eq!(refused(|l| l.max_video_packet_bytes = 100), "length");
}

#[test]
fn an_interrupted_fit_gives_its_error() {
    let mut encoder = Encoder::new(header(16, 16), &runtime(), &config()).expect("a valid stream");
    let mut steps = 0;
    let result = encoder.encode(&clip(16, 16, 2), None, Target::Lambda(1.0), &mut |progress| {
        steps += 1;
        assert_eq!(progress.steps, (steps, 66));
        if steps == 5 { Err(Error::MissingHeader) } else { Ok(()) }
    });
    assert!(matches!(result, Err(Error::MissingHeader)));
    assert_eq!(steps, 5);
}

/// The loss and its gradient against `models/tests/golden_video_loss.py`, which computes them in PyTorch.
#[test]
fn the_loss_is_that_of_pytorch() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../testdata/golden/video-loss.json")).expect("JSON");
    for case in golden["cases"].as_array().expect("cases") {
        let number = |name: &str| case[name].as_u64().expect("a number") as usize;
        let (rows, columns) = (number("rows"), number("columns"));
        let mut g = Graph::new();
        let shape = [1, 3, rows, columns];
        let (x, y) = (g.input("x", &shape), g.input("y", &shape));
        let loss = loss::distortion(&mut g, x, y);
        let one = g.scalar(1.0);
        let gradient = g.gradients(&[(loss, one)], &[x])[0];
        let model = g.to_onnx("loss", &[("loss", loss), ("gradient", gradient)]);
        let spec = siskin_model::runtime::TensorSpec {
            name: "loss",
            inputs: &["x", "y"],
            outputs: &["loss", "gradient"],
            states: &[],
        };
        let mut network = runtime().open_tensor_network(&spec, &model).expect("a graph that runs");
        // The same formula as in the script.
        let value =
            |i: usize, a: f64, b: f64| (0.5 + 0.4 * (i as f64 * a).sin() * (i as f64 * b).cos()) as f32;
        for i in 0..3 * rows * columns {
            network.input(0)[i] = value(i, 0.013, 0.000_7);
            network.input(1)[i] = value(i, 0.012_7, 0.000_9);
        }
        network.run().expect("a run");
        let expected = case["loss"].as_f64().expect("a number");
        let found = f64::from(network.output(0)[0]);
        assert!((found - expected).abs() < 1e-4 * expected, "{rows}x{columns}: {found}, not {expected}");
        for pair in case["gradient"].as_array().expect("pairs") {
            let (at, expected) =
                (pair[0].as_u64().expect("a place") as usize, pair[1].as_f64().expect("a number"));
            let found = f64::from(network.output(1)[at]);
            let scale = case["gradient_scale"].as_f64().expect("a number");
            assert!(
                (found - expected).abs() < 2e-3 * scale,
                "{rows}x{columns} at {at}: {found}, not {expected}"
            );
        }
    }
}
