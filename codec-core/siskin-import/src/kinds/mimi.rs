//! Mimi (arXiv 2410.00037, section 3), in the layouts of moshi and of transformers.

use serde_json::json;

use super::parts::{Codec, Quantizer};
use super::seanet::{Layers, Seanet, Shape};
use crate::bundle::{Imported, Network};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::stream::{Attention, Block, Conv, Padding, Start, StreamGraph, Transposed};

const RATIOS: [usize; 4] = [4, 5, 6, 8];
const HOP: usize = 1920;
const FILTERS: usize = 64;
/// Dimension of the networks between convolutions and quantizer.
const DIM: usize = 512;
/// Dimension of a codebook's entries.
const WIDTH: usize = 256;
const SIZE: usize = 2048;
const LAYERS: usize = 8;
const HIDDEN: usize = 2048;
const ATTENTION: Attention = Attention { heads: 8, context: 250, theta: 10_000.0, epsilon: 1e-5 };
/// Below this a code counts as used this often, in the mean that an entry is.
const MIN_USAGE: f32 = 1e-5;

const SEMANTIC: &str = "quantizer.semantic_residual_vector_quantizer";
const ACOUSTIC: &str = "quantizer.acoustic_residual_vector_quantizer";

/// Names of moshi in those of transformers' files.
fn rename(name: &str) -> String {
    const PAIRS: [(&str, &str); 20] = [
        (".model.", ".layers."),
        (".conv.conv.conv.", ".conv."),
        (".convtr.convtr.convtr.", ".conv."),
        (".convtr.convtr.", ".conv."),
        (".conv.conv.", ".conv."),
        ("transformer.transformer.", "transformer."),
        (".out_projs.0.", ".o_proj."),
        (".out_proj.", ".o_proj."),
        (".in_projs.0.weight", ".in_proj_weight"),
        (".norm1.", ".input_layernorm."),
        (".norm2.", ".post_attention_layernorm."),
        (".linear1.", ".mlp.fc1."),
        (".linear2.", ".mlp.fc2."),
        (".layer_scale_1.", ".self_attn_layer_scale."),
        (".layer_scale_2.", ".mlp_layer_scale."),
        ("quantizer.rvq_first.", "quantizer.semantic_residual_vector_quantizer."),
        ("quantizer.rvq_rest.", "quantizer.acoustic_residual_vector_quantizer."),
        (".vq.layers.", ".layers."),
        ("._codebook.", ".codebook."),
        (".embedding_sum", ".embed_sum"),
    ];
    PAIRS.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

pub(super) fn import(mut checkpoint: Checkpoint) -> Result<Imported, String> {
    checkpoint.rename(rename);
    checkpoint.ignore(|n| n.ends_with("codebook.initialized") || n.ends_with("codebook._initialized"));
    let weights = Weights::take(&mut checkpoint)?;
    let mut entries = Vec::new();
    let mut counts = [0; 2];
    for (count, quantizer) in counts.iter_mut().zip([SEMANTIC, ACOUSTIC]) {
        let has = |i: &usize| checkpoint.has(&format!("{quantizer}.layers.{i}.codebook.embed_sum"));
        // A header holds 64 stages at most.
        *count = (0..63).take_while(has).count();
        for stage in 0..*count {
            entries.extend(codebook(&mut checkpoint, &format!("{quantizer}.layers.{stage}.codebook"))?);
        }
    }
    checkpoint.finish()?;
    let stages = counts[0] + counts[1];
    if counts[0] != 1 || counts[1] == 0 {
        return Err(format!("{} semantic and {} acoustic codebooks", counts[0], counts[1]));
    }
    Codec {
        name: "mimi",
        recognised: format!("Mimi, {stages} codebooks"),
        licence: "CC-BY-4.0",
        sample_rate: 24_000,
        hop: HOP,
        delay: 0,
        lookahead_frames: 0,
        // A transformer's layers each look back over its context; the last one's is what is heard.
        receptive_field: [ATTENTION.context / 2, ATTENTION.context / 2],
        latent_dim: 2 * WIDTH,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "split", "parts": counts }),
            tensors: [("codebooks", Tensor { shape: vec![stages, SIZE, WIDTH], values: entries })].into(),
            decoder_tensors: None,
            stages,
            groups: 1,
            size: SIZE,
        },
        prefixes: [1, 4, 8, 16, 32].into_iter().filter(|&s| s <= stages).collect(),
        // Moshi's and most models' number.
        default_stages: stages.min(8),
        encoder: weights.encoder(),
        decoder: weights.decoder(),
        opening: None,
    }
    .into_bundle()
}

