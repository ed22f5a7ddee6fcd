//! Chains of frames through packets and back.

mod copies;
mod evenness;
mod groups;

use siskin_bitstream::video_packet::{Coding, append_checksum, inspect};
use siskin_bitstream::{Colorimetry, VideoHeader};
use siskin_media::{PixelFormat, Size, VideoFrame};

use super::{Decoder, Encoder};
use crate::realtime::{Config, Target};
use crate::{Error, Limits, psnr};

fn header(width: u32, height: u32) -> VideoHeader {
    VideoHeader {
        width,
        height,
        frame_rate: (30, 1),
        pixel_aspect: (1, 1),
        colorimetry: Colorimetry::default(),
    }
}

/// Numbers without a pattern, the same on every run.
struct Random(u32);

impl Random {
    fn below(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % below
    }
}

/// A textured disc that moves over a gradient with a pattern, all in integers.
fn clip(width: usize, height: usize, frames: usize) -> Vec<Vec<u8>> {
    let plane = |w: usize, h: usize, f: usize, part: usize, base: i64| {
        (0..w * h)
            .map(|i| {
                let (x, y) = ((i % w * part) as i64, (i / w * part) as i64);
                let (cx, cy) = (width as i64 * 3 / 10 + 3 * f as i64, height as i64 / 2);
                let is_disc = (x - cx).pow(2) + (y - cy).pow(2) < (height as i64 / 3).pow(2);
                let pattern =
                    if is_disc { (x - 3 * f as i64) * 37 % 23 + y * 11 % 17 } else { x * y / 9 % 19 };
                let flat = if is_disc { 90 } else { x + y / 2 };
                (base + flat / 2 + pattern).clamp(0, 255) as u8
            })
            .collect::<Vec<u8>>()
    };
    let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
    (0..frames)
        .map(|f| {
            let mut out = plane(width, height, f, 1, 60);
            out.extend(plane(cw, ch, f, 2, 100));
            out.extend(plane(cw, ch, f, 2, 80));
            out
        })
        .collect()
}

fn quality(quality: u8) -> Config {
    Config { target: Target::Step(quality), scene_cuts: false, ..Default::default() }
}

fn packets(size: (u32, u32), config: &Config, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(header(size.0, size.1), config).expect("a valid stream");
    frames.iter().map(|f| encoder.encode(f, None).expect("a frame").data.to_vec()).collect()
}

fn seen_by(encoder: &Encoder) -> Vec<u8> {
    let mut out = VideoFrame::default();
    encoder.reconstructed_frame().expect("a frame").copy_to(&mut out);
    out.into_data()
}

fn decoded(decoder: &Decoder) -> Vec<u8> {
    let mut out = VideoFrame::default();
    decoder.copy_frame(&mut out).expect("a frame");
    out.into_data()
}

#[test]
fn a_decoder_sees_what_the_encoder_saw() {
    for size in [(64, 48), (16, 16), (17, 31), (50, 97), (5, 3), (1, 1), (129, 66), (31, 200)] {
        for refinements in [0, 1, 2] {
            let frames = clip(size.0 as usize, size.1 as usize, 9);
            let config = Config { refinements, ..quality(6) };
            let mut encoder = Encoder::new(header(size.0, size.1), &config).expect("a valid stream");
            let mut decoder = Decoder::new();
            for (i, frame) in frames.iter().enumerate() {
                let coded = encoder.encode(frame, None).expect("a frame");
                assert_eq!(coded.is_keyframe, i == 0);
                let info = decoder.decode(coded.data).expect("a packet");
                assert_eq!((info.frames, info.is_keyframe, info.coding), (1, i == 0, Coding::Blocks));
                let found = decoded(&decoder);
                assert_eq!(seen_by(&encoder), found, "{size:?}, frame {i}");
                assert!(psnr(frame, &found) > 30.0, "{size:?}, frame {i}: {} dB", psnr(frame, &found));
            }
        }
    }
}

