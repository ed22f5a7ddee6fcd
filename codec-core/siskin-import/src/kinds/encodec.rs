//! EnCodec at 24 kHz (arXiv 2210.13438, section 3.1), in the layouts of the authors' package and of transformers, and at 32 kHz, on
//! which MusicGen was trained (arXiv 2306.05284, section 3.1), in that of transformers.

use serde_json::json;

use super::encodec_stereo;
use super::parts::{Codec, Opening, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Lstm, Padding, Signal, Start, StreamGraph, Transposed};

pub(super) const RATIOS: [usize; 4] = [2, 4, 5, 8];
pub(super) const HOP: usize = 320;
pub(super) const DIM: usize = 128;
pub(super) const SIZE: usize = 1024;

/// What tells the codecs apart.
struct Variant {
    name: &'static str,
    title: &'static str,
    sample_rate: u32,
    ratios: [usize; 4],
    /// Channels at the samples' rate.
    filters: usize,
    /// Entries of a codebook.
    size: usize,
    /// Whether layers look back only. Those that do not are padded by half on each side.
    is_causal: bool,
    /// Whether the input of a residual unit passes a layer before the sum.
    has_shortcut: bool,
    /// Frames at the start of a file that depend on one another, because layers are padded with mirrored samples: the deepest have
    /// a sample a frame and are padded with six, which come with the seventh frame, or with three after the look-ahead.
    opening: usize,
}

const AT_24: Variant = Variant {
    name: "encodec-24k",
    title: "EnCodec, 24 kHz",
    sample_rate: 24_000,
    ratios: RATIOS,
    filters: 32,
    size: SIZE,
    is_causal: true,
    has_shortcut: true,
    opening: 7,
};

const AT_32: Variant = Variant {
    name: "encodec-32k",
    title: "EnCodec, 32 kHz (MusicGen)",
    sample_rate: 32_000,
    ratios: [4, 4, 5, 8],
    filters: 64,
    size: 2048,
    is_causal: false,
    has_shortcut: false,
    opening: 16,
};

impl Variant {
    fn hop(&self) -> usize {
        self.ratios.iter().product()
    }
}

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
    let filters = checkpoint.weight_shape("encoder.layers.0.conv").map_or(0, |shape| shape[0]);
    let variant = if filters == AT_32.filters { AT_32 } else { AT_24 };
    let weights = Weights::take(&mut checkpoint, &variant)?;
    let (codebooks, stages) = codebooks(&mut checkpoint, variant.size)?;
    let (encoder, lookahead) = weights.encoder(&variant, None);
    let (decoder, delay) = weights.decoder(None);
    let opening = Some(variant.opening);
    Codec {
        name: variant.name,
        recognised: format!("{}, {stages} codebooks", variant.title),
        // The weights' licence, as their authors state it; the code is under MIT.
        licence: "CC-BY-NC-4.0",
        sample_rate: variant.sample_rate,
        hop: variant.hop(),
        delay,
        lookahead_frames: lookahead,
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
            size: variant.size,
        },
        prefixes: [2, 4, 8, 16, 32].into_iter().filter(|&s| s <= stages).collect(),
        default_stages: stages.min(8),
        encoder,
        decoder,
        opening: Some(Opening {
            frames: variant.opening,
            encoder: weights.encoder(&variant, opening).0,
            decoder: Some(weights.decoder(opening).0),
        }),
    }
    .into_bundle()
}

/// The codebooks as a tensor, and their number; they are the last that is taken.
pub(super) fn codebooks(c: &mut Checkpoint, size: usize) -> Result<(Tensor, usize), String> {
    let stages = (0..64).take_while(|i| c.has(&format!("quantizer.layers.{i}.codebook.embed"))).count();
    let mut values = Vec::with_capacity(stages * size * DIM);
    for stage in 0..stages {
        let name = format!("quantizer.layers.{stage}.codebook.embed");
        values.extend(c.take(&name, &[size, DIM])?.values);
    }
    c.finish()?;
    if stages == 0 {
        return Err("no codebooks".into());
    }
    Ok((Tensor { shape: vec![stages, 1, size, DIM], values }, stages))
}

struct Residual {
    narrow: Conv,
    widen: Conv,
    shortcut: Option<Conv>,
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

impl Variant {
    fn conv(&self, c: &mut Checkpoint, name: &str, shape: [usize; 3], stride: usize) -> Result<Conv, String> {
        let weight = c.weight(name, &shape)?;
        let bias = Some(c.take(&format!("{name}.bias"), &shape[..1])?);
        let total = shape[2] - stride;
        let left = if self.is_causal { total } else { total - total / 2 };
        let (dilation, groups) = (1, 1);
        Ok(Conv { weight, bias, stride, dilation, groups, left, padding: Padding::Reflect })
    }

