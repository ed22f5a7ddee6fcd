//! Lyra V2, from the three files of its repository: `soundstream_encoder.tflite`, `quantizer.tflite` and `lyragan.tflite`.
//! A SoundStream (arXiv 2107.03312) of 16 kHz with filters of their own for each channel, half of it in integers.

use std::path::Path;

use serde_json::json;
use siskin_error::{Error, Result};

use super::parts::{Codec, Quantizer};
use crate::bundle::{Imported, Network};
use crate::checkpoint::Tensor;
use crate::checkpoint::tflite::{Model, Op};
use crate::translate::translate;

const HOP: usize = 320;
const DIM: usize = 64;
const STAGES: usize = 46;
const SIZE: usize = 16;
/// Frames that each network looks back: 24.7 by the lengths of its states.
const LOOK_BACK: usize = 25;

pub(super) fn import(folder: &Path) -> Result<Imported> {
    let part = |name: &str, ends: [(&str, usize); 2], file: &str| {
        let path = folder.join(name);
        let model = Model::open(&path)?;
        network(&model, ends, file)
            .map_err(|e| Error::bad_bundle(&path, format!("not a network of lyra: {e}")))
    };
    let encoder = part("soundstream_encoder.tflite", [("pcm", HOP), ("latents", DIM)], "encoder.onnx")?;
    let decoder = part("lyragan.tflite", [("latents", DIM), ("pcm", HOP)], "decoder.onnx")?;
    let path = folder.join("quantizer.tflite");
    let codebooks = codebooks(&Model::open(&path)?)
        .map_err(|e| Error::bad_bundle(&path, format!("not the quantizer of lyra: {e}")))?;
    let codec = Codec {
        name: "lyra-v2",
        recognised: format!("Lyra V2, 16 kHz, {STAGES} codebooks"),
        licence: "Apache-2.0",
        sample_rate: 16_000,
        hop: HOP,
        delay: 0,
        lookahead_frames: 0,
        receptive_field: [LOOK_BACK, LOOK_BACK],
        latent_dim: DIM,
        channels: 1,
        segments: None,
        latents_per_frame: 1,
        quantizer: Quantizer {
            spec: json!({ "type": "rvq" }),
            tensors: [("codebooks", codebooks)].into(),
            decoder_tensors: None,
            stages: STAGES,
            groups: 1,
            size: SIZE,
        },
        // 3.2, 6 and 9.2 kb/s, the rates that its interface offers.
        prefixes: vec![16, 30, 46],
        default_stages: 30,
        encoder,
        decoder,
        opening: None,
    };
    codec.into_bundle().map_err(|e| Error::bad_bundle(folder, e))
}

/// One of the two networks: a frame of samples and a latent, in one order or the other.
fn network(
    model: &Model,
    [(input, from), (output, to)]: [(&str, usize); 2],
    file: &str,
) -> std::result::Result<Network, String> {
    let graph = model.graphs.first().ok_or("no graph")?;
    for (ends, values) in [(&graph.inputs, from), (&graph.outputs, to)] {
        let shapes: Vec<_> = ends.iter().map(|&t| &graph.tensors[t].shape).collect();
        let counts: Vec<usize> = shapes.iter().map(|s| s.iter().product()).collect();
        if counts != [values] {
            return Err(format!("ends {shapes:?}, expected: {values} values"));
        }
    }
    let channels = if input == "pcm" { 1 } else { DIM };
    translate(model, channels, [input, output], file)
}

/// The codebooks in the order of their stages, `[stages, 1, size, dim]`: the graph `decode` takes the code of each stage out of its
/// input, and with it an entry.
fn codebooks(model: &Model) -> std::result::Result<Tensor, String> {
    let graph = model.signatures.get("decode").and_then(|&g| model.graphs.get(g)).ok_or("no graph decode")?;
    let mut found: Vec<Option<Vec<f32>>> = vec![None; STAGES];
    for operator in graph.operators.iter().filter(|o| o.op == Op::Gather) {
        let &[Some(entries), Some(code)] = &operator.inputs[..] else {
            return Err("a look-up without table or code".into());
        };
        let slice = graph.operators.iter().find(|o| o.outputs.contains(&code)).map(|o| &o.inputs[..]);
        let Some(&[_, Some(begin), ..]) = slice else {
            return Err("a code that is not taken out of the input".into());
        };
        let stage = model.constant(&graph.tensors[begin])?.values[0];
        let table = model.constant(&graph.tensors[entries])?;
        if table.shape != [SIZE, DIM] || !(0.0..STAGES as f32).contains(&stage) {
            return Err(format!("a table {:?} for stage {stage}", table.shape));
        }
        if found[stage as usize].replace(table.values).is_some() {
            return Err(format!("two tables for stage {stage}"));
        }
    }
    let missing = |stage: usize| format!("no table for stage {stage}");
    let values = found.into_iter().enumerate().map(|(i, t)| t.ok_or_else(|| missing(i)));
    let values = values.collect::<std::result::Result<Vec<_>, String>>()?.concat();
    Ok(Tensor { shape: vec![STAGES, 1, SIZE, DIM], values })
}
