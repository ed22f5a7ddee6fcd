use siskin_error::Result;
use siskin_model::bundle::{BlockSpec, Bundle, GraphSpec};
use siskin_model::runtime::{Runtime, StepNetwork};

/// A network that runs one frame at a time, or blocks of frames where its graph takes them: weights are then read once a block
/// and not once a frame.
pub(super) struct BlockNetwork {
    /// By the number of frames; that of one frame first.
    networks: Vec<(usize, Box<dyn StepNetwork>)>,
    /// Which of them has the state of the stream.
    current: usize,
    source: Option<(Bundle, Runtime, GraphSpec)>,
    states: Vec<Vec<f32>>,
}

/// Frames of a block at most, whatever a bundle says.
pub const MAX_BLOCK: usize = BlockSpec::MAX_FRAMES;

/// Frames of a block for a packet of `frames`, at most `most`: a divisor, so that all blocks are alike and a packet does not wait
/// for frames of the next, or if there is none as many as may be.
pub(crate) fn even_block(frames: usize, most: usize) -> usize {
    let most = most.min(frames);
    // Below four frames reading the weights takes most of the time still.
    (4..=most).rev().find(|&n| frames.is_multiple_of(n)).unwrap_or(most)
}

impl BlockNetwork {
    pub(super) fn new(one: Box<dyn StepNetwork>) -> Self {
        Self { networks: vec![(1, one)], current: 0, source: None, states: Vec::new() }
    }

    /// One that opens networks of blocks when they are needed.
    pub(super) fn of_bundle(
        one: Box<dyn StepNetwork>,
        bundle: &Bundle,
        runtime: &Runtime,
        spec: &GraphSpec,
    ) -> Self {
        let source = spec.blocks.is_some().then(|| (bundle.clone(), runtime.clone(), spec.clone()));
        Self { source, ..Self::new(one) }
    }

    /// Frames that may be run at once.
    pub(super) fn max_block(&self) -> usize {
        let of_graph = self.source.as_ref().and_then(|(_, _, spec)| spec.blocks);
        of_graph.map_or(1, |blocks| blocks.max_frames.clamp(1, MAX_BLOCK))
    }

    /// The network that has the state of the stream.
    pub(super) fn network(&mut self) -> &mut dyn StepNetwork {
        &mut *self.networks[self.current].1
    }

    pub(super) fn shared(&self) -> &dyn StepNetwork {
        &*self.networks[self.current].1
    }

    /// The network of `frames` frames, with the state of the stream.
    pub(super) fn of(&mut self, frames: usize) -> Result<&mut dyn StepNetwork> {
        let found = self.networks.iter().position(|n| n.0 == frames);
        let target = match (found, &self.source) {
            (Some(target), _) => target,
            (None, Some((bundle, runtime, spec))) => {
                // On the weights of the first network: others would take as much memory again.
                let network = match self.networks[0].1.resized(frames) {
                    Some(network) => network?,
                    None => bundle.open_network(runtime, spec, frames)?,
                };
                self.networks.push((frames, network));
                self.networks.len() - 1
            }
            // Not asked for: `max_block` is 1.
            (None, None) => 0,
        };
        if target != self.current {
            let mut states = std::mem::take(&mut self.states);
            self.networks[self.current].1.save(&mut states);
            self.networks[target].1.restore(&states)?;
            (self.states, self.current) = (states, target);
        }
        Ok(self.network())
    }
}