#[test]
fn packets_do_not_depend_on_threads() {
    // Five rows of trees, so that several threads work at once.
    let frames = clip(160, 150, 6);
    for refinements in [0, 1] {
        let [one, three] = [1, 3]
            .map(|threads| packets((160, 150), &Config { threads, refinements, ..quality(8) }, &frames));
        assert_eq!(one, three);
        assert_eq!(one, packets((160, 150), &Config { refinements, ..quality(8) }, &frames));
    }
}

#[test]
fn a_run_that_goes_on_at_a_keyframe_codes_the_same() {
    // Noise, in which every frame looks like a new scene.
    let mut random = Random(4);
    let frames: Vec<Vec<u8>> =
        (0..24).map(|_| (0..64 * 48 * 3 / 2).map(|_| random.below(200) as u8).collect()).collect();
    for target in [Target::Quality(20), Target::Bitrate(300_000)] {
        let config = Config { target, keyframe_interval: 6, ..Default::default() };
        let whole = packets((64, 48), &config, &frames);
        let keyframes: Vec<usize> = (0..24)
            .filter(|&i| inspect(&whole[i], &Limits::default()).expect("a packet").is_keyframe)
            .collect();
        assert!(
            keyframes.len() >= 4 && keyframes.windows(2).all(|pair| pair[1] > pair[0] + 1),
            "{keyframes:?}"
        );
        for &begin in &keyframes[1..] {
            let mut encoder = Encoder::new(header(64, 48), &config).expect("a valid stream");
            for packet in &whole[..begin] {
                encoder.resume(packet).expect("a packet of this stream");
            }
            for (frame, packet) in frames.iter().zip(&whole).skip(begin) {
                assert_eq!(encoder.encode(frame, None).expect("a frame").data, packet);
            }
        }
    }
}

#[test]
fn more_work_on_a_frame_pays() {
    let frames = clip(160, 128, 8);
    let [quick, usual, thorough] = [0, 1, 2].map(|refinements| {
        let config = Config { refinements, ..quality(14) };
        let mut encoder = Encoder::new(header(160, 128), &config).expect("a valid stream");
        let (mut bits, mut level) = (0.0, 0.0);
        for frame in &frames {
            bits += encoder.encode(frame, None).expect("a frame").data.len() as f64 * 8.0;
            level += psnr(frame, &seen_by(&encoder)) / frames.len() as f64;
        }
        // A decibel is worth about a sixth of the rate.
        bits * (-level / 6.0).exp2()
    });
    assert!(thorough < usual && usual < quick, "{thorough} {usual} {quick}");
}

#[test]
fn noise_of_any_quality_comes_back_as_the_encoder_saw_it() {
    let mut random = Random(9);
    let (width, height) = (72, 40);
    for q in [0, 11, 29, 47] {
        let mut encoder = Encoder::new(header(width, height), &quality(q)).expect("a valid stream");
        let mut decoder = Decoder::new();
        let most = [256, 60, 256, 8][usize::from(q) % 4];
        for _ in 0..6 {
            let bytes = PixelFormat::I420.frame_bytes(Size::new(width, height).expect("a size"));
            let frame: Vec<u8> = (0..bytes).map(|_| random.below(most) as u8).collect();
            let packet = encoder.encode(&frame, None).expect("a frame").data.to_vec();
            decoder.decode(&packet).expect("a packet");
            assert_eq!(seen_by(&encoder), decoded(&decoder));
        }
    }
}

#[test]
fn finer_qualities_cost_more_and_look_better() {
    let frames = clip(96, 64, 5);
    let all = [4, 16, 28, 40].map(|q| {
        let mut encoder = Encoder::new(header(96, 64), &quality(q)).expect("a valid stream");
        let (mut bytes, mut level) = (0, 0.0);
        for frame in &frames {
            bytes += encoder.encode(frame, None).expect("a frame").data.len();
            level += psnr(frame, &seen_by(&encoder)) / frames.len() as f64;
        }
        (bytes, level)
    });
    for pair in all.windows(2) {
        assert!(pair[0].0 > pair[1].0 && pair[0].1 > pair[1].1 + 1.0, "{all:?}");
    }
}