/// The entries of a codebook that is stored as sums over a training's vectors and their numbers.
fn codebook(c: &mut Checkpoint, name: &str) -> Result<Vec<f32>, String> {
    let sums = c.take(&format!("{name}.embed_sum"), &[SIZE, WIDTH])?;
    let usage = c.take(&format!("{name}.cluster_usage"), &[SIZE])?;
    let rows = sums.values.chunks_exact(WIDTH).zip(&usage.values);
    Ok(rows.flat_map(|(row, &n)| row.iter().map(move |x| x / n.max(MIN_USAGE))).collect())
}

struct Weights {
    seanet: Seanet<Conv, Transposed>,
    heard: Vec<Block>,
    halve: Conv,
    /// Projections to the semantic and the acoustic part, and back.
    to_parts: [Conv; 2],
    from_parts: [Conv; 2],
    double: Transposed,
    spoken: Vec<Block>,
}

const SHAPE: Shape = Shape {
    channels: 1,
    filters: FILTERS,
    ratios: RATIOS,
    dim: DIM,
    last_taps: 3,
    is_recurrent: false,
    has_shortcut: false,
};

/// Layers that look back only, with zeros before the start.
struct Causal;

fn plain(weight: Tensor, bias: Option<Tensor>, stride: usize, padding: Padding) -> Conv {
    let left = weight.shape[2] - stride;
    Conv { weight, bias, stride, dilation: 1, groups: 1, left, padding }
}

impl Layers for Causal {
    type Conv = Conv;
    type Transposed = Transposed;

    fn conv(&self, c: &mut Checkpoint, name: &str, shape: [usize; 3], stride: usize) -> Result<Conv, String> {
        let weight = c.weight(&format!("{name}.conv"), &shape)?;
        let bias = c.take(&format!("{name}.conv.bias"), &shape[..1])?;
        Ok(plain(weight, Some(bias), stride, Padding::Zero))
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
        Ok(Transposed { weight, bias, stride, groups: 1, cut: 0 })
    }
}

/// Queries or keys whose pairs lie side by side, with the pairs' first members before their second ones in each head.
fn split_pairs(weight: &Tensor) -> Tensor {
    let (width, row) = (DIM / ATTENTION.heads, weight.shape[1]);
    let source = |r: usize| {
        let (head, i) = (r / width * width, r % width);
        head + 2 * (i % (width / 2)) + i / (width / 2)
    };
    let values = (0..DIM).flat_map(|r| weight.values[source(r) * row..][..row].iter().copied()).collect();
    Tensor { shape: weight.shape.clone(), values }
}

