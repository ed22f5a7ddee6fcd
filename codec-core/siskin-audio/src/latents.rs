use std::collections::HashMap;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use siskin_error::{Error, Result};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

use crate::frame::{FrameDecoder, FrameEncoder};

/// Limit of the frames of a file of latents: ten hours at 50 Hz.
const MAX_FRAMES: usize = 1_800_000;

/// A recording as the codec's continuous latents, before the quantizer: an intermediate for models, no compression.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latents {
    /// `[frame][dim]`.
    pub values: Vec<f32>,
    /// Values per frame.
    pub dim: usize,
    /// Samples of the recording.
    pub samples: u64,
}

impl Latents {
    /// The bytes of a safetensors file: `latents` f16 `[frames, dim]`, with the bundle's name and id and the number of
    /// samples as metadata.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a part of a frame.
    pub fn to_file(&self, bundle: &Bundle) -> Result<Vec<u8>> {
        if self.dim == 0 || !self.values.len().is_multiple_of(self.dim) {
            return Err(Error::parameter("latents", self.values.len(), format!("multiples of {}", self.dim)));
        }
        // The rounding of f16 is far below the quantizer's error.
        let data: Vec<u8> = self.values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let shape = vec![self.values.len() / self.dim, self.dim];
        let view =
            TensorView::new(Dtype::F16, shape, &data).map_err(|e| Error::parameter("latents", e, ""))?;
        let metadata = HashMap::from([
            ("bundle".to_owned(), bundle.manifest().name.clone()),
            ("bundle_id".to_owned(), bundle.id().to_string()),
            ("samples".to_owned(), self.samples.to_string()),
        ]);
        safetensors::serialize([("latents", view)], Some(metadata))
            .map_err(|e| Error::parameter("latents", e, "what safetensors holds"))
    }

    /// Name and id of the bundle that a file of latents states, as far as it does.
    pub fn bundle_of(file: &[u8]) -> (Option<String>, Option<String>) {
        let metadata =
            SafeTensors::read_metadata(file).ok().and_then(|(_, header)| header.metadata().clone());
        let mut metadata = metadata.unwrap_or_default();
        (metadata.remove("bundle"), metadata.remove("bundle_id"))
    }

