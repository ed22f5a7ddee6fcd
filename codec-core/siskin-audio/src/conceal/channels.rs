use super::{Concealment, ConcealmentSnapshot};
use crate::spectrum::{Plan, Powers};

/// A [`Concealment`] for each channel of a stream, whose frames come interleaved.
pub(crate) struct Concealments {
    channels: Vec<Concealment>,
    /// A frame of one channel.
    scratch: Vec<f32>,
}

impl Concealments {
    /// For frames of `hop` samples of `channels` channels at `rate` samples a second.
    pub(crate) fn new(hop: usize, rate: u32, channels: usize) -> Self {
        let channels = (0..channels.max(1)).map(|_| Concealment::new(hop, rate)).collect();
        Self { channels, scratch: Vec::with_capacity(hop) }
    }

    /// The one that answers for all: gains and pauses follow from counts of frames, which are the same in all channels.
    fn first(&self) -> &Concealment {
        &self.channels[0]
    }

    /// Lets `work` do something with each channel of a frame.
    fn each(&mut self, pcm: &mut [f32], mut work: impl FnMut(&mut Concealment, &mut [f32])) {
        if let [one] = self.channels.as_mut_slice() {
            return work(one, pcm);
        }
        let count = self.channels.len();
        for (number, channel) in self.channels.iter_mut().enumerate() {
            self.scratch.clear();
            self.scratch.extend(pcm.iter().skip(number).step_by(count));
            work(channel, &mut self.scratch);
            pcm.iter_mut().skip(number).step_by(count).zip(&self.scratch).for_each(|(to, &x)| *to = x);
        }
    }

    /// As [`Concealment::receive_frame`].
    pub(crate) fn receive_frame(&mut self, pcm: &mut [f32]) {
        self.each(pcm, Concealment::receive_frame);
    }

    /// As [`Concealment::is_silent`].
    pub(crate) fn is_silent(&self, frames_to_next: Option<u32>) -> bool {
        self.first().is_silent(frames_to_next)
    }

    /// As [`Concealment::in_dtx`].
    pub(crate) fn in_dtx(&self) -> bool {
        self.first().in_dtx()
    }

    /// As [`Concealment::set_comfort_noise`], the same in all channels.
    pub(crate) fn set_comfort_noise(&mut self, powers: &Powers) {
        self.channels.iter_mut().for_each(|c| c.set_comfort_noise(powers));
    }

    /// As [`Concealment::conceal_frame`].
    pub(crate) fn conceal_frame(&mut self, pcm: &mut [f32], frames_to_next: Option<u32>) {
        self.each(pcm, |channel, pcm| channel.conceal_frame(pcm, frames_to_next));
    }

    /// The bands that powers refer to.
    pub(crate) fn plan(&self) -> &Plan {
        self.first().plan()
    }

    /// Back to the state of a new instance.
    pub(crate) fn reset(&mut self) {
        self.channels.iter_mut().for_each(Concealment::reset);
    }

    /// Saves the states to `into`.
    pub(crate) fn save_state(&self, into: &mut Vec<ConcealmentSnapshot>) {
        into.resize_with(self.channels.len(), ConcealmentSnapshot::default);
        self.channels.iter().zip(into).for_each(|(channel, into)| channel.save_state(into));
    }

    /// Restores states of the same bundle.
    pub(crate) fn restore_state(&mut self, from: &[ConcealmentSnapshot]) {
        self.channels.iter_mut().zip(from).for_each(|(channel, from)| channel.restore_state(from));
    }
}
