//! HiFi-Codec of AcademiCodec at 16 and 24 kHz (arXiv 2305.02765), in its authors' layout.
//!
//! The encoder normalizes groups of channels over the whole of a file, which no stream can do; here each normalization sees the
//! last 50 frames, as many as the segments have on which the codec was trained. So codes are not those that the authors'
//! program gives for a file, while the decoder, which normalizes nothing, gives their samples for any codes.

use serde_json::json;

use super::parts::{Codec, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, GroupNorm, Padding, Signal, Start, StreamGraph, Transposed};

const BLOCKS: usize = 4;
const DIM: usize = 512;
const SIZE: usize = 1024;
const GROUPS: usize = 2;
const STAGES: usize = 2;
/// Taps of the residual blocks that run side by side in the decoder; the encoder has them in the other order.
const KERNELS: [usize; 3] = [3, 7, 11];
const DILATIONS: [usize; 3] = [1, 3, 5];
/// Channels of the encoder at the samples' rate.
const FILTERS: usize = 32;
/// Slope of the activations below zero; PyTorch's default before the encoder's last layer.
const SLOPE: f32 = 0.1;
const LAST_SLOPE: f32 = 0.01;
/// Channels that are normalized together.
const NORM_CHANNELS: usize = 16;
/// Frames over which they are: training's segments have 50 in each of the published configurations.
const NORM_FRAMES: usize = 50;

pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    let stated_rate = checkpoint.number("config.sampling_rate");
    let weights = Weights::take(&mut checkpoint)?;
    let mut entries = Vec::with_capacity(STAGES * GROUPS * SIZE * DIM / GROUPS);
    // Stage by stage, group by group: the order of codes.
    for stage in ["quantizer_modules", "quantizer_modules2"] {
        for group in 0..GROUPS {
            let name = format!("quantizer.{stage}.{group}.embedding.weight");
            entries.extend(checkpoint.take(&name, &[SIZE, DIM / GROUPS])?.values);
        }
    }
    checkpoint.finish()?;
    let hop: usize = weights.down.iter().map(|d| d.conv.stride).product();
    let rate = stated_rate
        .ok_or("no config.json beside it, which says the sampling_rate: the codecs differ in nothing else")?;
    let (name, sample_rate) = match (rate, hop) {
        (16_000, 320) => ("hificodec-16k-320d", 16_000),
        (24_000, 320) => ("hificodec-24k-320d", 24_000),
        (24_000, 240) => ("hificodec-24k-240d", 24_000),
        _ => {
            return Err(format!(
                "sampling_rate {rate} with {hop} samples a frame, published: 16000 with 320, 24000 with 320 or 240"
            ));
        }
    };
    let ((encoder, lookahead), (decoder, delay)) = (weights.encoder(hop), weights.decoder());
    Codec {
        name,
        recognised: format!("HiFi-Codec, {sample_rate} Hz, {hop} samples a frame"),
        // The repository that names them has none, and neither has its description of the weights.
        licence: "LicenseRef-not-stated",
        sample_rate,
        hop,
        delay,
        lookahead_frames: lookahead,
        // Each of twelve normalizations looks back by its frames, and the layers as far as they look ahead.
        receptive_field: [
            2 * lookahead + 1 + BLOCKS * KERNELS.len() * NORM_FRAMES,
            (2 * delay).div_ceil(hop) + 1,
        ],
        latent_dim: DIM,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "grvq" }),
            tensors: [(
                "codebooks",
                Tensor { shape: vec![STAGES, GROUPS, SIZE, DIM / GROUPS], values: entries },
            )]
            .into(),
            decoder_tensors: None,
            stages: STAGES,
            groups: GROUPS,
            size: SIZE,
        },
        // Trained with both stages, always.
        prefixes: vec![STAGES],
        default_stages: STAGES,
        encoder,
        decoder,
        opening: None,
    }
    .into_bundle()
}

/// A layer with its input padded alike on both sides.
fn conv(c: &mut Checkpoint, name: &str, shape: [usize; 3], dilation: usize) -> Result<Conv, String> {
    let weight = c.weight(name, &shape)?;
    let bias = Some(c.take(&format!("{name}.bias"), &shape[..1])?);
    let left = (shape[2] - 1) * dilation / 2;
    Ok(Conv { weight, bias, stride: 1, dilation, groups: 1, left, padding: Padding::Zero })
}

/// Taps and stride of a layer that changes the rate: the published ones have twice as many taps as the stride, or one more.
fn taps_of(c: &Checkpoint, name: &str) -> Result<[usize; 2], String> {
    let shape = c.weight_shape(name).ok_or_else(|| format!("no weights {name}"))?;
    match shape {
        [_, _, taps @ (4 | 7 | 8 | 11 | 16)] => Ok([*taps, taps / 2]),
        _ => Err(format!("weights {name} have the shape {shape:?}, expected: 4, 7, 8, 11 or 16 taps")),
    }
}

/// Pairs of layers, each added to its input.
struct Residual(Vec<[Conv; 2]>);

impl Residual {
    fn take(c: &mut Checkpoint, name: &str, channels: usize, taps: usize) -> Result<Self, String> {
        let shape = [channels, channels, taps];
        let pair = |(i, dilation): (usize, usize)| {
            let first = conv(c, &format!("{name}.convs1.{i}"), shape, dilation)?;
            Ok([first, conv(c, &format!("{name}.convs2.{i}"), shape, 1)?])
        };
        Ok(Self(DILATIONS.into_iter().enumerate().map(pair).collect::<Result<_, String>>()?))
    }

