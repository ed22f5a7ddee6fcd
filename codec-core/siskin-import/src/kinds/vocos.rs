//! Vocos as a decoder of EnCodec's tokens at 24 kHz (arXiv 2306.00814), in its authors' layout.
//!
//! The encoder is that of a bundle of EnCodec. The network is told at which of four bitrates it decodes, so a bundle is for one
//! of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::json;
use siskin_error::Error;
use siskin_model::bundle::Bundle;

use super::Options;
use super::parts::{Codec, Opening, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Padding, Signal, Start, StreamGraph, Synthesis};

const HOP: usize = 320;
const FFT: usize = 1280;
const DIM: usize = 128;
const SIZE: usize = 1024;
const EPSILON: f32 = 1e-6;
/// Magnitudes are at most this.
const MAX_MAGNITUDE: f32 = 100.0;
/// Bits a second, by the number by which the network knows them, and stages of codes.
const RATES: [(u32, usize); 4] = [(1_500, 2), (3_000, 4), (6_000, 8), (12_000, 16)];
const LAYERS: usize = 8;
/// The rate that EnCodec has by default.
const DEFAULT_RATE: u32 = 6_000;

/// Checks what the checkpoint does not say.
///
/// # Errors
/// [`Error::Parameter`] for a rate that the network does not know, or without an encoder.
pub(super) fn check(options: &Options<'_>) -> Result<(), Error> {
    if options.encoder.is_none() {
        return Err(Error::parameter("encoder", "none", "a bundle of EnCodec at 24 kHz"));
    }
    match options.bitrate {
        Some(rate) if RATES.iter().all(|r| r.0 != rate) => {
            Err(Error::parameter("bitrate", rate, "1500, 3000, 6000 or 12000"))
        }
        _ => Ok(()),
    }
}

pub(super) fn import(mut checkpoint: Checkpoint, options: &Options<'_>) -> Result<Imported, String> {
    let wanted = options.bitrate.unwrap_or(DEFAULT_RATE);
    let found = RATES.iter().position(|&(rate, _)| rate == wanted);
    let rate = found.ok_or_else(|| format!("bitrate {wanted}, allowed: 1500, 3000, 6000, 12000"))?;
    let stages = RATES[rate].1;
    let encodec =
        options.encoder.ok_or("it decodes EnCodec's tokens: a bundle of EnCodec has to be given")?;
    // The published file leaves EnCodec's own weights out; one that was saved whole has them.
    checkpoint.ignore(|n| n.starts_with("feature_extractor.encodec."));
    let weights = Weights::take(&mut checkpoint, rate)?;
    let books = checkpoint.take("feature_extractor.codebook_weights", &[RATES[3].1 * SIZE, DIM])?;
    checkpoint.finish()?;
    let (decoder, delay) = weights.decoder();
    let books = Tensor { shape: vec![stages, 1, SIZE, DIM], values: books.rows(0, stages * SIZE).values };
    let encoder = EncoderParts::of(encodec, stages)?;
    // Training may have moved the entries that are decoded from those that are searched.
    let decoder_tensors = (books != encoder.codebooks).then(|| BTreeMap::from([("codebooks", books)]));
    Codec {
        name: ["vocos-encodec-1.5k", "vocos-encodec-3k", "vocos-encodec-6k", "vocos-encodec-12k"][rate],
        recognised: format!("Vocos, 24 kHz, for EnCodec's tokens at {wanted} b/s"),
        // The encoder's weights are under their own licence.
        licence: "MIT AND CC-BY-NC-4.0",
        sample_rate: 24_000,
        hop: HOP,
        delay,
        lookahead_frames: 0,
        receptive_field: [encoder.receptive_field, (2 * delay).div_ceil(HOP) + 1],
        latent_dim: DIM,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "rvq" }),
            tensors: [("codebooks", encoder.codebooks)].into(),
            decoder_tensors,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: vec![stages],
        default_stages: stages,
        encoder: encoder.network,
        decoder,
        opening: Some(Opening { frames: encoder.opening_frames, encoder: encoder.opening, decoder: None }),
    }
    .into_bundle()
}

/// What a bundle of EnCodec gives.
struct EncoderParts {
    network: Network,
    opening: Network,
    opening_frames: usize,
    receptive_field: usize,
    codebooks: Tensor,
}

impl EncoderParts {
    fn of(bundle: &Bundle, stages: usize) -> Result<Self, String> {
        let m = bundle.manifest();
        let fail = |reason: &str| format!("{}: {reason}", path_of(bundle.path()));
        let is_encodec = m.sample_rate == 24_000 && usize::from(m.hop) == HOP && m.latent_dim == DIM;
        let opening = m.opening.as_ref().filter(|_| is_encodec && m.channels == 1);
        let opening = opening.ok_or_else(|| fail("not a bundle of EnCodec at 24 kHz"))?;
        let file = |name: &str| bundle.file_bytes(name).map(Cow::into_owned).map_err(|e| e.to_string());
        let codebooks = file(&m.quantizer.file)?;
        let tensors = SafeTensors::deserialize(&codebooks).map_err(|e| fail(&e.to_string()))?;
        let view = tensors.tensor("codebooks").map_err(|e| fail(&e.to_string()))?;
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let fits = match view.shape() {
            [n, 1, SIZE, DIM] => *n >= stages && values.len() == n * SIZE * DIM,
            _ => false,
        };
        if !fits {
            return Err(fail(&format!("codebooks {:?}, needed: {stages} of EnCodec", view.shape())));
        }
        let shape = vec![stages, 1, SIZE, DIM];
        Ok(Self {
            network: (file(&m.encoder.file)?, m.encoder.clone()),
            opening: (file(&opening.encoder.file)?, opening.encoder.clone()),
            opening_frames: opening.frames,
            receptive_field: m.receptive_field_frames.encoder as usize,
            codebooks: Tensor { shape, values: values[..stages * SIZE * DIM].to_vec() },
        })
    }
}

