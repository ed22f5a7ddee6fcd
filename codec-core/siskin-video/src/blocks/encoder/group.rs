//! Packets of several frames, coded once all of them are there.

use std::sync::Arc;

use siskin_bitstream::video_packet;
use siskin_entropy::range::RangeEncoder;
use siskin_media::VideoFrameView;

use super::super::picture::Picture;
use super::super::pyramid::{self, KINDS, Step};
use super::super::state::Start;
use super::super::{KEPT, QUALITY_MASK};
use super::{Encoder, FINEST, MAX_SECOND_TRIES, PREDICTED_LAMBDA};
use crate::realtime::rate::RateController;
use crate::realtime::{CodedFrame, check_frame, frame_seconds};
use crate::{Error, Result};

/// How much finer the last frame of a packet is than what was asked for: all others are predicted from it.
// 3 takes .4 % more rate, 5 with the other levels one coarser .8 %.
const LAST_FINER: u8 = 4;
/// Cost of a bit by kind of frame, as parts of that in frames that are coded at once.
// All alike take .6 % more rate; .6, .9 and 1.1 as much as these.
const LAMBDAS: [f32; KINDS] = [0.8, 1.0, 1.0];

/// What was asked for in a packet of so many frames whose last one has a quality.
pub(super) fn asked_quality(last: u8, frames: usize) -> u8 {
    if frames > 1 { last + LAST_FINER } else { last }
}

impl Encoder {
    /// Encodes frames of 4:2:0 as one packet; as many as [`Encoder::plan`] says. `durations` in nanoseconds are for streams without a
    /// constant frame rate. One frame is coded as [`Encoder::encode_frame`] does it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no frames, for more than the next packet may hold, for one of another format or size, or for another
    /// number of durations.
    pub fn encode_group(
        &mut self,
        frames: &[VideoFrameView<'_>],
        durations: Option<&[u32]>,
    ) -> Result<CodedFrame<'_>> {
        if let Some(all) = durations.filter(|d| d.len() != frames.len()) {
            return Err(Error::parameter("durations", all.len(), frames.len().to_string()));
        }
        if let [frame] = frames {
            return self.encode_frame(frame, durations.and_then(|d| d.first().copied()));
        }
        let most = self.most_frames();
        if frames.is_empty() || frames.len() > most {
            return Err(Error::parameter("frames", frames.len(), format!("1 to {most}")));
        }
        frames.iter().try_for_each(|frame| check_frame(frame, self.state.size))?;
        match self.pool.clone() {
            Some(pool) => pool.install(|| self.code_group(frames, durations)),
            None => self.code_group(frames, durations),
        }
    }

    pub(super) fn code_group(
        &mut self,
        frames: &[VideoFrameView<'_>],
        durations: Option<&[u32]>,
    ) -> Result<CodedFrame<'_>> {
        let count = frames.len();
        let duration = |i: usize| durations.and_then(|d| d.get(i).copied());
        let seconds: f64 = (0..count).map(|i| frame_seconds(&self.header, duration(i))).sum();
        self.take_sources(frames);
        (self.still_seconds, self.looked_new) = (0.0, false);
        // Should anything below fail, no frame may be predicted from these.
        let since = self.since.take().unwrap_or(0);
        let (each, interval) = ((count, seconds / count as f64), self.config.keyframe_interval);
        self.look_at_detail(false, count - 1);
        let mut base = self.choose_quality(false, each);
        // Before any copy of the state, which then holds no frame of the packet before: their memory is used again.
        self.state.start_packet(false);
        let begin = self.rate.is_some().then(|| self.state.fork());
        let (mut quality, mut bits) = self.code_frames(base, count, durations)?;
        // What moves more than before says so only once it is coded.
        for _ in 0..MAX_SECOND_TRIES {
            let second = |rate: &RateController| rate.second_quality_of(base, bits, each, interval);
            let (Some(second), Some(begin)) = (self.rate.as_ref().and_then(second), &begin) else { break };
            base = second;
            self.state.return_to(begin);
            (quality, bits) = self.code_frames(base, count, durations)?;
        }
        self.record(false, asked_quality(quality, count), bits, (count, seconds));
        self.number = self.number.wrapping_add(1);
        self.since = Some(since + count as u32);
        self.habit.pass(count as u32);
        Ok(CodedFrame { data: &self.packet, is_keyframe: false, quality: quality.saturating_sub(FINEST) })
    }

    /// Codes the frames that were taken in with the quality that was asked for; gives that of the last one, and the packet's bits.
    fn code_frames(&mut self, asked: u8, count: usize, durations: Option<&[u32]>) -> Result<(u8, f64)> {
        let quality = asked.saturating_sub(LAST_FINER);
        self.write_head(false, count, durations);
        self.packet.push(quality & QUALITY_MASK | KEPT);
        let mut coder = RangeEncoder::default();
        for step in pyramid::order(count) {
            self.code_step(step, quality, &mut coder)?;
        }
        coder.finish_into(&mut self.packet);
        video_packet::append_checksum(&mut self.packet);
        self.state.finish_packet(count);
        Ok((quality, self.packet.len() as f64 * 8.0))
    }

    /// Codes a frame of a packet whose last one has the quality `last`.
    fn code_step(&mut self, step: Step, last: u8, coder: &mut RangeEncoder) -> Result<()> {
        let quality = match step.level {
            0 => last,
            level => pyramid::code_quality(coder, (last, level), pyramid::usual_quality(last, level))?,
        };
        let start = Start { is_keyframe: false, step, quality };
        let (references, mut picture) = self.state.start_frame(start);
        self.survey_references(step, picture.time, &references);
        let lambda = PREDICTED_LAMBDA * LAMBDAS[step.kind()];
        self.decide(step, (quality, lambda), &references, &mut picture);
        self.code_rows(step, coder)?;
        drop(references);
        self.state.finish_frame(picture, start, true);
        Ok(())
    }

    /// Looks at where things came from in the first reference frame and in the second, as far as they are in this packet or just
    /// before it.
    fn survey_references(&mut self, step: Step, time: u32, references: &[Arc<Picture>]) {
        let first = time - step.index as u32;
        let own = &self.coarse[step.index];
        for (i, survey) in self.surveys.iter_mut().enumerate() {
            match references.get(i).map(|r| r.time) {
                Some(shown) if shown >= first => survey.update(own, &self.coarse[(shown - first) as usize]),
                Some(shown) if shown + 1 == first => survey.update(own, &self.last_coarse),
                _ => survey.clear(),
            }
        }
    }

    /// The frames of the last packet as a decoder sees them, in 4:2:0, in the order of showing, where the encoder keeps them: no samples
    /// are copied.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] before the first frame.
    pub fn reconstructed_frames(&self) -> Result<Vec<VideoFrameView<'_>>> {
        let shown = self.state.references.shown();
        if shown.is_empty() {
            return Err(Error::MissingHeader);
        }
        shown.into_iter().map(|picture| picture.view(self.state.size)).collect()
    }
}
