//! The product's own code allocates nothing a frame once a stream runs. A network of a few lines stands in for ONNX
//! Runtime, which does allocate; this file holds one test only, since the counter sees every thread.

use std::alloc::System;

use siskin_core::audio::{
    Decoder, EncodedPacket, Encoder, EncoderConfig, FrameDecoder, FrameEncoder, ResidualQuantizer,
};
use siskin_core::bitstream::{BundleId, StreamHeader};
use siskin_core::bundle::{QuantizerKind, QuantizerSpec};
use siskin_core::runtime::{Provider, StepNetwork};
use siskin_core::{Error, Result};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HOP: usize = 480;
const DIM: usize = 32;

/// Copies what fits from input to output.
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
    fn save(&self, _into: &mut Vec<Vec<f32>>) {}
    fn restore(&mut self, _from: &[Vec<f32>]) -> Result<()> {
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
    };
    let entries = (0..18 * 1024 * DIM).map(|i| (i as f32 * 0.37).sin()).collect();
    ResidualQuantizer::new(&spec, &[18, 1, 1024, DIM], entries).expect("matching shapes")
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
    let mut decoder =
        Decoder::from_parts(FrameDecoder::from_parts(Copy::boxed(DIM, HOP), quantizer()), header);
    let pcm: Vec<f32> = (0..24_000).map(|i| (i as f32 * 0.05).sin()).collect();
    let mut out = Vec::with_capacity(5 * HOP);
    let mut second = |encoder: &mut Encoder| {
        let mut emit = |packet: EncodedPacket<'_>| -> std::result::Result<(), Error> {
            out.clear();
            decoder.decode(packet.data, &mut out).map(drop)
        };
        encoder.push(&pcm, &mut emit)
    };
    second(&mut encoder).expect("the copy never fails");
    let region = Region::new(ALLOCATOR);
    for _ in 0..5 {
        second(&mut encoder).expect("the copy never fails");
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
}