    fn residual(&self, c: &mut Checkpoint, name: &str, channels: usize) -> Result<Residual, String> {
        let half = channels / 2;
        let name_of = |part: &str| format!("{name}.{part}.conv");
        let shortcut = self
            .has_shortcut
            .then(|| self.conv(c, &name_of("shortcut"), [channels, channels, 1], 1))
            .transpose()?;
        Ok(Residual {
            narrow: self.conv(c, &name_of("block.1"), [half, channels, 3], 1)?,
            widen: self.conv(c, &name_of("block.3"), [channels, half, 1], 1)?,
            shortcut,
        })
    }
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
    fn take(c: &mut Checkpoint, v: &Variant) -> Result<Self, String> {
        let first = v.conv(c, "encoder.layers.0.conv", [v.filters, 1, 7], 1)?;
        let (mut down, mut channels) = (Vec::new(), v.filters);
        for (i, ratio) in v.ratios.into_iter().enumerate() {
            let block = v.residual(c, &format!("encoder.layers.{}", 3 * i + 1), channels)?;
            let name = format!("encoder.layers.{}.conv", 3 * i + 3);
            down.push((block, v.conv(c, &name, [2 * channels, channels, 2 * ratio], ratio)?));
            channels *= 2;
        }
        let recurrent = [lstm(c, "encoder.layers.13", channels)?, lstm(c, "decoder.layers.1", channels)?];
        let last = v.conv(c, "encoder.layers.15.conv", [DIM, channels, 7], 1)?;
        let start = v.conv(c, "decoder.layers.0.conv", [channels, DIM, 7], 1)?;
        let mut up = Vec::new();
        for (i, stride) in v.ratios.into_iter().rev().enumerate() {
            let name = format!("decoder.layers.{}.conv", 3 * i + 3);
            let half = channels / 2;
            let weight = c.weight(&name, &[channels, half, 2 * stride])?;
            let bias = Some(c.take(&format!("{name}.bias"), &[half])?);
            // The causal network cuts all of the overlap off at the right, the other half of it.
            let cut = if v.is_causal { 0 } else { stride - stride / 2 };
            let transposed = Transposed { weight, bias, stride, groups: 1, cut };
            up.push((transposed, v.residual(c, &format!("decoder.layers.{}", 3 * i + 4), half)?));
            channels = half;
        }
        let end = v.conv(c, "decoder.layers.15.conv", [1, v.filters, 7], 1)?;
        Ok(Self { first, down, lstm: recurrent, last, start, up, end })
    }

    /// The network, of the first frames if there are so many, and the frames by which it lags.
    fn encoder(&self, v: &Variant, opening: Option<usize>) -> (Network, usize) {
        let (mut g, pcm) = begin("encoder", "pcm", [1, v.hop()], opening);
        let mut x = g.conv(&pcm, &self.first);
        for (block, down) in &self.down {
            x = add_residual(&mut g, &x, block);
            x = g.elu(&x);
            x = g.conv(&x, down);
        }
        x = add_recurrent(&mut g, &x, &self.lstm[0]);
        x = g.elu(&x);
        x = g.conv(&x, &self.last);
        let file = if opening.is_some() { "encoder-opening.onnx" } else { "encoder.onnx" };
        (g.finish("latents", &x, file), x.lag)
    }

    /// The network, of the first frames if there are so many, and the samples by which it lags.
    fn decoder(&self, opening: Option<usize>) -> (Network, usize) {
        let (mut g, latents) = begin("decoder", "latents", [DIM, 1], opening);
        let mut x = g.conv(&latents, &self.start);
        x = add_recurrent(&mut g, &x, &self.lstm[1]);
        for (up, block) in &self.up {
            x = g.elu(&x);
            x = g.conv_transpose(&x, up);
            x = add_residual(&mut g, &x, block);
        }
        x = g.elu(&x);
        x = g.conv(&x, &self.end);
        let file = if opening.is_some() { "decoder-opening.onnx" } else { "decoder.onnx" };
        (g.finish("pcm", &x, file), x.lag)
    }
}

/// A graph of any frames or of the first ones, with its input.
fn begin(
    name: &str,
    input: &str,
    [channels, frame]: [usize; 2],
    opening: Option<usize>,
) -> (StreamGraph, Signal) {
    match opening {
        None => {
            let mut g = StreamGraph::new(name, Start::States);
            let x = g.block_input(input, channels, frame);
            (g, x)
        }
        Some(frames) => {
            let mut g = StreamGraph::opening(name, frames);
            let x = g.input(input, channels, frames * frame);
            (g, x)
        }
    }
}

fn add_residual(g: &mut StreamGraph, x: &Signal, block: &Residual) -> Signal {
    let y = g.elu(x);
    let y = g.conv(&y, &block.narrow);
    let y = g.elu(&y);
    let y = g.conv(&y, &block.widen);
    let x = match &block.shortcut {
        Some(shortcut) => g.conv(x, shortcut),
        None => x.clone(),
    };
    g.add(&x, &y)
}

fn add_recurrent(g: &mut StreamGraph, x: &Signal, layers: &[Lstm]) -> Signal {
    let y = layers.iter().fold(x.clone(), |y, layer| g.lstm(&y, layer));
    g.add(x, &y)
}
