mod group;
mod plan;

use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};
use siskin_bitstream::VideoHeader;
use siskin_bitstream::video_packet::{self, Coding, GopInfo, REALTIME_NUMBERS};
use siskin_entropy::range::RangeEncoder;
use siskin_media::{PixelFormat, VideoFrameView};

use super::copy::{Halves, Tiles};
use super::detail::Detail;
use super::effort::Effort;
use super::picture::{Picture, Plane};
use super::pyramid::Step;
use super::quant::{OCTAVE, QUALITIES};
use super::repeats::Repeats;
use super::rows::{self, Copies, Row, Shared};
use super::state::{Start, State, encoder_memory_per_pixel};
use super::survey::{Survey, coarse_plane, shrink};
use super::{HAS_TOOLS, KEPT, QUALITY_MASK, tools};
use crate::realtime::rate::RateController;
use crate::realtime::{
    CodedFrame, Config, Target, check_frame, check_refinements, check_size, frame_seconds,
};
use crate::{Error, Limits, Result};

/// The finest quality that [`Target::Quality`] can name, as a frame's quality: there the step is 3 levels.
// Frames of a cycle and keyframes may be finer than what was asked for.
const FINEST: u8 = 16;
/// Qualities that [`Target::Quality`] can name.
pub(crate) const TARGETS: u8 = QUALITIES - FINEST;

/// So long a source stands still before its frames are no longer coded: by then the cycle of qualities has done its work.
const STILL_SECONDS: f64 = 1.0;
/// Frames from one that is finer to the next.
const CYCLE: u32 = 4;
/// Cost of a bit in squared luma steps.
// 0.15 in keyframes takes 1.4 % more rate than 0.11, and 0.15 in predicted frames 1 % more than 0.2.
const KEYFRAME_LAMBDA: f32 = 0.09;
const PREDICTED_LAMBDA: f32 = 0.2;
/// Bits per pixel of a keyframe and of a predicted frame at a step of 0.75: about what Bunny takes.
const GUESSES: [f64; 2] = [13.0, 3.0];
/// How often a frame or packet is coded again at most.
const MAX_SECOND_TRIES: u32 = 2;
/// A predicted frame by itself that takes more than this part of what its keyframe took is kept: what came up in it may go and come again.
const MIN_NEW_PART: f32 = 0.5;
/// How much finer a keyframe is if all of it stands still in the frames that wait behind it: they repeat what it has.
// Bunny (.65 of it is still) takes 2 to 6 % less by keyframe interval, a desktop (.71) 2 to 4 %; of five other clips .12 at most is
// still, and they stay as they are: a keyframe 4 finer costs a clip that moves up to 3.5 %.
const STILL_FINER: f32 = 8.0;
/// Least mean absolute difference at a scene cut, at a quarter of the size: what shrinking leaves of the noise of a dark camera is
/// below it.
const MIN_CUT_MAD: f32 = 1.5;
/// Least difference at a scene cut as a part of that to the means of blocks of 32x32: relative, so that cuts between dark scenes
/// are found.
const MIN_CUT_RATIO: f32 = 0.7;

