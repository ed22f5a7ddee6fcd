//! How many frames the next packet gets.

use siskin_media::VideoFrameView;

use super::super::decide::CHROMA_WEIGHT;
use super::super::picture::{Picture, Plane};
use super::super::quant::step;
use super::super::survey::{Survey, coarse_plane, shrink};
use super::{Encoder, PREDICTED_LAMBDA, is_scene_cut};
use crate::realtime::{Config, Target, check_frame, frame_seconds};
use crate::{Error, Result, squared_error};

/// After so many frames it is tried anew whether packets of several frames pay.
// Both ways are coded once, so a try takes as long as twice its frames: an eighth more work where a packet has 8 frames.
const TRY_EVERY: u32 = 120;
/// With keyframes closer than that, behind each of which a try would be due, it is taken for granted that they pay: at 10 frames the
/// tries would take twice the time of all else. Nor are keyframes finer for what stands still: each is coded for a few frames alone.
const MIN_INTERVAL: u32 = 30;
/// Packets of several frames may cost so much more in the first try: their last frame is coded finer for those to come.
// Six films cost .88 to 1.03 times as much, text that scrolls 1.03 (coarse) to 1.16, and the noise of a night .99 (coarse) to 1.09.
const MAX_COST: f64 = 1.04;

/// Whether packets of several frames pay in this scene.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habit {
    does_group: bool,
    /// Frames for which it holds.
    frames_left: u32,
}

impl Habit {
    /// So many frames were coded.
    pub(super) fn pass(&mut self, frames: u32) {
        self.frames_left = self.frames_left.saturating_sub(frames);
    }
}