#[test]
fn what_moved_costs_little_and_what_stands_still_next_to_nothing() {
    let frames = clip(96, 64, 8);
    let total = |packets: &[Vec<u8>]| packets[1..].iter().map(Vec::len).sum::<usize>();
    let alone = total(&packets((96, 64), &Config { keyframe_interval: 1, ..quality(16) }, &frames));
    let chained = total(&packets((96, 64), &quality(16), &frames));
    assert!(2 * chained < alone, "{chained} of {alone} bytes");
    let still = vec![frames[0].clone(); 70];
    for target in [Target::Quality(16), Target::Bitrate(100_000)] {
        let packets = packets((96, 64), &Config { target, ..quality(16) }, &still);
        // From a second on.
        assert!(
            packets[33..].iter().all(|p| p.len() == 2),
            "{:?}",
            packets.iter().map(Vec::len).collect::<Vec<_>>()
        );
        let mut decoder = Decoder::new();
        let mut before = Vec::new();
        for (i, packet) in packets.iter().enumerate() {
            let info = decoder.decode(packet).expect("a packet");
            assert_eq!(info.number, i as u32);
            if i > 33 {
                assert_eq!(decoded(&decoder), before);
            }
            before = decoded(&decoder);
        }
    }
}

#[test]
fn pictures_that_take_turns_are_remembered() {
    let mut random = Random(12);
    let pictures: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let coarse: Vec<u32> = (0..400).map(|_| random.below(200)).collect();
            (0..96 * 64 * 3 / 2)
                .map(|i| (coarse[i / 96 / 5 * 20 + i % 96 / 5] + random.below(30)) as u8)
                .collect()
        })
        .collect();
    let frames: Vec<Vec<u8>> = (0..32).map(|i| pictures[i % 2].clone()).collect();
    let sizes: Vec<usize> = packets((96, 64), &quality(16), &frames).iter().map(Vec::len).collect();
    let anew = sizes[2..].iter().filter(|&&n| 2 * n > sizes[1]).count();
    assert!(anew <= 4, "{sizes:?}");
}

#[test]
fn repeated_frames_keep_their_durations() {
    let still = vec![clip(32, 32, 1).remove(0); 60];
    let variable = VideoHeader { frame_rate: (0, 1), ..header(32, 32) };
    let mut encoder = Encoder::new(variable, &quality(16)).expect("a valid stream");
    let mut decoder = Decoder::new();
    let mut last = 0;
    for (i, frame) in still.iter().enumerate() {
        let packet = encoder.encode(frame, Some(40_000_000 + i as u32)).expect("a frame").data.to_vec();
        let info = decoder.decode(&packet).expect("a packet");
        assert_eq!(info.durations, Some(vec![40_000_000 + i as u32]));
        last = packet.len();
    }
    assert!(last < 14, "{last}");
}

#[test]
fn a_lost_packet_holds_the_frame_until_the_next_keyframe() {
    let frames = clip(32, 32, 6);
    let mut encoder = Encoder::new(header(32, 32), &quality(8)).expect("a valid stream");
    let mut packets = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        if i == 4 {
            encoder.request_key();
        }
        packets.push(encoder.encode(frame, None).expect("a frame").data.to_vec());
    }
    let mut decoder = Decoder::new();
    assert!(matches!(decoder.decode(&packets[1]), Err(Error::MissingHeader)));
    decoder.decode(&packets[0]).expect("a keyframe");
    let first = decoded(&decoder);
    for packet in &packets[2..4] {
        assert!(matches!(decoder.decode(packet), Err(Error::MissingPredecessor { found: Some(0), .. })));
        assert_eq!(first, decoded(&decoder));
    }
    assert!(decoder.decode(&packets[4]).expect("a keyframe").is_keyframe);
    decoder.decode(&packets[5]).expect("its follower");
    decoder.reset();
    assert!(matches!(decoder.decode(&packets[5]), Err(Error::MissingPredecessor { found: None, .. })));
}

