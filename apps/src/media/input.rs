//! Any input to samples of one rate in one channel or two, as long as its own clock says: gaps are filled, drift is made up for.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ffmpeg_next::{ChannelLayout, frame};
use siskin_core::container::Chapter;

use super::cut::cut_frame;
use super::decoded::Track;
use super::demux::{Kind, Next, Source, from_ns, rescale_rounded, to_ns};
use super::graph::{AudioShape, Graph, Pulled};
use super::mixdown::Mixdown;
use super::opus_start::time_of;
use super::resample::{self, append_samples};
use super::steps::{Course, Steps, Watch};
use crate::units;

/// Sample rates that are taken for meant.
// 768 kHz is the highest rate of audio converters; beyond these a header is damaged.
const RATES: std::ops::RangeInclusive<u32> = 1000..=768_000;
/// Channels that are taken for meant.
const CHANNELS: std::ops::RangeInclusive<u16> = 1..=64;
/// Frames that leave a longer gap begin a graph of their own; `aresample` would hold all of its silence in memory.
const GAP_NS: i64 = 1_000_000_000;
/// A difference between clock and samples that `aresample` leaves alone: containers round times, to 10 ms where they are coarsest.
const DRIFT_NS: i64 = 20_000_000;
/// Gaps from which on something is said to be missing; encoders leave out less at the beginning.
const TOLD_GAP_NS: i64 = 60_000_000;
const NS: i64 = 1_000_000_000;

/// The sound of an input, decoded, and mixed down to one channel or two.
pub(crate) struct AudioInput {
    track: Track,
    /// The rate of the samples handed out; `None` takes the input's own.
    wanted_rate: Option<u32>,
    /// Channels of the samples handed out, which are interleaved.
    given_channels: u8,
    /// The channel that is taken; `None` mixes them down.
    channel: Option<u16>,
    shape: AudioShape,
    /// Whether frames follow each other, whatever their times say.
    is_counted: bool,
    /// Frames since the rate changed.
    changed: Option<Changed>,
    /// Frames that were decoded to know when they are heard.
    waiting: VecDeque<frame::Audio>,
    steps: Steps,
    /// Whether the frame that comes next lies behind a step, and how many of its samples and of those behind it were there before.
    is_step: bool,
    twice: usize,
    /// Steps, and nanoseconds of silence that was put in there and of sound that was left out.
    stepped: (u64, i64, i64),
    frame: frame::Audio,
    filtered: frame::Audio,
    run: Option<Run>,
    /// When sample 0 is heard and the last one ends, in nanoseconds of the input.
    zero: i64,
    end: i64,
    /// When the first decoded sample is heard, once that is known.
    first: Option<i64>,
    /// Samples handed out so far, and those of silence that come next.
    given: u64,
    silence: u64,
    /// Gaps that were filled, and nanoseconds of them.
    gaps: (u64, i64),
    mixdown: Mixdown,
}

/// Frames of another rate than the first one's.
struct Changed {
    rate: u32,
    /// When they begin by their times, and samples a channel of them so far.
    start: i64,
    samples: u64,
    /// Whether it has been found out what their times count.
    is_judged: bool,
}

/// Frames of one shape that follow each other.
struct Run {
    graph: Graph,
    shape: AudioShape,
    /// When the first sample is heard, and where the last frame ends by its time.
    start: i64,
    end: i64,
    /// Samples a channel that went in, and samples that came out.
    taken: u64,
    given: u64,
}

impl AudioInput {
    /// Opens the sound of `path` (`-` is stdin); `rate` is what to resample to, if anything. Beside pictures that are not read,
    /// sample 0 is heard when the first frame is seen.
    pub(crate) fn open(path: &Path, rate: Option<u32>) -> Result<Self> {
        Self::open_alone(&Source::open(path)?, rate)
    }

    /// Takes one channel, from 0, in place of the mix. Before the first samples are taken.
    pub(crate) fn pick_channel(&mut self, channel: u16) {
        // Whether there is such a channel is seen with each change of the stream.
        self.channel = Some(channel);
    }

    /// Hands out two channels in place of one. Before the first samples are taken.
    pub(crate) fn set_channels(&mut self, channels: u8) {
        self.given_channels = channels;
    }

    /// [`AudioInput::open`] of an opened input, of which nothing else is read.
    pub(crate) fn open_alone(source: &Source, rate: Option<u32>) -> Result<Self> {
        let mut input = Self::of_track(source, rate, true)?;
        let pictures = source.first_ns(Kind::Video).unwrap_or(i64::MAX);
        input.begin_at(pictures);
        Ok(input)
    }

