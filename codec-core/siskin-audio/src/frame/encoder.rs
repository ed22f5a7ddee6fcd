use std::collections::VecDeque;
use std::sync::Arc;

use siskin_entropy::Tables;
use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, Conventions};
use siskin_model::runtime::{Provider, Runtime, StepNetwork};

use super::opening::Opening;
use super::{Snapshot, check_network, end_state, mark_end};
use crate::any_quantizer::AnyQuantizer;
use crate::quantizer::ResidualQuantizer;
use crate::rate::StageCandidates;
use crate::search::{BeamSearch, DEFAULT_SEARCH_WIDTH};

/// Encodes frames of `hop` samples to codes.
///
/// Most codecs give the codes of a frame with its last sample. Some of the published ones look ahead, so frames go in with
/// [`push_frame`](Self::push_frame) and codes come out with [`take_codes`](Self::take_codes), a number of frames later.
pub struct FrameEncoder {
    network: Box<dyn StepNetwork>,
    quantizer: AnyQuantizer,
    search: Option<BeamSearch>,
    conventions: Conventions,
    /// Frames of output before the first of the stream: of the whole stream, and still to come.
    lookahead: u32,
    skip: u32,
    opening: Option<Opening>,
    /// The state that says that the stream has ended.
    end_state: Option<usize>,
    /// Whether streams begin with the opening, and whether this one's is still to come.
    is_mirrored: bool,
    is_opening: bool,
    /// Samples of the opening.
    gathered: Vec<f32>,
    /// Latents that have not been taken, and the mean square of their frames' samples.
    ready: VecDeque<Vec<f32>>,
    energies: VecDeque<f32>,
    /// Buffers of latents that have been taken; the last taken is the last of them.
    spare: Vec<Vec<f32>>,
}