impl Encoder {
    /// How many of the frames that come next should be one packet: 1 where a keyframe is due, a scene begins, or nothing moves, and
    /// at most [`Config::lookahead`]. More frames than that need not be given.
    ///
    /// # Errors
    /// [`Error::Parameter`] for no frames, or one of another format or size.
    pub fn plan(&mut self, frames: &[VideoFrameView<'_>]) -> Result<usize> {
        match self.pool.clone() {
            Some(pool) => pool.install(|| self.plan_packet(frames)),
            None => self.plan_packet(frames),
        }
    }

    /// Frames that the next packet may hold.
    pub(super) fn most_frames(&self) -> usize {
        let interval = self.config.keyframe_interval;
        match self.since.filter(|n| n + 1 < interval && !self.keyframe_wanted) {
            Some(since) => self.config.lookahead.max(1).min(interval - 1 - since) as usize,
            None => 1,
        }
    }

    fn plan_packet(&mut self, frames: &[VideoFrameView<'_>]) -> Result<usize> {
        let Some(first) = frames.first() else { return Err(Error::parameter("frames", 0, "1 and more")) };
        frames.iter().try_for_each(|frame| check_frame(frame, self.state.size))?;
        let most = frames.len().min(self.most_frames());
        let goes_alone = self.habit.frames_left > 0 && !self.habit.does_group;
        self.still_ahead = if self.is_keyframe_due() { self.still_part(frames) } else { 0.0 };
        // What stands still is not coded.
        if most == 1 || goes_alone || self.is_last_source(first) {
            return Ok(1);
        }
        let most = if self.config.scene_cuts { self.frames_of_scene(&frames[..most]) } else { most };
        if most > 1 && self.habit.frames_left == 0 {
            // In noise and in text that scrolls it does not pay to code some frames coarser than others: 18 % more rate.
            let does_group = self.config.keyframe_interval < MIN_INTERVAL || {
                let [grouped, single] = [true, false].map(|is_group| self.cost_of(&frames[..most], is_group));
                grouped? < MAX_COST * single?
            };
            self.habit = Habit { does_group, frames_left: TRY_EVERY };
        }
        Ok(if self.habit.does_group { most } else { 1 })
    }

    /// Whether the next frame is a keyframe whatever it shows.
    pub(super) fn is_keyframe_due(&self) -> bool {
        self.keyframe_wanted || self.since.is_none_or(|n| n + 1 >= self.config.keyframe_interval)
    }

    /// How much of the first frame stands still up to the last one that lookahead sees; 0 where the next keyframe comes too soon for
    /// that to pay.
    fn still_part(&mut self, frames: &[VideoFrameView<'_>]) -> f32 {
        // However many are given.
        let seen = frames.len().min(self.config.lookahead as usize);
        let [first, .., last] = &frames[..seen] else { return 0.0 };
        if self.config.keyframe_interval < MIN_INTERVAL {
            return 0.0;
        }
        let (picture, coarse) = self.planned();
        picture.copy_from(first);
        shrink(&picture.planes[0], coarse);
        let before = coarse.clone();
        picture.copy_from(last);
        shrink(&picture.planes[0], coarse);
        let mut survey = Survey::default();
        survey.update(&before, coarse);
        survey.still
    }

    /// Room for a frame that is looked at before it is its turn.
    fn planned(&mut self) -> &mut (Picture, Plane) {
        let size = self.state.size;
        self.planned.get_or_insert_with(|| {
            let picture = Picture::new_source(size);
            let coarse = coarse_plane(&picture.planes[0]);
            (picture, coarse)
        })
    }

    /// How many frames come before the next scene, at least one.
    fn frames_of_scene(&mut self, frames: &[VideoFrameView<'_>]) -> usize {
        let mut before = self.last_source.map_or(&self.last_coarse, |last| &self.coarse[last]).clone();
        let looked_new = self.looked_new;
        let (picture, coarse) = self.planned();
        let mut survey = Survey::default();
        for (i, frame) in frames.iter().enumerate() {
            picture.copy_from(frame);
            shrink(&picture.planes[0], coarse);
            survey.update(coarse, &before);
            // In noise every frame looks like a new scene.
            if is_scene_cut(&survey) && !(i == 0 && looked_new) {
                if i == 0 {
                    self.still_ahead = self.still_part(frames);
                }
                return i.max(1);
            }
            std::mem::swap(coarse, &mut before);
        }
        frames.len()
    }

    /// What frames cost as one packet, or as a packet each: squared errors and bits.
    fn cost_of(&mut self, frames: &[VideoFrameView<'_>], is_group: bool) -> Result<f64> {
        let base = self.choose_quality(false, (frames.len(), frame_seconds(&self.header, None)));
        let mut trial = self.fork(base)?;
        // It works in the memory that this encoder has for sources and for frames that are gone: else it would take twice as much. Only
        // the last source is needed again.
        let last = self.last_source.map(|last| (last, self.sources[last].clone(), self.coarse[last].clone()));
        trial.last_source = self.last_source;
        self.swap_memory(&mut trial);
        trial.state.references.swap_spare(&mut self.state.references);
        let cost = trial.cost_from_here(frames, is_group, base);
        trial.state.references.swap_spare(&mut self.state.references);
        self.swap_memory(&mut trial);
        if let Some((last, source, coarse)) = last {
            (self.sources[last], self.coarse[last]) = (source, coarse);
        }
        cost
    }

    fn swap_memory(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.sources, &mut other.sources);
        std::mem::swap(&mut self.coarse, &mut other.coarse);
        std::mem::swap(&mut self.rows, &mut other.rows);
    }

    /// The same of frames that are coded by this encoder, at a quality.
    fn cost_from_here(&mut self, frames: &[VideoFrameView<'_>], is_group: bool, base: u8) -> Result<f64> {
        let (mut bits, mut error) = (0.0, 0.0);
        for own in frames.chunks(if is_group { frames.len() } else { 1 }) {
            let packet = match own {
                [frame] => self.code(frame, None)?,
                own => self.code_group(own, None)?,
            };
            bits += packet.data.len() as f64 * 8.0;
            for (picture, frame) in self.state.references.shown().iter().zip(own) {
                error += weighted_error(&picture.view(self.state.size)?, frame);
            }
        }
        let step = f64::from(step(base)) / 64.0;
        Ok(error + f64::from(PREDICTED_LAMBDA) * step * step * bits)
    }

    /// An encoder that goes on from here at a quality.
    fn fork(&self, quality: u8) -> Result<Self> {
        // It runs on the threads of this one.
        let config = Config { scene_cuts: false, target: Target::Step(0), threads: 0, ..self.config.clone() };
        let mut fork = Self::new(self.header, &config)?;
        fork.fixed_quality = Some(quality);
        fork.state = self.state.fork();
        (fork.since, fork.looked_new) = (self.since, self.looked_new);
        fork.keyframe_bytes = self.keyframe_bytes;
        Ok(fork)
    }
}

fn weighted_error(seen: &VideoFrameView<'_>, wanted: &VideoFrameView<'_>) -> f64 {
    let planes = seen.planes().iter().zip(wanted.planes()).zip([1.0, CHROMA_WEIGHT, CHROMA_WEIGHT]);
    planes
        .map(|((a, b), weight)| {
            let sum: u64 = a.rows().zip(b.rows()).map(|(a, b)| squared_error(a, b)).sum();
            f64::from(weight) * sum as f64
        })
        .sum()
}