    /// Opens the sound of an input; sample 0 is its first one.
    pub(crate) fn of(source: &Source, rate: u32) -> Result<Self> {
        // Where it begins far behind the frames it is not waited for.
        Self::of_track(source, Some(rate), false)
    }

    fn of_track(source: &Source, rate: Option<u32>, is_patient: bool) -> Result<Self> {
        let mut track = Track::open(source, Kind::Audio)?;
        let mut first = frame::Audio::empty();
        let is_there = track.decode_sound(&mut first, is_patient)? == Next::There(());
        let shape = match is_there {
            true => shape_of(&first).with_context(|| source.name())?,
            // Nothing can be decoded, which is told when samples are asked for, or not yet.
            false => AudioShape {
                format: resample::FLOAT,
                layout: ChannelLayout::MONO,
                rate: rate.unwrap_or(*RATES.start()),
            },
        };
        // The clock of the first decoded frame and not of the track: encoders state a priming that decoders drop.
        let zero = time_of(&first).filter(|_| is_there).map_or(0, |ticks| to_ns(ticks, track.time_base()));
        Ok(Self {
            track,
            wanted_rate: rate,
            given_channels: 1,
            channel: None,
            shape,
            is_counted: false,
            changed: None,
            waiting: is_there.then_some(first).into_iter().collect(),
            steps: Steps::default(),
            is_step: false,
            twice: 0,
            stepped: (0, 0, 0),
            frame: frame::Audio::empty(),
            filtered: frame::Audio::empty(),
            run: None,
            zero,
            end: zero,
            first: is_there.then_some(zero),
            given: 0,
            silence: 0,
            gaps: (0, 0),
            mixdown: Mixdown::default(),
        })
    }

    /// When the first sample is heard, in nanoseconds of the input, if it is known yet.
    pub(crate) fn start_ns(&self) -> Option<i64> {
        self.first
    }

    /// Lets silence lead from a time on to the first sample, if that is heard later. Before the first samples are taken.
    pub(crate) fn begin_at(&mut self, zero: i64) {
        let Some(first) = self.first else {
            // It comes once it is known how much.
            (self.zero, self.end) = (zero, zero);
            return;
        };
        let lead = first.saturating_sub(zero).max(0);
        // A track that begins so late has a clock of its own.
        if lead < 24 * 3600 * NS {
            // A day at most, so it fits.
            self.silence = rescale_rounded(lead, self.rate().into(), NS.into()).max(0) as u64;
            self.zero = first.saturating_sub(lead);
        }
    }

    /// The input's sample rate.
    pub(crate) fn source_rate(&self) -> u32 {
        self.shape.rate
    }

    /// The rate of the samples handed out.
    pub(crate) fn rate(&self) -> u32 {
        self.wanted_rate.unwrap_or(self.source_rate())
    }

    /// The input's channels.
    pub(crate) fn channels(&self) -> u16 {
        u16::try_from(self.shape.layout.channels()).unwrap_or(u16::MAX)
    }

    /// The length that the container states or FFmpeg estimates, in seconds.
    pub(crate) fn duration(&self) -> Option<f64> {
        self.track.source().stated_seconds(Kind::Audio)
    }

    /// The streams that are not read.
    pub(crate) fn other_streams(&self) -> Vec<String> {
        self.track.source().other_streams()
    }

    /// The chapters of the container, in time with the samples.
    pub(crate) fn chapters(&self) -> Vec<Chapter> {
        self.track.source().chapters(self.zero)
    }

    /// What did not go as it should, in words, once everything has been read: packets that could not be decoded, gaps, clocks.
    pub(crate) fn faults(&self) -> Vec<String> {
        let name = self.track.source().name();
        let mut faults = self.own_faults();
        faults.extend(self.track.source().describe_jumps().into_iter().map(|jump| format!("{name}: {jump}")));
        faults.extend(self.track.source().describe_later());
        faults
    }

