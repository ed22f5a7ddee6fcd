//! HILCodec at 24 kHz (arXiv 2405.04752), in the layout of its authors' checkpoints.

use serde_json::json;

use super::parts::{Codec, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Padding, Signal, Start, StreamGraph, Transposed};

const RATIOS: [usize; 4] = [2, 4, 5, 8];
const HOP: usize = 320;
const DIM: usize = 128;
const SIZE: usize = 1024;
const TAPS: usize = 5;
/// Channels at the samples' rate, in the encoder and in the decoder.
const CHANNELS: [usize; 2] = [64, 96];
/// Samples of the first spectrogram's window; each further one has twice as many.
const WINDOW: usize = 64;
/// Residual units of a block.
const UNITS: [usize; 2] = [2, 3];
/// By what residual branches are scaled: three of them then add as much as there was (section 3.2).
const BRANCH: f64 = 0.577_350_269_189_625_8;
/// The deviation of training's samples, and the mean and deviation of each spectrogram's logarithm.
const PCM_DEVIATION: f64 = 0.112_208_015_9;
const LOG_MEANS: [f64; 5] = [-4.554, -4.315, -4.021, -3.726, -3.477];
const LOG_DEVIATIONS: [f64; 5] = [2.830, 2.837, 2.817, 2.796, 2.871];
/// The least power of a spectrogram's bin: the published network takes the logarithm of 1e-5 and more.
const LEAST_POWER: f32 = 1e-10;

/// By what the sum of `units` branches and the input is scaled, so that its variance is the input's.
fn balance(units: usize) -> f32 {
    (1.0 + units as f64 * BRANCH * BRANCH).powf(-0.5) as f32
}

/// Parts of a training's checkpoint beside the model.
const BESIDE: [&str; 9] = [
    "disc.",
    "optim_g.",
    "optim_d.",
    "scheduler_g.",
    "scheduler_d.",
    "scaler_g.",
    "scaler_d.",
    "balancer.",
    "metrics.",
];

pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    checkpoint.ignore(|n| BESIDE.iter().any(|part| n.starts_with(part)));
    checkpoint.rename(|name| name.strip_prefix("model.").unwrap_or(name).to_owned());
    // Running means, by which training moves the codebooks.
    checkpoint
        .ignore(|n| n.starts_with("quantizer.") && (n.ends_with(".ema_embed") || n.ends_with(".ema_num")));
    let weights = Weights::take(&mut checkpoint)?;
    let has = |i: &usize| checkpoint.has(&format!("quantizer.layers.{i}.embed"));
    let stages = (0..64).take_while(has).count();
    let mut entries = Vec::with_capacity(stages * SIZE * DIM);
    for stage in 0..stages {
        entries.extend(checkpoint.take(&format!("quantizer.layers.{stage}.embed"), &[SIZE, DIM])?.values);
    }
    checkpoint.finish()?;
    let name = match stages {
        8 => "hilcodec-speech",
        12 => "hilcodec-music",
        other => return Err(format!("{other} codebooks, published: 8 and 12")),
    };
    Codec {
        name,
        recognised: format!("HILCodec, 24 kHz, {stages} codebooks"),
        licence: "MIT",
        sample_rate: 24_000,
        hop: HOP,
        delay: 0,
        lookahead_frames: 0,
        // The encoder's layers look back 2,751 samples, the decoder's 2,878.
        receptive_field: [9, 9],
        latent_dim: DIM,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "rvq" }),
            tensors: [("codebooks", Tensor { shape: vec![stages, 1, SIZE, DIM], values: entries })].into(),
            decoder_tensors: None,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: [2, 4, 8, 12].into_iter().filter(|&s| s <= stages).collect(),
        default_stages: stages,
        encoder: weights.encoder(),
        decoder: weights.decoder(),
        opening: None,
    }
    .into_bundle()
}

/// A causal convolution, with a bias where the published layer has one.
struct Layer<'a> {
    name: &'a str,
    shape: [usize; 3],
    stride: usize,
    has_bias: bool,
}

impl Layer<'_> {
    fn take(&self, c: &mut Checkpoint) -> Result<Conv, String> {
        let Self { name, shape, stride, has_bias } = *self;
        let name = format!("{name}.conv.conv");
        let weight = c.weight(&name, &shape)?;
        let bias = has_bias.then(|| c.take(&format!("{name}.bias"), &shape[..1])).transpose()?;
        // Depthwise where a filter has one channel of many.
        let groups = if shape[1] == 1 { shape[0] } else { 1 };
        Ok(Conv {
            weight,
            bias,
            stride,
            dilation: 1,
            groups,
            left: shape[2] - stride,
            padding: Padding::Zero,
        })
    }
}

