//! SNAC at 24, 32 and 44.1 kHz (arXiv 2410.14411).

use serde_json::json;

use super::parts::{Codec, Quantizer};
use super::snake::{self, Down, Unit, add_units, alpha, conv, down, factorized, units, up};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Conv, Signal, Start, StreamGraph, Transposed, Window};

const BLOCKS: usize = 4;
const SIZE: usize = 4096;
const WIDTH: usize = 8;
/// Latents of a window of attention, in the codecs that have any.
const WINDOW: usize = 32;
/// Dimension of an attention head.
const HEAD: usize = 64;

pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    let stated_rate = checkpoint.number("config.sampling_rate");
    // Wavelengths, which follow from the dimension of a head.
    checkpoint.ignore(|n| n.ends_with("rel_pos.inv_freq"));
    let weights = Weights::take(&mut checkpoint)?;
    let has = |i: &usize| checkpoint.has(&format!("quantizer.quantizers.{i}.codebook.weight"));
    let levels = (0..8).take_while(has).count();
    let tensors = factorized(&mut checkpoint, levels, SIZE, WIDTH, weights.dim)?;
    checkpoint.finish()?;
    // Each level has twice the codes of the one before; those of a codec with windows fill a window.
    let strides: Vec<usize> = (0..levels).rev().map(|i| 1 << i).collect();
    let per_frame = if weights.heard.is_some() { WINDOW } else { 1 << levels.saturating_sub(1) };
    if !(3..=4).contains(&levels) {
        return Err(format!("{levels} levels of codes, published: 3 and 4"));
    }
    let sample_rate = match (stated_rate, weights.heard.is_some()) {
        (Some(rate), _) => u32::try_from(rate).ok().filter(|r| (8_000..=48_000).contains(r)),
        (None, false) => Some(24_000),
        // The two with windows differ in nothing but their rate.
        (None, true) => return Err("no config.json beside it, which says the sampling_rate".into()),
    };
    let sample_rate = sample_rate.ok_or_else(|| format!("sampling_rate {stated_rate:?}"))?;
    let (name, licence) = match sample_rate {
        24_000 => ("snac-24k", "MIT"),
        32_000 => ("snac-32k", "MIT"),
        44_100 => ("snac-44k", "MIT"),
        other => return Err(format!("sampling_rate {other}, published: 24000, 32000, 44100")),
    };
    let latent_hop: usize = weights.down.iter().map(Down::stride).product();
    let hop = latent_hop * per_frame;
    let ((encoder, lookahead), (decoder, delay)) =
        (weights.encoder(hop, per_frame), weights.decoder(per_frame));
    let codes: Vec<usize> = strides.iter().map(|s| per_frame / s).collect();
    let sums: Vec<usize> = codes
        .iter()
        .scan(0, |sum, n| {
            Some({
                *sum += n;
                *sum
            })
        })
        .collect();
    let stages: usize = codes.iter().sum();
    Codec {
        name,
        recognised: format!("SNAC, {sample_rate} Hz, {levels} levels of codes"),
        licence,
        sample_rate,
        hop,
        delay,
        lookahead_frames: lookahead,
        receptive_field: [2 * lookahead + 1, (2 * delay).div_ceil(hop) + 1],
        latent_dim: weights.dim,
        channels: 1,
        segments: None,
        latents_per_frame: per_frame,
        quantizer: Quantizer {
            spec: json!({ "type": "factorized", "strides": strides }),
            tensors,
            decoder_tensors: None,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: sums,
        default_stages: stages,
        encoder,
        decoder,
        opening: None,
    }
    .into_bundle()
}

struct Up {
    alpha: Tensor,
    conv: Transposed,
    noise: Option<Tensor>,
    units: Vec<Unit>,
}

struct Weights {
    dim: usize,
    first: Conv,
    down: Vec<Down>,
    heard: Option<Window>,
    last: Conv,
    start: Vec<Conv>,
    spoken: Option<Window>,
    up: Vec<Up>,
    end: (Tensor, Conv),
}

