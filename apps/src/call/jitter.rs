//! The jitter buffer: frames wait until they are due, and are due as early as the network allows.
//!
//! Frames are placed by their number, so copies of earlier frames fill holes where they stand. Times are measured from
//! the fastest packets: a frame's *lateness* is how much longer than theirs its way took, and the buffer's *delay* is how
//! long after the fastest possible arrival a frame is played. The delay follows a high quantile of the lateness; it is
//! steered by playing slightly faster or slower, and by joining two frames where it is far too long.

use std::collections::BTreeMap;
use std::time::Duration;

use siskin_core::bitstream::rtp::Payload;

/// Most frames kept; more are the past of a sender that was faster than we.
// Two seconds at 20 ms, longer than any delay that people still talk with.
const MAX_FRAMES: i64 = 100;
/// Frames after which a silent sender counts as pausing.
// Half a second: beyond it the sender most likely pauses, and when it goes on the delay may be chosen anew.
const PAUSE_FRAMES: u32 = 25;
/// The share of packets for which the delay is long enough.
// One packet in fifty comes too late, and is recovered from a copy or concealed; waiting for the last two percent
// would cost much delay.
const QUANTILE: f64 = 0.98;
/// Width of a bin of the lateness histogram, in seconds, and their number.
// Up to 0.3 s, a little more than the longest delay; bins as wide as the tick of the receiver.
const BIN: f64 = 0.002;
const BINS: usize = 150;
/// What a bin keeps from packet to packet: some 10 s of memory.
const FORGET: f64 = 0.998;
/// How long the fastest packet is remembered, in seconds: clocks drift apart.
// Clocks of sound cards differ by 100 ppm or so: 1 ms in this time, half a bin.
const BASE_SECONDS: f64 = 10.0;
/// The delay before anything is known, in seconds, and the least and most.
const FIRST_DELAY: f64 = 0.03;
// Below two ticks of the receiver nothing can be met; the most lies just within the histogram.
const DELAYS: (f64, f64) = (0.004, 0.28);
/// Room beyond the quantile, in seconds: the bin's width and the tick of who asks.
const ROOM: f64 = 0.003;
/// An excess of delay, in seconds, that is not worked off but dropped.
// At one percent of speed it would take 20 s.
const MAX_EXCESS: f64 = 0.2;
/// Most change of speed.
// One percent is a sixth of a semitone, which nobody hears in speech.
const SPEED: f64 = 0.01;
/// Seconds in which an error of the delay is to be gone.
// Slower than the smoothing of the delay below, so that the loop does not oscillate.
const CORRECTION: f64 = 3.0;
/// A loss in so many frames is worth waiting for the copies.
const LOSS_WORTH_WAITING: f64 = 0.005;

/// A frame's codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) codes: Vec<u16>,
    /// It begins a stream: the decoder is reset.
    pub(super) starts_stream: bool,
    /// It is a coarse copy that came with a later payload.
    pub(super) is_copy: bool,
}

/// What is to be played next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing yet: the buffer fills.
    Wait,
    /// A frame.
    Play(Frame),
    /// Two frames in the time of one, since the delay is too long.
    Join(Frame, Frame),
    /// A frame that did not come, or not in time.
    Conceal,
}

/// Counters of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Frames played as they were sent.
    pub(super) played: u64,
    /// Frames played from a copy.
    pub(super) recovered: u64,
    /// Frames bridged, or waited for.
    pub(super) concealed: u64,
    /// Frames that came after their time.
    pub(super) late: u64,
    /// Frames joined with another.
    pub(super) joined: u64,
}

/// Frames of one stream.
pub(super) struct JitterBuffer {
    frame_seconds: f64,
    hop: i64,
    pre_skip: i64,
    /// RTP time of frame 0 and of the last payload, unwrapped.
    first: Option<(i64, i64)>,
    frames: BTreeMap<i64, Frame>,
    /// The frame to be played next, once playing.
    next: Option<i64>,
    /// Frames concealed while nothing later had come.
    stretched: u32,
    /// Lowest transit times in this and the last half of the window, and when this half began.
    fastest: (f64, f64, f64),
    lateness: [f64; BINS],
    /// Smoothed share of frames lost on the way.
    loss: f64,
    /// Frames that payloads repeat.
    redundancy: usize,
    delay: Option<f64>,
    counts: Counts,
}

impl JitterBuffer {
    /// A buffer for frames of `hop` samples at `rate`, the first of which is `pre_skip` shorter.
    pub(super) fn new(rate: u32, hop: u16, pre_skip: u16) -> Self {
        Self {
            frame_seconds: f64::from(hop) / f64::from(rate),
            hop: hop.into(),
            pre_skip: pre_skip.into(),
            first: None,
            frames: BTreeMap::new(),
            next: None,
            stretched: 0,
            fastest: (f64::INFINITY, f64::INFINITY, 0.0),
            lateness: [0.0; BINS],
            loss: 0.0,
            redundancy: 0,
            delay: None,
            counts: Counts::default(),
        }
    }

