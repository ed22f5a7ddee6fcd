//! EnCodec at 24 kHz (arXiv 2210.13438, section 3.1), in the layouts of the authors' package and of transformers.

use serde_json::json;

use super::encodec_stereo;
use super::parts::{Codec, Opening, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Lstm, Padding, Signal, Start, StreamGraph, Transposed};

pub(super) const RATIOS: [usize; 4] = [2, 4, 5, 8];
pub(super) const HOP: usize = 320;
const FILTERS: usize = 32;
pub(super) const DIM: usize = 128;
pub(super) const SIZE: usize = 1024;
/// The deepest layers have a sample a frame and are padded with six mirrored ones, which come with the seventh frame.
const OPENING: usize = 7;

/// Names of the authors' package in those of transformers, which are shorter.
fn rename(name: &str) -> String {
    let name = name.replace(".model.", ".layers.").replace("quantizer.vq.layers.", "quantizer.layers.");
    name.replace(".convtr.convtr.", ".conv.")
        .replace(".conv.conv.", ".conv.")
        .replace(".conv.norm.", ".norm.")
        .replace(".convtr.norm.", ".norm.")
        .replace("._codebook.", ".codebook.")
}

pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    checkpoint.rename(rename);
    // Sizes of clusters and running means, by which training moves the codebooks.
    checkpoint.ignore(|n| {
        n.starts_with("quantizer.") && ["inited", "cluster_size", "embed_avg"].iter().any(|e| n.ends_with(e))
    });
    // Only the stereo codec takes two channels, and only it normalizes.
    if checkpoint.has("encoder.layers.0.norm.weight") {
        return encodec_stereo::import(checkpoint);
    }
    let weights = Weights::take(&mut checkpoint)?;
    let (codebooks, stages) = codebooks(&mut checkpoint)?;
    checkpoint.finish()?;
    Codec {
        name: "encodec-24k",
        recognised: format!("EnCodec, 24 kHz, {stages} codebooks"),
        // The weights' licence, as their authors state it; the code is under MIT.
        licence: "CC-BY-NC-4.0",
        sample_rate: 24_000,
        hop: HOP,
        delay: 0,
        lookahead_frames: 0,
        // The recurrent layers have no end; half a second settles them.
        receptive_field: [50, 50],
        latent_dim: DIM,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "rvq" }),
            tensors: [("codebooks", codebooks)].into(),
            decoder_tensors: None,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: [2, 4, 8, 16, 32].into_iter().filter(|&s| s <= stages).collect(),
        default_stages: stages.min(8),
        encoder: weights.encoder(Start::States, 1, "encoder.onnx"),
        decoder: weights.decoder(Start::States, 1, "decoder.onnx"),
        opening: Some(Opening {
            frames: OPENING,
            encoder: weights.encoder(Start::Padding, OPENING, "encoder-opening.onnx"),
            decoder: Some(weights.decoder(Start::Padding, OPENING, "decoder-opening.onnx")),
        }),
    }
    .into_bundle()
}

/// The codebooks as a tensor, and their number.
pub(super) fn codebooks(c: &mut Checkpoint) -> Result<(Tensor, usize), String> {
    let stages = (0..64).take_while(|i| c.has(&format!("quantizer.layers.{i}.codebook.embed"))).count();
    if stages == 0 {
        return Err("no codebooks".into());
    }
    let mut values = Vec::with_capacity(stages * SIZE * DIM);
    for stage in 0..stages {
        let name = format!("quantizer.layers.{stage}.codebook.embed");
        values.extend(c.take(&name, &[SIZE, DIM])?.values);
    }
    Ok((Tensor { shape: vec![stages, 1, SIZE, DIM], values }, stages))
}

struct Residual {
    narrow: Conv,
    widen: Conv,
    shortcut: Conv,
}

struct Weights {
    first: Conv,
    down: Vec<(Residual, Conv)>,
    lstm: [Vec<Lstm>; 2],
    last: Conv,
    start: Conv,
    up: Vec<(Transposed, Residual)>,
    end: Conv,
}

fn conv(c: &mut Checkpoint, name: &str, shape: [usize; 3], stride: usize) -> Result<Conv, String> {
    let weight = c.weight(name, &shape)?;
    let bias = Some(c.take(&format!("{name}.bias"), &shape[..1])?);
    let (dilation, groups, left) = (1, 1, shape[2] - stride);
    Ok(Conv { weight, bias, stride, dilation, groups, left, padding: Padding::Reflect })
}