impl FrameEncoder {
    /// Loads a bundle's encoder network.
    ///
    /// # Errors
    /// What [`Runtime::open_network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let m = bundle.manifest();
        let spec = &m.encoder;
        Self::with_network(bundle, runtime, runtime.open_network(spec, bundle.file_bytes(&spec.file)?)?)
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
        check_network(&mut *network, &m.encoder, [m.hop.into(), m.latent_len()])?;
        let mut encoder = Self::with_quantizer(network, AnyQuantizer::from_bundle(bundle)?);
        encoder.conventions = m.conventions;
        encoder.end_state = end_state(&m.encoder);
        encoder.lookahead = m.lookahead / u32::from(m.hop);
        encoder.opening = m.opening.as_ref().map(|o| Opening::new(bundle, runtime, &o.encoder, o.frames));
        encoder.set_search_width(DEFAULT_SEARCH_WIDTH);
        encoder.skip = encoder.lookahead;
        Ok(encoder)
    }

    /// An encoder from a network `pcm [1,1,hop] -> latents [1,D,1]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self::with_quantizer(network, AnyQuantizer::Residual(quantizer))
    }

    fn with_quantizer(network: Box<dyn StepNetwork>, quantizer: AnyQuantizer) -> Self {
        Self {
            network,
            search: quantizer.new_search(DEFAULT_SEARCH_WIDTH),
            quantizer,
            conventions: Conventions::Siskin,
            lookahead: 0,
            skip: 0,
            opening: None,
            end_state: None,
            is_mirrored: false,
            is_opening: false,
            gathered: Vec::new(),
            ready: VecDeque::new(),
            energies: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Whose conventions the bundle follows.
    pub(crate) fn conventions(&self) -> Conventions {
        self.conventions
    }

    /// Frames that go in before the first codes come out, beyond the one that is coded.
    pub fn lookahead_frames(&self) -> u32 {
        self.lookahead
    }

    /// Whether streams begin as the published codec's files do, which mirror the first frames at their start. The codes of the
    /// first frames then come together, so that is for files; without it a stream begins from silence, at once. Codecs that do
    /// not mirror begin in one way only. To be called before the first frame.
    pub fn set_opening(&mut self, is_mirrored: bool) {
        self.is_mirrored = is_mirrored && self.opening.is_some();
        self.reset();
    }

    /// Frames that [`set_opening`](Self::set_opening) makes a stream wait for; 1 if there is nothing to wait for.
    pub fn opening_frames(&self) -> usize {
        self.opening.as_ref().map_or(1, Opening::frames)
    }

    /// Encodes one frame: `pcm` holds `hop` samples in -1..1, `codes` is filled `[stage][group]` with as many stages as
    /// it has room for. NaN and infinite samples count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails; [`Error::Parameter`] if the codec looks ahead and the frame's codes are not
    /// there yet.
    pub fn encode_frame(&mut self, pcm: &[f32], codes: &mut [u16]) -> Result<()> {
        self.push_frame(pcm)?;
        if self.take_codes(codes) {
            return Ok(());
        }
        Err(Error::parameter("frame", "of a codec that looks ahead", "push_frame and take_codes"))
    }

    /// Takes a frame of `hop` samples in -1..1; NaN and infinite samples count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn push_frame(&mut self, pcm: &[f32]) -> Result<()> {
        // The energy of the samples and not of the latent: it stands for loudness, and latents may be normalized.
        let energy = pcm.iter().filter(|x| x.is_finite()).map(|x| x * x).sum::<f32>();
        self.energies.push_back(energy / pcm.len().max(1) as f32);
        if self.is_opening {
            self.gathered.extend(pcm.iter().map(|&x| if x.is_finite() { x } else { 0.0 }));
            return self.open_stream();
        }
        self.run_network(pcm)?;
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        let mut latent = self.spare.pop().unwrap_or_default();
        latent.clear();
        latent.extend_from_slice(self.network.output());
        self.ready.push_back(latent);
        Ok(())
    }

    /// Runs the network of the first frames once all of them are there.
    fn open_stream(&mut self) -> Result<()> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let (frames, hop) = (opening.frames(), self.network.input().len());
        if self.gathered.len() < frames * hop {
            return Ok(());
        }
        let values = self.network.output().len();
        let latents = opening.run(&[1, 1, frames * hop], &self.gathered, frames * values)?;
        self.network.restore(opening.states())?;
        for frame in 0..frames {
            // [dimension][frame] in the network, a dimension beside the next in a latent.
            self.ready.push_back((0..values).map(|d| latents[d * frames + frame]).collect());
        }
        self.is_opening = false;
        self.gathered.clear();
        Ok(())
    }

    /// Frames whose codes can be taken.
    pub fn ready_frames(&self) -> usize {
        self.ready.len()
    }

    /// Fills `codes`, `[stage][group]`, with as many stages as it has room for, for the oldest frame that is ready; false if
    /// there is none.
    pub fn take_codes(&mut self, codes: &mut [u16]) -> bool {
        let Some(latent) = self.ready.pop_front() else { return false };
        self.energies.pop_front();
        self.quantizer.quantize(&latent, codes, &mut self.search);
        self.spare.push(latent);
        true
    }

    /// As [`take_codes`](Self::take_codes) with each number of stages.
    pub(crate) fn take_all_stages(&mut self, candidates: &mut StageCandidates) -> bool {
        let Some(latent) = self.ready.pop_front() else { return false };
        candidates.energy = self.energies.pop_front().unwrap_or_default();
        self.quantizer.quantize_all_stages(&latent, candidates, &mut self.search);
        self.spare.push(latent);
        true
    }

    /// The latent of the oldest frame that is ready, without quantization.
    pub fn take_latent(&mut self) -> Option<&[f32]> {
        let latent = self.ready.pop_front()?;
        self.energies.pop_front();
        self.spare.push(latent);
        self.spare.last().map(Vec::as_slice)
    }

    /// Counts the bits of range coding with these tables in the search; see [`BeamSearch::set_bit_costs`].
    pub(crate) fn set_bit_costs(&mut self, tables: Option<Arc<Tables>>, lambda: f32) {
        if let Some(search) = &mut self.search {
            search.set_bit_costs(tables, lambda);
        }
    }

    /// Starts a packet for the bit costs.
    pub(crate) fn start_packet(&mut self) {
        if let Some(search) = &mut self.search {
            search.start_packet();
        }
    }

    /// Ends a frame of the packet with the codes that it got.
    pub(crate) fn end_frame(&mut self, codes: &[u16]) {
        if let Some(search) = &mut self.search {
            search.end_frame(codes);
        }
    }

    /// Encodes one frame without quantization: returns its latent (`latent_dim` values): `pcm` holds `hop` samples in -1..1. NaN and
    /// infinite samples count as silence.
    ///
    /// # Errors
    /// As for [`encode_frame`](Self::encode_frame).
    pub fn encode_latent(&mut self, pcm: &[f32]) -> Result<&[f32]> {
        self.push_frame(pcm)?;
        let waits = || Error::parameter("frame", "of a codec that looks ahead", "push_frame and take_latent");
        self.take_latent().ok_or_else(waits)
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

    /// Sets the number of beams of the codebook search, 1 to 64. More give less error and take more time. A published codec's
    /// codes are always the nearest entries, as its authors choose them.
    pub fn set_search_width(&mut self, width: usize) {
        let width = if self.conventions == Conventions::Published { 1 } else { width };
        self.search = self.quantizer.new_search(width);
    }

    /// Says that the samples of the stream are all in: what follows only pushes the last frames through the look-ahead.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the network's states are not those of its manifest.
    pub fn mark_end(&mut self) -> Result<()> {
        mark_end(&mut *self.network, self.end_state)
    }

    /// Back to the state of a new instance.
    pub fn reset(&mut self) {
        self.network.reset();
        self.skip = self.lookahead;
        self.spare.extend(self.ready.drain(..));
        self.energies.clear();
        self.gathered.clear();
        self.is_opening = self.is_mirrored;
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
