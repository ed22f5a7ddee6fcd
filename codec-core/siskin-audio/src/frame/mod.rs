//! One frame at a time: samples to codes and back.

mod block;
mod decoder;
mod encoder;
mod gatherer;
mod opening;
mod overlap;
mod planes;
mod segment_source;
mod segments;

pub use block::MAX_BLOCK;
pub(crate) use block::even_block;
pub use decoder::FrameDecoder;
pub use encoder::FrameEncoder;
use gatherer::SegmentGatherer;
pub(crate) use overlap::Overlap;
pub(crate) use segment_source::{CodedSegment, SegmentSource};
pub(crate) use segments::SegmentDecoder;
pub use segments::SegmentEncoder;

use std::collections::VecDeque;

use siskin_error::{Error, Result};
use siskin_model::bundle::GraphSpec;
use siskin_model::runtime::StepNetwork;

use crate::conceal::ConcealmentSnapshot;

/// The state of an encoder or decoder at a position of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub(crate) states: Vec<Vec<f32>>,
    /// A decoder's last latent, which concealment holds.
    pub(crate) latent: Vec<f32>,
    /// State of the concealment of each channel; only a [`Decoder`](crate::Decoder) uses it and the limiter's peak.
    pub(crate) concealment: Vec<ConcealmentSnapshot>,
    pub(crate) peak: f32,
    /// What an encoder holds beside its network.
    pub(crate) waiting: Waiting,
    /// What a decoder of segments holds; none in one of frames.
    pub(crate) overlap: Option<Overlap>,
}

/// Frames on their way through an encoder: none in one that gives codes with a frame's last sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Waiting {
    /// Frames of output that are still to come before the first of the stream.
    pub(crate) skip: u32,
    /// Whether the opening is still to come.
    pub(crate) is_opening: bool,
    /// Frames that are run at once.
    pub(crate) block: usize,
    /// Samples of the opening, or of the block.
    pub(crate) gathered: Vec<f32>,
    /// Latents that have not been taken.
    pub(crate) ready: VecDeque<Vec<f32>>,
    /// Mean square of the samples of each frame that is on its way.
    pub(crate) energies: VecDeque<f32>,
}

/// Checks the numbers of values of a network's input and output.
fn check_network(network: &mut dyn StepNetwork, spec: &GraphSpec, expected: [usize; 2]) -> Result<()> {
    // A bundle whose graph and manifest differ is refused here; a copy between the two would panic later.
    let found = [network.input().len(), network.output().len()];
    for ((name, found), expected) in [&spec.input, &spec.output].into_iter().zip(found).zip(expected) {
        if found != expected {
            let reason = format!("{name} has {found} values per frame, the manifest says {expected}");
            return Err(Error::network(&spec.file, reason));
        }
    }
    Ok(())
}

/// Tells a network that the stream has ended, if it asks for that by a state of the name `end`.
fn mark_end(network: &mut dyn StepNetwork, place: Option<usize>) -> Result<()> {
    let Some(place) = place else { return Ok(()) };
    let mut states = Vec::new();
    network.save(&mut states);
    if let Some(state) = states.get_mut(place) {
        state.fill(1.0);
    }
    network.restore(&states)
}

/// Where the state is that [`mark_end`] sets.
fn end_state(spec: &GraphSpec) -> Option<usize> {
    spec.states.iter().position(|s| s.name == "end" && s.shape == [1])
}