    /// [`AudioInput::faults`] of the sound alone.
    pub(crate) fn own_faults(&self) -> Vec<String> {
        let name = self.track.source().name();
        let mut faults = Vec::new();
        match self.track.bad_packets() {
            0 => {}
            bad => faults.push(format!("{name}: {bad} packets of sound could not be decoded")),
        }
        if let Some(loss) = self.mixdown.loss() {
            faults.push(format!(
                "{name}: left and right are opposite, mixed down to mono they are {loss:.0} dB softer: --model audio-48k keeps both"
            ));
        }
        let (steps, put_in, left_out) = self.stepped;
        // What is told of a gap is among it.
        let put_in = (put_in - self.gaps.1).max(0);
        if put_in + left_out > TOLD_GAP_NS {
            faults.push(format!(
                "{name}: the clock makes {}: {:.2} s of silence were put in and {:.2} s of sound left out",
                units::format_count(steps as usize, "step", "steps"),
                put_in as f64 / 1e9,
                left_out as f64 / 1e9
            ));
        }
        match self.gaps {
            (0, _) => {}
            (count, ns) => faults.push(format!(
                "{name}: {:.2} s of sound are missing in {count} gap{}, there is silence instead",
                ns as f64 / 1e9,
                if count == 1 { "" } else { "s" },
            )),
        }
        faults
    }

    /// Packets that could not be decoded so far.
    pub(crate) fn bad_packets(&self) -> u64 {
        self.track.bad_packets()
    }

    /// Why there is nothing to be heard, in words, where no sample could be decoded.
    pub(crate) fn describe_nothing(&self) -> String {
        self.track.source().describe_nothing(Kind::Audio)
    }

    /// What is missing at the end, in words, once everything has been read.
    pub(crate) fn missing(&self) -> Option<String> {
        self.track
            .source()
            .missing(Kind::Audio, self.first.map_or(0, |first| self.end.saturating_sub(first)) as f64 / 1e9)
    }

