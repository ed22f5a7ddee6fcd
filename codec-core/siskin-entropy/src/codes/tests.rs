//! Range-coded packets with small tables of integers, which stand here: no model has a say in these bytes.

use std::sync::Arc;

use proptest::prelude::*;

use super::{BookTables, Coder, Tables};
use crate::{CodebookShape, Codebooks, Error, Limits};
use siskin_bitstream::packet::{Coding, Packet, PacketInfo, write_frames};
use siskin_bitstream::{BundleId, Frames, StreamHeader};

const STAGES: u8 = 5;
const GROUPS: u8 = 2;
const SIZE: usize = 12;
const DIM: usize = 6;

/// A sequence of numbers that are the same everywhere.
fn numbers() -> impl FnMut(i32) -> i32 {
    let mut seed = 7u32;
    move |most| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as i32 % (2 * most + 1) - most
    }
}

fn codebooks() -> Codebooks {
    let shape = CodebookShape {
        stages: STAGES.into(),
        groups: GROUPS.into(),
        size: SIZE,
        group_dim: DIM / usize::from(GROUPS),
    };
    let mut number = numbers();
    let dims = [shape.stages, shape.groups, shape.size, shape.group_dim];
    let entries = (0..dims.iter().product()).map(|_| number(64) as f32 / 16.0).collect();
    Codebooks::new(shape, &dims, entries).expect("matching shapes")
}

/// Networks of three units, but for every third codebook, which has constant probabilities.
fn books() -> Vec<BookTables> {
    let mut number = numbers();
    let mut byte = |count: usize| -> Vec<i8> { (0..count).map(|_| number(100) as i8).collect() };
    (0..usize::from(STAGES * GROUPS))
        .map(|index| {
            let units = if index % 3 == 2 { 0 } else { 3 };
            BookTables {
                hidden: byte(units * 3 * DIM),
                hidden_bias: byte(units).into_iter().map(|b| i32::from(b) * 50).collect(),
                hidden_shift: 4,
                logits: byte(units * SIZE),
                logit_bias: byte(SIZE).into_iter().map(|b| i16::from(b) * 8).collect(),
                logit_shift: 6,
            }
        })
        .collect()
}

fn tables() -> Arc<Tables> {
    Arc::new(Tables::new(&codebooks(), 4, 2, books()).expect("tables of ours"))
}

fn header() -> StreamHeader {
    StreamHeader {
        bundle: BundleId([5; 8]),
        bundle_name: "toy".into(),
        sample_rate: 8000,
        channels: 1,
        hop: 160,
        groups: GROUPS,
        stages: STAGES,
        code_bits: 4,
        pre_skip: 80,
    }
}

/// Frames of these stages whose codes are mostly what the tables expect.
fn frames(counts: &[u8]) -> Frames {
    let mut frames = Frames::new(GROUPS);
    let mut state = 1u32;
    for &count in counts {
        let codes: Vec<u16> = (0..count * GROUPS)
            .map(|_| {
                state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                ((state >> 16) % 7 * ((state >> 24) % 2)) as u16
            })
            .collect();
        frames.push_frame(&codes);
    }
    frames
}

fn packet(frames: &Frames, coder: Option<&mut Coder>) -> Vec<u8> {
    let mut out = Vec::new();
    write_frames(&header(), &PacketInfo::default(), false, frames, coder.map(|c| c as _), &mut out)
        .expect("frames of ours");
    out
}

fn read(data: &[u8], coder: Option<&mut Coder>) -> crate::Result<(Frames, Coding)> {
    let packet = Packet::parse(data, &Limits::default())?.bind(&header())?;
    let mut frames = Frames::default();
    packet.read_codes(coder.map(|c| c as _), &mut frames)?;
    Ok((frames, packet.coding()))
}

/// The predictable frames of the golden packets.
fn expected_frames(counts: &[u8], coder: &Coder) -> Frames {
    let mut frames = Frames::new(GROUPS);
    let mut coder = coder.clone();
    counts.iter().for_each(|&count| {
        let codes = coder.likely(&frames, usize::from(count));
        frames.push_frame(&codes);
    });
    frames
}

#[test]
fn packets_have_the_bytes_of_the_golden_vectors() {
    let golden = include_str!("../../../../testdata/golden/packets-coded.txt");
    let mut coder = Coder::new(tables());
    let mut lines =
        String::from("# Packets of each coding with the tables of codec-core/src/entropy/codes/tests.rs\n");
    for (name, counts) in [("constant", [4; 6]), ("variable", [5, 2, 2, 1, 3, 3])] {
        let frames = expected_frames(&counts, &coder);
        for (coding, data) in
            [("fixed width", packet(&frames, None)), ("range coded", packet(&frames, Some(&mut coder)))]
        {
            lines += &format!("{name}, {coding}: {}\n", hex::encode(&data));
            let (read, found) = read(&data, Some(&mut coder)).expect("a packet of ours");
            assert_eq!((read, found.name()), (frames.clone(), coding));
        }
    }
    assert_eq!(lines, golden);
}

