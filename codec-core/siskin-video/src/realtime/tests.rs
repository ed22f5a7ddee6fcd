//! Chains of frames through packets and back, with the shipped networks.

use super::contexts::{self, Contexts};
use super::latents::{self, Neighbors};
use super::motion::{self, MotionField};
use super::*;
use crate::psnr;
use crate::{Error, Limits};
use siskin_bitstream::video_packet::{Coding, append_checksum, inspect};
use siskin_bitstream::{Colorimetry, VideoHeader};
use siskin_entropy::binary::{BitDecoder, BitEncoder};
use siskin_media::VideoFrame;
use siskin_model::bundle::VideoBundle;
use siskin_model::runtime::{Provider, Runtime, RuntimeOptions};

fn runtime() -> Runtime {
    Runtime::load(&RuntimeOptions { provider: Provider::Cpu, ..Default::default() }).expect("ONNX Runtime")
}

fn bundle() -> VideoBundle {
    VideoBundle::find(VideoBundle::DEFAULT).expect("the shipped bundle")
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

/// A disc that moves over a gradient with a pattern, as 4:2:0.
fn clip(width: usize, height: usize, frames: usize) -> Vec<Vec<u8>> {
    (0..frames)
        .map(|f| {
            let centre = width as f64 * (0.3 + 0.03 * f as f64);
            let rgb: Vec<u8> = (0..width * height)
                .flat_map(|i| {
                    let (x, y) = ((i % width) as f64, (i / width) as f64);
                    let near = (x - centre).hypot(y - height as f64 / 2.0) < height as f64 / 4.0;
                    let wave = 20.0 * ((x * 0.7).sin() + (y * 0.5).cos());
                    let base = [x / width as f64, y / height as f64, 0.5];
                    base.map(|v| if near { 230 - (v * 60.0) as u8 } else { (60.0 + v * 100.0 + wave) as u8 })
                })
                .collect();
            let size = Size::new(width as u32, height as u32).expect("a size");
            let rgb = VideoFrame::from_data(PixelFormat::Rgb, size, rgb).expect("a frame");
            let mut yuv = VideoFrame::new(PixelFormat::I420, size);
            let matrix = YuvMatrix::from_colorimetry(&Colorimetry::default());
            rgb.view().convert_to(PixelFormat::I420, &matrix, &mut yuv);
            yuv.into_data()
        })
        .collect()
}

fn encoder(size: (u32, u32), config: &Config) -> NetworkEncoder {
    NetworkEncoder::new(header(size.0, size.1), &runtime(), &bundle(), config).expect("a valid stream")
}

fn quality(quality: u8) -> Config {
    Config { target: Target::Quality(quality), ..Default::default() }
}

fn packets(size: (u32, u32), config: &Config, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = encoder(size, config);
    frames.iter().map(|f| encoder.encode(f, None).expect("a picture").data.to_vec()).collect()
}

#[test]
fn a_decoder_sees_what_the_encoder_saw() {
    for size in [(64, 48), (16, 16), (17, 31), (50, 97), (5, 3)] {
        let frames = clip(size.0 as usize, size.1 as usize, 5);
        let (mut encoder, mut decoder) = (encoder(size, &quality(12)), crate::Decoder::new(&runtime()));
        let (mut wanted, mut found) = (Vec::new(), Vec::new());
        for (i, frame) in frames.iter().enumerate() {
            let coded = encoder.encode(frame, None).expect("a picture");
            assert_eq!(coded.is_keyframe, i == 0);
            let info = decoder.load(coded.data).expect("a packet");
            assert_eq!((info.frames, info.is_keyframe, info.coding), (1, i == 0, Coding::Realtime));
            copy_planes(&encoder, &mut wanted);
            decoder.frame_i420(0, &mut found).expect("a picture");
            assert_eq!(wanted, found, "{size:?}, picture {i}");
            assert!(psnr(frame, &found) > 30.0, "{size:?}, picture {i}: {} dB", psnr(frame, &found));
            assert!(decoder.frame_i420(1, &mut found).is_err());
        }
    }
}

#[test]
fn finer_qualities_cost_more_and_look_better() {
    let frames = clip(96, 64, 4);
    let run = |q: u8| {
        let mut encoder = encoder((96, 64), &quality(q));
        let (mut bytes, mut level, mut out) = (0, 0.0, Vec::new());
        for frame in &frames {
            bytes += encoder.encode(frame, None).expect("a picture").data.len();
            copy_planes(&encoder, &mut out);
            level += psnr(frame, &out) / frames.len() as f64;
        }
        (bytes, level)
    };
    let all = [4, 16, 28, 40].map(run);
    for pair in all.windows(2) {
        assert!(pair[0].0 > pair[1].0 && pair[0].1 > pair[1].1 + 1.0, "{all:?}");
    }
}

#[test]
fn steps_of_refinement_make_pictures_cheaper_and_decoders_need_not_know() {
    let frames = clip(160, 96, 6);
    // Squared error as RGB sees it, in squared steps, and weighted bits.
    let run = |refinements: u32, frames: &[Vec<u8>], weight: f64| {
        let mut encoder = encoder((160, 96), &Config { refinements, ..quality(20) });
        let mut decoder = crate::Decoder::new(&runtime());
        let (mut cost, mut out, mut found) = (0.0, Vec::new(), Vec::new());
        for frame in frames {
            let coded = encoder.encode(frame, None).expect("a picture");
            let step = f64::from(bundle().manifest().step(coded.quality));
            cost += weight * coded.data.len() as f64 * 8.0;
            decoder.load(coded.data).expect("a packet");
            decoder.frame_i420(0, &mut found).expect("a picture");
            copy_planes(&encoder, &mut out);
            assert_eq!(out, found);
            let weights = (0..out.len()).map(|i| if i < 160 * 96 { 1.0 } else { 4.0 });
            let errors = frame.iter().zip(&out).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
            cost += errors.zip(weights).map(|(e, w)| e * w).sum::<f64>() / (step * step);
        }
        cost
    };
    // Each step keeps only what is cheaper; a word of the coder is 32 bits.
    let alone = [0, 1, 2, 4].map(|refinements| run(refinements, &frames[..1], 0.09));
    assert!(alone[1] < 0.99 * alone[0], "{alone:?}");
    assert!(alone[2] < alone[1] && alone[3] < alone[2] + 0.09 * 32.0, "{alone:?}");
    // In a chain a frame that is cheaper now may cost more later.
    let chain = [0, 1, 2].map(|refinements| run(refinements, &frames, 0.15));
    assert!(chain[1] < 0.99 * chain[0] && chain[2] < 1.01 * chain[1], "{chain:?}");
}

#[test]
fn what_moved_costs_little() {
    let frames = clip(96, 64, 6);
    let config = Config { keyframe_interval: 1, ..quality(16) };
    let total = |packets: &[Vec<u8>]| packets[1..].iter().map(Vec::len).sum::<usize>();
    let alone = total(&packets((96, 64), &config, &frames));
    let chained = total(&packets((96, 64), &quality(16), &frames));
    assert!(2 * chained < alone, "{chained} of {alone} bytes");
}

#[test]
fn a_lost_packet_holds_the_picture_until_the_next_key() {
    let frames = clip(32, 32, 6);
    let mut encoder = encoder((32, 32), &quality(20));
    let mut packets = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        if i == 4 {
            encoder.request_key();
        }
        packets.push(encoder.encode(frame, None).expect("a picture").data.to_vec());
    }
    let mut decoder = Decoder::new(&runtime());
    assert!(matches!(decoder.decode(&packets[1]), Err(Error::MissingHeader)));
    decoder.decode(&packets[0]).expect("a key packet");
    let gray = VideoFrame::new(PixelFormat::I420, Size::new(32, 32).expect("a size"));
    let (mut first, mut held) = (gray.clone(), gray);
    decoder.copy_frame(&mut first).expect("a frame");
    for packet in &packets[2..4] {
        assert!(matches!(decoder.decode(packet), Err(Error::MissingPredecessor { found: Some(0), .. })));
        decoder.copy_frame(&mut held).expect("a frame");
        assert_eq!(first, held);
    }
    assert!(decoder.decode(&packets[4]).expect("a key packet").is_keyframe);
    decoder.decode(&packets[5]).expect("its follower");
    decoder.reset();
    assert!(matches!(decoder.decode(&packets[5]), Err(Error::MissingPredecessor { found: None, .. })));
}

