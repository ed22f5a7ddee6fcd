use std::sync::Arc;

use crate::{Error, Result};
use siskin_entropy::Tables;
use siskin_model::bundle::{Bundle, GraphSpec};
use siskin_model::runtime::{Provider, Runtime, StepNetwork};

use super::conceal::ConcealmentSnapshot;
use super::quantizer::ResidualQuantizer;
use super::rate::Choices;
use super::search::{BeamSearch, DEFAULT_SEARCH_WIDTH};

/// The states of an encoder or decoder at a moment of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub(super) states: Vec<Vec<f32>>,
    /// A decoder's last latent, which a loss repeats.
    pub(super) latent: Vec<f32>,
    /// What a loss had come to; only a [`Decoder`](super::Decoder) uses it and the limiter's peak.
    pub(super) concealment: ConcealmentSnapshot,
    pub(super) peak: f32,
}

/// A network of a bundle, with so many values in its input and its output.
fn network(
    bundle: &Bundle,
    runtime: &Runtime,
    spec: &GraphSpec,
    expected: [usize; 2],
) -> Result<Box<dyn StepNetwork>> {
    let mut network = runtime.open_network(spec, bundle.file_bytes(&spec.file)?)?;
    let found = [network.input().len(), network.output().len()];
    for ((name, found), expected) in [&spec.input, &spec.output].into_iter().zip(found).zip(expected) {
        if found != expected {
            let reason = format!("{name} has {found} values a frame, the manifest says {expected}");
            return Err(Error::network(&spec.file, reason));
        }
    }
    Ok(network)
}

/// Turns frames of `hop` samples into codes.
pub struct FrameEncoder {
    network: Box<dyn StepNetwork>,
    quantizer: ResidualQuantizer,
    search: BeamSearch,
}

impl FrameEncoder {
    /// Loads a bundle's encoder network.
    ///
    /// # Errors
    /// What [`Runtime::network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let m = bundle.manifest();
        let network = network(bundle, runtime, &m.encoder, [m.hop.into(), m.latent_dim])?;
        Ok(Self::from_parts(network, ResidualQuantizer::from_bundle(bundle)?))
    }

    /// Puts an encoder together from a network `pcm [1,1,hop] -> latents [1,D,1]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self { network, search: BeamSearch::new(&quantizer, DEFAULT_SEARCH_WIDTH), quantizer }
    }

    /// Codes one frame: `pcm` holds `hop` samples in -1..1, `codes` is filled `[stage][group]` with as many stages as
    /// it has room for. Samples that are not finite count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn encode(&mut self, pcm: &[f32], codes: &mut [u16]) -> Result<()> {
        self.follow(pcm)?;
        self.quantizer.encode(self.network.output(), codes, &mut self.search);
        Ok(())
    }

    /// Codes one frame with each number of stages.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub(super) fn encode_all(&mut self, pcm: &[f32], choices: &mut Choices) -> Result<()> {
        self.follow(pcm)?;
        let input = self.network.input();
        choices.energy = input.iter().map(|x| x * x).sum::<f32>() / input.len().max(1) as f32;
        self.quantizer.encode_all(self.network.output(), choices, &mut self.search);
        Ok(())
    }

    /// Weighs the bits that range coding with these tables would take; see [`BeamSearch::weigh`].
    pub(super) fn weigh(&mut self, tables: Option<Arc<Tables>>, bit_weight: f32) {
        self.search.weigh(tables, bit_weight);
    }

    /// Begins a packet whose frames' bits are to be weighed.
    pub(super) fn begin_packet(&mut self) {
        self.search.begin_packet();
    }

    /// Tells what codes the packet got for the frame.
    pub(super) fn end_frame(&mut self, codes: &[u16]) {
        self.search.end_frame(codes);
    }

    /// The latent of one frame before it is quantized (`latent_dim` values): `pcm` holds `hop` samples in -1..1. Samples
    /// that are not finite count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn latent(&mut self, pcm: &[f32]) -> Result<&[f32]> {
        self.follow(pcm)?;
        Ok(self.network.output())
    }

    /// Hears a frame of `hop` samples without coding it, so that the next one is coded in its place in the stream.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub(super) fn follow(&mut self, pcm: &[f32]) -> Result<()> {
        let input = self.network.input();
        for (to, &from) in input.iter_mut().zip(pcm) {
            *to = if from.is_finite() { from } else { 0.0 };
        }
        self.network.run()
    }

    /// Sets how many choices of codes are followed at once, 1 to 64: more come nearer and take longer.
    pub fn set_search_width(&mut self, width: usize) {
        self.search = BeamSearch::new(&self.quantizer, width);
    }

    /// Back to the state of a new instance.
    pub fn reset(&mut self) {
        self.network.reset();
    }

    /// Keeps the states in `into`.
    pub fn snapshot(&self, into: &mut Snapshot) {
        self.network.save(&mut into.states);
    }

    /// Puts back the states of a snapshot of the same bundle.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore(&mut self, from: &Snapshot) -> Result<()> {
        self.network.restore(&from.states)
    }

    /// What runs the network.
    pub fn provider(&self) -> Provider {
        self.network.provider()
    }
}