    fn add(&self, g: &mut StreamGraph, x: &Signal) -> Signal {
        self.0.iter().fold(x.clone(), |x, pair| {
            let y = pair.iter().fold(x.clone(), |y, layer| {
                let y = g.leaky_relu(&y, SLOPE);
                g.conv(&y, layer)
            });
            g.add(&x, &y)
        })
    }
}

/// The mean of `sum`, of as many branches as there are kernels.
fn mean(g: &mut StreamGraph, sum: &Signal) -> Signal {
    g.scale(sum, &vec![1.0 / KERNELS.len() as f32; sum.channels])
}

struct Down {
    conv: Conv,
    branches: Vec<(Residual, GroupNorm)>,
}

struct Up {
    conv: Transposed,
    branches: Vec<Residual>,
}

struct Weights {
    first: Conv,
    down: Vec<Down>,
    last: Conv,
    start: Conv,
    up: Vec<Up>,
    end: Conv,
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        let first = conv(c, "encoder.conv_pre", [FILTERS, 1, 7], 1)?;
        let (mut down, mut channels) = (Vec::new(), FILTERS);
        for i in 0..BLOCKS {
            let name = format!("encoder.ups.{i}");
            let [taps, stride] = taps_of(c, &name)?;
            let layer = conv(c, &name, [2 * channels, channels, taps], 1)?;
            channels *= 2;
            let branch = |(j, taps): (usize, usize)| {
                let number = i * KERNELS.len() + j;
                let residual = Residual::take(c, &format!("encoder.resblocks.{number}"), channels, taps)?;
                let name = format!("encoder.normalize.{number}");
                let [weight, bias] =
                    ["weight", "bias"].map(|part| c.take(&format!("{name}.{part}"), &[channels]));
                let (weight, bias) = (weight?, bias?);
                let groups = channels / NORM_CHANNELS;
                Ok((residual, GroupNorm { groups, weight, bias, epsilon: 1e-6, frames: NORM_FRAMES }))
            };
            let branches =
                KERNELS.into_iter().rev().enumerate().map(branch).collect::<Result<_, String>>()?;
            down.push(Down { conv: Conv { stride, left: (taps - stride) / 2, ..layer }, branches });
        }
        let last = conv(c, "encoder.conv_post", [DIM, DIM, 3], 1)?;
        let start = conv(c, "generator.conv_pre", [DIM, DIM, 7], 1)?;
        let (mut up, mut channels) = (Vec::new(), DIM);
        for i in 0..BLOCKS {
            let name = format!("generator.ups.{i}");
            let [taps, stride] = taps_of(c, &name)?;
            let weight = c.weight(&name, &[channels, channels / 2, taps])?;
            channels /= 2;
            let bias = Some(c.take(&format!("{name}.bias"), &[channels])?);
            let conv = Transposed { weight, bias, stride, groups: 1, cut: (taps - stride) / 2 };
            let branch = |(j, taps): (usize, usize)| {
                Residual::take(c, &format!("generator.resblocks.{}", i * KERNELS.len() + j), channels, taps)
            };
            let branches = KERNELS.into_iter().enumerate().map(branch).collect::<Result<_, String>>()?;
            up.push(Up { conv, branches });
        }
        let end = conv(c, "generator.conv_post", [1, channels, 7], 1)?;
        let strides: Vec<usize> = down.iter().map(|d| d.conv.stride).collect();
        let back: Vec<usize> = up.iter().rev().map(|u| u.conv.stride).collect();
        if strides != back {
            return Err(format!("strides {strides:?} in the encoder and {back:?} in the decoder"));
        }
        Ok(Self { first, down, last, start, up, end })
    }

    /// The encoder and the frames by which it looks ahead.
    fn encoder(&self, hop: usize) -> (Network, usize) {
        let mut g = StreamGraph::new("encoder", Start::States);
        let pcm = g.block_input("pcm", 1, hop);
        let mut x = g.conv(&pcm, &self.first);
        for block in &self.down {
            x = g.leaky_relu(&x, SLOPE);
            x = g.conv(&x, &block.conv);
            let mut sum: Option<Signal> = None;
            for (residual, norm) in &block.branches {
                let branch = residual.add(&mut g, &x);
                // What there is so far is normalized again with each branch.
                let all = sum.map_or_else(|| branch.clone(), |sum| g.add(&sum, &branch));
                sum = Some(g.group_norm(&all, norm));
            }
            x = mean(&mut g, &sum.unwrap_or(x));
        }
        x = g.leaky_relu(&x, LAST_SLOPE);
        x = g.conv(&x, &self.last);
        let lag = x.lag;
        (g.finish("latents", &x, "encoder.onnx"), lag)
    }

    /// The decoder and the samples by which it lags.
    fn decoder(&self) -> (Network, usize) {
        let mut g = StreamGraph::new("decoder", Start::States);
        let latents = g.block_input("latents", DIM, 1);
        let mut x = g.conv(&latents, &self.start);
        for block in &self.up {
            x = g.leaky_relu(&x, SLOPE);
            x = g.conv_transpose(&x, &block.conv);
            let branches: Vec<Signal> = block.branches.iter().map(|b| b.add(&mut g, &x)).collect();
            let sum = branches.into_iter().reduce(|sum, branch| g.add(&sum, &branch));
            x = mean(&mut g, &sum.unwrap_or(x));
        }
        x = g.leaky_relu(&x, SLOPE);
        x = g.conv(&x, &self.end);
        x = g.tanh(&x);
        let lag = x.lag;
        (g.finish("pcm", &x, "decoder.onnx"), lag)
    }
}