    /// Appends the next samples to `out`; false at the end.
    pub(crate) fn next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        Ok(self.next_within(out, true)? == Next::There(()))
    }

    /// [`AudioInput::next`] for who may not be patient.
    pub(crate) fn next_within(&mut self, out: &mut Vec<f32>, is_patient: bool) -> Result<Next<()>> {
        loop {
            if self.silence > 0 {
                // A second at once, so that a gap of hours takes no more memory than one.
                let count = self.silence.min(self.rate().into());
                out.resize(out.len() + count as usize * usize::from(self.given_channels), 0.0);
                self.silence -= count;
                self.given += count;
                return Ok(Next::There(()));
            }
            let Some(run) = &mut self.run else {
                match self.decode(is_patient)? {
                    Next::There(frame) => self.begin_run(frame)?,
                    Next::End => return Ok(Next::End),
                    Next::Later => return Ok(Next::Later),
                }
                continue;
            };
            if run.graph.pull_frame(&mut self.filtered)? == Pulled::Frame {
                append_samples(&self.filtered, out);
                run.given += self.filtered.samples() as u64;
                self.given += self.filtered.samples() as u64;
                return Ok(Next::There(()));
            }
            let next = self.decode(is_patient)?;
            if let Next::There(frame) = &next {
                match self.judge(frame, is_patient)? {
                    Some(is_step) => self.is_step = is_step,
                    None => {
                        self.put_back(next);
                        return Ok(Next::Later);
                    }
                }
            }
            match next {
                // A run ends where the graph would have to change, or to make up for too much.
                Next::There(frame) if !self.is_step && self.follows(&frame)? => self.push(frame)?,
                Next::Later => return Ok(Next::Later),
                next => {
                    self.finish_run(out)?;
                    // It begins the next run.
                    self.put_back(next);
                    return Ok(Next::There(()));
                }
            }
        }
    }

    fn put_back(&mut self, next: Next<frame::Audio>) {
        if let Next::There(frame) = next {
            self.waiting.push_front(frame);
        }
    }

    /// Whether the clock makes a step before a frame; none where too little of what follows is within reach.
    fn judge(&mut self, frame: &frame::Audio, is_patient: bool) -> Result<Option<bool>> {
        let time = self.time(frame);
        let (off, lasts) = (time.saturating_sub(self.end), lasts_ns(frame));
        if !self.steps.may_be(off, lasts) {
            return Ok(Some(false));
        }
        let mut watch = Watch::new(off, time.saturating_add(lasts), lasts);
        let mut seen = 0;
        loop {
            if seen == self.waiting.len() {
                match self.decode_new(is_patient)? {
                    Next::There(frame) => self.waiting.push_back(frame),
                    // What ends there had no time to come back.
                    Next::End => return Ok(Some(true)),
                    Next::Later => return Ok(None),
                }
            }
            let following = &self.waiting[seen];
            seen += 1;
            let begins = time_of(following).filter(|_| !self.is_counted);
            let begins = begins.map(|ticks| to_ns(ticks, self.track.time_base()));
            match watch.take(begins, lasts_ns(following)) {
                Course::Open => {}
                course => return Ok(Some(course == Course::Lasting)),
            }
        }
    }

    /// The next frame with samples.
    fn decode(&mut self, is_patient: bool) -> Result<Next<frame::Audio>> {
        match self.waiting.pop_front() {
            Some(frame) => Ok(Next::There(frame)),
            None => self.decode_new(is_patient),
        }
    }

    /// The next frame with samples that has not been decoded yet.
    fn decode_new(&mut self, is_patient: bool) -> Result<Next<frame::Audio>> {
        loop {
            match self.track.decode_sound(&mut self.frame, is_patient)? {
                Next::There(()) if self.frame.samples() > 0 => {
                    self.check_rate();
                    // Handed over whole: the graph takes a frame's data without a copy.
                    return Ok(Next::There(std::mem::replace(&mut self.frame, frame::Audio::empty())));
                }
                Next::There(()) => {}
                Next::End => return Ok(Next::End),
                Next::Later => return Ok(Next::Later),
            }
        }
    }

    /// Goes by the samples from a change of the rate on where times count them, in ticks of the first rate. Nothing says which clock
    /// a format has, so it is seen from the frames: how far apart they are against how long they last at their own rate and at the
    /// first. Of raw ADTS, 4 s at 22.05 kHz behind 44.1 kHz became 2.
    fn check_rate(&mut self) {
        let (rate, first, samples) = (self.frame.rate(), self.shape.rate, self.frame.samples() as u64);
        if self.is_counted || rate == first {
            self.changed = None;
            return;
        }
        // A chain of recordings in Ogg; FFmpeg 5.1 gives the later ones' times in their own samples too, but their packets' lengths
        // by the first one's header: behind 44.1 kHz, 10 s of 22.05 kHz became 6.9 (`findings/ffmpeg-chained-ogg-rate.sh`).
        if self.track.source().counts_samples() {
            return self.count_samples();
        }
        let Some(ticks) = time_of(&self.frame) else { return };
        let time = to_ns(ticks, self.track.time_base());
        let begins = Changed { rate, start: time, samples: 0, is_judged: false };
        let known = self.changed.take().filter(|changed| changed.rate == rate);
        let changed = self.changed.insert(known.unwrap_or(begins));
        let lasts = |rate: u32| rescale_rounded(changed.samples as i64, NS.into(), rate.into());
        let (own, counted, told) = (lasts(rate), lasts(first), time.saturating_sub(changed.start));
        let apart = (own - counted).abs();
        changed.samples += samples;
        // Once they are further apart than containers round times, and before `aresample` makes up for it.
        if changed.is_judged || apart < DRIFT_NS {
            return;
        }
        changed.is_judged = true;
        if (told - counted).abs() < apart / 4 {
            self.count_samples();
        }
    }

    /// Lets frames follow each other from here on.
    fn count_samples(&mut self) {
        self.is_counted = true;
        self.track.source().forget_times(Kind::Audio);
    }

    /// When a frame is heard; one that does not say follows what was before.
    fn time(&self, frame: &frame::Audio) -> i64 {
        let told = time_of(frame).filter(|_| !self.is_counted);
        told.map_or(self.end, |ticks| to_ns(ticks, self.track.time_base()))
    }

    /// Whether a frame goes into the graph at hand.
    fn follows(&self, frame: &frame::Audio) -> Result<bool> {
        let shape = shape_of(frame).with_context(|| self.track.source().name())?;
        let gap = self.time(frame).saturating_sub(self.end);
        Ok(self.run.as_ref().is_some_and(|run| run.shape == shape) && gap <= GAP_NS)
    }

    fn begin_run(&mut self, mut frame: frame::Audio) -> Result<()> {
        let shape = shape_of(&frame).with_context(|| self.track.source().name())?;
        if std::mem::take(&mut self.is_step) {
            let off = self.time(&frame).saturating_sub(self.end);
            // What has been given already, as where the end of a part reaches into the next one.
            self.twice = rescale_rounded((-off).max(0), frame.rate().into(), NS.into()) as usize;
            let (count, put_in, left_out) = self.stepped;
            self.stepped = (count + 1, put_in + off.max(0), left_out + (-off).max(0));
        }
        let twice = std::mem::take(&mut self.twice);
        if twice >= frame.samples() {
            self.twice = twice - frame.samples();
            return Ok(());
        }
        if twice > 0 {
            frame = cut_frame(&frame, twice..frame.samples())?;
            frame.set_pts(Some(from_ns(self.end, self.track.time_base())));
        }
        // Never before what has been given: clocks that step back are taken to stand still.
        let start = self.time(&frame).max(self.end);
        // From the beginning and not from the last gap, so that roundings do not add up.
        let place = rescale_rounded(start.saturating_sub(self.zero), self.rate().into(), NS.into());
        self.silence = u64::try_from(place).unwrap_or(0).saturating_sub(self.given);
        self.note_gap(start);
        self.first.get_or_insert(start);
        let graph = resample::decoding_graph(&shape, self.rate(), self.given_channels, self.channel)?;
        self.run = Some(Run { graph, shape, start, end: start, taken: 0, given: 0 });
        self.push(frame)
    }

    fn note_gap(&mut self, time: i64) {
        let gap = time.saturating_sub(self.end);
        // Before the first sample there is no gap, only a late beginning.
        if gap > TOLD_GAP_NS && self.first.is_some() {
            self.gaps.0 += 1;
            self.gaps.1 += gap;
        }
    }

    /// Gives a frame to the graph, at its time.
    fn push(&mut self, mut frame: frame::Audio) -> Result<()> {
        let time = self.time(&frame);
        if self.given_channels == 1 && self.channel.is_none() {
            self.mixdown.take(&frame);
        }
        let (off, lasts) = (time.saturating_sub(self.end), lasts_ns(&frame));
        let Some(run) = &mut self.run else { return Ok(()) };
        let (rate, samples) = (i128::from(run.shape.rate), frame.samples() as u64);
        let is_first = run.taken == 0;
        let time = if is_first { run.start } else { time };
        // The run's own clock, in samples: `aresample` compares it with what it has been given.
        frame.set_pts(Some(rescale_rounded(time.saturating_sub(run.start), rate, NS.into())));
        run.taken += samples;
        run.end = time.saturating_add(rescale_rounded(samples as i64, NS.into(), rate));
        let end = run.end;
        run.graph.push(&mut frame)?;
        if !is_first {
            self.steps.note(off, lasts);
            self.note_gap(time);
        }
        self.end = end;
        Ok(())
    }

    /// Appends what is still in the graph, so that the whole is as long as what went in, rounded to the nearest sample.
    fn finish_run(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        let rate = i128::from(self.rate());
        let length = run.end - run.start;
        run.graph.close(rescale_rounded(length, run.shape.rate.into(), NS.into()))?;
        let (begun, start) = (run.given, out.len());
        while run.graph.pull_frame(&mut self.filtered)? == Pulled::Frame {
            append_samples(&self.filtered, out);
        }
        // Samples count exactly; times only where they tell of more than their own rounding.
        let counted = rescale_rounded(run.taken as i64, NS.into(), run.shape.rate.into());
        let whole = match (counted - length).abs() <= DRIFT_NS {
            true => rescale_rounded(run.taken as i64, rate, run.shape.rate.into()),
            false => rescale_rounded(length, rate, NS.into()),
        };
        let whole = u64::try_from(whole).unwrap_or(0).max(1);
        // The filter's last samples may be one more or less; the length of the whole is what counts.
        let count = usize::try_from(whole.saturating_sub(begun))?;
        out.resize(start + count * usize::from(self.given_channels), 0.0);
        self.given += count as u64;
        Ok(())
    }
}

/// How long a frame lasts.
fn lasts_ns(frame: &frame::Audio) -> i64 {
    rescale_rounded(frame.samples() as i64, NS.into(), frame.rate().max(1).into())
}

/// What the samples of a frame are. Formats that state only a number of channels get the usual layout.
fn shape_of(frame: &frame::Audio) -> Result<AudioShape> {
    let (rate, channels) = (frame.rate(), frame.channels());
    if !RATES.contains(&rate) {
        bail!("a sample rate of {rate} Hz, allowed: {} to {}", RATES.start(), RATES.end());
    }
    if !CHANNELS.contains(&channels) {
        bail!("{channels} channels, allowed: {} to {}", CHANNELS.start(), CHANNELS.end());
    }
    let layout = match frame.channel_layout() {
        // WAV files and others state only a number.
        known if !known.is_empty() => known,
        _ => ChannelLayout::default(channels.into()),
    };
    // Ambisonics and bare numbers of channels have no bits.
    if layout.is_empty() || layout.bits() == 0 {
        bail!("{channels} channels without places, such as ambisonics, cannot be mixed down");
    }
    Ok(AudioShape { format: frame.format(), layout, rate })
}