#[test]
fn a_new_scene_begins_with_a_key_picture() {
    let mut frames = clip(64, 64, 3);
    let other = frames[0].iter().enumerate().map(|(i, v)| if i / 7 % 2 == 0 { 255 - v } else { v / 2 });
    frames.push(other.collect());
    let mut encoder = encoder((64, 64), &quality(20));
    let keys: Vec<bool> =
        frames.iter().map(|f| encoder.encode(f, None).expect("a picture").is_keyframe).collect();
    assert_eq!(keys, [true, false, false, true]);
}

#[test]
fn a_bit_rate_comes_out_about_as_asked() {
    let frames = clip(96, 64, 100);
    for wanted in [7_000, 10_000] {
        let config = Config {
            target: Target::Bitrate(wanted),
            keyframe_interval: 50,
            scene_cuts: false,
            ..quality(0)
        };
        let (mut encoder, mut bytes, mut qualities) = (encoder((96, 64), &config), 0, Vec::new());
        for frame in &frames {
            let coded = encoder.encode(frame, None).expect("a picture");
            bytes += coded.data.len();
            qualities.push(coded.quality);
        }
        let rate = bytes as f64 * 8.0 / 4.0;
        assert!((rate / f64::from(wanted) - 1.0).abs() < 0.25, "{rate} b/s of {wanted}, {qualities:?}");
    }
}