#[test]
fn a_new_scene_begins_with_a_keyframe_in_the_dark_too() {
    for shade in [1u8, 4] {
        let mut frames = clip(64, 64, 3);
        let other = frames[0].iter().enumerate().map(|(i, v)| if i / 7 % 2 == 0 { 255 - v } else { v / 2 });
        frames.push(other.collect());
        let config = Config { scene_cuts: true, ..quality(8) };
        let mut encoder = Encoder::new(header(64, 64), &config).expect("a valid stream");
        let keys: Vec<bool> = frames
            .iter()
            .map(|f| {
                let dark: Vec<u8> = f.iter().map(|v| v / shade).collect();
                encoder.encode(&dark, None).expect("a frame").is_keyframe
            })
            .collect();
        assert_eq!(keys, [true, false, false, true], "{shade}");
    }
}

/// Ten scenes of 16 frames, each a texture of its own that pans, from flat to rough.
fn scenes(width: usize, height: usize) -> Vec<Vec<u8>> {
    let mut random = Random(21);
    let mut frames = Vec::new();
    for scene in 0..10 {
        let (wide, roughness) = (width + 64, [40, 200, 90, 20, 255, 60, 10, 180, 30, 120][scene]);
        let coarse: Vec<u32> = (0..wide * height).map(|_| random.below(256)).collect();
        let texture: Vec<u8> = (0..wide * height)
            .map(|i| {
                let (x, y) = (i % wide, i / wide);
                let smooth = coarse[y / 16 * wide + x / 16];
                (smooth * (300 - roughness) / 300 + coarse[i] * roughness / 300).min(255) as u8
            })
            .collect();
        for f in 0..16 {
            let mut frame: Vec<u8> =
                (0..height).flat_map(|y| texture[y * wide + 3 * f..][..width].to_vec()).collect();
            frame.resize(width * height * 3 / 2, 100 + 5 * scene as u8);
            frames.push(frame);
        }
    }
    frames
}

#[test]
fn nine_cuts_in_six_seconds_keep_the_rate() {
    let frames = scenes(176, 144);
    for rate in [150_000, 300_000] {
        let config = Config { target: Target::Bitrate(rate), ..Default::default() };
        let stream = VideoHeader { frame_rate: (25, 1), ..header(176, 144) };
        let mut encoder = Encoder::new(stream, &config).expect("a valid stream");
        let mut decoder = Decoder::new();
        let (mut bits, mut keyframes) = (Vec::new(), 0);
        for frame in &frames {
            let coded = encoder.encode(frame, None).expect("a frame");
            bits.push(coded.data.len() as f64 * 8.0);
            keyframes += u32::from(coded.is_keyframe);
            // Also of keyframes that were coded twice.
            let packet = coded.data.to_vec();
            decoder.decode(&packet).expect("a packet");
            assert!(seen_by(&encoder) == decoded(&decoder));
        }
        let average = bits.iter().sum::<f64>() * 25.0 / 160.0 / f64::from(rate);
        let worst = bits.windows(25).map(|w| w.iter().sum::<f64>()).fold(0.0, f64::max) / f64::from(rate);
        assert!((9..=11).contains(&keyframes), "{keyframes}");
        assert!((0.92..1.05).contains(&average) && worst < 1.4, "{rate}: {average} {worst}");
    }
}

#[test]
fn bad_parameters_are_named() {
    let name = |size: (u32, u32), config: &Config| match Encoder::new(header(size.0, size.1), config) {
        Err(Error::Parameter { name, .. }) => name,
        _ => "none",
    };
    assert_eq!(name((5000, 16), &quality(1)), "width");
    assert_eq!(name((16, 16), &quality(48)), "quality");
    assert_eq!(name((16, 16), &Config { target: Target::Bitrate(0), ..quality(1) }), "bitrate");
    assert_eq!(name((16, 16), &Config { refinements: 17, ..quality(1) }), "refinements");
    assert_eq!(name((16, 16), &Config { keyframe_interval: 0, ..quality(1) }), "keyframe interval");
    assert_eq!(name((16, 16), &Config { threads: 257, ..quality(1) }), "threads");
    let mut encoder = Encoder::new(header(16, 16), &quality(1)).expect("a valid stream");
    assert!(matches!(encoder.encode(&[0; 5], None), Err(Error::Parameter { name: "frame", .. })));
    assert!(encoder.encode(&[0; 16 * 24], None).expect("the next one").is_keyframe);
}

