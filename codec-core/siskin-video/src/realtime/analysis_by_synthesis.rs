//! Refinement of a frame's latents.
//!
//! The first refinement is RDOQ ([`Rdoq`]). Each further one is analysis by synthesis: the encoder network gets the decoded
//! frame as prediction and gives the latents of the residual, the latents move half of that way and are quantized again,
//! each block keeps whichever of both costs less as decoded, and the frame keeps what costs less as a whole. Decoders know
//! nothing of it.

use crate::Result;
use siskin_media::VideoFrame;
use siskin_model::runtime::TensorNetwork;

use super::packing::pack_frame;
use super::rdoq::Rdoq;
use super::reconstructor::Reconstructor;
use super::symbols::SymbolState;
use super::{BLOCK, CHANNELS};

/// Lambda in squared qsteps: of keyframes, from which many others are predicted and which therefore get more bits, and of
/// predicted frames.
// At high rates a bit removes 2 ln 2 / 12, about 0.12 squared qsteps. Keyframes get bits that gain less than that,
// predicted frames only bits that gain more.
const LAMBDAS: [f32; 2] = [0.09, 0.15];
/// How far latents move towards the encoder network's answer to the decoded frame. Half trades speed of convergence for
/// refinements that seldom make a block worse.
const GAIN: f32 = 0.5;

/// Refines latents.
#[derive(Debug, Clone)]
pub(super) struct AnalysisBySynthesis {
    rdoq: Rdoq,
    /// Latents as the encoder network gave them, and as they are quantized next, `[96, blocks]`.
    first: Vec<f32>,
    wanted: Vec<f32>,
    /// The best so far: 96 per block, the frame they make, and the cost of each block.
    latents: Vec<i16>,
    frame: VideoFrame,
    costs: Vec<f32>,
    /// The cost of each block of the current attempt.
    others: Vec<f32>,
}

/// A frame that is refined.
pub(super) struct Task<'a> {
    pub(super) source: &'a VideoFrame,
    /// The encoder network, which has just run.
    pub(super) network: &'a mut dyn TensorNetwork,
    pub(super) is_keyframe: bool,
    pub(super) quality: u8,
    /// Refinements, 1 and more.
    pub(super) count: u32,
}

