//! The product's own code allocates nothing a frame once a stream runs. A network of a few lines stands in for ONNX
//! Runtime, which does allocate; this file holds one test only, since the counter sees every thread.

use std::alloc::System;
use std::sync::Arc;

use siskin_core::audio::{
    BeamSearch, DEFAULT_SEARCH_WIDTH, Decoder, EncodedPacket, Encoder, EncoderConfig, FrameDecoder,
    FrameEncoder, ResidualQuantizer,
};
use siskin_core::bitstream::{BundleId, StreamHeader};
use siskin_core::bundle::{QuantizerKind, QuantizerSpec};
use siskin_core::entropy::{BookTables, Tables};
use siskin_core::runtime::{Provider, Runtime, StepNetwork};
use siskin_core::tokens::{Format, Layout, OnBadToken, Slots, TokenStream};
use siskin_core::{Error, Result};
use siskin_import::Kind;
use siskin_import::testing::small_encodec_stereo;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HOP: usize = 480;
const DIM: usize = 32;

/// Copies what fits from input to output, which is its state too.
struct Copy {
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Copy {
    fn boxed(input: usize, output: usize) -> Box<dyn StepNetwork> {
        Box::new(Self { input: vec![0.0; input], output: vec![0.0; output] })
    }
}

impl StepNetwork for Copy {
    fn input(&mut self) -> &mut [f32] {
        &mut self.input
    }
    fn run(&mut self) -> Result<()> {
        self.output.iter_mut().zip(&self.input).for_each(|(o, i)| *o = *i);
        Ok(())
    }
    fn output(&self) -> &[f32] {
        &self.output
    }
    fn reset(&mut self) {}
    fn save(&self, into: &mut Vec<Vec<f32>>) {
        into.resize_with(1, Vec::new);
        into[0].clone_from(&self.output);
    }
    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()> {
        self.output.copy_from_slice(&from[0]);
        Ok(())
    }
    fn provider(&self) -> Provider {
        Provider::Cpu
    }
}

fn quantizer() -> ResidualQuantizer {
    let spec = QuantizerSpec {
        kind: QuantizerKind::Rvq,
        groups: 1,
        stages: 18,
        size: 1024,
        dim: DIM,
        file: String::new(),
        decoder_file: None,
        parts: Vec::new(),
        strides: Vec::new(),
    };
    let entries = (0..18 * 1024 * DIM).map(|i| (i as f32 * 0.37).sin()).collect();
    ResidualQuantizer::new(&spec, &[18, 1, 1024, DIM], entries).expect("matching shapes")
}

/// Small networks that expect the codes of silence, so that packets of it are worth coding.
fn books() -> Vec<BookTables> {
    let mut silence = [0; 18];
    let quantizer = quantizer();
    quantizer.quantize_latent(
        &[0.0; DIM],
        &mut silence,
        &mut BeamSearch::new(quantizer.codebooks().shape(), DEFAULT_SEARCH_WIDTH),
    );
    let book = |&code: &u16| BookTables {
        hidden: (0..4 * 3 * DIM).map(|i| (i % 7) as i8 - 3).collect(),
        hidden_bias: vec![100; 4],
        hidden_shift: 6,
        logits: (0..4 * 1024).map(|i| (i % 5) as i8 - 2).collect(),
        logit_bias: (0..1024).map(|i| if i == code { 0 } else { -3000 }).collect(),
        logit_shift: 6,
    };
    silence.iter().map(book).collect()
}

#[test]
fn a_running_stream_allocates_nothing() {
    let header = StreamHeader {
        bundle: BundleId([3; 8]),
        bundle_name: "copy".into(),
        sample_rate: 24_000,
        channels: 1,
        hop: HOP as u16,
        groups: 1,
        stages: 18,
        code_bits: 10,
        pre_skip: 240,
    };
    // The in-band header holds a string, so packets with one are the exception: every 1000 frames here.
    let config = EncoderConfig { frames_per_packet: 5, header_interval: 1000, ..Default::default() };
    let frames = FrameEncoder::from_parts(Copy::boxed(HOP, DIM), quantizer());
    let mut encoder = Encoder::from_parts(frames, header.clone(), &config, 12).expect("a valid config");
    let tables = Arc::new(Tables::new(quantizer().codebooks(), 6, 2, books()).expect("tables that fit"));
    encoder.set_tables(Some(tables.clone()));
    let mut decoder =
        Decoder::from_parts(FrameDecoder::from_parts(Copy::boxed(DIM, HOP), quantizer()), header);
    decoder.set_tables(Some(tables));
    // These tables expect silence; the search weighs the bits of sound with them.
    let pcm: Vec<f32> = (0..24_000).map(|i| if i < 12_000 { (i as f32 * 0.05).sin() } else { 0.0 }).collect();
    let mut out = Vec::with_capacity(5 * HOP);
    let mut range_coded = 0;
    let mut second = |encoder: &mut Encoder| {
        let mut emit = |packet: EncodedPacket<'_>| -> std::result::Result<(), Error> {
            out.clear();
            range_coded += usize::from(packet.data[0] & 0x0f == 1);
            decoder.decode(packet.data, &mut out).map(drop)
        };
        encoder.push_samples(&pcm, &mut emit)
    };
    second(&mut encoder).expect("the copy never fails");
    let region = Region::new(ALLOCATOR);
    for _ in 0..5 {
        second(&mut encoder).expect("the copy never fails");
    }
    let change = region.change();
    assert!(range_coded >= 20, "{range_coded} packets were range coded");
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
    for layout in ["parallel", "delayed", "flat"] {
        assert_eq!(token_allocations(layout), (0, 0), "{layout}");
        assert_eq!(slot_allocations(layout), (0, 0), "slots of {layout}");
    }
    assert_eq!(segment_slot_allocations(), (0, 0), "slots of segments");
}