fn residual(c: &mut Checkpoint, name: &str, channels: usize) -> Result<Residual, String> {
    let half = channels / 2;
    Ok(Residual {
        narrow: conv(c, &format!("{name}.block.1.conv"), [half, channels, 3], 1)?,
        widen: conv(c, &format!("{name}.block.3.conv"), [channels, half, 1], 1)?,
        shortcut: conv(c, &format!("{name}.shortcut.conv"), [channels, channels, 1], 1)?,
    })
}

pub(super) fn lstm(c: &mut Checkpoint, name: &str, units: usize) -> Result<Vec<Lstm>, String> {
    let layer = |c: &mut Checkpoint, i: usize| {
        Ok(Lstm {
            input: c.take(&format!("{name}.lstm.weight_ih_l{i}"), &[4 * units, units])?,
            hidden: c.take(&format!("{name}.lstm.weight_hh_l{i}"), &[4 * units, units])?,
            input_bias: c.take(&format!("{name}.lstm.bias_ih_l{i}"), &[4 * units])?,
            hidden_bias: c.take(&format!("{name}.lstm.bias_hh_l{i}"), &[4 * units])?,
        })
    };
    (0..2).map(|i| layer(c, i)).collect()
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        let first = conv(c, "encoder.layers.0.conv", [FILTERS, 1, 7], 1)?;
        let (mut down, mut channels) = (Vec::new(), FILTERS);
        for (i, ratio) in RATIOS.into_iter().enumerate() {
            let block = residual(c, &format!("encoder.layers.{}", 3 * i + 1), channels)?;
            let name = format!("encoder.layers.{}.conv", 3 * i + 3);
            down.push((block, conv(c, &name, [2 * channels, channels, 2 * ratio], ratio)?));
            channels *= 2;
        }
        let recurrent = [lstm(c, "encoder.layers.13", channels)?, lstm(c, "decoder.layers.1", channels)?];
        let last = conv(c, "encoder.layers.15.conv", [DIM, channels, 7], 1)?;
        let start = conv(c, "decoder.layers.0.conv", [channels, DIM, 7], 1)?;
        let mut up = Vec::new();
        for (i, stride) in RATIOS.into_iter().rev().enumerate() {
            let name = format!("decoder.layers.{}.conv", 3 * i + 3);
            let half = channels / 2;
            let weight = c.weight(&name, &[channels, half, 2 * stride])?;
            let bias = Some(c.take(&format!("{name}.bias"), &[half])?);
            // The published network cuts all of the overlap off at the right.
            let transposed = Transposed { weight, bias, stride, groups: 1, cut: 0 };
            up.push((transposed, residual(c, &format!("decoder.layers.{}", 3 * i + 4), half)?));
            channels = half;
        }
        let end = conv(c, "decoder.layers.15.conv", [1, FILTERS, 7], 1)?;
        Ok(Self { first, down, lstm: recurrent, last, start, up, end })
    }

    fn encoder(&self, start: Start, frames: usize, file: &str) -> Network {
        let mut g = StreamGraph::new("encoder", start);
        let pcm = if start == Start::States {
            g.block_input("pcm", 1, HOP)
        } else {
            g.input("pcm", 1, frames * HOP)
        };
        let mut x = g.conv(&pcm, &self.first);
        for (block, down) in &self.down {
            x = add_residual(&mut g, &x, block);
            x = g.elu(&x);
            x = g.conv(&x, down);
        }
        x = add_recurrent(&mut g, &x, &self.lstm[0]);
        x = g.elu(&x);
        x = g.conv(&x, &self.last);
        g.finish("latents", &x, file)
    }

    fn decoder(&self, start: Start, frames: usize, file: &str) -> Network {
        let mut g = StreamGraph::new("decoder", start);
        let latents = if start == Start::States {
            g.block_input("latents", DIM, 1)
        } else {
            g.input("latents", DIM, frames)
        };
        let mut x = g.conv(&latents, &self.start);
        x = add_recurrent(&mut g, &x, &self.lstm[1]);
        for (up, block) in &self.up {
            x = g.elu(&x);
            x = g.conv_transpose(&x, up);
            x = add_residual(&mut g, &x, block);
        }
        x = g.elu(&x);
        x = g.conv(&x, &self.end);
        g.finish("pcm", &x, file)
    }
}

fn add_residual(g: &mut StreamGraph, x: &Signal, block: &Residual) -> Signal {
    let y = g.elu(x);
    let y = g.conv(&y, &block.narrow);
    let y = g.elu(&y);
    let y = g.conv(&y, &block.widen);
    let x = g.conv(x, &block.shortcut);
    g.add(&x, &y)
}

fn add_recurrent(g: &mut StreamGraph, x: &Signal, layers: &[Lstm]) -> Signal {
    let y = layers.iter().fold(x.clone(), |y, layer| g.lstm(&y, layer));
    g.add(x, &y)
}