fn window(c: &mut Checkpoint, name: &str, dim: usize) -> Result<Option<Window>, String> {
    if !c.has(&format!("{name}.to_qkv.weight")) {
        return Ok(None);
    }
    let norm =
        [c.take(&format!("{name}.norm.weight"), &[dim])?, c.take(&format!("{name}.norm.bias"), &[dim])?];
    let all = c.take(&format!("{name}.to_qkv.weight"), &[3 * dim, dim])?;
    let [query, key, value] = [0, 1, 2].map(|i| all.rows(i * dim, (i + 1) * dim));
    let output = c.take(&format!("{name}.to_out.weight"), &[dim, dim])?;
    Ok(Some(Window { norm, query, key, value, output, width: HEAD }))
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        let filters = snake::rows_of(c, "encoder.block.0")?;
        let first = conv(c, "encoder.block.0", [filters, 1, 7], 1, 1)?;
        let (mut dim, mut blocks) = (filters, Vec::new());
        for i in 1..=BLOCKS {
            blocks.push(down(c, &format!("encoder.block.{i}"), dim, true)?);
            dim *= 2;
        }
        let heard = window(c, &format!("encoder.block.{}", BLOCKS + 1), dim)?;
        let end = format!("encoder.block.{}", BLOCKS + 1 + usize::from(heard.is_some()));
        let last = conv(c, &end, [dim, 1, 7], 1, dim)?;
        let mut channels = snake::rows_of(c, "decoder.model.1")?;
        let start = vec![
            conv(c, "decoder.model.0", [dim, 1, 7], 1, dim)?,
            conv(c, "decoder.model.1", [channels, dim, 1], 1, 1)?,
        ];
        let spoken = window(c, "decoder.model.2", channels)?;
        if spoken.is_some() != heard.is_some() {
            return Err("attention in the encoder or the decoder alone".into());
        }
        let offset = 2 + usize::from(spoken.is_some());
        let mut ups = Vec::new();
        for i in 0..BLOCKS {
            let (name, half) = (format!("decoder.model.{}.block", offset + i), channels / 2);
            let alpha = alpha(c, &format!("{name}.0"), channels)?;
            let transposed = up(c, &format!("{name}.1"), channels, half)?;
            let is_noisy = c.weight_shape(&format!("{name}.2.linear")).is_some();
            let noise =
                is_noisy.then(|| c.weight(&format!("{name}.2.linear"), &[half, half, 1])).transpose()?;
            let units = units(c, &name, 2 + usize::from(is_noisy), half, true)?;
            ups.push(Up { alpha, conv: transposed, noise, units });
            channels = half;
        }
        let (act, end) =
            (format!("decoder.model.{}", offset + BLOCKS), format!("decoder.model.{}", offset + BLOCKS + 1));
        let end = (alpha(c, &act, channels)?, conv(c, &end, [1, channels, 7], 1, 1)?);
        Ok(Self { dim, first, down: blocks, heard, last, start, spoken, up: ups, end })
    }

    fn attend(g: &mut StreamGraph, x: &Signal, window: Option<&Window>) -> Signal {
        window.map_or_else(|| x.clone(), |window| g.attend_window(x, window))
    }

    /// The encoder and the frames by which it looks ahead.
    fn encoder(&self, hop: usize, per_frame: usize) -> (Network, usize) {
        let mut g = StreamGraph::new("encoder", Start::States);
        let pcm = g.block_input("pcm", 1, hop);
        let mut x = g.conv(&pcm, &self.first);
        for block in &self.down {
            x = block.add(&mut g, &x);
        }
        x = Self::attend(&mut g, &x, self.heard.as_ref());
        x = g.conv(&x, &self.last);
        x = g.align(&x);
        let lag = x.lag / per_frame;
        (g.finish("latents", &x, "encoder.onnx"), lag)
    }

    /// The decoder and the samples by which it lags.
    fn decoder(&self, per_frame: usize) -> (Network, usize) {
        let mut g = StreamGraph::new("decoder", Start::States);
        let mut x = g.block_input("latents", self.dim, per_frame);
        for layer in &self.start {
            x = g.conv(&x, layer);
        }
        x = Self::attend(&mut g, &x, self.spoken.as_ref());
        for (i, up) in self.up.iter().enumerate() {
            x = g.snake(&x, &up.alpha);
            x = g.conv_transpose(&x, &up.conv);
            if let Some(noise) = &up.noise {
                x = g.add_noise(&x, noise, i as u64);
            }
            x = add_units(&mut g, &x, &up.units);
        }
        x = g.snake(&x, &self.end.0);
        x = g.conv(&x, &self.end.1);
        x = g.tanh(&x);
        let lag = x.lag;
        (g.finish("pcm", &x, "decoder.onnx"), lag)
    }
}
