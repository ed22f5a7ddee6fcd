//! Screens: blocks that repeat what is above or on the left.

use siskin_bitstream::video_packet;
use siskin_entropy::range::RangeEncoder;

use super::super::contexts::Contexts;
use super::super::copy::motion;
use super::super::grid::Grid;
use super::super::motion::Vector;
use super::super::syntax::{Block, MAX_LEVELS, code_prediction, code_residual, code_split};
use super::*;

const SIZE: (u32, u32) = (171, 99);

/// Lines of words of twelve letters, on colored ground from a row on, scrolled up by so many rows; no row is like the one before.
fn page(scrolled: usize) -> Vec<u8> {
    let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
    let mut random = Random(9);
    let letters: Vec<Vec<u8>> = (0..12)
        .map(|i| {
            (0..9 * (4 + i % 4)).map(|_| [20, 20, 90, 160, 235, 235, 235][random.below(7) as usize]).collect()
        })
        .collect();
    let words: Vec<Vec<usize>> =
        (0..9).map(|_| (0..2 + random.below(5)).map(|_| random.below(12) as usize).collect()).collect();
    let mut luma = vec![235u8; width * height];
    for line in 0..(height + scrolled) / 13 + 1 {
        let mut left = 3;
        while left + 60 < width {
            for &letter in &words[random.below(9) as usize] {
                let shape = &letters[letter];
                let columns = shape.len() / 9;
                for (row, samples) in shape.chunks(columns).enumerate() {
                    let Some(y) = (13 * line + row + 2).checked_sub(scrolled).filter(|&y| y < height) else {
                        continue;
                    };
                    luma[y * width + left..][..columns].copy_from_slice(samples);
                }
                left += columns + 1;
            }
            left += 5;
        }
    }
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let ground = |color: u8| (0..columns * rows).map(move |i| if i / columns < 30 { 128 } else { color });
    luma.extend(ground(100).chain(ground(150)));
    luma
}

fn pages(frames: usize) -> Vec<Vec<u8>> {
    (0..frames).map(|i| page(3 * i)).collect()
}

/// Frames in which nothing repeats.
fn noise(frames: usize) -> Vec<Vec<u8>> {
    let mut random = Random(2);
    (0..frames).map(|_| (0..page(0).len()).map(|_| 100 + random.below(40) as u8).collect()).collect()
}

/// The byte of a keyframe's tools.
fn tools_of(keyframe: &[u8], size: (u32, u32)) -> u8 {
    let mut head = Vec::new();
    header(size.0, size.1).write_to(&mut head);
    assert!(keyframe[head.len() + 3] & 0x80 != 0, "the quality's byte says that there are tools");
    keyframe[head.len() + 4]
}

#[test]
fn a_decoder_sees_what_the_encoder_saw() {
    for refinements in [0, 1, 2] {
        let mut encoder =
            Encoder::new(header(SIZE.0, SIZE.1), &Config { refinements, ..quality(8) }).expect("a stream");
        let mut decoder = Decoder::new();
        for (i, frame) in pages(7).iter().enumerate() {
            let packet = encoder.encode(frame, None).expect("a frame").data.to_vec();
            if i == 0 {
                assert_eq!(tools_of(&packet, SIZE), 5);
            }
            decoder.decode(&packet).expect("a packet");
            assert_eq!(seen_by(&encoder), decoded(&decoder), "{refinements}, frame {i}");
            assert!(psnr(frame, &decoded(&decoder)) > 38.0, "{} dB", psnr(frame, &decoded(&decoder)));
        }
    }
}

#[test]
fn words_that_were_there_before_cost_little() {
    let lines = |frame: &[u8]| {
        let mut encoder = Encoder::new(header(SIZE.0, SIZE.1), &quality(8)).expect("a stream");
        encoder.encode(frame, None).expect("a frame").data.len()
    };
    let frame = page(0);
    // The same samples, but that each letter is a little different: nothing repeats.
    let mut random = Random(1);
    let mut unlike = frame.clone();
    let luma = (SIZE.0 * SIZE.1) as usize;
    unlike[..luma].iter_mut().filter(|v| **v < 200).for_each(|v| *v += random.below(3) as u8);
    let (repeated, other) = (lines(&frame), lines(&unlike));
    assert!(repeated * 2 < other, "{repeated} and {other} bytes");
}

#[test]
fn what_does_not_repeat_itself_has_no_copies() {
    let films = [noise(1).remove(0), vec![77; page(0).len()]];
    for frame in films {
        assert_eq!(tools_of(&packets(SIZE, &quality(8), &[frame])[0], SIZE), 9);
    }
}

#[test]
fn packets_do_not_depend_on_threads() {
    let frames = pages(5);
    for refinements in [0, 1] {
        let [one, three] =
            [1, 3].map(|threads| packets(SIZE, &Config { threads, refinements, ..quality(8) }, &frames));
        assert_eq!(one, three);
    }
}

