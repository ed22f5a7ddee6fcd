//! Frames of a fit that is under way.

use std::time::{Duration, Instant};

use crate::Result;
use siskin_bitstream::VideoHeader;
use siskin_media::{VideoFrame, VideoFrameView};
use siskin_model::runtime::Runtime;
use siskin_video::arch::Architecture;
use siskin_video::inference;

/// Takes a frame and the same as the network makes it, both interleaved RGB.
pub(super) type Show = Box<dyn FnMut(&[u8], &[u8]) + Send>;

/// Shows now and then how a frame looks that the fit has just seen.
pub(super) struct Preview {
    header: VideoHeader,
    seen: VideoFrame,
    wanted: VideoFrame,
    every: Duration,
    due: Instant,
    show: Show,
}

impl Preview {
    pub(super) fn new(header: VideoHeader, every: Duration, show: Show) -> Self {
        Self {
            header,
            seen: VideoFrame::default(),
            wanted: VideoFrame::default(),
            every,
            due: Instant::now() + every,
            show,
        }
    }

    /// Shows frame `index` of the group `frames` if a preview is due: as the network of these parameters makes it, which need
    /// not be rounded yet.
    ///
    /// # Errors
    /// [`crate::Error::Network`].
    pub(super) fn show_if_due(
        &mut self,
        (arch, runtime): (&Architecture, &Runtime),
        (index, frames): (usize, &[VideoFrameView<'_>]),
        parameters: &[f32],
        embedding: &[f32],
    ) -> Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        // A network of its own, since the step's graph gives losses and no frame.
        let model = inference::build_model(arch, parameters, &self.header);
        let mut network = inference::open_network(runtime, arch, &model)?;
        inference::run_network(&mut *network, arch, (index, frames.len()), embedding)?;
        inference::interleave_planes(network.output(0), frames[index].size(), &mut self.seen);
        frames[index].copy_to(&mut self.wanted);
        (self.show)(self.wanted.data(), self.seen.data());
        // A preview takes time too: counted from its end, it never takes more than a small part.
        self.due = Instant::now() + self.every;
        Ok(())
    }
}
