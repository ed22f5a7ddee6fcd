use std::sync::Arc;

use siskin_entropy::Tables;
use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, Conventions};
use siskin_model::runtime::{Provider, Runtime, StepNetwork};

use super::block::BlockNetwork;
use super::opening::Opening;
use super::planes::split_channels;
use super::segments::check_frames;
use super::{Snapshot, Waiting, check_network, end_state, mark_end};
use crate::any_quantizer::AnyQuantizer;
use crate::quantizer::ResidualQuantizer;
use crate::rate::StageCandidates;
use crate::search::{BeamSearch, DEFAULT_SEARCH_WIDTH};

/// Encodes frames of `hop` samples to codes.
///
/// Most codecs give the codes of a frame with its last sample. Some of the published ones look ahead, so frames go in with
/// [`push_frame`](Self::push_frame) and codes come out with [`take_codes`](Self::take_codes), a number of frames later.
pub struct FrameEncoder {
    network: BlockNetwork,
    quantizer: AnyQuantizer,
    search: Option<BeamSearch>,
    conventions: Conventions,
    /// Frames of output before the first of the stream.
    lookahead: u32,
    opening: Option<Opening>,
    /// The state that says that the stream has ended.
    end_state: Option<usize>,
    /// Whether streams begin with the opening.
    is_mirrored: bool,
    /// Frames that are run at once, but at the end of a stream.
    block: usize,
    /// Samples of a frame, of all channels.
    hop: usize,
    channels: usize,
    /// Values of a frame's latents, and of one of them.
    values: usize,
    dim: usize,
    waiting: Waiting,
    /// Buffers of latents that have been taken; the last taken is the last of them.
    spare: Vec<Vec<f32>>,
}

