use std::sync::Arc;

use siskin_entropy::Tables;
use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, GraphSpec};
use siskin_model::runtime::{Provider, Runtime, StepNetwork};

use crate::conceal::ConcealmentSnapshot;
use crate::quantizer::ResidualQuantizer;
use crate::rate::StageCandidates;
use crate::search::{BeamSearch, DEFAULT_SEARCH_WIDTH};

/// The state of an encoder or decoder at a position of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub(crate) states: Vec<Vec<f32>>,
    /// A decoder's last latent, which concealment holds.
    pub(crate) latent: Vec<f32>,
    /// State of the concealment; only a [`Decoder`](crate::Decoder) uses it and the limiter's peak.
    pub(crate) concealment: ConcealmentSnapshot,
    pub(crate) peak: f32,
}

/// Loads a network of a bundle and checks the numbers of values of its input and output.
fn load_network(
    bundle: &Bundle,
    runtime: &Runtime,
    spec: &GraphSpec,
    expected: [usize; 2],
) -> Result<Box<dyn StepNetwork>> {
    let mut network = runtime.open_network(spec, bundle.file_bytes(&spec.file)?)?;
    // A bundle whose graph and manifest differ is refused here; a copy between the two would panic later.
    let found = [network.input().len(), network.output().len()];
    for ((name, found), expected) in [&spec.input, &spec.output].into_iter().zip(found).zip(expected) {
        if found != expected {
            let reason = format!("{name} has {found} values per frame, the manifest says {expected}");
            return Err(Error::network(&spec.file, reason));
        }
    }
    Ok(network)
}

/// Encodes frames of `hop` samples to codes.
pub struct FrameEncoder {
    network: Box<dyn StepNetwork>,
    quantizer: ResidualQuantizer,
    search: BeamSearch,
}

impl FrameEncoder {
    /// Loads a bundle's encoder network.
    ///
    /// # Errors
    /// What [`Runtime::open_network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let m = bundle.manifest();
        let network = load_network(bundle, runtime, &m.encoder, [m.hop.into(), m.latent_dim])?;
        Ok(Self::from_parts(network, ResidualQuantizer::from_bundle(bundle)?))
    }

    /// An encoder from a network `pcm [1,1,hop] -> latents [1,D,1]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self {
            network,
            search: BeamSearch::new(quantizer.codebooks().shape(), DEFAULT_SEARCH_WIDTH),
            quantizer,
        }
    }

    /// Encodes one frame: `pcm` holds `hop` samples in -1..1, `codes` is filled `[stage][group]` with as many stages as
    /// it has room for. NaN and infinite samples count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn encode_frame(&mut self, pcm: &[f32], codes: &mut [u16]) -> Result<()> {
        self.run_network(pcm)?;
        self.quantizer.quantize_latent(self.network.output(), codes, &mut self.search);
        Ok(())
    }

    /// Encodes one frame with each number of stages.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub(crate) fn encode_all_stages(&mut self, pcm: &[f32], candidates: &mut StageCandidates) -> Result<()> {
        self.run_network(pcm)?;
        let input = self.network.input();
        // The energy of the samples and not of the latent: it stands for loudness, and latents may be normalized.
        candidates.energy = input.iter().map(|x| x * x).sum::<f32>() / input.len().max(1) as f32;
        self.quantizer.quantize_all_stages(self.network.output(), candidates, &mut self.search);
        Ok(())
    }

    /// Counts the bits of range coding with these tables in the search; see [`BeamSearch::set_bit_costs`].
    pub(crate) fn set_bit_costs(&mut self, tables: Option<Arc<Tables>>, lambda: f32) {
        self.search.set_bit_costs(tables, lambda);
    }

    /// Starts a packet for the bit costs.
    pub(crate) fn start_packet(&mut self) {
        self.search.start_packet();
    }

    /// Ends a frame of the packet with the codes that it got.
    pub(crate) fn end_frame(&mut self, codes: &[u16]) {
        self.search.end_frame(codes);
    }

    /// Encodes one frame without quantization: returns its latent (`latent_dim` values): `pcm` holds `hop` samples in -1..1. NaN and
    /// infinite samples count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn encode_latent(&mut self, pcm: &[f32]) -> Result<&[f32]> {
        self.run_network(pcm)?;
        Ok(self.network.output())
    }

    /// Runs the network on a frame of `hop` samples. Used alone for a frame that is not coded, it keeps the network's state
    /// in step with the stream.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub(crate) fn run_network(&mut self, pcm: &[f32]) -> Result<()> {
        let input = self.network.input();
        for (to, &from) in input.iter_mut().zip(pcm) {
            // A NaN would reach the network's states and stay in them.
            *to = if from.is_finite() { from } else { 0.0 };
        }
        self.network.run()
    }

    /// Sets the number of beams of the codebook search, 1 to 64. More give less error and take more time.
    pub fn set_search_width(&mut self, width: usize) {
        self.search = BeamSearch::new(self.quantizer.codebooks().shape(), width);
    }

    /// Back to the state of a new instance.
    pub fn reset(&mut self) {
        self.network.reset();
    }

    /// Saves the state to `into`.
    pub fn save_state(&self, into: &mut Snapshot) {
        self.network.save(&mut into.states);
    }

    /// Restores a state of the same bundle.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        self.network.restore(&from.states)
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.network.provider()
    }
}

/// Decodes codes to frames of `hop` samples.
pub struct FrameDecoder {
    network: Box<dyn StepNetwork>,
    quantizer: ResidualQuantizer,
    latent: Vec<f32>,
}

impl FrameDecoder {
    /// Loads a bundle's decoder network.
    ///
    /// # Errors
    /// What [`Runtime::open_network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let m = bundle.manifest();
        let network = load_network(bundle, runtime, &m.decoder, [m.latent_dim, m.hop.into()])?;
        Ok(Self::from_parts(network, ResidualQuantizer::from_bundle(bundle)?))
    }

    /// A decoder from a network `latents [1,D,1] -> pcm [1,1,hop]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self { network, latent: vec![0.0; quantizer.latent_dim()], quantizer }
    }

    /// Decodes one frame from `codes` (`[stage][group]`, any whole number of stages) and returns its `hop` samples.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for codes out of range, before anything has changed;
    /// [`Error::Network`] if the network fails.
    pub fn decode_frame(&mut self, codes: &[u16]) -> Result<&[f32]> {
        self.quantizer.dequantize_codes(codes, &mut self.latent)?;
        self.run_latent()
    }

    /// Decodes one frame from a latent that [`FrameEncoder::encode_latent`] or a model made, and returns its `hop` samples.
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
        self.quantizer.dequantize_codes(codes, latent)
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

    /// Saves the state to `into`.
    pub fn save_state(&self, into: &mut Snapshot) {
        self.network.save(&mut into.states);
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
        self.network.restore(&from.states)?;
        self.latent.copy_from_slice(&from.latent);
        Ok(())
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.network.provider()
    }
}