#[test]
fn bad_parameters_are_named() {
    let name = |r: Result<NetworkEncoder>| match r {
        Err(Error::Parameter { name, .. }) => name,
        _ => "none",
    };
    let new = |size: (u32, u32), config: &Config| {
        NetworkEncoder::new(header(size.0, size.1), &runtime(), &bundle(), config)
    };
    assert_eq!(name(new((5000, 16), &quality(1))), "width");
    assert_eq!(name(new((16, 16), &quality(255))), "quality");
    assert_eq!(name(new((16, 16), &Config { target: Target::Bitrate(0), ..quality(1) })), "bitrate");
    assert_eq!(name(new((16, 16), &Config { refinements: 17, ..quality(1) })), "refinements");
    assert_eq!(name(new((16, 16), &Config { keyframe_interval: 0, ..quality(1) })), "keyframe interval");
    let mut encoder = encoder((16, 16), &quality(1));
    assert!(matches!(encoder.encode(&[0; 5], None), Err(Error::Parameter { name: "frame", .. })));
    assert!(encoder.encode(&[0; 16 * 24], None).expect("the next one").is_keyframe);
}

#[test]
fn a_stream_of_another_bundle_is_refused_by_name() {
    let mut packet = packets((16, 16), &quality(20), &clip(16, 16, 1)).remove(0);
    let place = packet.windows(8).position(|w| w == bundle().manifest().id().0).expect("the id");
    packet[place] ^= 1;
    reseal(&mut packet);
    let error = Decoder::new(&runtime()).decode(&packet);
    assert!(
        matches!(error, Err(Error::WrongBundle { needed_name, .. }) if needed_name == VideoBundle::DEFAULT)
    );
}

#[test]
fn huge_pictures_are_refused_before_anything_is_allocated() {
    let packet = packets((64, 48), &quality(20), &clip(64, 48, 1)).remove(0);
    let mut decoder = Decoder::new(&runtime());
    let mut limits = Limits::default();
    limits.max_video_pixels = 1000;
    decoder.set_limits(limits);
    assert!(matches!(decoder.decode(&packet), Err(Error::Bitstream { field: "size", .. })));
    // More than the mode takes, within the general limits: written by hand.
    let mut large = packet.clone();
    let mut wide = Vec::new();
    VideoHeader { width: 8000, ..header(64, 48) }.write_to(&mut wide);
    let length = VideoHeader::parse(&packet[1..], &Limits::default()).expect("a header").1;
    large.splice(1..=length, wide);
    reseal(&mut large);
    assert!(matches!(Decoder::new(&runtime()).decode(&large), Err(Error::Parameter { name: "width", .. })));
}

fn reseal(packet: &mut Vec<u8>) {
    packet.truncate(packet.len() - 4);
    append_checksum(packet);
}

#[test]
fn no_damage_panics_and_a_key_picture_heals() {
    let frames = clip(48, 32, 3);
    let packets = packets((48, 32), &quality(16), &frames);
    let mut decoder = Decoder::new(&runtime());
    let (mut wrong, mut right) = (0, 0);
    let mut seed = 7u32;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    for round in 0..600 {
        let victim = round % 3;
        for (i, packet) in packets.iter().enumerate() {
            let mut packet = packet.clone();
            if i == victim {
                match random(4) {
                    0 => packet.truncate(random(packet.len())),
                    1 => (0..4).for_each(|_| {
                        let place = random(packet.len());
                        packet[place] ^= 1 << random(8);
                    }),
                    _ => {
                        let place = random(packet.len());
                        packet[place] = random(256) as u8;
                    }
                }
                // With a right checksum damage gets further.
                if packet.len() > 4 && random(4) > 0 {
                    reseal(&mut packet);
                }
            }
            match decoder.decode(&packet) {
                Ok(_) => right += 1,
                Err(_) => wrong += 1,
            }
        }
    }
    assert!(wrong > 200 && right > 200, "{wrong} wrong, {right} right");
    packets.iter().for_each(|p| assert!(decoder.decode(p).is_ok()));
}