#[test]
fn every_truncation_is_an_error_with_its_place() {
    let mut coder = Coder::new(tables());
    for counts in [&[4u8; 6][..], &[5, 2, 2, 1, 3, 3]] {
        let frames = expected_frames(counts, &coder);
        for data in [packet(&frames, None), packet(&frames, Some(&mut coder))] {
            for cut in 0..data.len() {
                let result = read(&data[..cut], Some(&mut coder));
                let placed = |e: &Error| matches!(e, Error::Bitstream { field, offset, .. } if *offset <= cut && !field.is_empty());
                assert!(result.as_ref().is_err_and(placed), "cut at {cut}: {result:?}");
            }
            assert!(read(&[&data[..], &[0]].concat(), Some(&mut coder)).is_err(), "a byte more");
        }
    }
}

#[test]
fn any_flipped_bit_gives_valid_codes_or_an_error() {
    let mut coder = Coder::new(tables());
    for counts in [&[4u8; 6][..], &[5, 2, 2, 1, 3, 3]] {
        let whole = packet(&expected_frames(counts, &coder), Some(&mut coder));
        for bit in 0..whole.len() * 8 {
            let mut data = whole.clone();
            data[bit / 8] ^= 1 << (bit % 8);
            if let Ok((frames, Coding::RangeCoded)) = read(&data, Some(&mut coder)) {
                assert!(frames.codes().iter().all(|&c| usize::from(c) < SIZE), "bit {bit}");
                assert!(frames.max_stages() <= STAGES);
            }
        }
    }
}

#[test]
fn unlikely_codes_take_no_more_than_fixed_width() {
    let mut coder = Coder::new(tables());
    let mut worst = Frames::new(GROUPS);
    for _ in 0..20 {
        let codes = coder.unlikely(&worst, STAGES.into());
        worst.push_frame(&codes);
    }
    let data = packet(&worst, Some(&mut coder));
    assert_eq!(data, packet(&worst, None), "fixed width is what is left");
}

#[test]
fn a_cut_packet_holds_the_first_stages() {
    let mut coder = Coder::new(tables());
    for counts in [&[4u8; 6][..], &[5, 2, 2, 1, 3, 3]] {
        let mut frames = expected_frames(counts, &coder);
        let data = packet(&frames, Some(&mut coder));
        let (mut low, mut scratch) = (Vec::new(), Frames::default());
        let bound = Packet::parse(&data, &Limits::default()).and_then(|p| p.bind(&header()));
        bound
            .and_then(|p| p.write_prefix(2, Some(&mut coder), &mut scratch, &mut low))
            .expect("a packet of ours");
        frames.truncate_stages(2);
        assert_eq!(low, packet(&frames, Some(&mut coder)));
    }
}

#[test]
fn range_coded_packets_need_the_tables() {
    let mut coder = Coder::new(tables());
    let data = packet(&expected_frames(&[4; 6], &coder), Some(&mut coder));
    let text = read(&data, None).expect_err("no tables").to_string();
    assert!(text.contains("bad codes at byte 3") && text.contains("tables"), "{text}");
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut Vec<BookTables>), what: &str| {
        let mut changed = books();
        change(&mut changed);
        let text = Tables::new(&codebooks(), 4, 2, changed).expect_err(what);
        assert!(text.contains(what), "{text}");
    };
    refused(&|b| drop(b.pop()), "9 networks, there are 10 codebooks");
    refused(&|b| b[1].hidden.clear(), "codebook 1: hidden holds 0");
    refused(&|b| b[4].logits.clear(), "codebook 4: logits holds 0");
    refused(&|b| b[2].logit_bias.clear(), "codebook 2: logit_bias holds 0");
    refused(&|b| b[0].hidden_shift = 25, "shifts 25");
    refused(&|b| b[3].hidden_bias[0] = i32::MAX, "hidden could overflow");
    assert!(Tables::new(&codebooks(), 13, 2, books()).is_err_and(|e| e.contains("input_bits 13")));
    assert!(Tables::new(&codebooks(), 4, 5, books()).is_err_and(|e| e.contains("frames_before 5")));
}

proptest! {
    #[test]
    fn frames_come_back(counts in proptest::collection::vec(1u8..=STAGES, 1..40)) {
        let mut coder = Coder::new(tables());
        let frames = frames(&counts);
        for data in [packet(&frames, None), packet(&frames, Some(&mut coder))] {
            let back = read(&data, Some(&mut coder)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&back.0, &frames);
        }
        prop_assert!(packet(&frames, Some(&mut coder)).len() <= packet(&frames, None).len());
    }

    #[test]
    fn no_bytes_panic(
        first in prop_oneof![Just(0u8), Just(1)],
        rest in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut coder = Coder::new(tables());
        let mut data = vec![first];
        data.extend(rest);
        // The length byte right, so that the range decoder is reached.
        if data.len() > 4 {
            data[3] = (data.len() - 4) as u8;
        }
        if let Ok((frames, _)) = read(&data, Some(&mut coder)) {
            prop_assert!(frames.len() <= 500 && frames.max_stages() <= STAGES);
        }
    }
}
