use siskin_bitstream::Frames;
use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, Conventions, GraphSpec, Manifest, SegmentSpec};
use siskin_model::runtime::{Provider, Runtime, Value, WholeNetwork};

use super::Snapshot;
use super::overlap::Overlap;
use super::planes::{join_channels, split_channels};
use crate::any_quantizer::AnyQuantizer;
use crate::search::BeamSearch;

/// Added to the loudness of a segment, so that silence can be divided by it (EnCodec, arXiv 2210.13438, section 3.1).
const LEAST_SCALE: f64 = 1e-8;

/// Checks that a bundle codes frame by frame.
///
/// # Errors
/// [`Error::Parameter`] if it codes segments.
pub(super) fn check_frames(bundle: &Bundle) -> Result<()> {
    let m = bundle.manifest();
    if m.segments.is_none() {
        return Ok(());
    }
    let allowed = "one that codes frame by frame: this one codes segments, with packets and token files";
    Err(Error::parameter("bundle", &m.name, allowed))
}

/// What encoder and decoder of segments have in common.
struct Segments {
    network: Box<dyn WholeNetwork>,
    spec: GraphSpec,
    quantizer: AnyQuantizer,
    conventions: Conventions,
    sizes: SegmentSpec,
    channels: usize,
    hop: usize,
    dim: usize,
    /// A segment's samples channel by channel, or its latents.
    input: Vec<f32>,
}

impl Segments {
    fn new(
        bundle: &Bundle,
        runtime: &Runtime,
        spec: fn(&Manifest) -> &GraphSpec,
        quantizer: AnyQuantizer,
    ) -> Result<Self> {
        let m = bundle.manifest();
        let Some(sizes) = m.segments else {
            return Err(Error::parameter("bundle", &m.name, "one that codes segments"));
        };
        let spec = spec(m).clone();
        Ok(Self {
            network: bundle.open_whole_network(runtime, &spec.file)?,
            spec,
            quantizer,
            conventions: m.conventions,
            sizes,
            channels: m.channels.into(),
            hop: m.hop.into(),
            dim: m.latent_dim,
            input: Vec::new(),
        })
    }

    /// Runs the network on `self.input`, `[1, rows, ...]`, whose output has to have `expected` values.
    fn run(&mut self, rows: usize, expected: usize) -> Result<Vec<f32>> {
        let shape = [1, rows, self.input.len() / rows.max(1)];
        let input = (self.spec.input.as_str(), Value::F32(&shape, &self.input));
        let outputs = self.network.run(&[input], &[self.spec.output.as_str()])?;
        let output = outputs.into_iter().next().map(|(_, values)| values).unwrap_or_default();
        if output.len() != expected {
            let reason = format!("{} values, the manifest says {expected}", output.len());
            return Err(Error::network(&self.spec.file, reason));
        }
        Ok(output)
    }
}

/// Encodes segments of samples to frames of codes.
pub struct SegmentEncoder {
    inner: Segments,
    search: Option<BeamSearch>,
}

impl SegmentEncoder {
    /// Loads the encoder network of a bundle that codes segments.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it codes frames, and what [`Bundle::open_whole_network`] returns.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let quantizer = AnyQuantizer::from_bundle(bundle)?;
        // The nearest entries: only published codecs have segments.
        let search = quantizer.new_search(1);
        Ok(Self { inner: Segments::new(bundle, runtime, |m| &m.encoder, quantizer)?, search })
    }

    /// Samples of a whole segment, and from the start of one to that of the next.
    pub(crate) fn sizes(&self) -> SegmentSpec {
        self.inner.sizes
    }

    /// Encodes interleaved samples of at most a whole segment, none of them beyond the finite: adds a frame for each `hop` samples
    /// and a part of them to `frames`, with `codes` codes each, and returns the scale that the decoder needs.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn encode(&mut self, pcm: &[f32], codes: usize, frames: &mut Frames) -> Result<f32> {
        let Segments { channels, hop, dim, .. } = self.inner;
        let scale = if self.inner.sizes.normalized { loudness(pcm, channels) } else { 1.0 };
        self.inner.input.resize(pcm.len(), 0.0);
        split_channels(pcm, channels, &mut self.inner.input);
        if self.inner.sizes.normalized {
            self.inner.input.iter_mut().for_each(|x| *x /= scale);
        }
        let count = (pcm.len() / channels).div_ceil(hop);
        let latents = self.inner.run(channels, dim * count)?;
        let (mut latent, mut frame) = (vec![0.0; dim], vec![0; codes]);
        for n in 0..count {
            latent.iter_mut().enumerate().for_each(|(d, x)| *x = latents[d * count + n]);
            self.inner.quantizer.quantize(&latent, &mut frame, &mut self.search);
            frames.push_frame(&frame);
        }
        Ok(scale)
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.inner.network.provider()
    }
}