#[test]
fn the_tool_comes_and_goes_with_keyframes() {
    let (text, film) = (page(0), noise(2));
    let config = Config { keyframe_interval: 2, ..quality(8) };
    let all =
        packets(SIZE, &config, &[film[0].clone(), film[1].clone(), text.clone(), text, film[0].clone()]);
    assert_eq!([0, 2, 4].map(|i| tools_of(&all[i], SIZE)), [9, 5, 9]);
    let mut decoder = Decoder::new();
    all.iter().for_each(|packet| assert!(decoder.decode(packet).is_ok()));
}

#[test]
fn no_damage_panics_and_a_keyframe_heals() {
    let packets = packets(SIZE, &quality(20), &pages(4));
    let (wrong, right) = decode_damaged(&packets, 400);
    assert!(wrong > 200 && right > 200, "{wrong} wrong, {right} right");
}

#[test]
fn any_decisions_are_a_frame_or_an_error() {
    // Most vectors of such keyframes point to what does not come before.
    let key = packets(SIZE, &quality(20), &pages(1)).remove(0);
    let mut random = Random(3);
    let (mut vectors, mut right) = (0, 0);
    for _ in 0..300 {
        let mut packet = key[..key.len() - 4].to_vec();
        let from = packet.len() as u32 / 4 + random.below(packet.len() as u32 / 2);
        packet[from as usize..].iter_mut().for_each(|v| *v = random.below(256) as u8);
        append_checksum(&mut packet);
        match Decoder::new().decode(&packet) {
            Ok(_) => right += 1,
            Err(Error::Bitstream { field: "vector", .. }) => vectors += 1,
            Err(_) => {}
        }
    }
    assert!(vectors > 50, "{vectors} vectors refused, {right} taken");
}

/// A keyframe of 64x40 in which nothing but the block at (32, 32), in a row of trees that is cut off, is copied.
fn keyframe_with(vector: Vector) -> Vec<u8> {
    const QUALITY: u8 = 20;
    let mut grid = Grid::new(64, 0, 40);
    grid.has_copies = true;
    let (mut contexts, mut coder) = (Contexts::learned(true, QUALITY), RangeEncoder::default());
    let mut levels = [0; MAX_LEVELS];
    let squares = [(0, 0, 5), (32, 0, 5)].into_iter().chain((0..64).step_by(8).map(|x| (x, 32, 3)));
    for (x, y, log) in squares {
        if log > 3 {
            code_split(&mut coder, &mut contexts, &grid, (x, y, log), false).expect("a coder that takes all");
        }
        let mut block = Block::new(x, y, log);
        if (x, y) == (32, 32) {
            (block.is_copied, block.motion) = (true, motion([vector; 2]));
        }
        // It refuses bad vectors too, once they are written.
        let is_good = code_prediction(&mut coder, &mut contexts, &grid, &mut block).is_ok();
        if is_good {
            code_residual(&mut coder, &mut contexts, &mut block, &mut levels).expect("no levels");
            block.record(&mut grid);
        }
    }
    let mut packet = Vec::new();
    video_packet::write_head(Coding::Blocks, Some(&header(64, 40)), (0, 1), None, &mut packet);
    packet.extend([QUALITY | 0xc0, 5]);
    coder.finish_into(&mut packet);
    append_checksum(&mut packet);
    packet
}

#[test]
fn nothing_is_copied_from_below_or_beside_the_frame() {
    for good in [[-32, 0], [-8, 0], [0, -32], [0, -8], [24, -8], [24, -32]] {
        assert!(Decoder::new().decode(&keyframe_with(good)).is_ok(), "{good:?}");
    }
    let below = (1..70).map(|down| [-32, down]);
    for bad in below.chain([[-33, 0], [25, -8], [0, 0], [-7, 0], [0, -7], [0, -33], [64, -32]]) {
        let refused = Decoder::new().decode(&keyframe_with(bad));
        assert!(matches!(refused, Err(Error::Bitstream { field: "vector", .. })), "{bad:?}: {refused:?}");
    }
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden/blocks-copies.hex");

#[test]
fn golden_packets_are_the_frames_that_they_ever_were() {
    let mut decoder = Decoder::new();
    let golden = read_golden(GOLDEN);
    assert_eq!(golden.len(), 6);
    for (i, (packet, sum)) in golden.iter().enumerate() {
        decoder.decode(packet).expect("a packet");
        assert_eq!(checksum(&decoded(&decoder)), *sum, "frame {i}");
    }
}

#[test]
#[ignore = "writes the golden bytes"]
fn write_golden_packets() {
    let mut encoder = Encoder::new(header(SIZE.0, SIZE.1), &quality(12)).expect("a valid stream");
    let mut decoder = Decoder::new();
    let mut lines = String::new();
    for frame in pages(6) {
        let packet = encoder.encode(&frame, None).expect("a frame").data.to_vec();
        decoder.decode(&packet).expect("a packet");
        lines += &format!("{} {:08x}\n", hex::encode(packet), checksum(&decoded(&decoder)));
    }
    std::fs::write(GOLDEN, lines).expect("a writable folder");
}
