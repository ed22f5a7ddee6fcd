use siskin_bitstream::Frames;
use siskin_error::Result;

use crate::conceal::{Concealments, LATENT_DECAY};
use crate::frame::{FrameDecoder, Snapshot, even_block};
use crate::levels::Limiter;

/// Codes of frames to sound: the network, what bridges its gaps, and the limiter.
pub(super) struct FrameSound {
    pub(super) frames: FrameDecoder,
    pub(super) concealment: Concealments,
    limiter: Limiter,
    /// Samples of a frame, of all channels.
    frame_len: usize,
    /// Codes of a redundant frame.
    pub(super) redundant_codes: Vec<u16>,
    /// The latent of the frame after a gap.
    pub(super) next_latent: Vec<f32>,
    concealed: Vec<f32>,
}

impl FrameSound {
    pub(super) fn new(frames: FrameDecoder, hop: usize, rate: u32, channels: usize) -> Self {
        Self {
            concealment: Concealments::new(hop, rate, channels),
            limiter: Limiter::of(frames.conventions(), rate * channels as u32),
            frames,
            frame_len: hop * channels,
            redundant_codes: Vec::new(),
            next_latent: Vec::new(),
            concealed: vec![0.0; hop * channels],
        }
    }

    /// Decodes the frames of a packet.
    pub(super) fn decode_frames(
        &mut self,
        codes: &Frames,
        starts_stream: bool,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        // A packet of a live stream has too few frames to be mirrored: those begin from silence, as their encoders do.
        let opened = self.frames.opening_frames().filter(|&n| starts_stream && n <= codes.len());
        if opened.is_some() {
            self.decode_opening(codes.iter(), out)?;
        }
        let first = opened.unwrap_or_default();
        let mut left = codes.len() - first;
        // Blocks follow from the packet alone.
        let block = even_block(left, self.frames.max_block()).max(1);
        let mut codes = codes.iter().skip(first);
        while left > 0 {
            let (start, frames) = (out.len(), block.min(left));
            out.extend_from_slice(self.frames.decode_block(codes.by_ref(), frames)?);
            for frame in out[start..].chunks_exact_mut(self.frame_len) {
                self.finish_frame(frame);
            }
            left -= frames;
        }
        Ok(())
    }

    pub(super) fn decode_frame(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.frames.decode_frame(codes)?);
        self.finish_frame(&mut out[start..]);
        Ok(())
    }

    pub(super) fn decode_latent(&mut self, latent: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.frames.decode_latent(latent)?);
        self.finish_frame(&mut out[start..]);
        Ok(())
    }

    pub(super) fn decode_opening<'a>(
        &mut self,
        codes: impl Iterator<Item = &'a [u16]>,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let mut pcm = self.frames.decode_opening(codes)?;
        for frame in pcm.chunks_exact_mut(self.frame_len) {
            self.finish_frame(frame);
        }
        out.append(&mut pcm);
        Ok(())
    }

    /// Fades a decoded frame in after a gap and limits it.
    fn finish_frame(&mut self, pcm: &mut [f32]) {
        self.concealment.receive_frame(pcm);
        self.limiter.limit_samples(pcm);
    }

    /// Conceals lost frames; `is_known` says that `self.next_latent` comes after the last of them.
    pub(super) fn conceal_gap(&mut self, frames: u32, is_known: bool, out: &mut Vec<f32>) -> Result<()> {
        for left in (1..=frames).rev() {
            let frames_to_next = is_known.then_some(left);
            let is_audible = !self.concealment.is_silent(frames_to_next);
            if !is_audible {
                // The network need not run for samples of gain 0.
                self.concealed.fill(0.0);
            } else if is_known {
                self.concealed.copy_from_slice(
                    self.frames.decode_interpolated(&self.next_latent, 1.0 / (left + 1) as f32)?,
                );
            } else {
                // The network runs on, so that its state goes on from the last sound when packets come back.
                self.concealed.copy_from_slice(self.frames.decode_repeated(LATENT_DECAY)?);
            }
            self.concealment.conceal_frame(&mut self.concealed, frames_to_next);
            if is_audible && self.concealment.is_silent(is_known.then_some(left - 1).filter(|&l| l > 0)) {
                // The next frame starts from the reset state, not from that of a sound long past.
                self.frames.reset();
            }
            self.limiter.limit_samples(&mut self.concealed);
            out.extend_from_slice(&self.concealed);
        }
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.frames.reset();
        self.concealment.reset();
        self.limiter.reset();
    }

    pub(super) fn save_state(&self, into: &mut Snapshot) {
        self.frames.save_state(into);
        self.concealment.save_state(&mut into.concealment);
        // With the limiter's peak, or samples after a restored state would differ until the peak has decayed.
        into.peak = self.limiter.peak();
        // One of a decoder of segments may have been in its place.
        into.overlap = None;
    }

    pub(super) fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        self.frames.restore_state(from)?;
        self.concealment.restore_state(&from.concealment);
        self.limiter.set_peak(from.peak);
        Ok(())
    }
}
