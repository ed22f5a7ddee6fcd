//! EnCodec at 24 kHz (arXiv 2210.13438, section 3.1), in the layouts of the authors' package and of transformers, and at 32 kHz, on
//! which MusicGen was trained (arXiv 2306.05284, section 3.1), in that of transformers.

use serde_json::json;

use super::encodec_stereo;
use super::parts::{Codec, Opening, Quantizer};
use super::seanet::{Layers, Seanet, Shape};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Padding, Signal, Start, StreamGraph, Transposed};

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
    let shape = Shape {
        channels: 1,
        filters: variant.filters,
        ratios: variant.ratios,
        dim: DIM,
        last_taps: 7,
        is_recurrent: true,
        has_shortcut: variant.has_shortcut,
    };
    let weights = Weights::take(&mut checkpoint, &variant, &shape)?;
    let (codebooks, stages) = codebooks(&mut checkpoint, variant.size)?;
    let (encoding, lookahead) = encoder(&weights, &variant, None);
    let (decoding, delay) = decoder(&weights, None);
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
        encoder: encoding,
        decoder: decoding,
        opening: Some(Opening {
            frames: variant.opening,
            encoder: encoder(&weights, &variant, opening).0,
            decoder: Some(decoder(&weights, opening).0),
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

impl Layers for Variant {
    type Conv = Conv;
    type Transposed = Transposed;

    fn conv(&self, c: &mut Checkpoint, name: &str, shape: [usize; 3], stride: usize) -> Result<Conv, String> {
        let weight = c.weight(&format!("{name}.conv"), &shape)?;
        let bias = Some(c.take(&format!("{name}.conv.bias"), &shape[..1])?);
        let total = shape[2] - stride;
        let left = if self.is_causal { total } else { total - total / 2 };
        let (dilation, groups) = (1, 1);
        Ok(Conv { weight, bias, stride, dilation, groups, left, padding: Padding::Reflect })
    }

    fn transposed(
        &self,
        c: &mut Checkpoint,
        name: &str,
        shape: [usize; 3],
        stride: usize,
    ) -> Result<Transposed, String> {
        let weight = c.weight(&format!("{name}.conv"), &shape)?;
        let bias = Some(c.take(&format!("{name}.conv.bias"), &shape[1..2])?);
        // The causal network cuts all of the overlap off at the right, the other half of it.
        let cut = if self.is_causal { 0 } else { stride - stride / 2 };
        Ok(Transposed { weight, bias, stride, groups: 1, cut })
    }
}

type Weights = Seanet<Conv, Transposed>;

/// The network, of the first frames if there are so many, and the frames by which it lags.
fn encoder(weights: &Weights, v: &Variant, opening: Option<usize>) -> (Network, usize) {
    let (mut g, pcm) = begin("encoder", "pcm", [1, v.hop()], opening);
    let x = weights.encode(&mut g, &pcm);
    let file = if opening.is_some() { "encoder-opening.onnx" } else { "encoder.onnx" };
    (g.finish("latents", &x, file), x.lag)
}

/// The network, of the first frames if there are so many, and the samples by which it lags.
fn decoder(weights: &Weights, opening: Option<usize>) -> (Network, usize) {
    let (mut g, latents) = begin("decoder", "latents", [DIM, 1], opening);
    let x = weights.decode(&mut g, &latents);
    let file = if opening.is_some() { "decoder-opening.onnx" } else { "decoder.onnx" };
    (g.finish("pcm", &x, file), x.lag)
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