impl AnalysisBySynthesis {
    /// For the frames of a stream; `padded` is one of them.
    pub(super) fn new(symbols: &SymbolState, padded: &VideoFrame) -> Self {
        Self {
            rdoq: Rdoq::new(&symbols.contexts, &symbols.neighbors),
            first: Vec::new(),
            wanted: Vec::new(),
            latents: Vec::new(),
            frame: padded.clone(),
            costs: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Sets the latents of `symbols`. The frame of `reconstructor` is then that of some attempt.
    ///
    /// # Errors
    /// [`crate::Error::Network`].
    pub(super) fn refine_frame(
        &mut self,
        symbols: &mut SymbolState,
        reconstructor: &mut Reconstructor,
        task: Task<'_>,
    ) -> Result<()> {
        let Task { source, network, is_keyframe, quality, count } = task;
        let lambda = LAMBDAS[usize::from(!is_keyframe)];
        self.first.clear();
        // Kept, because every further run of the network overwrites its output.
        self.first.extend_from_slice(network.output(0));
        let SymbolState { bundle, contexts, neighbors, latents, .. } = symbols;
        let state = (&*contexts, &*neighbors);
        self.rdoq.quantize_frame(state, is_keyframe, &self.first, lambda, latents)?;
        // Real-time encoding ends here: no run of a network beyond the one that every frame needs.
        if count <= 1 {
            return Ok(());
        }
        let qstep = bundle.manifest().step(quality);
        reconstructor.synthesize_frame(latents, self.rdoq.neighbors(), quality)?;
        let bits = self.rdoq.block_bits();
        block_costs(source, &reconstructor.frame, qstep, (bits, lambda), &mut self.costs);
        // What RDOQ gives is the first candidate, so a refinement can never make the frame worse.
        self.keep_best(latents, &reconstructor.frame);
        for _ in 1..count {
            // The other inputs of the network stay as they were for this frame.
            pack_frame(&self.frame, network.input(1));
            network.run()?;
            self.move_towards(network.output(0));
            self.rdoq.quantize_frame(state, is_keyframe, &self.wanted, lambda, latents)?;
            reconstructor.synthesize_frame(latents, self.rdoq.neighbors(), quality)?;
            let bits = self.rdoq.block_bits();
            block_costs(source, &reconstructor.frame, qstep, (bits, lambda), &mut self.others);
            for (block, (own, other)) in self.costs.iter().zip(&self.others).enumerate() {
                // Ties keep what is known to fit its neighbors.
                if own <= other {
                    let place = block * CHANNELS..(block + 1) * CHANNELS;
                    latents[place.clone()].copy_from_slice(&self.latents[place]);
                }
            }
            // What blocks cost depends on their neighbors, so the mixture is measured as a whole.
            self.rdoq.count_bits(state, is_keyframe, latents)?;
            reconstructor.synthesize_frame(latents, self.rdoq.neighbors(), quality)?;
            let bits = self.rdoq.block_bits();
            block_costs(source, &reconstructor.frame, qstep, (bits, lambda), &mut self.others);
            if total_cost(&self.others) < total_cost(&self.costs) {
                std::mem::swap(&mut self.costs, &mut self.others);
                self.keep_best(latents, &reconstructor.frame);
            }
        }
        // The last attempt need not have been the best one.
        latents.copy_from_slice(&self.latents);
        Ok(())
    }

    fn keep_best(&mut self, latents: &[i16], frame: &VideoFrame) {
        self.latents.clear();
        self.latents.extend_from_slice(latents);
        self.frame.clone_from(frame);
    }

    /// Moves the latents wanted from the first ones towards the best so far plus the latents of their residual.
    fn move_towards(&mut self, residual: &[f32]) {
        let blocks = self.latents.len() / CHANNELS;
        self.wanted.clear();
        self.wanted.extend(self.first.iter().map(|v| (1.0 - GAIN) * v));
        for (block, own) in self.latents.chunks_exact(CHANNELS).enumerate() {
            for (c, &v) in own.iter().enumerate() {
                let place = c * blocks + block;
                self.wanted[place] += GAIN * (f32::from(v) + residual[place]);
            }
        }
    }
}

fn total_cost(costs: &[f32]) -> f64 {
    // In 64 bits: a frame has thousands of blocks, and the attempts differ by little.
    costs.iter().map(|&c| f64::from(c)).sum()
}

/// The cost of each block in squared qsteps: its error over red, green and blue, as chroma weighs there, plus lambda times
/// its bits.
fn block_costs(
    a: &VideoFrame,
    b: &VideoFrame,
    qstep: f32,
    (bits, lambda): (&[f32], f32),
    out: &mut Vec<f32>,
) {
    let columns = a.size().width() / BLOCK;
    out.clear();
    out.extend(bits.iter().map(|b| lambda * b));
    // An error of chroma weighs about as much in RGB as one of luma, and a sample covers four pixels.
    // The loss in training is the squared error over R, G and B too (docs/video-training.md).
    let layout = [(BLOCK, 1.0), (BLOCK / 2, 4.0), (BLOCK / 2, 4.0)];
    for ((a, b), (side, weight)) in a.planes().zip(b.planes()).zip(layout) {
        let scale = weight / (qstep * qstep);
        for (y, (a, b)) in a.rows().zip(b.rows()).enumerate() {
            let own = &mut out[y / side * columns..][..columns];
            for ((cost, a), b) in own.iter_mut().zip(a.chunks_exact(side)).zip(b.chunks_exact(side)) {
                let error: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum();
                *cost += scale * error as f32;
            }
        }
    }
}