#[test]
fn heads_are_read_without_networks() {
    let frames = clip(16, 16, 2);
    let mut encoder = encoder((16, 16), &quality(20));
    let first = inspect(encoder.encode(&frames[0], Some(7)).expect("a picture").data, &Limits::default());
    let first = first.expect("a head");
    assert_eq!((first.number, first.is_keyframe, first.header), (0, true, Some(header(16, 16))));
    assert_eq!(first.durations, Some(vec![7]));
    let second = inspect(encoder.encode(&frames[1], None).expect("a picture").data, &Limits::default());
    assert_eq!(second.map(|i| (i.number, i.is_keyframe, i.durations)).ok(), Some((1, false, None)));
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/realtime.hex");

/// The last frame as a decoder sees it.
fn copy_planes(encoder: &NetworkEncoder, out: &mut Vec<u8>) {
    out.clear();
    encoder.reconstructed_frame().planes().iter().for_each(|plane| plane.append_to(out));
}

/// Latents and motion of two frames of 48x32 that use every part of the syntax.
fn golden_symbols() -> (Vec<Vec<i16>>, MotionField) {
    let mut seed = 3u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    let latents = (0..2)
        .map(|picture| {
            (0..24 * CHANNELS)
                .map(|i| {
                    let often = if i % CHANNELS < 8 { 3 } else { 12 };
                    let most = random(60) + 2;
                    let size = if random(often) == 0 { random(most) } else { 0 } as i16;
                    // Large ones now and then.
                    let size = if random(700) == 0 { 4000 } else { size };
                    if (picture + i) % 2 == 0 { size } else { -size }
                })
                .collect()
        })
        .collect();
    let mut motion = MotionField::new(6, 4);
    for (place, (x, y)) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)].into_iter().enumerate() {
        let mut vector = || [random(90) as i16 - 45, random(90) as i16 - 45];
        let one = vector();
        motion.split[place] = place % 3 == 1;
        motion.set_macroblock(x, y, if place % 3 == 1 { [one, vector(), vector(), one] } else { [one; 4] });
    }
    (latents, motion)
}

fn golden_bytes() -> Vec<u8> {
    let (mut all, mut motion) = golden_symbols();
    let start: Vec<u16> = (0..contexts::COUNT).map(|i| 2000 + (i * 7919 % 60_000) as u16).collect();
    let (mut contexts, mut neighbors) = (Contexts::new(&start), Neighbors::new(6, 4));
    let (mut coder, mut bytes) = (BitEncoder::default(), Vec::new());
    for (i, own) in all.iter_mut().enumerate() {
        if i > 0 {
            motion::code_motion(&mut coder, &mut contexts, &mut motion).expect("motion");
        }
        latents::code_latents(&mut coder, &mut contexts, &mut neighbors, i == 0, own).expect("latents");
    }
    coder.finish_into(&mut bytes);
    bytes
}

#[test]
fn golden_symbols_are_coded_and_read_as_ever() {
    let text = std::fs::read_to_string(GOLDEN).expect("golden bytes");
    let golden = hex::decode(text.trim()).expect("hexadecimal");
    assert_eq!(golden_bytes(), golden);
    let (all, wanted) = golden_symbols();
    let start: Vec<u16> = (0..contexts::COUNT).map(|i| 2000 + (i * 7919 % 60_000) as u16).collect();
    let (mut contexts, mut neighbors) = (Contexts::new(&start), Neighbors::new(6, 4));
    let mut coder = BitDecoder::new(&golden).expect("words");
    let mut motion = MotionField::new(6, 4);
    for (i, own) in all.iter().enumerate() {
        if i > 0 {
            motion::code_motion(&mut coder, &mut contexts, &mut motion).expect("motion");
            assert_eq!((&motion.vectors, &motion.split), (&wanted.vectors, &wanted.split));
        }
        let mut found = vec![0; own.len()];
        latents::code_latents(&mut coder, &mut contexts, &mut neighbors, i == 0, &mut found)
            .expect("latents");
        assert_eq!(found, *own);
    }
}

#[test]
#[ignore = "writes the golden bytes"]
fn write_golden_symbols() {
    std::fs::write(GOLDEN, hex::encode(golden_bytes()) + "\n").expect("a writable folder");
}