/// A stream of 12 codebooks, and a row that is valid again and again in each of the layouts.
fn token_stream(layout: &str) -> (TokenStream, Vec<i64>) {
    let header = StreamHeader {
        bundle: BundleId([3; 8]),
        bundle_name: "copy".into(),
        sample_rate: 24_000,
        channels: 1,
        hop: HOP as u16,
        groups: 1,
        stages: 18,
        code_bits: 10,
        pre_skip: 240,
    };
    let decoder = Decoder::from_parts(FrameDecoder::from_parts(Copy::boxed(DIM, HOP), quantizer()), header);
    let layout = Layout::parse(layout, 12, 1024).expect("a layout");
    let format = Format::new(12, 1024, layout.clone(), &Default::default()).expect("12 codebooks");
    let row = match &layout {
        Layout::Flat { offsets, .. } => offsets.iter().map(|o| o + 7).collect(),
        _ => vec![7; 12],
    };
    (TokenStream::from_parts(decoder, format, OnBadToken::Refuse), row)
}

/// Allocations of 200 turns of `step` once it has run for a while.
fn allocations(mut step: impl FnMut()) -> (usize, usize) {
    (0..60).for_each(|_| step());
    let region = Region::new(ALLOCATOR);
    (0..200).for_each(|_| step());
    let change = region.change();
    (change.allocations, change.reallocations)
}

/// Allocations of a running stream of tokens.
fn token_allocations(layout: &str) -> (usize, usize) {
    let (mut stream, row) = token_stream(layout);
    let mut out = Vec::with_capacity(HOP);
    allocations(|| {
        out.clear();
        stream.push_tokens(&row, &mut out).expect("valid tokens");
    })
}

/// Allocations of three slots that take turns.
fn slot_allocations(layout: &str) -> (usize, usize) {
    let (stream, row) = token_stream(layout);
    let mut slots = Slots::new(stream, 3).expect("three slots");
    let input = [0, 2, 1].map(|slot| (slot, row.as_slice()));
    let mut samples = 0;
    let counted = allocations(|| {
        let mut give = |_: usize, pcm: Result<&[f32]>| samples += pcm.expect("valid tokens").len();
        slots.push_tokens(&input, &mut give).expect("slots that are there");
    });
    assert!(samples > 3 * 200 * HOP, "{samples} samples of three slots");
    counted
}

/// Allocations of slots of a codec of segments that take turns, each with a part of a segment and the end of the one before. Its
/// network does not run meanwhile.
fn segment_slot_allocations() -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle =
        small_encodec_stereo().import(Kind::Encodec, &folder.path().join("bundle")).expect("a bundle");
    let runtime = Runtime::load(&Default::default()).expect("ONNX Runtime, by ./x setup");
    let mut stream =
        TokenStream::new(&bundle, &runtime, "parallel", 4, OnBadToken::Refuse).expect("a stream");
    stream.set_scales(vec![0.5; 100]).expect("scales");
    let mut slots = Slots::new(stream, 2).expect("two slots");
    let tokens = [7i64; 4 * 160];
    let mut samples = 0;
    let mut give = |_: usize, pcm: Result<&[f32]>| samples += pcm.expect("valid tokens").len();
    slots.push_tokens(&[(0, &tokens), (1, &tokens[..4 * 155])], &mut give).expect("slots that are there");
    assert!(samples > 0, "no segment is whole");
    let mut slot = 0;
    allocations(|| {
        slot = 1 - slot;
        slots.select_slot(slot).expect("a slot that is there");
    })
}
