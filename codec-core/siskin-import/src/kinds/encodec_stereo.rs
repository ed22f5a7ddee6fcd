//! EnCodec at 48 kHz in stereo (arXiv 2210.13438, section 3.1): segments of a second, which overlap by a hundredth and have a
//! loudness each, with normalizations over all of a segment.

use serde_json::json;
use siskin_model::bundle::SegmentSpec;

use super::encodec::{DIM, HOP, RATIOS, SIZE, codebooks};
use super::parts::{Codec, Quantizer};
use super::seanet::{Layers, Seanet, Shape};
use crate::bundle::{Imported, Network};
use crate::checkpoint::Checkpoint;
use crate::whole::{TimeNorm, WholeConv, WholeGraph, WholeTransposed};

const CHANNELS: usize = 2;
const SEGMENTS: SegmentSpec = SegmentSpec::ENCODEC_48K;

/// Makes a bundle of a checkpoint whose names have been made those of transformers.
pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    let weights = take_weights(&mut checkpoint)?;
    let (codebooks, stages) = codebooks(&mut checkpoint, SIZE)?;
    // A second of the sound before is in the overlap's segment.
    let frames = SEGMENTS.samples / HOP;
    Codec {
        name: "encodec-48k",
        recognised: format!("EnCodec, 48 kHz stereo, {stages} codebooks"),
        licence: "CC-BY-NC-4.0",
        sample_rate: 48_000,
        hop: HOP,
        delay: 0,
        lookahead_frames: 0,
        receptive_field: [frames, frames],
        latent_dim: DIM,
        channels: CHANNELS,
        segments: Some(SEGMENTS),
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "rvq" }),
            tensors: [("codebooks", codebooks)].into(),
            decoder_tensors: None,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: [2, 4, 8, 16].into_iter().filter(|&s| s <= stages).collect(),
        default_stages: stages.min(4),
        encoder: encoder(&weights),
        decoder: decoder(&weights),
        opening: None,
    }
    .into_bundle()
}

/// Each layer normalizes over all of a segment.
struct Normalized;

type Weights = Seanet<WholeConv, WholeTransposed>;

fn norm(c: &mut Checkpoint, name: &str, channels: usize) -> Result<TimeNorm, String> {
    Ok(TimeNorm {
        weight: c.take(&format!("{name}.norm.weight"), &[channels])?,
        bias: c.take(&format!("{name}.norm.bias"), &[channels])?,
    })
}

impl Layers for Normalized {
    type Conv = WholeConv;
    type Transposed = WholeTransposed;

    fn conv(
        &self,
        c: &mut Checkpoint,
        name: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<WholeConv, String> {
        Ok(WholeConv {
            weight: c.take(&format!("{name}.conv.weight"), &shape)?,
            bias: c.take(&format!("{name}.conv.bias"), &shape[..1])?,
            stride,
            norm: norm(c, name, shape[0])?,
        })
    }

    fn transposed(
        &self,
        c: &mut Checkpoint,
        name: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<WholeTransposed, String> {
        Ok(WholeTransposed {
            weight: c.take(&format!("{name}.conv.weight"), &shape)?,
            bias: c.take(&format!("{name}.conv.bias"), &shape[1..2])?,
            stride,
            norm: norm(c, name, shape[1])?,
        })
    }
}

fn take_weights(c: &mut Checkpoint) -> Result<Weights, String> {
    // As many as the first layer says: the released codec has 32.
    let filters = c.weight_shape("encoder.layers.0.conv").map_or(0, |shape| shape[0]);
    if !(1..=64).contains(&filters) {
        return Err(format!("{filters} filters in encoder.layers.0.conv, allowed: 1 to 64"));
    }
    let shape = Shape {
        channels: CHANNELS,
        filters,
        ratios: RATIOS,
        dim: DIM,
        last_taps: 7,
        is_recurrent: true,
        has_shortcut: true,
    };
    Weights::take(c, &Normalized, &shape)
}

fn encoder(weights: &Weights) -> Network {
    let mut g = WholeGraph::new("encoder");
    let pcm = g.input("pcm", CHANNELS);
    let latents = weights.encode(&mut g, &pcm);
    g.finish("latents", &latents, "encoder.onnx")
}

fn decoder(weights: &Weights) -> Network {
    let mut g = WholeGraph::new("decoder");
    let latents = g.input("latents", DIM);
    let pcm = weights.decode(&mut g, &latents);
    g.finish("pcm", &pcm, "decoder.onnx")
}
