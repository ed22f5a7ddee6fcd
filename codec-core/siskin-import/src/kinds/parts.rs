//! What the importers have in common: a codec's numbers and files as a bundle.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use siskin_model::bundle::SegmentSpec;

use crate::bundle::{Imported, Network, spec_json};
use crate::checkpoint::Tensor;

/// A codec that has been read.
pub(super) struct Codec {
    pub(super) name: &'static str,
    pub(super) recognised: String,
    /// The licence of the published weights, an SPDX expression.
    pub(super) licence: &'static str,
    pub(super) sample_rate: u32,
    pub(super) hop: usize,
    /// Samples by which the decoder's output lags.
    pub(super) delay: usize,
    /// Frames beyond its own that the encoder needs.
    pub(super) lookahead_frames: usize,
    /// Frames that encoder and decoder look back.
    pub(super) receptive_field: [usize; 2],
    pub(super) latent_dim: usize,
    pub(super) channels: usize,
    /// Sizes of segments, for a codec that codes those.
    pub(super) segments: Option<SegmentSpec>,
    pub(super) latents_per_frame: usize,
    pub(super) quantizer: Quantizer,
    /// Numbers of stages that the codec was trained for.
    pub(super) prefixes: Vec<usize>,
    pub(super) default_stages: usize,
    pub(super) encoder: Network,
    pub(super) decoder: Network,
    pub(super) opening: Option<Opening>,
}

/// The networks of a stream's first frames, where those are padded by mirroring what comes after.
pub(super) struct Opening {
    pub(super) frames: usize,
    pub(super) encoder: Network,
    /// None if the decoder begins with zeros.
    pub(super) decoder: Option<Network>,
}

/// A quantizer: its manifest entry without the file, and its tensors.
pub(super) struct Quantizer {
    pub(super) spec: Value,
    pub(super) tensors: BTreeMap<&'static str, Tensor>,
    /// Those that the decoder takes, if they are not the ones that the encoder compares.
    pub(super) decoder_tensors: Option<BTreeMap<&'static str, Tensor>>,
    /// Codes a frame.
    pub(super) stages: usize,
    pub(super) groups: usize,
    pub(super) size: usize,
}

const CODEBOOKS: &str = "codebooks.safetensors";
const DECODER_CODEBOOKS: &str = "decoder-codebooks.safetensors";

fn write_tensors(tensors: &BTreeMap<&'static str, Tensor>) -> Result<Vec<u8>, String> {
    let bytes: Vec<(&str, &Tensor, Vec<u8>)> = tensors
        .iter()
        .map(|(&name, t)| (name, t, t.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, t, data)| TensorView::new(Dtype::F32, t.shape.clone(), data).map(|view| (*name, view)));
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

impl Codec {
    pub(super) fn into_bundle(self) -> Result<Imported, String> {
        let q = &self.quantizer;
        let mut spec = q.spec.clone();
        spec["stages"] = json!(q.stages);
        spec["groups"] = json!(q.groups);
        spec["size"] = json!(q.size);
        spec["dim"] = json!(self.latent_dim);
        spec["file"] = json!(CODEBOOKS);
        let code_bits = q.size.next_power_of_two().trailing_zeros() as usize;
        let rate = |stages: usize| {
            (stages * q.groups * code_bits) as f64 * f64::from(self.sample_rate) / self.hop as f64
        };
        let prefixes: Vec<_> = self
            .prefixes
            .iter()
            .map(|&s| json!({ "stages": s, "bitrate": rate(s).round() as u32 }))
            .collect();
        let mut files = BTreeMap::from([(CODEBOOKS.to_owned(), write_tensors(&q.tensors)?)]);
        if let Some(tensors) = &q.decoder_tensors {
            spec["decoder_file"] = json!(DECODER_CODEBOOKS);
            files.insert(DECODER_CODEBOOKS.to_owned(), write_tensors(tensors)?);
        }
        let mut add = |(bytes, spec): &Network| {
            files.insert(spec.file.clone(), bytes.clone());
            spec_json(spec)
        };
        let mut manifest = json!({
            "format": 1,
            "kind": "audio",
            "name": self.name,
            "version": "1.0.0",
            "licence": self.licence,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "hop": self.hop,
            "delay": self.delay,
            "lookahead": self.lookahead_frames * self.hop,
            "receptive_field_frames": {
                "encoder": self.receptive_field[0],
                "decoder": self.receptive_field[1],
            },
            "chunk_frames": [1],
            "latent_dim": self.latent_dim,
            "latents_per_frame": self.latents_per_frame,
            "conventions": "published",
            "quantizer": spec,
            "prefixes": prefixes,
            "default_stages": self.default_stages,
            "encoder": add(&self.encoder),
            "decoder": add(&self.decoder),
            "training": { "imported_from": self.recognised },
        });
        if let Some(SegmentSpec { samples, stride, normalized }) = self.segments {
            manifest["segments"] = json!({ "samples": samples, "stride": stride, "normalized": normalized });
        }
        if let Some(opening) = &self.opening {
            manifest["opening"] = json!({ "frames": opening.frames, "encoder": add(&opening.encoder) });
            if let Some(decoder) = &opening.decoder {
                manifest["opening"]["decoder"] = add(decoder);
            }
        }
        Ok(Imported { name: self.name.into(), recognised: self.recognised, manifest, files })
    }
}