    /// Forgets the stream, since another begins; counts stay.
    pub(super) fn restart(&mut self) {
        self.frames.clear();
        (self.first, self.next, self.stretched, self.delay) = (None, None, 0, None);
        self.fastest = (f64::INFINITY, f64::INFINITY, 0.0);
    }

    /// Counters so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// How long frames wait after the fastest possible arrival.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_secs_f64(self.delay.unwrap_or(0.0).max(0.0))
    }

    /// Takes a payload that came `now`, measured from any fixed moment.
    pub(super) fn insert(&mut self, payload: Payload, timestamp: u32, now: Duration) {
        let skip = if payload.info.starts_stream { self.pre_skip } else { 0 };
        let number = self.number(timestamp, skip);
        if self.next.or(self.newest_number()).is_some_and(|near| (number - near).abs() > MAX_FRAMES) {
            // A pause as long as this, or a sender that began anew: nothing to be bridged.
            self.restart();
            return self.insert(payload, timestamp, now);
        }
        let count = i64::from(payload.info.frames);
        // By the last frame of the payload: it could not have been sent earlier.
        self.measure(number + count - 1, now.as_secs_f64());
        self.count_loss(number);
        if self.stretched > 0 {
            self.catch_up(number);
        }
        self.redundancy = payload.redundant.len();
        for frame in payload.frames() {
            let starts_stream = payload.info.starts_stream && frame.offset == 0;
            let kept = Frame { codes: frame.codes.to_vec(), starts_stream, is_copy: frame.offset < 0 };
            self.put(number + frame.offset, kept);
        }
    }

    /// What to play for the next frame of time, which begins `now`.
    pub(super) fn next(&mut self, now: Duration) -> Next {
        let now = now.as_secs_f64();
        let Some(next) = self.next else {
            return self.begin(now);
        };
        let Some(frame) = self.frames.remove(&next) else {
            self.counts.concealed += 1;
            // Something later is there, so this frame is lost and time goes on; otherwise time stretches, and the
            // frame may still be played.
            if self.frames.range(next..).next().is_some() {
                self.next = Some(next + 1);
            } else {
                self.stretched += 1;
                if self.stretched >= PAUSE_FRAMES {
                    (self.next, self.stretched, self.delay) = (None, 0, None);
                }
            }
            return Next::Conceal;
        };
        self.next = Some(next + 1);
        self.follow_delay(next, now);
        let excess = self.delay.map_or(0.0, |d| d - self.target());
        // As after a stall of the network, whose frames come all at once.
        if excess > MAX_EXCESS {
            self.drop_frames((excess / self.frame_seconds) as i64);
            return self.next(Duration::from_secs_f64(now));
        }
        self.count(&frame);
        match self.frames.remove(&(next + 1)) {
            // A join takes one frame off. The 1.5 frames that remain are left to the speed, so that joins and waiting
            // do not alternate.
            Some(second) if excess > 2.5 * self.frame_seconds => {
                self.count(&second);
                self.counts.joined += 1;
                self.next = Some(next + 2);
                self.delay = self.delay.map(|d| d - self.frame_seconds);
                Next::Join(frame, second)
            }
            second => {
                second.into_iter().for_each(|f| drop(self.frames.insert(next + 1, f)));
                Next::Play(frame)
            }
        }
    }

    /// Goes on later in the stream, with frames that are there.
    fn drop_frames(&mut self, count: i64) {
        let Some(next) = self.next else { return };
        let newest = self.newest_number().unwrap_or(next);
        let to = (next + count).min(newest.max(next));
        self.frames = self.frames.split_off(&to);
        self.counts.joined += (to - next + 1) as u64;
        self.next = Some(to);
        // The smoothed value belongs to before the jump.
        self.delay = None;
    }

    /// How much faster than normal to play.
    pub(super) fn speed(&self) -> f64 {
        let error = self.delay.map_or(0.0, |d| d - self.target());
        (error / CORRECTION).clamp(-SPEED, SPEED)
    }

    /// The delay that is aimed at, in seconds.
    fn target(&self) -> f64 {
        let known: f64 = self.lateness.iter().sum();
        // From the top down, since few packets are late.
        let mut above = known * (1.0 - QUANTILE);
        let mut bin = BINS;
        while bin > 0 && above >= self.lateness[bin - 1] {
            above -= self.lateness[bin - 1];
            bin -= 1;
        }
        let quantile = bin as f64 * BIN + ROOM;
        // The copy of a lost frame comes with the next payload.
        let copies =
            if self.redundancy > 0 && self.loss > LOSS_WORTH_WAITING { self.frame_seconds } else { 0.0 };
        // With few packets seen the first guess has its weight.
        let trust = (known / 50.0).min(1.0);
        (FIRST_DELAY.max(quantile) * (1.0 - trust) + quantile * trust + copies).clamp(DELAYS.0, DELAYS.1)
    }

    /// The number of the frame at an RTP time.
    fn number(&mut self, timestamp: u32, skip: i64) -> i64 {
        let (first, last) = *self.first.get_or_insert((i64::from(timestamp) - skip, i64::from(timestamp)));
        // The nearest time with these 32 bits: RTP time wraps after two days at 24 kHz, and packets come out of
        // order.
        let time = last + i64::from(timestamp.wrapping_sub(last as u32) as i32);
        self.first = Some((first, time));
        // Rounded, for senders whose timestamps are off by a few samples.
        (time - skip - first + self.hop / 2).div_euclid(self.hop)
    }

    /// Learns from when a frame came.
    fn measure(&mut self, number: i64, now: f64) {
        let transit = now - number as f64 * self.frame_seconds;
        if now - self.fastest.2 > BASE_SECONDS / 2.0 {
            // Two halves of the window: the minimum is exact over 5 to 10 s, at the cost of two numbers.
            self.fastest = (f64::INFINITY, self.fastest.0, now);
        }
        self.fastest.0 = self.fastest.0.min(transit);
        let lateness = transit - self.base();
        self.lateness.iter_mut().for_each(|b| *b *= FORGET);
        // Never negative: the base is at most this packet's own transit.
        self.lateness[((lateness / BIN) as usize).min(BINS - 1)] += 1.0;
    }

    fn base(&self) -> f64 {
        self.fastest.0.min(self.fastest.1)
    }

    /// The last frame that waits.
    fn newest_number(&self) -> Option<i64> {
        self.frames.last_key_value().map(|(n, _)| *n)
    }

    fn count_loss(&mut self, number: i64) {
        let Some(newest) = self.newest_number().or(self.next.map(|n| n - 1)) else { return };
        if number < newest {
            // It was counted as lost and has only been overtaken.
            self.loss = (self.loss - 0.01).max(0.0);
        }
        for missing in newest + 1..=number {
            let lost = if missing < number { 1.0 } else { 0.0 };
            // Over about 100 frames, two seconds: losses come in bursts.
            self.loss += (lost - self.loss) / 100.0;
        }
    }

    /// Goes on after the buffer ran dry: what was lost in the meantime has been concealed already.
    fn catch_up(&mut self, number: i64) {
        let Some(next) = self.next.filter(|next| number > *next) else {
            if self.next.is_some_and(|next| number == next) {
                self.stretched = 0;
            }
            return;
        };
        // As many frames as were concealed are skipped, or the delay would grow by each loss.
        self.next = Some(next + (number - next).min(self.stretched.into()));
        self.stretched = 0;
    }

    /// Keeps a frame unless its time is over or a better one is there.
    fn put(&mut self, number: i64, frame: Frame) {
        if self.next.is_some_and(|next| number < next) {
            // Most copies come after their frame was played; that is no fault.
            self.counts.late += u64::from(!frame.is_copy);
            return;
        }
        match self.frames.get(&number) {
            // The frame itself wins over copies, and of copies the finer one.
            Some(old) if !old.is_copy || frame.is_copy && old.codes.len() >= frame.codes.len() => {}
            _ => drop(self.frames.insert(number, frame)),
        }
        // The oldest go: a listener wants to hear the present.
        while self.frames.len() as i64 > MAX_FRAMES {
            self.frames.pop_first();
        }
    }

    /// Begins to play once the first frame has waited long enough.
    fn begin(&mut self, now: f64) -> Next {
        // A copy is no beginning: the frame was before the sender's talk spurt, or before we joined.
        while self.frames.first_key_value().is_some_and(|(_, f)| f.is_copy) {
            self.frames.pop_first();
        }
        let Some((&number, _)) = self.frames.first_key_value() else { return Next::Wait };
        if now - self.base() - (number as f64 * self.frame_seconds) < self.target() {
            return Next::Wait;
        }
        self.next = Some(number);
        self.next(Duration::from_secs_f64(now))
    }

    fn follow_delay(&mut self, number: i64, now: f64) {
        let measured = now - self.base() - number as f64 * self.frame_seconds;
        let before = self.delay.unwrap_or(measured);
        // Over 25 frames, half a second: single frames come by the tick of the loop.
        self.delay = Some(before + (measured - before) / 25.0);
    }

    fn count(&mut self, frame: &Frame) {
        let count = if frame.is_copy { &mut self.counts.recovered } else { &mut self.counts.played };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::rtp::PayloadInfo;

    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    fn buffer() -> JitterBuffer {
        JitterBuffer::new(24_000, 480, 240)
    }

    /// The payload of frame `n` of a stream, with a copy of the frame before.
    fn payload(n: u32) -> (Payload, u32) {
        let info = PayloadInfo { starts_stream: n == 0, frames: 1, stages: 2, redundancy: vec![1] };
        let codes = vec![n as u16; 2];
        let redundant = if n == 0 { vec![vec![]] } else { vec![vec![n as u16 - 1]] };
        // Near the wrap of the RTP time.
        let time = (u32::MAX - 1000).wrapping_add(if n == 0 { 0 } else { n * 480 - 240 });
        (Payload { info, codes, redundant, noise: None }, time)
    }

    /// Runs `frames` frames of a call over a network that delays frame `n` by `way(n)` seconds, if it does not lose it.
    fn call(frames: u32, way: impl Fn(u32) -> Option<f64>) -> (JitterBuffer, Vec<Next>) {
        let mut arrivals: Vec<(f64, u32)> =
            (0..frames).filter_map(|n| way(n).map(|w| (f64::from(n) * 0.02 + w, n))).collect();
        arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut buffer, mut played, mut arrivals) = (buffer(), Vec::new(), arrivals.into_iter().peekable());
        // The device asks at its own speed, steered as the receiver would.
        let mut clock = 0.0135;
        while clock < f64::from(frames) * 0.02 {
            while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= clock) {
                let (payload, time) = payload(n);
                buffer.insert(payload, time, Duration::from_secs_f64(at));
            }
            played.push(buffer.next(Duration::from_secs_f64(clock)));
            clock += 0.02 / (1.0 + buffer.speed());
        }
        (buffer, played)
    }

    #[test]
    fn an_even_network_costs_little_delay() {
        let (buffer, played) = call(1500, |_| Some(0.05));
        assert!(played.iter().skip(4).all(|n| matches!(n, Next::Play(_))));
        assert!(buffer.delay() < Duration::from_millis(25), "{:?}", buffer.delay());
        assert_eq!(buffer.counts().concealed, 0);
    }

    #[test]
    fn frames_come_in_order_whatever_the_network_does() {
        let uneven = |n: u32| Some(0.01 + f64::from(n * 7919 % 13) * 0.003);
        let (buffer, played) = call(2000, uneven);
        let order: Vec<u16> = played
            .iter()
            .filter_map(|n| match n {
                Next::Play(f) | Next::Join(_, f) => Some(f.codes[0]),
                _ => None,
            })
            .collect();
        assert!(order.is_sorted_by(|a, b| a < b), "no frame twice or backwards");
        assert!(buffer.counts().concealed < 40, "{:?}", buffer.counts());
        assert!(buffer.delay() < Duration::from_millis(60), "{:?}", buffer.delay());
    }

    #[test]
    fn single_losses_are_recovered_from_copies() {
        let (buffer, _) = call(3000, |n| (n % 20 != 19).then_some(0.03));
        let counts = buffer.counts();
        assert!(counts.recovered >= 140, "{counts:?}");
        assert!(counts.concealed <= 12, "{counts:?}");
        assert!(buffer.delay() < Duration::from_millis(50), "{:?}", buffer.delay());
    }

    #[test]
    fn a_stall_is_worked_off() {
        let stalled =
            |n: u32| Some(if (500..525).contains(&n) { 0.02 * f64::from(525 - n) + 0.01 } else { 0.01 });
        let (buffer, _) = call(2500, stalled);
        assert!(buffer.counts().joined > 0 || buffer.counts().late > 0);
        assert!(buffer.delay() < Duration::from_millis(60), "{:?}", buffer.delay());
    }

    #[test]
    fn a_new_sender_begins_anew_and_a_silent_one_is_waited_for() {
        let (mut buffer, _) = call(200, |_| Some(0.01));
        let mut now = FRAME * 200;
        for _ in 0..PAUSE_FRAMES + 5 {
            buffer.next(now);
            now += FRAME;
        }
        assert_eq!(buffer.next(now), Next::Wait);
        let (mut payload, time) = payload(0);
        payload.info.starts_stream = true;
        buffer.insert(payload, time.wrapping_add(1 << 30), now);
        let later: Vec<Next> = (0..10).map(|i| buffer.next(now + FRAME * i)).collect();
        assert!(later.iter().any(|n| matches!(n, Next::Play(f) if f.starts_stream)), "{later:?}");
    }

    #[test]
    fn any_payload_in_any_order_is_bounded() {
        let (mut buffer, mut state) = (buffer(), 1u32);
        for i in 0..20_000u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (payload, _) = payload(state >> 24);
            let time = if i % 3 == 0 { state } else { i * 480 };
            buffer.insert(payload, time, FRAME * i);
            buffer.next(FRAME * i);
            assert!(buffer.frames.len() as i64 <= MAX_FRAMES);
        }
    }
}