impl FrameEncoder {
    /// Loads a bundle's encoder network.
    ///
    /// # Errors
    /// What [`Bundle::open_network`] and [`ResidualQuantizer::from_bundle`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        check_frames(bundle)?;
        let spec = &bundle.manifest().encoder;
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
        check_network(&mut *network, &m.encoder, [m.frame_len(), m.latent_len()])?;
        let network = BlockNetwork::of_bundle(network, bundle, runtime, &m.encoder);
        let mut encoder = Self::with_quantizer(network, AnyQuantizer::from_bundle(bundle)?);
        encoder.conventions = m.conventions;
        encoder.dim = m.latent_dim;
        encoder.channels = m.channels.into();
        encoder.end_state = end_state(&m.encoder);
        encoder.lookahead = m.lookahead / u32::from(m.hop);
        encoder.opening = m.opening.as_ref().map(|o| Opening::new(bundle, runtime, &o.encoder, o.frames));
        encoder.set_search_width(DEFAULT_SEARCH_WIDTH);
        encoder.waiting.skip = encoder.lookahead;
        Ok(encoder)
    }

    /// An encoder from a network `pcm [1,1,hop] -> latents [1,D,1]` of any runtime and a quantizer of
    /// dimension D.
    pub fn from_parts(network: Box<dyn StepNetwork>, quantizer: ResidualQuantizer) -> Self {
        Self::with_quantizer(BlockNetwork::new(network), AnyQuantizer::Residual(quantizer))
    }

    fn with_quantizer(mut network: BlockNetwork, quantizer: AnyQuantizer) -> Self {
        Self {
            hop: network.network().input().len(),
            channels: 1,
            values: quantizer.latent_len(),
            dim: quantizer.latent_len(),
            network,
            search: quantizer.new_search(DEFAULT_SEARCH_WIDTH),
            quantizer,
            conventions: Conventions::Siskin,
            lookahead: 0,
            opening: None,
            end_state: None,
            is_mirrored: false,
            block: 1,
            waiting: Waiting { block: 1, ..Waiting::default() },
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

    /// Encodes one frame: `pcm` holds `hop` samples in -1..1 of each channel, interleaved, `codes` is filled `[stage][group]` with
    /// as many stages as it has room for. NaN and infinite samples count as silence.
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

    /// Takes a frame of `hop` samples in -1..1 of each channel, interleaved; NaN and infinite samples count as silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn push_frame(&mut self, pcm: &[f32]) -> Result<()> {
        // The energy of the samples and not of the latent: it stands for loudness, and latents may be normalized.
        let energy = pcm.iter().filter(|x| x.is_finite()).map(|x| x * x).sum::<f32>();
        self.waiting.energies.push_back(energy / pcm.len().max(1) as f32);
        self.waiting.gathered.extend(pcm.iter().map(|&x| if x.is_finite() { x } else { 0.0 }));
        if self.waiting.is_opening {
            return self.open_stream();
        }
        if self.waiting.gathered.len() < self.waiting.block * self.hop { Ok(()) } else { self.run_block() }
    }

    /// Runs the frames that have been gathered.
    fn run_block(&mut self) -> Result<()> {
        let frames = self.waiting.gathered.len() / self.hop.max(1);
        if frames == 0 {
            return Ok(());
        }
        // A stream that ends before its opening is whole begins from silence, as its decoder does with so few frames.
        self.waiting.is_opening = false;
        let network = self.network.of(frames)?;
        split_channels(&self.waiting.gathered[..frames * self.hop], self.channels, network.input());
        network.run()?;
        self.waiting.gathered.clear();
        for frame in 0..frames {
            if self.waiting.skip > 0 {
                self.waiting.skip -= 1;
                continue;
            }
            let mut latent = self.spare.pop().unwrap_or_default();
            read_frame(self.network.shared().output(), frame, frames, self.dim, &mut latent);
            self.waiting.ready.push_back(latent);
        }
        Ok(())
    }

    /// Runs the network of the first frames once all of them are there.
    fn open_stream(&mut self) -> Result<()> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let frames = opening.frames();
        if self.waiting.gathered.len() < frames * self.hop {
            return Ok(());
        }
        let shape = [1, self.channels, frames * self.hop / self.channels];
        let mut planes = vec![0.0; frames * self.hop];
        split_channels(&self.waiting.gathered[..frames * self.hop], self.channels, &mut planes);
        // It begins with the stream's first frame; those that still wait for what they look ahead to are missing at its end.
        let count = frames - (self.lookahead as usize).min(frames);
        let latents = opening.run(&shape, &planes, count * self.values)?;
        self.network.of(1)?.restore(opening.states())?;
        for frame in 0..count {
            let mut latent = Vec::new();
            read_frame(&latents, frame, count, self.dim, &mut latent);
            self.waiting.ready.push_back(latent);
        }
        self.waiting.skip = 0;
        self.waiting.is_opening = false;
        self.waiting.gathered.clear();
        Ok(())
    }

    /// Runs up to `frames` frames at once, where the bundle's network takes several: for files, whose frames need not come out
    /// one by one. Codes follow from the place of a block in the stream, not from how samples were pushed. To be called before
    /// the first frame.
    pub fn set_block(&mut self, frames: usize) {
        self.block = frames.clamp(1, self.network.max_block());
        self.reset();
    }

    /// Frames that [`set_block`](Self::set_block) takes at most.
    pub(crate) fn max_block(&self) -> usize {
        self.network.max_block()
    }

    /// Frames that are run at once.
    pub(crate) fn block(&self) -> usize {
        self.block
    }

    /// Frames whose codes can be taken.
    pub fn ready_frames(&self) -> usize {
        self.waiting.ready.len()
    }

    /// Fills `codes`, `[stage][group]`, with as many stages as it has room for, for the oldest frame that is ready; false if
    /// there is none.
    pub fn take_codes(&mut self, codes: &mut [u16]) -> bool {
        let Some(latent) = self.waiting.ready.pop_front() else { return false };
        self.waiting.energies.pop_front();
        self.quantizer.quantize(&latent, codes, &mut self.search);
        self.spare.push(latent);
        true
    }

    /// As [`take_codes`](Self::take_codes) with each number of stages, up to that of which `is_enough` says so.
    pub(crate) fn take_all_stages(
        &mut self,
        candidates: &mut StageCandidates,
        is_enough: impl Fn(&StageCandidates, usize) -> bool,
    ) -> bool {
        let Some(latent) = self.waiting.ready.pop_front() else { return false };
        candidates.energy = self.waiting.energies.pop_front().unwrap_or_default();
        self.quantizer.quantize_all_stages(&latent, candidates, &mut self.search, is_enough);
        self.spare.push(latent);
        true
    }

    /// The latent of the oldest frame that is ready, without quantization.
    pub fn take_latent(&mut self) -> Option<&[f32]> {
        let latent = self.waiting.ready.pop_front()?;
        self.waiting.energies.pop_front();
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

    /// Encodes one frame without quantization: returns its latent (`latent_dim` values): `pcm` holds `hop` samples in -1..1. NaN
    /// and infinite samples count as silence.
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
        let network = self.network.of(1)?;
        split_channels(pcm, self.channels, network.input());
        // A NaN would reach the network's states and stay in them.
        network.input().iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        network.run()
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
        self.run_block()?;
        // What follows is a few frames, and the last of them is waited for.
        self.waiting.block = 1;
        mark_end(self.network.of(1)?, self.end_state)
    }

    /// Back to the state of a new instance.
    pub fn reset(&mut self) {
        self.network.network().reset();
        self.waiting.skip = self.lookahead;
        self.spare.extend(self.waiting.ready.drain(..));
        self.waiting.energies.clear();
        self.waiting.gathered.clear();
        self.waiting.block = self.block;
        self.waiting.is_opening = self.is_mirrored;
    }

    /// Saves the state to `into`.
    pub fn save_state(&self, into: &mut Snapshot) {
        self.network.shared().save(&mut into.states);
        into.waiting.clone_from(&self.waiting);
    }

    /// Restores a state of the same bundle.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        self.network.network().restore(&from.states)?;
        self.waiting.clone_from(&from.waiting);
        Ok(())
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.network.shared().provider()
    }
}

/// Takes frame `frame` of `frames` out of a network's latents `[dim, frames * n]`, as `[dim, n]`.
fn read_frame(latents: &[f32], frame: usize, frames: usize, dim: usize, into: &mut Vec<f32>) {
    let row = latents.len() / dim.max(1);
    let each = row / frames;
    into.clear();
    into.extend(latents.chunks_exact(row).flat_map(|row| &row[frame * each..(frame + 1) * each]));
}