/// A layer of one tap, which mixes channels.
fn mix(c: &mut Checkpoint, name: &str, [out, input]: [usize; 2], has_bias: bool) -> Result<Conv, String> {
    Layer { name, shape: [out, input, 1], stride: 1, has_bias }.take(c)
}

/// A layer of five taps within each channel.
fn depthwise(c: &mut Checkpoint, name: &str, channels: usize, has_bias: bool) -> Result<Conv, String> {
    Layer { name, shape: [channels, 1, TAPS], stride: 1, has_bias }.take(c)
}

/// Scales what a convolution gives.
fn scale(conv: Conv, factor: f64) -> Conv {
    let scaled = |mut t: Tensor| {
        t.values.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
        t
    };
    Conv { weight: scaled(conv.weight), bias: conv.bias.map(scaled), ..conv }
}

/// A learned factor of a branch times the fixed one.
fn branch_scale(c: &mut Checkpoint, name: &str) -> Result<f64, String> {
    Ok(f64::from(c.take(name, &[1])?.values[0]) * BRANCH)
}

/// A branch of a residual unit, and by what its input is scaled.
struct Unit {
    input_scale: f32,
    layers: [Conv; 4],
}

impl Unit {
    fn take(c: &mut Checkpoint, name: &str, channels: usize, before: usize) -> Result<Self, String> {
        let factor = branch_scale(c, &format!("{name}.res_scale_param"))?;
        let layer = |i: usize| format!("{name}.block.{i}");
        let layers = [
            mix(c, &layer(1), [channels; 2], false)?,
            depthwise(c, &layer(2), channels, true)?,
            mix(c, &layer(4), [channels; 2], false)?,
            scale(depthwise(c, &layer(5), channels, true)?, factor),
        ];
        Ok(Self { input_scale: balance(before), layers })
    }

    fn add(&self, g: &mut StreamGraph, x: &Signal) -> Signal {
        let mut y = g.scale(x, &vec![self.input_scale; x.channels]);
        for pair in self.layers.chunks_exact(2) {
            y = g.elu(&y);
            y = pair.iter().fold(y, |y, layer| g.conv(&y, layer));
        }
        g.add(x, &y)
    }
}

/// A spectrogram of the samples that is added to the signal at the rate of a block.
struct Spectrogram {
    transform: Conv,
    mix: Conv,
}

impl Spectrogram {
    fn take(c: &mut Checkpoint, name: &str, index: usize, hop: usize) -> Result<Self, String> {
        let (size, channels) = (WINDOW << index, CHANNELS[0] << index);
        let bins = size / 2 + 1;
        let weight = c.take(&format!("{name}.spec.weight"), &[2 * bins, 1, size])?;
        // Its window ends with the first sample of a hop, as the published transform pads.
        let left = size - 1;
        let transform =
            Conv { weight, bias: None, stride: hop, dilation: 1, groups: 1, left, padding: Padding::Zero };
        let factor = branch_scale(c, &format!("{name}.scale_param"))?;
        let mix = mix(c, &format!("{name}.layer"), [channels, bins], false)?;
        // Mean and deviation of the logarithm go into the layer that follows.
        let mut mix = scale(mix, factor / LOG_DEVIATIONS[index]);
        let rows = mix.weight.values.chunks_exact(bins);
        let bias =
            rows.map(|row| (-LOG_MEANS[index] * row.iter().map(|&w| f64::from(w)).sum::<f64>()) as f32);
        mix.bias = Some(Tensor { shape: vec![channels], values: bias.collect() });
        Ok(Self { transform, mix })
    }

    fn add(&self, g: &mut StreamGraph, x: &Signal, pcm: &Signal) -> Signal {
        let y = g.conv(pcm, &self.transform);
        let y = g.log_magnitude(&y, LEAST_POWER);
        let y = g.conv(&y, &self.mix);
        g.add(x, &y)
    }
}

struct Down {
    spectrogram: Spectrogram,
    units: Vec<Unit>,
    mix: Conv,
    down: Conv,
}

struct Up {
    up: Transposed,
    mix: Conv,
    units: Vec<Unit>,
}