/// The effective value of the mean of the channels.
fn loudness(pcm: &[f32], channels: usize) -> f32 {
    let mono = pcm.chunks_exact(channels).map(|s| s.iter().map(|&x| f64::from(x)).sum::<f64>());
    let (mut sum, mut count) = (0.0, 0u32);
    for x in mono {
        sum += x * x;
        count += 1;
    }
    ((sum / f64::from(count.max(1))).sqrt() / channels as f64 + LEAST_SCALE) as f32
}

/// A decoded sample in the segment's loudness. A stream may say any scale: what would be infinite is the largest number there is.
/// The network's failure is silence, as in a codec of frames.
fn scaled(sample: f32, scale: f32) -> f32 {
    if sample.is_finite() { (sample * scale).clamp(f32::MIN, f32::MAX) } else { 0.0 }
}

/// Decodes segments and mixes them where they overlap.
pub(crate) struct SegmentDecoder {
    inner: Segments,
    overlap: Overlap,
}

impl SegmentDecoder {
    /// # Errors
    /// As for [`SegmentEncoder::new`].
    pub(crate) fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let quantizer = AnyQuantizer::for_decoder(bundle)?;
        let inner = Segments::new(bundle, runtime, |m| &m.decoder, quantizer)?;
        let overlap = Overlap::new(inner.sizes, inner.channels);
        let mut decoder = Self { inner, overlap };
        decoder.reset();
        Ok(decoder)
    }

    /// Samples of a whole segment, and from the start of one to that of the next.
    pub(crate) fn sizes(&self) -> SegmentSpec {
        self.inner.sizes
    }

    /// Decodes the codes of a segment; its last `overlap` samples are held for the next.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for codes out of range, before anything has changed; [`Error::Network`] if the network fails.
    pub(crate) fn decode(&mut self, codes: &Frames, scale: f32, overlap: usize) -> Result<Vec<f32>> {
        let Segments { channels, hop, dim, .. } = self.inner;
        let count = codes.len();
        self.inner.input.resize(dim * count, 0.0);
        let mut latent = vec![0.0; dim];
        for (n, codes) in codes.iter().enumerate() {
            self.inner.quantizer.dequantize(codes, &mut latent)?;
            latent.iter().enumerate().for_each(|(d, &x)| self.inner.input[d * count + n] = x);
        }
        let planes = self.inner.run(dim, count * hop * channels)?;
        let mut pcm = vec![0.0; planes.len()];
        join_channels(&planes, channels, &mut pcm);
        pcm.iter_mut().for_each(|x| *x = scaled(*x, scale));
        self.overlap.add(&mut pcm, overlap);
        Ok(pcm)
    }

    /// Fills `frames` lost frames with silence, into which the last segment fades.
    pub(crate) fn conceal(&mut self, frames: usize, out: &mut Vec<f32>) {
        let Segments { channels, hop, .. } = self.inner;
        let start = out.len();
        out.resize(start + frames * hop * channels, 0.0);
        self.overlap.conceal(&mut out[start..]);
    }

    /// A new stream begins.
    pub(crate) fn start_stream(&mut self) {
        self.overlap.start_stream();
    }

    /// After a seek.
    pub(crate) fn reset(&mut self) {
        self.overlap.join_stream();
    }

    pub(crate) fn save_state(&self, into: &mut Snapshot) {
        // Ones of a decoder of frames may have been in their place.
        into.states.clear();
        into.latent.clear();
        match &mut into.overlap {
            Some(overlap) => overlap.clone_from(&self.overlap),
            empty => *empty = Some(self.overlap.clone()),
        }
    }

    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle, or of a decoder of frames.
    pub(crate) fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        let other = || Error::parameter("snapshot", "of a codec of frames", "of this bundle");
        self.overlap.restore(from.overlap.as_ref().ok_or_else(other)?)
    }

    pub(crate) fn provider(&self) -> Provider {
        self.inner.network.provider()
    }

    pub(crate) fn conventions(&self) -> Conventions {
        self.inner.conventions
    }

    /// Dimension of a latent frame.
    pub(crate) fn latent_dim(&self) -> usize {
        self.inner.dim
    }
}
