//! Each layer, streamed frame by frame in ONNX Runtime, against the computation on the whole signal that its test spells out.

mod attention;
mod convs;
mod norms;
mod pointwise;
mod recurrent;

use siskin_model::bundle::GraphSpec;
use siskin_model::runtime::{Runtime, StepNetwork};

use super::{END_STATE, Signal, Start, StreamGraph};
use crate::checkpoint::Tensor;

/// A whole signal, `[channel][sample]`.
type Whole = Vec<Vec<f64>>;

/// Numbers that look random and are the same each time, in -1..1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        Tensor { shape: shape.to_vec(), values: (0..count).map(|_| self.roll()).collect() }
    }

    fn signal(&mut self, channels: usize, samples: usize) -> Whole {
        (0..channels).map(|_| (0..samples).map(|_| self.roll().into()).collect()).collect()
    }
}

fn runtime() -> Runtime {
    Runtime::load(&Default::default()).expect("ONNX Runtime")
}

/// Samples `[channel][sample]` of a frame, in a row.
fn frame_of(x: &Whole, at: usize, frame: usize) -> Vec<f32> {
    let sample = |channel: &Vec<f64>, i: usize| channel.get(i).map_or(0.0, |&v| v as f32);
    x.iter().flat_map(|c| (at..at + frame).map(move |i| sample(c, i))).collect()
}

fn append(y: &mut Whole, output: &[f32]) {
    let frame = output.len() / y.len();
    y.iter_mut().zip(output.chunks_exact(frame)).for_each(|(c, o)| c.extend(o.iter().map(|&v| f64::from(v))));
}

/// Tells a graph that its input has ended, as the codecs' hosts do.
fn mark_end(network: &mut dyn StepNetwork, spec: &GraphSpec) {
    let Some(place) = spec.states.iter().position(|s| s.name == END_STATE) else { return };
    let mut states = Vec::new();
    network.save(&mut states);
    states[place].fill(1.0);
    network.restore(&states).expect("states of this graph");
}

/// Frames of a block in the tests.
const BLOCK: usize = 3;

/// The same with a graph that takes blocks: in blocks while there are as many frames, then frame by frame.
fn stream_blocks(x: &Whole, frame: usize, build: impl Fn(&mut StreamGraph, &Signal) -> Signal) -> Whole {
    let mut g = StreamGraph::new("test", Start::States);
    let input = g.block_input("x", x.len(), frame);
    let y = build(&mut g, &input);
    let (channels, lag, expected) = (y.channels, y.lag, x[0].len() / frame * y.frame);
    let (graph, spec) = g.finish("y", &y, "test.onnx");
    let open =
        |frames| runtime().open_block_network(&spec, &graph, frames).expect("a graph that the runtime takes");
    let (mut block, mut one) = (open(BLOCK), open(1));
    let (mut y, mut at, mut states) = (vec![Vec::new(); channels], 0, Vec::new());
    while at + BLOCK * frame <= x[0].len() {
        block.input().copy_from_slice(&frame_of(x, at, BLOCK * frame));
        block.run().expect("a run");
        append(&mut y, block.output());
        at += BLOCK * frame;
    }
    block.save(&mut states);
    one.restore(&states).expect("the states of the other network");
    while y[0].len() < expected + lag {
        if at == x[0].len() {
            mark_end(&mut *one, &spec);
        }
        one.input().copy_from_slice(&frame_of(x, at, frame));
        one.run().expect("a run");
        append(&mut y, one.output());
        at += frame;
    }
    y.into_iter().map(|c| c[lag..lag + expected].to_vec()).collect()
}

/// Runs what `build` makes over `x` in frames of `frame` samples, then over silence until its lag has come out; gives the
/// output without the lag. It runs twice on one network, as a reset has to leave nothing, and in blocks of frames.
fn stream(x: &Whole, frame: usize, build: impl Fn(&mut StreamGraph, &Signal) -> Signal) -> Whole {
    let mut g = StreamGraph::new("test", Start::States);
    let input = g.input("x", x.len(), frame);
    let y = build(&mut g, &input);
    let (channels, out_frame, lag) = (y.channels, y.frame, y.lag);
    let (graph, spec) = g.finish("y", &y, "test.onnx");
    let mut network = runtime().open_network(&spec, &graph).expect("a graph that the runtime takes");
    let samples = x[0].len();
    assert!(samples.is_multiple_of(frame), "{samples} samples in frames of {frame}");
    let expected = samples / frame * out_frame;
    let mut run = || {
        let mut y: Whole = vec![Vec::new(); channels];
        let mut at = 0;
        while y[0].len() < expected + lag {
            if at == samples {
                mark_end(&mut *network, &spec);
            }
            network.input().copy_from_slice(&frame_of(x, at, frame));
            network.run().expect("a run");
            append(&mut y, network.output());
            at += frame;
        }
        network.reset();
        y.into_iter().map(|c| c[lag..lag + expected].to_vec()).collect::<Whole>()
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second, "a reset leaves something");
    assert_close(&stream_blocks(x, frame, build), &first, "blocks");
    first
}

/// Panics where the two differ by more than 32-bit sums of a few hundred terms may.
fn assert_close(found: &Whole, expected: &Whole, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: channels");
    for (c, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}: samples");
        let peak = expected.iter().fold(1.0f64, |peak, v| peak.max(v.abs()));
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() <= 2e-5 * peak, "{what}: channel {c}, sample {i}: {f}, expected {e}");
        }
    }
}