#[test]
fn huge_frames_are_refused_before_anything_is_allocated() {
    let packet = packets((64, 48), &quality(8), &clip(64, 48, 1)).remove(0);
    let mut decoder = Decoder::new();
    let mut limits = Limits::default();
    limits.max_video_pixels = 1000;
    decoder.set_limits(limits);
    assert!(matches!(decoder.decode(&packet), Err(Error::Bitstream { field: "size", .. })));
    let mut large = packet.clone();
    let mut wide = Vec::new();
    VideoHeader { width: 8000, ..header(64, 48) }.write_to(&mut wide);
    let length = VideoHeader::parse(&packet[1..], &Limits::default()).expect("a header").1;
    large.splice(1..=length, wide);
    reseal(&mut large);
    assert!(matches!(Decoder::new().decode(&large), Err(Error::Parameter { name: "width", .. })));
}

fn reseal(packet: &mut Vec<u8>) {
    packet.truncate(packet.len() - 4);
    append_checksum(packet);
}

/// Decodes packets again and again, one of them damaged each time; how many were refused and taken. In the end the whole ones decode.
fn decode_damaged(packets: &[Vec<u8>], rounds: usize) -> (usize, usize) {
    let mut decoder = Decoder::new();
    let (mut wrong, mut right) = (0, 0);
    let mut random = Random(7);
    for round in 0..rounds {
        let victim = round % packets.len();
        for (i, packet) in packets.iter().enumerate() {
            let mut packet = packet.clone();
            if i == victim {
                let length = packet.len() as u32;
                match random.below(4) {
                    0 => packet.truncate(random.below(length) as usize),
                    1 => (0..4).for_each(|_| packet[random.below(length) as usize] ^= 1 << random.below(8)),
                    _ => packet[random.below(length) as usize] = random.below(256) as u8,
                }
                // With a right checksum damage gets further.
                if packet.len() > 4 && random.below(4) > 0 {
                    reseal(&mut packet);
                }
            }
            match decoder.decode(&packet) {
                Ok(_) => right += 1,
                Err(_) => wrong += 1,
            }
        }
    }
    packets.iter().for_each(|p| assert!(decoder.decode(p).is_ok()));
    (wrong, right)
}

#[test]
fn no_damage_panics_and_a_keyframe_heals() {
    let packets = packets((72, 40), &quality(4), &clip(72, 40, 5));
    let (wrong, right) = decode_damaged(&packets, 2000);
    assert!(wrong > 1000 && right > 1000, "{wrong} wrong, {right} right");
}

#[test]
fn any_decisions_are_a_frame_or_an_error() {
    // Packets whose decisions are chance: every part of the syntax, vectors that point far outside, levels of all sizes.
    let key = packets((72, 40), &quality(20), &clip(72, 40, 1)).remove(0);
    let mut random = Random(3);
    let (mut wrong, mut right) = (0, 0);
    for round in 0..3000u32 {
        let mut decoder = Decoder::new();
        decoder.decode(&key).expect("a keyframe");
        for number in 1..4 {
            let mut packet = vec![2, number, 1, random.below(128) as u8];
            let count = random.below(if round % 3 == 0 { 4000 } else { 80 });
            packet.extend((0..count).map(|_| random.below(256) as u8));
            append_checksum(&mut packet);
            match decoder.decode(&packet) {
                Ok(_) => right += 1,
                Err(_) => wrong += 1,
            }
        }
    }
    assert!(wrong > 300 && right > 3, "{wrong} wrong, {right} right");
}