fn block(c: &mut Checkpoint, name: &str) -> Result<Block, String> {
    let norm = |c: &mut Checkpoint, which: &str| {
        let mut take = |part: &str| c.take(&format!("{name}.{which}.{part}"), &[DIM]);
        Ok::<_, String>([take("weight")?, take("bias")?])
    };
    let square = [DIM, DIM];
    let [query, key, value] = if c.has(&format!("{name}.self_attn.in_proj_weight")) {
        let all = c.take(&format!("{name}.self_attn.in_proj_weight"), &[3 * DIM, DIM])?;
        let [q, k, v] = [0, 1, 2].map(|i| all.rows(i * DIM, (i + 1) * DIM));
        [split_pairs(&q), split_pairs(&k), v]
    } else {
        let mut take = |which| c.take(&format!("{name}.self_attn.{which}_proj.weight"), &square);
        [take("q")?, take("k")?, take("v")?]
    };
    Ok(Block {
        norm1: norm(c, "input_layernorm")?,
        norm2: norm(c, "post_attention_layernorm")?,
        query,
        key,
        value,
        output: c.take(&format!("{name}.self_attn.o_proj.weight"), &square)?,
        scale1: c.take(&format!("{name}.self_attn_layer_scale.scale"), &[DIM])?,
        scale2: c.take(&format!("{name}.mlp_layer_scale.scale"), &[DIM])?,
        dense1: c.take(&format!("{name}.mlp.fc1.weight"), &[HIDDEN, DIM])?,
        dense2: c.take(&format!("{name}.mlp.fc2.weight"), &[DIM, HIDDEN])?,
    })
}

impl Weights {
    fn take(c: &mut Checkpoint) -> Result<Self, String> {
        let blocks = |c: &mut Checkpoint, name: &str| {
            (0..LAYERS).map(|i| block(c, &format!("{name}.layers.{i}"))).collect::<Result<Vec<_>, _>>()
        };
        let project = |c: &mut Checkpoint, name: String, shape: [usize; 3]| {
            Ok::<_, String>(plain(c.take(&name, &shape)?, None, 1, Padding::Zero))
        };
        let seanet = Seanet::take(c, &Causal, &SHAPE)?;
        let heard = blocks(c, "encoder_transformer")?;
        let halve = c.take("downsample.conv.weight", &[DIM, DIM, 4])?;
        let (to, from) = ([WIDTH, DIM, 1], [DIM, WIDTH, 1]);
        let to_parts = [
            project(c, format!("{SEMANTIC}.input_proj.weight"), to)?,
            project(c, format!("{ACOUSTIC}.input_proj.weight"), to)?,
        ];
        let from_parts = [
            project(c, format!("{SEMANTIC}.output_proj.weight"), from)?,
            project(c, format!("{ACOUSTIC}.output_proj.weight"), from)?,
        ];
        let weight = c.take("upsample.conv.weight", &[DIM, 1, 4])?;
        let double = Transposed { weight, bias: None, stride: 2, groups: DIM, cut: 0 };
        let spoken = blocks(c, "decoder_transformer")?;
        let halve = plain(halve, None, 2, Padding::Replicate);
        Ok(Self { seanet, heard, halve, to_parts, from_parts, double, spoken })
    }

    fn encoder(&self) -> Network {
        let mut g = StreamGraph::new("encoder", Start::States);
        let pcm = g.block_input("pcm", 1, HOP);
        let mut x = self.seanet.encode(&mut g, &pcm);
        x = g.transformer(&x, &self.heard, ATTENTION);
        x = g.conv(&x, &self.halve);
        let (semantic, acoustic) = (g.conv(&x, &self.to_parts[0]), g.conv(&x, &self.to_parts[1]));
        let latents = g.stack(&semantic, &acoustic);
        g.finish("latents", &latents, "encoder.onnx")
    }

    fn decoder(&self) -> Network {
        let mut g = StreamGraph::new("decoder", Start::States);
        let latents = g.block_input("latents", 2 * WIDTH, 1);
        let (semantic, acoustic) = (g.channels(&latents, 0, WIDTH), g.channels(&latents, WIDTH, 2 * WIDTH));
        let (semantic, acoustic) =
            (g.conv(&semantic, &self.from_parts[0]), g.conv(&acoustic, &self.from_parts[1]));
        let mut x = g.add(&semantic, &acoustic);
        x = g.conv_transpose(&x, &self.double);
        x = g.transformer(&x, &self.spoken, ATTENTION);
        x = self.seanet.decode(&mut g, &x);
        g.finish("pcm", &x, "decoder.onnx")
    }
}