fn path_of(path: &Path) -> String {
    path.display().to_string()
}

/// A block of ConvNeXt: a depthwise layer, a normalization, two dense layers.
struct Block {
    depthwise: Conv,
    norm: [Tensor; 2],
    widen: Conv,
    narrow: Conv,
    scale: Vec<f32>,
}

struct Weights {
    first: Conv,
    norm: [Tensor; 2],
    blocks: Vec<Block>,
    last_norm: [Tensor; 2],
    head: Conv,
    synthesis: Synthesis,
}

/// A dense layer as a convolution of one tap.
fn dense(c: &mut Checkpoint, name: &str, [out, input]: [usize; 2]) -> Result<Conv, String> {
    let weight = c.take(&format!("{name}.weight"), &[out, input])?;
    let weight = Tensor { shape: vec![out, input, 1], ..weight };
    let bias = Some(c.take(&format!("{name}.bias"), &[out])?);
    Ok(Conv { weight, bias, stride: 1, dilation: 1, groups: 1, left: 0, padding: Padding::Zero })
}

/// A layer of seven taps with its input padded alike on both sides.
fn conv(c: &mut Checkpoint, name: &str, [out, input]: [usize; 2], groups: usize) -> Result<Conv, String> {
    let weight = c.take(&format!("{name}.weight"), &[out, input, 7])?;
    let bias = Some(c.take(&format!("{name}.bias"), &[out])?);
    Ok(Conv { weight, bias, stride: 1, dilation: 1, groups, left: 3, padding: Padding::Zero })
}

/// Factors and summands after a normalization, for one of the bitrates.
fn norm_of_rate(c: &mut Checkpoint, name: &str, dim: usize, rate: usize) -> Result<[Tensor; 2], String> {
    let mut row = |part: &str| {
        let all = c.take(&format!("{name}.{part}.weight"), &[RATES.len(), dim])?;
        Ok::<_, String>(Tensor { shape: vec![dim], values: all.rows(rate, rate + 1).values })
    };
    Ok([row("scale")?, row("shift")?])
}

impl Weights {
    fn take(c: &mut Checkpoint, rate: usize) -> Result<Self, String> {
        let rows = |c: &Checkpoint, name: &str| match c.weight_shape(name) {
            Some([rows, ..]) if (1..=4096).contains(rows) => Ok(*rows),
            Some(shape) => {
                Err(format!("weights {name} have the shape {shape:?}, expected: up to 4096 channels"))
            }
            None => Err(format!("no weights {name}")),
        };
        let dim = rows(c, "backbone.embed")?;
        let hidden = rows(c, "backbone.convnext.0.pwconv1")?;
        let first = conv(c, "backbone.embed", [dim, DIM], 1)?;
        let norm = norm_of_rate(c, "backbone.norm", dim, rate)?;
        let block = |i: usize| {
            let name = format!("backbone.convnext.{i}");
            Ok::<_, String>(Block {
                depthwise: conv(c, &format!("{name}.dwconv"), [dim, 1], dim)?,
                norm: norm_of_rate(c, &format!("{name}.norm"), dim, rate)?,
                widen: dense(c, &format!("{name}.pwconv1"), [hidden, dim])?,
                narrow: dense(c, &format!("{name}.pwconv2"), [dim, hidden])?,
                scale: c.take(&format!("{name}.gamma"), &[dim])?.values,
            })
        };
        let blocks = (0..LAYERS).map(block).collect::<Result<_, _>>()?;
        let last = "backbone.final_layer_norm";
        let last_norm =
            [c.take(&format!("{last}.weight"), &[dim])?, c.take(&format!("{last}.bias"), &[dim])?];
        let head = dense(c, "head.out", [FFT + 2, dim])?;
        let synthesis = Synthesis { window: c.take("head.istft.window", &[FFT])?, hop: HOP };
        Ok(Self { first, norm, blocks, last_norm, head, synthesis })
    }

    /// The decoder and the samples by which it lags.
    fn decoder(&self) -> (Network, usize) {
        let mut g = StreamGraph::new("decoder", Start::States);
        let latents = g.block_input("latents", DIM, 1);
        let mut x = g.conv(&latents, &self.first);
        x = g.channel_norm(&x, &self.norm, EPSILON);
        for block in &self.blocks {
            x = block.add(&mut g, &x);
        }
        x = g.channel_norm(&x, &self.last_norm, EPSILON);
        x = g.conv(&x, &self.head);
        x = g.synthesize(&x, &self.synthesis, MAX_MAGNITUDE);
        let lag = x.lag;
        (g.finish("pcm", &x, "decoder.onnx"), lag)
    }
}

impl Block {
    fn add(&self, g: &mut StreamGraph, x: &Signal) -> Signal {
        let y = g.conv(x, &self.depthwise);
        let y = g.channel_norm(&y, &self.norm, EPSILON);
        let y = g.conv(&y, &self.widen);
        let y = g.gelu(&y);
        let y = g.conv(&y, &self.narrow);
        let y = g.scale(&y, &self.scale);
        g.add(x, &y)
    }
}
