//! DAC at 16, 24 and 44.1 kHz (arXiv 2306.06546), in the layouts of the authors' package and of transformers.

use serde_json::json;

use super::parts::{Codec, Quantizer};
use super::snake::{self, Down, Unit, add_units, alpha, conv, down, factorized, units, up};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Start, StreamGraph, Transposed};

const BLOCKS: usize = 4;
const SIZE: usize = 1024;
const WIDTH: usize = 8;

/// Names of transformers in those of the authors' package.
fn rename(name: &str) -> String {
    let name = name.strip_prefix("state_dict.").unwrap_or(name);
    let parts: Vec<&str> = name.split('.').collect();
    let unit = |layer: &str, first: usize| -> Option<String> {
        let number: usize = layer.strip_prefix("res_unit")?.parse().ok()?;
        Some(format!("block.{}", number.checked_sub(1)? + first))
    };
    let inner = |layer: &str| match layer {
        "snake1" => Some(0),
        "conv1" => Some(1),
        "snake2" => Some(2),
        "conv2" => Some(3),
        _ => None,
    };
    let (last, end) = (BLOCKS + 1, BLOCKS + 2);
    let renamed = match parts[..] {
        ["encoder", "conv1", ref rest @ ..] => Some(format!("encoder.block.0.{}", rest.join("."))),
        ["encoder", "snake1", ref rest @ ..] => Some(format!("encoder.block.{last}.{}", rest.join("."))),
        ["encoder", "conv2", ref rest @ ..] => Some(format!("encoder.block.{end}.{}", rest.join("."))),
        ["decoder", "conv1", ref rest @ ..] => Some(format!("decoder.model.0.{}", rest.join("."))),
        ["decoder", "snake1", ref rest @ ..] => Some(format!("decoder.model.{last}.{}", rest.join("."))),
        ["decoder", "conv2", ref rest @ ..] => Some(format!("decoder.model.{end}.{}", rest.join("."))),
        [side @ ("encoder" | "decoder"), "block", number, layer, ref rest @ ..] => {
            let number = number.parse::<usize>().ok().map(|n| n + 1);
            let (outer, first) = if side == "encoder" { ("block", 0) } else { ("model", 2) };
            let layer_name = match (layer, side) {
                ("snake1", "encoder") => Some("block.3".to_owned()),
                ("conv1", "encoder") => Some("block.4".to_owned()),
                ("snake1", "decoder") => Some("block.0".to_owned()),
                ("conv_t1", "decoder") => Some("block.1".to_owned()),
                _ => unit(layer, first),
            };
            let is_unit = layer.starts_with("res_unit");
            match (number, layer_name, rest) {
                (Some(number), Some(block), [which, rest @ ..]) if is_unit => inner(which)
                    .map(|i| format!("{side}.{outer}.{number}.{block}.block.{i}.{}", rest.join("."))),
                (Some(number), Some(block), rest) => {
                    Some(format!("{side}.{outer}.{number}.{block}.{}", rest.join(".")))
                }
                _ => None,
            }
        }
        _ => None,
    };
    renamed.unwrap_or_else(|| name.to_owned())
}

pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    let stated_rate = checkpoint.number("metadata.kwargs.sample_rate");
    checkpoint.rename(rename);
    let weights = Weights::take(&mut checkpoint)?;
    let has = |i: &usize| checkpoint.has(&format!("quantizer.quantizers.{i}.codebook.weight"));
    let stages = (0..64).take_while(has).count();
    let tensors = factorized(&mut checkpoint, stages, SIZE, WIDTH, weights.dim)?;
    checkpoint.finish()?;
    let hop: usize = weights.down.iter().map(Down::stride).product();
    // The file says its rate; transformers' says it beside the weights, but the published ones differ in their numbers.
    let sample_rate = match (stated_rate, hop, stages) {
        (Some(rate), ..) => u32::try_from(rate).map_err(|_| format!("sample_rate {rate}"))?,
        (None, 512, _) => 44_100,
        (None, 320, 32) => 24_000,
        (None, 320, 12) => 16_000,
        _ => return Err(format!("{hop} samples a frame in {stages} stages: no published one")),
    };
    let ((encoder, lookahead), (decoder, delay)) = (weights.encoder(hop), weights.decoder());
    let name = match sample_rate {
        44_100 => "dac-44k",
        24_000 => "dac-24k",
        16_000 => "dac-16k",
        other => return Err(format!("sample rate {other}, published: 16000, 24000, 44100")),
    };
    Codec {
        name,
        recognised: format!("DAC, {sample_rate} Hz, {stages} codebooks"),
        licence: "MIT",
        sample_rate,
        hop,
        delay,
        lookahead_frames: lookahead,
        // Layers look back as far as they look ahead.
        receptive_field: [2 * lookahead + 1, (2 * delay).div_ceil(hop) + 1],
        latent_dim: weights.dim,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "factorized", "strides": vec![1; stages] }),
            tensors,
            decoder_tensors: None,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: [1, 2, 4, 9, 12, 18, 32].into_iter().filter(|&s| s <= stages).collect(),
        default_stages: stages,
        encoder,
        decoder,
        opening: None,
    }
    .into_bundle()
}

struct Weights {
    dim: usize,
    first: Conv,
    down: Vec<Down>,
    last: (Tensor, Conv),
    start: Conv,
    up: Vec<(Tensor, Transposed, Vec<Unit>)>,
    end: (Tensor, Conv),
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        let filters = snake::rows_of(c, "encoder.block.0")?;
        let first = conv(c, "encoder.block.0", [filters, 1, 7], 1, 1)?;
        let (mut channels, mut blocks) = (filters, Vec::new());
        for i in 1..=BLOCKS {
            blocks.push(down(c, &format!("encoder.block.{i}"), channels, false)?);
            channels *= 2;
        }
        let (act, end) = (format!("encoder.block.{}", BLOCKS + 1), format!("encoder.block.{}", BLOCKS + 2));
        let dim = snake::rows_of(c, &end)?;
        let last = (alpha(c, &act, channels)?, conv(c, &end, [dim, channels, 3], 1, 1)?);
        let mut channels = snake::rows_of(c, "decoder.model.0")?;
        let start = conv(c, "decoder.model.0", [channels, dim, 7], 1, 1)?;
        let mut ups = Vec::new();
        for i in 1..=BLOCKS {
            let (name, half) = (format!("decoder.model.{i}.block"), channels / 2);
            let act = alpha(c, &format!("{name}.0"), channels)?;
            let transposed = up(c, &format!("{name}.1"), channels, half)?;
            ups.push((act, transposed, units(c, &name, 2, half, false)?));
            channels = half;
        }
        let (act, end) = (format!("decoder.model.{}", BLOCKS + 1), format!("decoder.model.{}", BLOCKS + 2));
        let end = (alpha(c, &act, channels)?, conv(c, &end, [1, channels, 7], 1, 1)?);
        Ok(Self { dim, first, down: blocks, last, start, up: ups, end })
    }

    /// The encoder and the frames by which it looks ahead.
    fn encoder(&self, hop: usize) -> (Network, usize) {
        let mut g = StreamGraph::new("encoder", Start::States);
        let pcm = g.block_input("pcm", 1, hop);
        let mut x = g.conv(&pcm, &self.first);
        for block in &self.down {
            x = block.add(&mut g, &x);
        }
        x = g.snake(&x, &self.last.0);
        x = g.conv(&x, &self.last.1);
        let lag = x.lag;
        (g.finish("latents", &x, "encoder.onnx"), lag)
    }

    /// The decoder and the samples by which it lags.
    fn decoder(&self) -> (Network, usize) {
        let mut g = StreamGraph::new("decoder", Start::States);
        let latents = g.block_input("latents", self.dim, 1);
        let mut x = g.conv(&latents, &self.start);
        for (act, up, units) in &self.up {
            x = g.snake(&x, act);
            x = g.conv_transpose(&x, up);
            x = add_units(&mut g, &x, units);
        }
        x = g.snake(&x, &self.end.0);
        x = g.conv(&x, &self.end.1);
        x = g.tanh(&x);
        let lag = x.lag;
        (g.finish("pcm", &x, "decoder.onnx"), lag)
    }
}