/// Encodes frames without a network: a packet each without delay, or with [`Config::lookahead`] several together.
pub struct Encoder {
    header: VideoHeader,
    config: Config,
    state: State,
    rate: Option<RateController>,
    /// The frames to encode, padded, and at a quarter of their size, and the last one of the packet before so.
    sources: Vec<Picture>,
    coarse: Vec<Plane>,
    last_coarse: Plane,
    /// A frame that is looked at before it is its turn, and at a quarter of its size; there once packets may hold several.
    planned: Option<(Picture, Plane)>,
    /// Which of the sources was the last frame of the packet before.
    last_source: Option<usize>,
    /// What was seen of the first and of the second reference frame.
    surveys: [Survey; 2],
    /// Where the frame to code repeats itself, once somebody has asked.
    repeats: [OnceLock<Repeats>; 3],
    rows: Vec<Row>,
    /// Threads of its own; those of the process where none are asked for.
    pool: Option<Arc<ThreadPool>>,
    /// The quality that keeps as much of the scene as the one asked for does of films; none before it was looked at.
    even_quality: Option<u8>,
    /// The quality of a trial, whatever is asked for.
    fixed_quality: Option<u8>,
    number: u32,
    /// Frames since the last keyframe; none before the first.
    since: Option<u32>,
    keyframe_wanted: bool,
    /// For how long the source has not changed.
    still_seconds: f64,
    /// The last predicted frame looked like a new scene.
    looked_new: bool,
    /// How much of the frame that comes next stands still over those behind it.
    still_ahead: f32,
    /// What the last keyframe took.
    keyframe_bytes: usize,
    /// Whether packets of several frames pay.
    habit: plan::Habit,
    packet: Vec<u8>,
    /// The decisions of the last frame.
    #[cfg(test)]
    pub(super) log: Option<super::learning::Log>,
}

impl Encoder {
    /// Prepares a stream of frames of `header`'s size.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a size or configuration that cannot be.
    pub fn new(header: VideoHeader, config: &Config) -> Result<Self> {
        header.check()?;
        config.check()?;
        let memory = encoder_memory_per_pixel(config.lookahead);
        let size = check_size(&header, &Limits::default(), memory)?;
        let source = Picture::new_source(size);
        let coarse = coarse_plane(&source.planes[0]);
        let mut state = State::new(size, true);
        state.tools = if config.lookahead > 1 { tools::LEARNED | tools::PYRAMID } else { tools::LEARNED };
        let mut encoder = Self {
            header,
            config: config.clone(),
            rate: None,
            sources: vec![source],
            coarse: vec![coarse.clone()],
            last_coarse: coarse,
            last_source: None,
            planned: None,
            surveys: Default::default(),
            repeats: Default::default(),
            rows: state.grids.iter().map(|_| Row::new()).collect(),
            // A thread more than there are rows would only wait.
            pool: new_pool(config.threads.min(state.grids.len()))?,
            state,
            even_quality: None,
            fixed_quality: None,
            number: 0,
            since: None,
            keyframe_wanted: false,
            still_seconds: 0.0,
            looked_new: false,
            still_ahead: 0.0,
            keyframe_bytes: 0,
            habit: plan::Habit::default(),
            packet: Vec::new(),
            #[cfg(test)]
            log: None,
        };
        encoder.set_target(config.target)?;
        Ok(encoder)
    }

    /// The stream's header.
    pub fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// Holds another quality or bit rate from the next frame on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a quality that there is not, or a bit rate of 0.
    pub fn set_target(&mut self, target: Target) -> Result<()> {
        target.hold(&mut self.rate, TARGETS.into(), |rate| {
            RateController::new(rate, OCTAVE.into(), QUALITIES.into()).with_guesses(GUESSES)
        })?;
        self.config.target = target;
        self.even_quality = None;
        Ok(())
    }

    /// Sets [`Config::refinements`] from the next frame on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MAX_REFINEMENTS`](crate::realtime::MAX_REFINEMENTS).
    pub fn set_refinements(&mut self, refinements: u32) -> Result<()> {
        check_refinements(refinements)?;
        self.config.refinements = refinements;
        Ok(())
    }

    /// Makes the next frame a keyframe.
    pub fn request_key(&mut self) {
        self.keyframe_wanted = true;
    }

