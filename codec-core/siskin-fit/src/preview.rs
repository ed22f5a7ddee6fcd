//! A look at a fit while it is under way.

use std::time::{Duration, Instant};

use crate::Result;
use siskin_bitstream::VideoHeader;
use siskin_model::runtime::Runtime;
use siskin_video::arch::Architecture;
use siskin_video::inference;

/// Takes a frame and the same as the network makes it, both interleaved RGB.
pub(super) type Show = Box<dyn FnMut(&[u8], &[u8]) + Send>;

/// Shows now and then how a frame looks that the fit has just seen.
pub(super) struct Preview {
    header: VideoHeader,
    every: Duration,
    due: Instant,
    show: Show,
}

impl Preview {
    pub(super) fn new(header: VideoHeader, every: Duration, show: Show) -> Self {
        Self { header, every, due: Instant::now() + every, show }
    }

    /// Shows frame `index` of the group `frames` if it is time to: as the network makes it whose parameters these are, which need
    /// not be rounded yet.
    ///
    /// # Errors
    /// [`crate::Error::Network`].
    pub(super) fn offer(
        &mut self,
        (arch, runtime): (&Architecture, &Runtime),
        (index, frames): (usize, &[Vec<u8>]),
        parameters: &[f32],
        embedding: &[f32],
    ) -> Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        let model = inference::model(arch, parameters, &self.header);
        let mut network = inference::open(runtime, arch, &model)?;
        inference::run(&mut *network, arch, (index, frames.len()), embedding)?;
        let mut picture = Vec::new();
        inference::interleave(network.output(0), &mut picture);
        (self.show)(&frames[index], &picture);
        // Looking takes time too: counted from its end, it never takes more than a small part.
        self.due = Instant::now() + self.every;
        Ok(())
    }
}