struct Weights {
    first: Conv,
    down: Vec<Down>,
    spectrogram: Spectrogram,
    last: [Conv; 2],
    start: [Conv; 2],
    up: Vec<Up>,
    end: Conv,
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        let shape = [CHANNELS[0], 1, TAPS];
        let first = Layer { name: "encoder.conv_pre.1", shape, stride: 1, has_bias: true }.take(c)?;
        // The layer has one group: its one input channel is the samples.
        let first = Conv { groups: 1, ..first };
        let first = Conv { bias: first.bias.clone(), ..scale(first, 1.0 / PCM_DEVIATION) };
        let (mut down, mut channels, mut hop) = (Vec::new(), CHANNELS[0], 1);
        for (i, stride) in RATIOS.into_iter().enumerate() {
            let spectrogram = Spectrogram::take(c, &format!("encoder.spec_blocks.{i}"), i, hop)?;
            let unit = |j| Unit::take(c, &format!("encoder.blocks.{i}.{j}"), channels, j + 1);
            let units = (0..UNITS[0]).map(unit).collect::<Result<_, _>>()?;
            let name = format!("encoder.downsample.{i}");
            let mix = mix(c, &format!("{name}.2"), [2 * channels, channels], false)?;
            let (name, shape) = (format!("{name}.3"), [2 * channels, 1, 2 * stride]);
            let layer = Layer { name: &name, shape, stride, has_bias: true }.take(c)?;
            down.push(Down { spectrogram, units, mix, down: layer });
            channels *= 2;
            hop *= stride;
        }
        let spectrogram = Spectrogram::take(c, "encoder.spec_post", RATIOS.len(), hop)?;
        let last = [
            depthwise(c, "encoder.conv_post.1", channels, false)?,
            mix(c, "encoder.conv_post.2", [DIM, channels], true)?,
        ];
        let mut channels = CHANNELS[1] << RATIOS.len();
        let start = [
            mix(c, "decoder.model.0", [channels, DIM], false)?,
            depthwise(c, "decoder.model.1", channels, true)?,
        ];
        let (mut up, mut place) = (Vec::new(), 2);
        for stride in RATIOS.into_iter().rev() {
            let name = format!("decoder.model.{}.convtr.convtr", place + 2);
            let weight = c.weight(&name, &[channels, 1, 2 * stride])?;
            // All of the overlap is cut off at the right.
            let transposed = Transposed { weight, bias: None, stride, groups: channels, cut: 0 };
            let mix = mix(c, &format!("decoder.model.{}", place + 3), [channels / 2, channels], true)?;
            channels /= 2;
            let unit = |j| Unit::take(c, &format!("decoder.model.{}", place + 4 + j), channels, j);
            let units = (0..UNITS[1]).map(unit).collect::<Result<_, _>>()?;
            up.push(Up { up: transposed, mix, units });
            place += 4 + UNITS[1];
        }
        let (name, shape) = (format!("decoder.model.{}", place + 2), [1, channels, TAPS]);
        let end = Layer { name: &name, shape, stride: 1, has_bias: true }.take(c)?;
        Ok(Self { first, down, spectrogram, last, start, up, end: scale(end, PCM_DEVIATION) })
    }

    fn encoder(&self) -> Network {
        let mut g = StreamGraph::new("encoder", Start::States);
        let pcm = g.block_input("pcm", 1, HOP);
        let mut x = g.conv(&pcm, &self.first);
        for block in &self.down {
            x = block.spectrogram.add(&mut g, &x, &pcm);
            x = block.units.iter().fold(x, |x, unit| unit.add(&mut g, &x));
            x = g.scale(&x, &vec![balance(UNITS[0]); x.channels]);
            x = g.elu(&x);
            x = g.conv(&x, &block.mix);
            x = g.conv(&x, &block.down);
        }
        x = self.spectrogram.add(&mut g, &x, &pcm);
        x = g.elu(&x);
        x = self.last.iter().fold(x, |x, layer| g.conv(&x, layer));
        x = g.unit_norm(&x, (DIM as f32).sqrt());
        g.finish("latents", &x, "encoder.onnx")
    }

    fn decoder(&self) -> Network {
        let mut g = StreamGraph::new("decoder", Start::States);
        let latents = g.block_input("latents", DIM, 1);
        let mut x = self.start.iter().fold(latents, |x, layer| g.conv(&x, layer));
        for (i, block) in self.up.iter().enumerate() {
            if i > 0 {
                x = g.scale(&x, &vec![balance(UNITS[1]); x.channels]);
            }
            x = g.elu(&x);
            x = g.conv_transpose(&x, &block.up);
            x = g.conv(&x, &block.mix);
            x = block.units.iter().fold(x, |x, unit| unit.add(&mut g, &x));
        }
        x = g.scale(&x, &vec![balance(UNITS[1]); x.channels]);
        x = g.elu(&x);
        x = g.conv(&x, &self.end);
        x = g.tanh(&x);
        g.finish("pcm", &x, "decoder.onnx")
    }
}