    /// Encodes a frame of 4:2:0, wherever its rows are. `duration` in nanoseconds is for streams without a constant frame
    /// rate.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a frame of another format or size.
    pub fn encode_frame(
        &mut self,
        frame: &VideoFrameView<'_>,
        duration: Option<u32>,
    ) -> Result<CodedFrame<'_>> {
        match self.pool.clone() {
            Some(pool) => pool.install(|| self.code(frame, duration)),
            None => self.code(frame, duration),
        }
    }

    fn code(&mut self, frame: &VideoFrameView<'_>, duration: Option<u32>) -> Result<CodedFrame<'_>> {
        check_frame(frame, self.state.size)?;
        let seconds = frame_seconds(&self.header, duration);
        let is_same = self.since.is_some() && self.is_last_source(frame);
        self.still_seconds = if is_same { self.still_seconds + seconds } else { 0.0 };
        self.take_sources(std::slice::from_ref(frame));
        let mut is_keyframe = self.is_keyframe_due();
        // Should anything below fail, no frame may be predicted from this one.
        let since = self.since.take();
        if !is_keyframe {
            self.surveys[0].update(&self.coarse[0], &self.last_coarse);
            self.surveys[1].clear();
            let looks_new = self.config.scene_cuts && is_scene_cut(&self.surveys[0]);
            let can_pay = self.rate.as_ref().is_none_or(|rate| !rate.is_in_debt());
            // In noise every frame looks like a new scene, and keyframes would take ten times the rate.
            is_keyframe = looks_new && !self.looked_new && can_pay;
            self.looked_new = looks_new;
        }
        self.habit.pass(1);
        if is_keyframe {
            self.habit = plan::Habit::default();
            // What came before a keyframe does not count, so that a run that goes on there codes the same; nor does the frame
            // behind it begin another scene.
            (self.still_seconds, self.looked_new) = (0.0, true);
        }
        let place = if is_keyframe { 0 } else { since.map_or(0, |n| n + 1) };
        if place.is_multiple_of(CYCLE) || self.even_quality.is_none() {
            self.look_at_detail(is_keyframe, 0);
        }
        let base = self.choose_quality(is_keyframe, (1, seconds));
        let (mut quality, is_kept) = cycle(base, place);
        if is_keyframe && self.rate.is_some() {
            // Rate control has a budget for keyframes, which is what makes them finer.
            quality = base;
        } else if is_keyframe {
            quality -= (STILL_FINER * std::mem::take(&mut self.still_ahead)).min(f32::from(quality)) as u8;
        }
        let must_repeat = self.still_seconds > STILL_SECONDS
            || self.rate.as_ref().is_some_and(|rate| rate.must_repeat_frame(quality));
        self.write_head(is_keyframe, 1, duration.as_ref().map(std::slice::from_ref));
        let is_repeated = (must_repeat && !is_keyframe)
            || !self.code_frame(is_keyframe, (&mut quality, is_kept), seconds)?;
        if is_repeated {
            // What is shown again is the last frame alone.
            self.state.start_packet(false);
            self.write_repeated(duration);
        } else {
            video_packet::append_checksum(&mut self.packet);
        }
        let bits = self.packet.len() as f64 * 8.0;
        if is_repeated {
            self.rate.iter_mut().for_each(|rate| rate.record_repeated_frame(bits, seconds));
        } else {
            self.record(is_keyframe, quality, bits, (1, seconds));
        }
        self.number = self.number.wrapping_add(1);
        self.since = Some(place);
        self.keyframe_wanted = false;
        Ok(CodedFrame { data: &self.packet, is_keyframe, quality: quality.saturating_sub(FINEST) })
    }

    /// As [`Encoder::encode_frame`], of planes Y, U and V one behind another without gaps.
    ///
    /// # Errors
    /// As there.
    pub fn encode(&mut self, data: &[u8], duration: Option<u32>) -> Result<CodedFrame<'_>> {
        let frame = VideoFrameView::from_data(PixelFormat::I420, self.state.size, data)?;
        self.encode_frame(&frame, duration)
    }

    /// Goes on behind a packet of an earlier run with the same settings: numbers and rate control stand as if this
    /// encoder had made it. The next frame is a keyframe.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the packet is of another stream or place, what a decoder returns for damage.
    pub fn resume(&mut self, packet: &[u8]) -> Result<GopInfo> {
        let (info, mut cursor) = video_packet::read_head(packet, &Limits::default())?;
        let number = self.number % REALTIME_NUMBERS;
        if info.coding != Coding::Blocks || info.number != number {
            let found = format!("{:?} frame {}", info.coding, info.number);
            return Err(Error::parameter("packet", found, format!("frame {number} of the block codec")));
        }
        if let Some(header) = info.header.filter(|h| info.is_keyframe && *h != self.header) {
            return Err(Error::parameter("packet", format!("{header:?}"), format!("{:?}", self.header)));
        }
        let duration = |i: usize| info.durations.as_ref().and_then(|d| d.get(i).copied());
        let seconds = (0..info.frames as usize).map(|i| frame_seconds(&self.header, duration(i))).sum();
        let bits = packet.len() as f64 * 8.0;
        if cursor.rest().is_empty() && !info.is_keyframe {
            // A repeated frame has no quality.
            self.rate.iter_mut().for_each(|rate| rate.record_repeated_frame(bits, seconds));
        } else {
            let quality = cursor.read_byte("quality")? & QUALITY_MASK;
            let frames = info.frames as usize;
            self.record(info.is_keyframe, group::asked_quality(quality, frames), bits, (frames, seconds));
        }
        self.number = self.number.wrapping_add(1);
        // The reference frames of the earlier run are gone.
        self.since = None;
        Ok(info)
    }

    /// Finds the quality that keeps as much of a source as the one asked for does of films: at once in a new scene, by one step in a
    /// scene that goes on, so that no change shows.
    fn look_at_detail(&mut self, is_new: bool, source: usize) {
        let (Target::Quality(q), None) = (self.config.target, self.fixed_quality) else { return };
        let found = Detail::of(&self.sources[source].planes[0]).even_quality(q + FINEST);
        self.even_quality = Some(match self.even_quality.filter(|_| !is_new) {
            // One more or less is how pictures of a scene differ.
            Some(last) if found.abs_diff(last) <= 1 => last,
            Some(last) if found < last => last - 1,
            Some(last) => last + 1,
            None => found,
        });
    }

    /// The quality of frames that last `seconds` each.
    fn choose_quality(&self, is_keyframe: bool, (frames, seconds): (usize, f64)) -> u8 {
        if let Some(quality) = self.fixed_quality {
            return quality;
        }
        match (&self.rate, self.config.target) {
            (Some(rate), _) => {
                let interval = self.config.keyframe_interval;
                rate.choose_quality_of(is_keyframe, (frames, seconds), interval, self.header.pixels())
            }
            (None, Target::Quality(q)) => self.even_quality.unwrap_or(q + FINEST),
            (None, Target::Step(q)) => q + FINEST,
            // Never reached: a bit rate always comes with a controller.
            (None, Target::Bitrate(_)) => FINEST,
        }
    }

    fn write_head(&mut self, is_keyframe: bool, frames: usize, durations: Option<&[u32]>) {
        self.packet.clear();
        video_packet::write_head(
            Coding::Blocks,
            is_keyframe.then_some(&self.header),
            (self.number, frames as u32),
            durations,
            &mut self.packet,
        );
    }

    /// Writes a packet that says that the frame before is shown again.
    fn write_repeated(&mut self, duration: Option<u32>) {
        if duration.is_none() {
            video_packet::write_repeated(self.number, &mut self.packet);
        } else {
            // A head without anything after it means the same.
            self.write_head(false, 1, duration.as_ref().map(std::slice::from_ref));
            video_packet::append_checksum(&mut self.packet);
        }
    }

    /// Codes the blocks of a frame and makes it the last one. False if it turns out to be the frame before, and the state is
    /// then as if it had not been coded.
    ///
    /// One that takes far more than its part of a bit rate is coded again, with another `quality`.
    fn code_frame(
        &mut self,
        is_keyframe: bool,
        (quality, mut is_kept): (&mut u8, bool),
        seconds: f64,
    ) -> Result<bool> {
        let grids = self.state.grids.clone();
        let step = Step::ALONE;
        self.state.start_packet(is_keyframe);
        if is_keyframe {
            let source = &self.sources[step.index].planes[0];
            // Before the new ones are made, so that never two frames' take memory.
            self.repeats = Default::default();
            let repeats = Repeats::new(source, self.state.size, Halves::Whole);
            let is_screen = repeats.is_screen(source);
            if is_screen {
                self.repeats[Halves::Whole as usize] = OnceLock::from(repeats);
            }
            self.state.tools &= !(tools::COPY | tools::OVERLAP);
            // What is on screens ends where blocks end: 4 % more rate with overlap. With lookahead the frames that are predicted from
            // earlier ones alone are too far apart: .1 % more.
            self.state.tools |= match is_screen {
                true => tools::COPY,
                false if self.config.lookahead > 1 => 0,
                false => tools::OVERLAP,
            };
        }
        let (references, mut picture) =
            self.state.start_frame(Start { is_keyframe, step, quality: *quality });
        let head = self.packet.len();
        let before = self.state.parts(step.kind()).0.clone();
        for tries in 0.. {
            self.packet.push(*quality & QUALITY_MASK | if is_kept { KEPT } else { 0 });
            if is_keyframe {
                self.packet[head] |= HAS_TOOLS;
                self.packet.push(self.state.tools);
            }
            let lambda = if is_keyframe { KEYFRAME_LAMBDA } else { PREDICTED_LAMBDA };
            self.decide(step, (*quality, lambda), &references, &mut picture);
            if !is_keyframe && self.rows.iter().all(Row::is_still) {
                self.state.grids = grids;
                drop(references);
                self.state.references.give_back(picture);
                return Ok(false);
            }
            let mut coder = RangeEncoder::default();
            self.code_rows(step, &mut coder)?;
            coder.finish_into(&mut self.packet);
            let bits = self.packet.len() as f64 * 8.0;
            let rate = self.rate.as_ref().filter(|_| tries < MAX_SECOND_TRIES);
            let interval = self.config.keyframe_interval;
            let second = rate.and_then(|rate| match is_keyframe {
                true => rate.second_quality(*quality, bits, seconds, interval),
                false => rate.second_quality_of_frame(*quality, bits, seconds, interval),
            });
            let Some(second) = second else { break };
            *quality = second;
            self.packet.truncate(head);
            self.state.parts(step.kind()).0.clone_from(&before);
            self.state.start_contexts(step.kind(), second);
        }
        let bytes = self.packet.len() - head;
        if is_keyframe {
            self.keyframe_bytes = bytes;
        } else if bytes as f32 > MIN_NEW_PART * self.keyframe_bytes as f32 {
            is_kept = true;
            self.packet[head] |= KEPT;
        }
        drop(references);
        self.state.finish_frame(picture, Start { is_keyframe, step, quality: *quality }, is_kept);
        self.state.finish_packet(1);
        Ok(true)
    }

    /// Decides on the blocks of a frame.
    fn decide(
        &mut self,
        step: Step,
        (quality, lambda): (u8, f32),
        references: &[Arc<Picture>],
        picture: &mut Picture,
    ) {
        let source = &self.sources[step.index];
        let has_copies = self.state.tools & tools::COPY != 0;
        // Of a keyframe they were found when it was chosen how to code it.
        if !references.is_empty() {
            self.repeats = Default::default();
        }
        let luma = &source.planes[0];
        let tiles = has_copies.then(|| Tiles::new(luma.width, luma.height));
        let shared = Shared {
            source,
            size: self.state.size,
            references,
            surveys: &self.surveys,
            quality,
            lambda,
            effort: Effort::of(self.config.refinements),
            copies: tiles.as_ref().map(|tiles| Copies::new(&self.repeats, tiles)),
        };
        let (contexts, grids) = self.state.parts(step.kind());
        rows::decide(shared, picture, (contexts, grids), &mut self.rows);
    }

    /// Codes the blocks that were decided on.
    fn code_rows(&mut self, step: Step, coder: &mut RangeEncoder) -> Result<()> {
        let (contexts, grids) = self.state.parts(step.kind());
        #[cfg(test)]
        {
            let mut contexts = contexts.clone();
            let mut log = super::learning::Log::new(&contexts);
            for (row, grid) in self.rows.iter_mut().zip(&*grids) {
                row.code(&mut log, &mut contexts, grid)?;
            }
            self.log = Some(log);
        }
        for (row, grid) in self.rows.iter_mut().zip(&*grids) {
            row.code(coder, contexts, grid)?;
        }
        Ok(())
    }

    /// Whether the last frame of the packet before had the samples of a frame.
    fn is_last_source(&self, frame: &VideoFrameView<'_>) -> bool {
        self.last_source.is_some_and(|last| self.sources[last].is_same(frame))
    }

    /// Takes frames in, padded and shrunk.
    fn take_sources(&mut self, frames: &[VideoFrameView<'_>]) {
        if let Some(last) = self.last_source.replace(frames.len() - 1) {
            std::mem::swap(&mut self.last_coarse, &mut self.coarse[last]);
        }
        for (i, frame) in frames.iter().enumerate() {
            if i == self.sources.len() {
                self.sources.push(Picture::new_source(self.state.size));
                self.coarse.push(coarse_plane(&self.sources[i].planes[0]));
            }
            self.sources[i].copy_from(frame);
            shrink(&self.sources[i].planes[0], &mut self.coarse[i]);
        }
    }

    /// Tells rate control of a packet's bits.
    // Whole packets count, checksum and header included, since that is what the rate promises.
    fn record(&mut self, is_keyframe: bool, quality: u8, bits: f64, (frames, seconds): (usize, f64)) {
        if let Some(rate) = &mut self.rate {
            rate.record_frames(is_keyframe, quality, bits, (frames, seconds));
        }
    }

    /// The last frame as a decoder sees it, in 4:2:0, where the encoder keeps it: no samples are copied.
    ///
    /// # Errors
    /// [`Error::MissingHeader`] before the first frame.
    pub fn reconstructed_frame(&self) -> Result<VideoFrameView<'_>> {
        let last: &Arc<Picture> = self.state.references.last().ok_or(Error::MissingHeader)?;
        last.view(self.state.size)
    }
}

/// Threads of an encoder's own.
fn new_pool(threads: usize) -> Result<Option<Arc<ThreadPool>>> {
    if threads == 0 {
        return Ok(None);
    }
    let pool =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("siskin-video-{i}")).build();
    let pool =
        pool.map_err(|e| Error::parameter("threads", threads, format!("as many as the system gives ({e})")))?;
    Ok(Some(Arc::new(pool)))
}

/// The quality of the frame at a place after its keyframe, and whether it is kept: every fourth is finer, and the others
/// refer to it.
fn cycle(base: u8, place: u32) -> (u8, bool) {
    let change = match place % CYCLE {
        _ if place == 0 => -5,
        0 => -2,
        2 => 1,
        _ => 2,
    };
    ((i16::from(base) + change).clamp(0, i16::from(QUALITIES) - 1) as u8, place.is_multiple_of(CYCLE))
}

/// Scene cut: motion compensation leaves nearly as much as the means of blocks do.
fn is_scene_cut(survey: &Survey) -> bool {
    survey.inter >= MIN_CUT_MAD && survey.inter > MIN_CUT_RATIO * survey.intra
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("blocks::Encoder").field("header", &self.header).finish_non_exhaustive()
    }
}