#[test]
fn repeated_packets_are_checked() {
    let mut decoder = Decoder::new();
    decoder.decode(&packets((16, 16), &quality(8), &clip(16, 16, 1))[0]).expect("a keyframe");
    assert!(decoder.decode(&[3, 0x01]).is_err());
    assert!(decoder.decode(&[3, 0x81]).is_ok());
    assert!(matches!(decoder.decode(&[3, 0x81]), Err(Error::MissingPredecessor { .. })));
    assert!(inspect(&[3], &Limits::default()).is_err() && inspect(&[3, 0, 0], &Limits::default()).is_err());
}

/// Packets as encoders write them, and those of encoders that knew no overlap and no learned starts, whose files play as ever.
const GOLDEN: [&str; 3] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/blocks-overlap.hex"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/blocks-learned.hex"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/blocks.hex"),
];

/// Packets, one a line, and the CRC-32 of the frames that a decoder makes of them.
fn read_golden(path: &str) -> Vec<(Vec<u8>, u32)> {
    let text = std::fs::read_to_string(path).expect("golden bytes");
    text.lines()
        .map(|line| {
            let (packet, sum) = line.split_once(' ').expect("a packet and a sum");
            (hex::decode(packet).expect("hexadecimal"), u32::from_str_radix(sum, 16).expect("a sum"))
        })
        .collect()
}

fn checksum(data: &[u8]) -> u32 {
    let mut out = data.to_vec();
    append_checksum(&mut out);
    out.last_chunk().copied().map(u32::from_le_bytes).expect("four bytes")
}

#[test]
fn golden_packets_are_the_frames_that_they_ever_were() {
    // One decoder for all, the old ones last: their keyframe ends what the newer ones had.
    let mut decoder = Decoder::new();
    for path in GOLDEN {
        for (i, (packet, sum)) in read_golden(path).iter().enumerate() {
            decoder.decode(packet).expect("a packet");
            assert_eq!(checksum(&decoded(&decoder)), *sum, "{path}, frame {i}");
        }
    }
}

#[test]
fn tools_that_are_not_known_are_refused_by_name() {
    let stream = header(32, 32);
    let mut whole = packets((32, 32), &quality(8), &clip(32, 32, 2));
    let head = {
        let mut bytes = Vec::new();
        stream.write_to(&mut bytes);
        bytes.len() + 3
    };
    assert_eq!(
        whole[0][head..][..2],
        [0xc0 | 19, 9],
        "quality 19 where 8 is asked for, learned starts, and overlap"
    );
    whole[0][head + 1] = 0x19;
    reseal(&mut whole[0]);
    assert!(matches!(Decoder::new().decode(&whole[0]), Err(Error::Bitstream { field: "tools", .. })));
    whole[0][head + 1] = 9;
    reseal(&mut whole[0]);
    let mut decoder = Decoder::new();
    decoder.decode(&whole[0]).expect("a keyframe");
    whole[1][3] |= 0x80;
    reseal(&mut whole[1]);
    assert!(matches!(decoder.decode(&whole[1]), Err(Error::Bitstream { field: "quality", .. })));
}

#[test]
#[ignore = "writes the golden bytes"]
fn write_golden_packets() {
    let mut random = Random(5);
    let mut lines = String::new();
    let mut frames = clip(67, 45, 8);
    // Noise in a corner, so that all sizes of levels occur.
    frames.iter_mut().for_each(|f| (0..700).for_each(|i| f[i] = random.below(256) as u8));
    frames.push(frames[7].clone());
    let mut encoder = Encoder::new(header(67, 45), &quality(2)).expect("a valid stream");
    let mut decoder = Decoder::new();
    for frame in &frames {
        let packet = encoder.encode(frame, None).expect("a frame").data.to_vec();
        decoder.decode(&packet).expect("a packet");
        lines += &format!("{} {:08x}\n", hex::encode(packet), checksum(&decoded(&decoder)));
    }
    std::fs::write(GOLDEN[0], lines).expect("a writable folder");
}