    /// Parses a file that [`Latents::to_file`] or another program wrote: `latents` f16 or f32 `[frames, dim]`. Without
    /// `samples` in its metadata every frame counts whole.
    ///
    /// # Errors
    /// [`Error::Parameter`] for any other file, one of another bundle, or values that are NaN or infinite.
    pub fn from_file(file: &[u8], bundle: &Bundle) -> Result<Self> {
        let bad = |what: String| {
            Error::parameter("file of latents", what, "safetensors with latents [frames, dim]")
        };
        let (_, header) = SafeTensors::read_metadata(file).map_err(|e| bad(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        // Latents of another encoder decode to something else; a file without an id is taken at its word.
        if let Some(id) = metadata.get("bundle_id").filter(|id| **id != bundle.id().to_string()) {
            let name = metadata.get("bundle").map_or("unnamed", String::as_str);
            let own = format!("{} ({})", bundle.manifest().name, bundle.id());
            return Err(Error::parameter("bundle of the latents", format!("{name} ({id})"), own));
        }
        let tensors = SafeTensors::deserialize(file).map_err(|e| bad(e.to_string()))?;
        let view = tensors.tensor("latents").map_err(|e| bad(e.to_string()))?;
        let (dim, manifest) = (bundle.manifest().latent_len(), bundle.manifest());
        let &[frames, own] = view.shape() else { return Err(bad(format!("shape {:?}", view.shape()))) };
        if own != dim || frames > MAX_FRAMES {
            return Err(bad(format!(
                "shape {:?}, {} has {dim} values per frame",
                view.shape(),
                manifest.name
            )));
        }
        let values: Vec<f32> = match view.dtype() {
            Dtype::F16 => {
                view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            Dtype::F32 => {
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            other => return Err(bad(format!("latents of {other:?}"))),
        };
        if let Some(x) = values.iter().find(|x| !x.is_finite()) {
            return Err(Error::parameter("latent", x, "finite numbers"));
        }
        // More samples than the frames hold would be a promise that decoding cannot keep.
        let all = frames as u64 * u64::from(manifest.hop);
        let samples = match metadata.get("samples") {
            Some(text) => text.parse().map_err(|_| bad(format!("samples {text:?}")))?,
            None => all,
        };
        Ok(Self { values, dim, samples: samples.min(all) })
    }

    /// Decodes all frames and passes exactly `samples` samples, or as many as the frames hold, to `emit` frame by frame.
    ///
    /// # Errors
    /// What the network or `emit` returns.
    pub fn decode_all<E: From<Error>>(
        &self,
        bundle: &Bundle,
        runtime: &Runtime,
        emit: &mut impl FnMut(&[f32]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut decoder = FrameDecoder::new(bundle, runtime)?;
        let channels = usize::from(bundle.manifest().channels);
        let (mut skip, mut left) =
            (usize::from(bundle.manifest().delay) * channels, self.samples * channels as u64);
        for latent in self.values.chunks_exact(self.dim.max(1)) {
            // The first frames lose the codec's delay, so the output is aligned with the recording.
            let pcm = decoder.decode_latent(latent)?;
            let dropped = skip.min(pcm.len());
            let pcm = &pcm[dropped..];
            let count = (pcm.len() as u64).min(left);
            left -= count;
            skip -= dropped;
            emit(&pcm[..count as usize])?;
        }
        Ok(())
    }
}

/// Samples in, latents out.
pub struct LatentEncoder {
    frames: FrameEncoder,
    /// Samples of a frame, of all channels.
    hop: usize,
    channels: usize,
    delay: usize,
    pending: Vec<f32>,
    /// Samples of all channels.
    samples_in: u64,
    latents: Latents,
}

impl LatentEncoder {
    /// Loads a bundle's encoder network.
    ///
    /// # Errors
    /// What [`FrameEncoder::new`] returns.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let manifest = bundle.manifest();
        Ok(Self {
            frames: FrameEncoder::new(bundle, runtime)?,
            hop: manifest.frame_len(),
            channels: manifest.channels.into(),
            delay: manifest.delay.into(),
            pending: Vec::with_capacity(manifest.frame_len()),
            samples_in: 0,
            latents: Latents { dim: manifest.latent_len(), ..Latents::default() },
        })
    }

    /// Encodes any number of samples (-1..1, channels interleaved).
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn push_samples(&mut self, pcm: &[f32]) -> Result<()> {
        // Not in samples per channel: a call may end between two channels.
        self.samples_in += pcm.len() as u64;
        self.encode_samples(pcm)
    }

    fn encode_samples(&mut self, mut pcm: &[f32]) -> Result<()> {
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(self.hop - self.pending.len()));
            self.pending.extend_from_slice(now);
            pcm = later;
            if self.pending.len() == self.hop {
                self.frames.push_frame(&self.pending)?;
                self.pending.clear();
                while let Some(latent) = self.frames.take_latent() {
                    self.latents.values.extend_from_slice(latent);
                }
            }
        }
        Ok(())
    }

    /// Ends the recording: silence fills its last frame and the codec's delay.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn finish_stream(mut self) -> Result<Latents> {
        // A sample that lacks channels has those silent, as in packets and tokens.
        self.latents.samples = self.samples_in.div_ceil(self.channels as u64);
        if self.latents.samples > 0 {
            // Silence after the end pushes the last samples through the codec's delay, and the last frames through its
            // look-ahead.
            let frames = (self.latents.samples as usize + self.delay).div_ceil(self.hop / self.channels);
            let values = frames * self.latents.dim;
            while self.latents.values.len() < values {
                self.encode_samples(&vec![0.0; self.hop - self.pending.len()])?;
            }
            self.latents.values.truncate(values);
        }
        Ok(self.latents)
    }
}
