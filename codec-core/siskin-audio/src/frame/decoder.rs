use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, Conventions};
use siskin_model::runtime::{Provider, Runtime, StepNetwork};

use super::block::BlockNetwork;
use super::opening::Opening;
use super::planes::join_channels;
use super::segments::check_frames;
use super::{Snapshot, check_network, end_state, mark_end};
use crate::any_quantizer::AnyQuantizer;
use crate::quantizer::ResidualQuantizer;

/// Decodes codes to frames of `hop` samples.
pub struct FrameDecoder {
    network: BlockNetwork,
    quantizer: AnyQuantizer,
    latent: Vec<f32>,
    /// Space for the latents of a block.
    next_latent: Vec<f32>,
    /// Samples of a frame, of all channels, and dimension of a latent, of which a frame may have several.
    hop: usize,
    channels: usize,
    /// Samples of the last run, interleaved, where there are several channels.
    pcm: Vec<f32>,
    dim: usize,
    conventions: Conventions,
    opening: Option<Opening>,
    /// Samples by which the output lags, of all channels.
    delay: usize,
    /// The state that says that the stream has ended.
    end_state: Option<usize>,
}

impl FrameDecoder {
    /// Loads a bundle's decoder network.
    ///
    /// # Errors
    /// What [`Bundle::open_network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        check_frames(bundle)?;
        let spec = &bundle.manifest().decoder;
        Self::with_network(bundle, runtime, bundle.open_network(runtime, spec, 1)?)
    }

    /// The same with `network` in the place of the bundle's, such as one that is measured. `runtime` opens what else there is.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_network(
        bundle: &Bundle,
        runtime: &Runtime,
        mut network: Box<dyn StepNetwork>,
    ) -> Result<Self> {
        let m = bundle.manifest();
        check_frames(bundle)?;
        check_network(&mut *network, &m.decoder, [m.latent_len(), m.frame_len()])?;
        let network = BlockNetwork::of_bundle(network, bundle, runtime, &m.decoder);
        let mut decoder = Self::with_quantizer(network, AnyQuantizer::for_decoder(bundle)?);
        decoder.conventions = m.conventions;
        decoder.dim = m.latent_dim;
        decoder.channels = m.channels.into();
        decoder.delay = usize::from(m.delay) * decoder.channels;
        decoder.end_state = end_state(&m.decoder);
        let opening = m.opening.as_ref().and_then(|o| Some((o.decoder.as_ref()?, o.frames)));
        decoder.opening = opening.map(|(spec, frames)| Opening::new(bundle, runtime, spec, frames));
        Ok(decoder)
    }

    /// A decoder from a network `latents [1,D,1] -> pcm [1,1,hop]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self::with_quantizer(BlockNetwork::new(network), AnyQuantizer::Residual(quantizer))
    }

    fn with_quantizer(mut network: BlockNetwork, quantizer: AnyQuantizer) -> Self {
        let hop = network.network().output().len();
        let latent = vec![0.0; quantizer.latent_len()];
        Self {
            network,
            hop,
            channels: 1,
            pcm: Vec::new(),
            dim: latent.len(),
            next_latent: Vec::with_capacity(latent.len()),
            latent,
            quantizer,
            conventions: Conventions::Siskin,
            opening: None,
            delay: 0,
            end_state: None,
        }
    }

    /// Whose conventions the bundle follows.
    pub(crate) fn conventions(&self) -> Conventions {
        self.conventions
    }

    /// Frames of a stream's start that [`decode_opening`](Self::decode_opening) takes; none if the codec has no such thing.
    pub(crate) fn opening_frames(&self) -> Option<usize> {
        self.opening.as_ref().map(Opening::frames)
    }

    /// Decodes the first frames of a stream as the published codec does, which mirrors them at the start: `codes` are those of
    /// [`opening_frames`](Self::opening_frames) frames. The next frame then goes on from them.
    ///
    /// # Errors
    /// As for [`decode_frame`](Self::decode_frame).
    pub(crate) fn decode_opening<'a>(&mut self, codes: impl Iterator<Item = &'a [u16]>) -> Result<Vec<f32>> {
        let Some(opening) = &mut self.opening else { return Ok(Vec::new()) };
        let (frames, values) = (opening.frames(), self.latent.len());
        let mut latents = vec![0.0; frames * values];
        for (frame, codes) in codes.take(frames).enumerate() {
            self.quantizer.dequantize(codes, &mut self.latent)?;
            self.latent.iter().enumerate().for_each(|(d, &x)| latents[d * frames + frame] = x);
        }
        let samples = frames * self.hop;
        // It begins with the stream's first sample; what the codec lags by is put before it, as in other streams.
        let lag = self.delay.min(samples);
        let planes = opening.run(&[1, values, frames], &latents, samples - lag)?;
        self.network.of(1)?.restore(opening.states())?;
        let mut pcm = vec![0.0; samples];
        join_channels(&planes, self.channels, &mut pcm[lag..]);
        Ok(pcm)
    }

    /// Decodes one frame from `codes` (`[stage][group]`, any whole number of stages) and returns its `hop` samples of each channel,
    /// interleaved.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for codes out of range, before anything has changed;
    /// [`Error::Network`] if the network fails.
    pub fn decode_frame(&mut self, codes: &[u16]) -> Result<&[f32]> {
        self.quantizer.dequantize(codes, &mut self.latent)?;
        self.run_latent()
    }

    /// Decodes one frame from a latent that [`FrameEncoder::encode_latent`](super::FrameEncoder::encode_latent) or a model made,
    /// and returns its `hop` samples.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another dimension;
    /// [`Error::Network`] if the network fails.
    pub fn decode_latent(&mut self, latent: &[f32]) -> Result<&[f32]> {
        if latent.len() != self.latent.len() {
            return Err(Error::parameter("latent dimension", latent.len(), self.latent.len()));
        }
        self.latent.copy_from_slice(latent);
        self.run_latent()
    }

    /// Dimension of a latent frame.
    pub fn latent_dim(&self) -> usize {
        self.latent.len()
    }

    /// Conceals a lost frame: runs the network on the last latent scaled by `gain`.
    pub(crate) fn decode_repeated(&mut self, gain: f32) -> Result<&[f32]> {
        // In place: the latents of a long gap decay frame by frame.
        self.latent.iter_mut().for_each(|x| *x *= gain);
        self.run_latent()
    }

    /// Conceals a lost frame before a known one: runs the network on a latent `share` of the way from the last one to
    /// `target`, in direction and in length. The plain mean of two different latents would be short and sound dull.
    pub(crate) fn decode_interpolated(&mut self, target: &[f32], share: f32) -> Result<&[f32]> {
        let length = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>().sqrt();
        let wanted = (1.0 - share) * length(&self.latent) + share * length(target);
        self.latent.iter_mut().zip(target).for_each(|(x, t)| *x += share * (t - *x));
        // Opposite latents may meet at zero: the network then gets a zero latent, not NaN.
        let found = length(&self.latent).max(f32::MIN_POSITIVE);
        self.decode_repeated(wanted / found)
    }

    /// Sets `latent` to the latent of `codes`.
    pub(crate) fn lookup_latent(&self, codes: &[u16], latent: &mut Vec<f32>) -> Result<()> {
        // Reuses the caller's buffer: after the first gap nothing allocates.
        latent.resize(self.latent.len(), 0.0);
        self.quantizer.dequantize(codes, latent)
    }

    fn run_latent(&mut self) -> Result<&[f32]> {
        let network = self.network.of(1)?;
        network.input().copy_from_slice(&self.latent);
        network.run()?;
        Ok(self.interleaved())
    }

    /// The samples of the last run.
    fn interleaved(&mut self) -> &[f32] {
        let planes = self.network.shared().output();
        if self.channels == 1 {
            return planes;
        }
        self.pcm.resize(planes.len(), 0.0);
        join_channels(planes, self.channels, &mut self.pcm);
        &self.pcm
    }

    /// Frames that [`decode_block`](Self::decode_block) takes at most.
    pub(crate) fn max_block(&self) -> usize {
        self.network.max_block()
    }

    /// Decodes the codes of several frames at once and returns their samples.
    ///
    /// # Errors
    /// As for [`decode_frame`](Self::decode_frame).
    pub(crate) fn decode_block<'a>(
        &mut self,
        codes: impl Iterator<Item = &'a [u16]>,
        frames: usize,
    ) -> Result<&[f32]> {
        let each = self.latent.len() / self.dim.max(1);
        let network = self.network.of(frames)?;
        // Into the network's input, which nothing reads before it runs, and not yet into `latent`: an error must come before
        // anything has changed.
        let input = network.input();
        self.next_latent.resize(self.latent.len(), 0.0);
        for (frame, codes) in codes.take(frames).enumerate() {
            self.quantizer.dequantize(codes, &mut self.next_latent)?;
            for (d, row) in self.next_latent.chunks_exact(each).enumerate() {
                input[(d * frames + frame) * each..][..each].copy_from_slice(row);
            }
        }
        self.latent.copy_from_slice(&self.next_latent);
        network.run()?;
        Ok(self.interleaved())
    }

    /// Says that the codes of the stream are all in: what follows only pushes the last samples through the delay.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the network's states are not those of its manifest.
    pub(crate) fn mark_end(&mut self) -> Result<()> {
        mark_end(self.network.of(1)?, self.end_state)
    }

    /// Back to the state of a new instance.
    pub fn reset(&mut self) {
        self.network.network().reset();
        self.latent.fill(0.0);
    }

    /// Saves the state to `into`.
    pub fn save_state(&self, into: &mut Snapshot) {
        self.network.shared().save(&mut into.states);
        into.latent.clone_from(&self.latent);
    }

    /// Restores a state of the same bundle.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        // Checked before the network's states, so that a wrong snapshot changes nothing.
        if from.latent.len() != self.latent.len() {
            return Err(Error::parameter("snapshot", "of another bundle", "of this bundle"));
        }
        self.network.network().restore(&from.states)?;
        self.latent.copy_from_slice(&from.latent);
        Ok(())
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.network.shared().provider()
    }
}
