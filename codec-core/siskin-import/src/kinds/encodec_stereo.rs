//! EnCodec at 48 kHz in stereo (arXiv 2210.13438, section 3.1): segments of a second, which overlap by a hundredth and have a
//! loudness each, with normalizations over all of a segment.

use serde_json::json;
use siskin_model::bundle::SegmentSpec;

use super::encodec::{DIM, HOP, RATIOS, SIZE, codebooks, lstm};
use super::parts::{Codec, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::Checkpoint;
use crate::stream::Lstm;
use crate::whole::{TimeNorm, Whole, WholeConv, WholeGraph, WholeTransposed};

const CHANNELS: usize = 2;
const SEGMENTS: SegmentSpec = SegmentSpec { samples: 48_000, stride: 47_520, normalized: true };

/// Makes a bundle of a checkpoint whose names have been made those of transformers.
pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    let weights = Weights::take(&mut checkpoint)?;
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
        encoder: weights.encoder(),
        decoder: weights.decoder(),
        opening: None,
    }
    .into_bundle()
}

struct Residual {
    narrow: WholeConv,
    widen: WholeConv,
    shortcut: WholeConv,
}

struct Weights {
    first: WholeConv,
    down: Vec<(Residual, WholeConv)>,
    lstm: [Vec<Lstm>; 2],
    last: WholeConv,
    start: WholeConv,
    up: Vec<(WholeTransposed, Residual)>,
    end: WholeConv,
}

fn norm(c: &mut Checkpoint, name: &str, channels: usize) -> Result<TimeNorm, String> {
    Ok(TimeNorm {
        weight: c.take(&format!("{name}.norm.weight"), &[channels])?,
        bias: c.take(&format!("{name}.norm.bias"), &[channels])?,
    })
}

fn conv(c: &mut Checkpoint, name: &str, shape: [usize; 3], stride: usize) -> Result<WholeConv, String> {
    Ok(WholeConv {
        weight: c.take(&format!("{name}.conv.weight"), &shape)?,
        bias: c.take(&format!("{name}.conv.bias"), &shape[..1])?,
        stride,
        norm: norm(c, name, shape[0])?,
    })
}

fn transposed(
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

fn residual(c: &mut Checkpoint, name: &str, channels: usize) -> Result<Residual, String> {
    let half = channels / 2;
    Ok(Residual {
        narrow: conv(c, &format!("{name}.block.1"), [half, channels, 3], 1)?,
        widen: conv(c, &format!("{name}.block.3"), [channels, half, 1], 1)?,
        shortcut: conv(c, &format!("{name}.shortcut"), [channels, channels, 1], 1)?,
    })
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        // As many as the first layer says: the released codec has 32.
        let filters = c.weight_shape("encoder.layers.0.conv").map_or(0, |shape| shape[0]);
        if !(1..=64).contains(&filters) {
            return Err(format!("{filters} filters in encoder.layers.0.conv, allowed: 1 to 64"));
        }
        let first = conv(c, "encoder.layers.0", [filters, CHANNELS, 7], 1)?;
        let (mut down, mut channels) = (Vec::new(), filters);
        for (i, ratio) in RATIOS.into_iter().enumerate() {
            let block = residual(c, &format!("encoder.layers.{}", 3 * i + 1), channels)?;
            let name = format!("encoder.layers.{}", 3 * i + 3);
            down.push((block, conv(c, &name, [2 * channels, channels, 2 * ratio], ratio)?));
            channels *= 2;
        }
        let recurrent = [lstm(c, "encoder.layers.13", channels)?, lstm(c, "decoder.layers.1", channels)?];
        let last = conv(c, "encoder.layers.15", [DIM, channels, 7], 1)?;
        let start = conv(c, "decoder.layers.0", [channels, DIM, 7], 1)?;
        let mut up = Vec::new();
        for (i, stride) in RATIOS.into_iter().rev().enumerate() {
            let (name, half) = (format!("decoder.layers.{}", 3 * i + 3), channels / 2);
            let layer = transposed(c, &name, [channels, half, 2 * stride], stride)?;
            up.push((layer, residual(c, &format!("decoder.layers.{}", 3 * i + 4), half)?));
            channels = half;
        }
        let end = conv(c, "decoder.layers.15", [CHANNELS, filters, 7], 1)?;
        Ok(Self { first, down, lstm: recurrent, last, start, up, end })
    }

    fn encoder(&self) -> Network {
        let mut g = WholeGraph::new("encoder");
        let pcm = g.input("pcm", CHANNELS);
        let mut x = g.conv(&pcm, &self.first);
        for (block, down) in &self.down {
            x = add_residual(&mut g, &x, block);
            x = g.elu(&x);
            x = g.conv(&x, down);
        }
        x = add_recurrent(&mut g, &x, &self.lstm[0]);
        x = g.elu(&x);
        x = g.conv(&x, &self.last);
        g.finish("latents", &x, "encoder.onnx")
    }

    fn decoder(&self) -> Network {
        let mut g = WholeGraph::new("decoder");
        let latents = g.input("latents", DIM);
        let mut x = g.conv(&latents, &self.start);
        x = add_recurrent(&mut g, &x, &self.lstm[1]);
        for (up, block) in &self.up {
            x = g.elu(&x);
            x = g.conv_transpose(&x, up);
            x = add_residual(&mut g, &x, block);
        }
        x = g.elu(&x);
        x = g.conv(&x, &self.end);
        g.finish("pcm", &x, "decoder.onnx")
    }
}

fn add_residual(g: &mut WholeGraph, x: &Whole, block: &Residual) -> Whole {
    let y = g.elu(x);
    let y = g.conv(&y, &block.narrow);
    let y = g.elu(&y);
    let y = g.conv(&y, &block.widen);
    let x = g.conv(x, &block.shortcut);
    g.add(&x, &y)
}

fn add_recurrent(g: &mut WholeGraph, x: &Whole, layers: &[Lstm]) -> Whole {
    let y = g.lstm(x, layers);
    g.add(x, &y)
}