/// Turns codes into frames of `hop` samples.
pub struct FrameDecoder {
    network: Box<dyn StepNetwork>,
    quantizer: ResidualQuantizer,
    latent: Vec<f32>,
}

impl FrameDecoder {
    /// Loads a bundle's decoder network.
    ///
    /// # Errors
    /// What [`Runtime::network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let m = bundle.manifest();
        let network = network(bundle, runtime, &m.decoder, [m.latent_dim, m.hop.into()])?;
        Ok(Self::from_parts(network, ResidualQuantizer::from_bundle(bundle)?))
    }

    /// Puts a decoder together from a network `latents [1,D,1] -> pcm [1,1,hop]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self { network, latent: vec![0.0; quantizer.latent_dim()], quantizer }
    }

    /// Decodes one frame from `codes` (`[stage][group]`, any whole number of stages) and returns its `hop` samples.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for codes out of range, before anything has changed;
    /// [`Error::Network`] if the network fails.
    pub fn decode(&mut self, codes: &[u16]) -> Result<&[f32]> {
        self.quantizer.decode(codes, &mut self.latent)?;
        self.run_latent()
    }

    /// Decodes one frame from a latent of the encoder's kind, not quantized, and returns its `hop` samples.
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

    /// Runs the network on the last latent scaled by `gain`, to bridge a lost frame.
    pub(super) fn repeat(&mut self, gain: f32) -> Result<&[f32]> {
        self.latent.iter_mut().for_each(|x| *x *= gain);
        self.run_latent()
    }

    /// Runs the network on a latent `share` of the way from the last one to `target`, in direction and in length: a mere
    /// mean of two that differ would be short, and sound dull.
    pub(super) fn bridge(&mut self, target: &[f32], share: f32) -> Result<&[f32]> {
        let length = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>().sqrt();
        let wanted = (1.0 - share) * length(&self.latent) + share * length(target);
        self.latent.iter_mut().zip(target).for_each(|(x, t)| *x += share * (t - *x));
        let found = length(&self.latent).max(f32::MIN_POSITIVE);
        self.repeat(wanted / found)
    }

    /// The latent that codes stand for, into `latent`.
    pub(super) fn lookup(&self, codes: &[u16], latent: &mut Vec<f32>) -> Result<()> {
        latent.resize(self.latent.len(), 0.0);
        self.quantizer.decode(codes, latent)
    }

    fn run_latent(&mut self) -> Result<&[f32]> {
        self.network.input().copy_from_slice(&self.latent);
        self.network.run()?;
        Ok(self.network.output())
    }

    /// Back to the state of a new instance.
    pub fn reset(&mut self) {
        self.network.reset();
        self.latent.fill(0.0);
    }

    /// Keeps the states in `into`.
    pub fn snapshot(&self, into: &mut Snapshot) {
        self.network.save(&mut into.states);
        into.latent.clone_from(&self.latent);
    }

    /// Puts back the states of a snapshot of the same bundle.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore(&mut self, from: &Snapshot) -> Result<()> {
        if from.latent.len() != self.latent.len() {
            return Err(Error::parameter("snapshot", "of another bundle", "of this bundle"));
        }
        self.network.restore(&from.states)?;
        self.latent.copy_from_slice(&from.latent);
        Ok(())
    }

    /// What runs the network.
    pub fn provider(&self) -> Provider {
        self.network.provider()
    }
}
