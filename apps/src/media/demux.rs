//! An input's packets, track by track, at times that go on.
//!
//! Files, URLs, pipes and FIFOs are all read once and in order; what one track is not ready for waits.

mod words;

mod stream_facts;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, Stream, media};
use siskin_core::container::Chapter;

use super::aspect;
use super::source::{self, Length};
use super::timeline::{Stamp, Timeline};
use crate::interrupt;

/// A demuxer that finds nothing valid so many times is not asked again.
const MAX_BAD_IN_A_ROW: u32 = 10_000;
/// Most bytes of one track that wait for the other: tracks that lie further apart in a pipe cannot be read side by side.
const MAX_WAITING: usize = 1 << 30;
/// Bytes of the other track that may wait for one that is not in a hurry: what comes late can be late.
const MAX_AHEAD: usize = 64 << 20;
/// Formats whose clock may begin anew in the middle, as FFmpeg flags them.
const BROADCAST: [&str; 8] = ["mpegts", "mpeg", "hls", "ogg", "nut", "live_flv", "rtsp", "sdp"];
/// Containers whose header states the length for certain, so that missing media shows.
const EXACT_LENGTH: [&str; 4] = ["flac", "aiff", "caf", "mov"];
/// Containers with edit lists, of which FFmpeg gives the packets before an edit's beginning too, for what decodes from them.
const EDITED: &str = "mov";
/// Seconds that may be missing at the end before an input counts as cut off.
const MISSING_ALLOWED: f64 = 0.1;
const NS: i64 = 1_000_000_000;

/// What comes next of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// This.
    There(T),
    /// Nothing any more.
    End,
    /// Nothing within reach: the other track is to be read first.
    Later,
}

/// The two kinds of track that are read, in the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Frames.
    Video,
    /// Sound.
    Audio,
}

impl Kind {
    fn media_type(self) -> media::Type {
        match self {
            Self::Video => media::Type::Video,
            Self::Audio => media::Type::Audio,
        }
    }
}

/// An input that is read for one track or two.
#[derive(Clone)]
pub(crate) struct Source {
    shared: Arc<Mutex<Demuxer>>,
}

/// What has been read of an input, and what waits.
struct Demuxer {
    name: String,
    input: ffmpeg_next::format::context::Input,
    length: Length,
    /// The input's name, if it is a file.
    path: Option<PathBuf>,
    timeline: Timeline,
    /// The best stream of each kind, if there is one.
    streams: [Option<Selected>; 2],
    bad_packets: u64,
    /// Streams that were there when the input was opened, and packets of others that have begun since.
    known_streams: usize,
    later_packets: u64,
    ended: bool,
    /// Why the input ended before its end.
    broken: Option<FfmpegError>,
}

/// A stream that is read.
struct Selected {
    index: usize,
    time_base: Rational,
    /// When it begins to be shown, where packets come before that which are not.
    begins: Option<i64>,
    /// Whether its packets' times are believed.
    has_times: bool,
    is_wanted: bool,
    /// Packets that have been read.
    packets: i64,
    waiting: VecDeque<Packet>,
    /// Packets whose place in time is not known yet.
    held: VecDeque<Packet>,
    /// Bytes of both.
    bytes: usize,
}

impl Source {
    /// Opens a file, `-` for stdin, or a URL.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let source::Opened { name, input, length } = source::open_input(path)?;
        let is_edited = input.format().name().split(',').any(|n| n == EDITED);
        let streams = [Kind::Video, Kind::Audio].map(|kind| {
            // FFmpeg's choice, by disposition, channels and size: the same stream that `ffmpeg` takes without `-map`.
            let best = input.streams().best(kind.media_type()).filter(|s| !is_cover(s))?;
            Some(Selected {
                index: best.index(),
                time_base: best.time_base(),
                begins: Some(best.start_time())
                    .filter(|&at| is_edited && at != ffmpeg_next::ffi::AV_NOPTS_VALUE),
                has_times: true,
                is_wanted: false,
                packets: 0,
                waiting: VecDeque::new(),
                held: VecDeque::new(),
                bytes: 0,
            })
        });
        let is_broadcast = input.format().name().split(',').any(|n| BROADCAST.contains(&n));
        // FFmpeg counts this length in microseconds.
        let stated_end = (input.duration() > 0).then(|| input.duration().saturating_mul(1000));
        let timeline = Timeline::new(streams.len(), is_broadcast, stated_end);
        let demuxer = Demuxer {
            name,
            known_streams: input.streams().len(),
            later_packets: 0,
            input,
            length,
            path: path.is_file().then(|| path.to_owned()),
            timeline,
            streams,
            bad_packets: 0,
            ended: false,
            broken: None,
        };
        Ok(Self { shared: Arc::new(Mutex::new(demuxer)) })
    }

    fn lock(&self) -> MutexGuard<'_, Demuxer> {
        // A panic elsewhere has its own message, and one about the lock would cover it.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The input's name, for messages.
    pub(crate) fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// The shape of the pixels that the container states.
    pub(crate) fn pixel_aspect(&self) -> Option<(u32, u32)> {
        let demuxer = self.lock();
        let stream = demuxer.streams[Kind::Video as usize].as_ref()?.index;
        aspect::stated_aspect(&demuxer.input, stream)
    }

    /// The container's name, as FFmpeg has it: several with commas between them.
    pub(super) fn format_name(&self) -> String {
        self.lock().input.format().name().to_owned()
    }

    /// Whether the times of a stream count its samples, whatever rate these have.
    pub(super) fn counts_samples(&self) -> bool {
        self.lock().input.format().name() == "ogg"
    }

    /// Lets the packets that are read from here on follow each other, whatever their times say.
    pub(super) fn forget_times(&self, kind: Kind) {
        self.lock().streams[kind as usize].iter_mut().for_each(|s| s.has_times = false);
    }

    /// What tells a file from others: a digest of its length and of pieces of it. None of what is no file.
    pub(crate) fn fingerprint(&self) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.lock().path.clone() else { return Ok(None) };
        source::fingerprint(&path).map(Some).with_context(|| path.display().to_string())
    }

    /// Whether the input has a track of a kind; a cover is no video.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.lock().streams[kind as usize].is_some()
    }

    /// Has the packets of these kinds kept from here on, before the first is read.
    pub(crate) fn keep_packets(&self, kinds: &[Kind]) {
        let mut demuxer = self.lock();
        for kind in kinds {
            demuxer.streams[*kind as usize].iter_mut().for_each(|s| s.is_wanted = true);
        }
    }

    /// Has the packets of a kind kept from here on, and runs `use_stream` on its stream. All tracks are selected before the first
    /// is read.
    pub(crate) fn select_stream<T>(
        &self,
        kind: Kind,
        use_stream: impl FnOnce(&Stream<'_>) -> T,
    ) -> Result<T> {
        let mut demuxer = self.lock();
        let demuxer = &mut *demuxer;
        let Some(selected) = &mut demuxer.streams[kind as usize] else {
            let kinds: Vec<_> = demuxer.input.streams().map(|s| kind_of(&s)).collect();
            let found = if kinds.is_empty() { "nothing".into() } else { kinds.join(", ") };
            let wanted = if kind == Kind::Audio { "audio" } else { "video" };
            if kinds.iter().any(|kind| kind == wanted) {
                bail!("{}: nothing of its {wanted} can be read", demuxer.name);
            }
            bail!("{} has no {wanted} stream, found: {found}", demuxer.name);
        };
        selected.is_wanted = true;
        let stream = demuxer.input.stream(selected.index).ok_or_else(|| anyhow!("no stream"))?;
        Ok(use_stream(&stream))
    }

    /// The next packet of a track; who is patient waits for it however much of the other track comes before.
    pub(super) fn next(&self, kind: Kind, is_patient: bool) -> Result<Next<Packet>> {
        self.lock().next(kind, is_patient)
    }

    /// Packets that the container could not be read for so far.
    pub(super) fn bad_packets(&self) -> u64 {
        self.lock().bad_packets
    }

    /// What streams that began after the input was opened had, in words, where there was such.
    pub(crate) fn describe_later(&self) -> Option<String> {
        let demuxer = self.lock();
        let (count, name) = (demuxer.later_packets, &demuxer.name);
        // As where a broadcast changes its streams: FFmpeg's own choice stays with the first ones too.
        (count > 0)
            .then(|| format!("{name}: streams that begin later were left out, {count} packets of them"))
    }

    /// The earliest time of a track's packets that has been read so far, in nanoseconds.
    pub(super) fn first_ns(&self, kind: Kind) -> Option<i64> {
        self.lock().timeline.first(kind as usize)
    }

    /// The chapters of the container, in time with a track whose zero is at `zero` nanoseconds.
    pub(crate) fn chapters(&self, zero: i64) -> Vec<Chapter> {
        let chapter = |c: ffmpeg_next::Chapter<'_>| {
            let ns = |at: i64| {
                let ns = i128::from(at) * i128::from(NS) * i128::from(c.time_base().numerator())
                    / i128::from(c.time_base().denominator().max(1));
                u64::try_from(ns - i128::from(zero)).unwrap_or(0)
            };
            let title = read_text(c.metadata().get("title").unwrap_or_default());
            Chapter { start_ns: ns(c.start()), end_ns: Some(ns(c.end())), title }
        };
        // What ends before the first sample or frame is not there.
        self.lock().input.chapters().map(chapter).filter(|c| c.end_ns != Some(0)).collect()
    }

    /// The tags of the container and of the tracks that are read, as FFmpeg names them.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let demuxer = self.lock();
        let mut tags: Vec<(String, String)> = demuxer.input.metadata().iter().map(owned_pair).collect();
        // What a stream is called is about the stream, unless there is no other.
        let wanted = demuxer.streams.iter().flatten().filter(|s| s.is_wanted);
        // Ogg has no other place for the tags of the whole.
        let is_ogg = demuxer.input.format().name() == "ogg";
        tags.retain(|(key, value)| {
            !key.eq_ignore_ascii_case("language") || !value.eq_ignore_ascii_case("und")
        });
        for stream in wanted.filter_map(|s| demuxer.input.stream(s.index)) {
            let is_of_track = |key: &str| is_language(key) || (!is_ogg && key.eq_ignore_ascii_case("title"));
            for tag in stream.metadata().iter().filter(|(key, _)| !is_of_track(key)).map(owned_pair) {
                // The container's own come first; FFmpeg keeps the case that each format writes.
                if tags.iter().all(|t| !t.0.eq_ignore_ascii_case(&tag.0)) {
                    tags.push(tag);
                }
            }
        }
        tags
    }

    /// Kinds of the streams that are not read.
    pub(crate) fn other_streams(&self) -> Vec<String> {
        let demuxer = self.lock();
        let read: Vec<usize> =
            demuxer.streams.iter().flatten().filter(|s| s.is_wanted).map(|s| s.index).collect();
        demuxer.input.streams().filter(|s| !read.contains(&s.index())).map(|s| kind_of(&s)).collect()
    }

    /// The length of a track in seconds that the container states or FFmpeg estimates; none if it cannot be believed.
    pub(crate) fn stated_seconds(&self, kind: Kind) -> Option<f64> {
        self.lock().stated_seconds(kind)
    }

    /// What is missing of a track that ended after `found` seconds, in words; known once everything has been read.
    pub(crate) fn missing(&self, kind: Kind, found: f64) -> Option<String> {
        self.lock().missing(kind, found)
    }
}

impl Demuxer {
    fn next(&mut self, kind: Kind, is_patient: bool) -> Result<Next<Packet>> {
        loop {
            if let Some(selected) = &mut self.streams[kind as usize]
                && let Some(packet) = selected.waiting.pop_front()
            {
                selected.bytes -= packet.size();
                return Ok(Next::There(packet));
            }
            if self.ended {
                return Ok(Next::End);
            }
            // The other track's packets pile up: whoever can wait lets them be taken first.
            if !is_patient && self.streams.iter().flatten().any(|s| s.bytes > MAX_AHEAD) {
                return Ok(Next::Later);
            }
            interrupt::check_interrupt()?;
            self.read()?;
        }
    }

    /// Reads one packet, or finds the end.
    fn read(&mut self) -> Result<()> {
        let mut in_a_row = 0;
        loop {
            // A new one each time: FFmpeg fills it without freeing what it held.
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => return self.place(packet),
                // A demuxer goes on behind what it could not read; whatever else ends the input counts once.
                Err(FfmpegError::InvalidData) if in_a_row < MAX_BAD_IN_A_ROW => {
                    self.bad_packets += 1;
                    in_a_row += 1;
                }
                Err(end) => {
                    self.broken = Some(end).filter(|end| *end != FfmpegError::Eof);
                    self.ended = true;
                    while self.streams.iter().flatten().any(|s| !s.held.is_empty()) {
                        self.timeline.end();
                        self.release();
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Puts a packet in its place in time, and in the queue of its track.
    fn place(&mut self, mut packet: Packet) -> Result<()> {
        let index = packet.stream();
        let Some(track) = self.streams.iter().position(|s| s.as_ref().is_some_and(|s| s.index == index))
        else {
            self.later_packets += u64::from(index >= self.known_streams);
            return Ok(());
        };
        let Some(selected) = &mut self.streams[track] else { return Ok(()) };
        if !selected.has_times {
            packet.set_pts(None);
            packet.set_dts(None);
        }
        selected.bytes += packet.size();
        selected.packets += 1;
        if selected.bytes > MAX_WAITING {
            let gigabytes = MAX_WAITING >> 30;
            bail!("{}: pictures and sound lie more than {gigabytes} GiB apart", self.name);
        }
        if !self.timeline.is_settled(track) {
            self.timeline.hold(track, selected.stamp(&packet));
        }
        selected.held.push_back(packet);
        self.release();
        Ok(())
    }

    /// Places the packets that need not wait for those of the other track.
    fn release(&mut self) {
        let mut is_changed = true;
        while std::mem::take(&mut is_changed) {
            for (track, selected) in self.streams.iter_mut().enumerate() {
                let Some(selected) = selected else { continue };
                while self.timeline.is_settled(track)
                    && let Some(packet) = selected.held.front()
                    && let Some(ns) = self.timeline.place(track, selected.stamp(packet))
                {
                    selected.place_front(ns);
                    is_changed = true;
                }
            }
        }
    }

    fn stated_seconds(&self, kind: Kind) -> Option<f64> {
        let selected = self.streams[kind as usize].as_ref()?;
        let stream = self.input.stream(selected.index)?;
        // FFmpeg takes for a length what WAV says of one that nobody knew.
        let is_wav = self.input.format().name() == "wav";
        if is_wav && !self.length.is_exact() {
            return None;
        }
        // A track's own length comes before that of the whole, which may be another track's.
        if stream.duration() > 0 {
            return Some(stream.duration() as f64 * f64::from(stream.time_base()));
        }
        let whole = self.input.duration();
        (whole > 0).then(|| whole as f64 / f64::from(ffmpeg_next::ffi::AV_TIME_BASE))
    }

    fn missing(&self, kind: Kind, found: f64) -> Option<String> {
        let name = &self.name;
        let is_exact = self.input.format().name().split(',').any(|n| EXACT_LENGTH.contains(&n));
        let stated = match self.length.share() {
            // What came in of so many bytes says how long the whole would have been.
            Some(share) if self.length.is_exact() => Some(found / share.max(1e-9)),
            Some(_) => self.stated_seconds(kind),
            None if is_exact || self.broken.is_some() => self.stated_seconds(kind),
            None => None,
        };
        // What a jump of the clock left out was stated too.
        let left_out: i64 = self.timeline.jumps.iter().map(|&(_, by)| by.max(0)).fold(0, i64::saturating_add);
        let found = found + left_out as f64 / 1e9;
        let stated = stated.filter(|stated| found + MISSING_ALLOWED < *stated);
        match (stated, self.broken, self.length.share()) {
            (Some(stated), None, _) => Some(format!("{name} ends after {found:.2} s of {stated:.2} s")),
            (Some(stated), Some(e), _) => {
                Some(format!("{name} breaks off after {found:.2} s of {stated:.2} s: {e}"))
            }
            (None, Some(e), _) => Some(format!("{name} breaks off after {found:.2} s: {e}")),
            (None, None, Some(share)) if share < 1.0 => Some(format!(
                "{name} ends after {found:.2} s, at {:.1} % of the bytes that it states",
                share * 100.0
            )),
            _ => None,
        }
    }
}

impl Selected {
    /// When a packet is due and seen or heard, in nanoseconds.
    fn stamp(&self, packet: &Packet) -> Stamp {
        let ns = |ticks: i64| to_ns(ticks, self.time_base);
        Stamp {
            dts: packet.dts().map(ns),
            pts: packet.pts().map(ns),
            duration: ns(packet.duration().max(0)),
            is_keyframe: packet.is_key(),
            is_cut: packet
                .pts()
                .zip(self.begins)
                .is_some_and(|(pts, begins)| pts.saturating_add(packet.duration().max(0)) <= begins),
        }
    }

    /// Moves the first packet that is held by an offset in nanoseconds; now it may be taken.
    fn place_front(&mut self, offset: i64) {
        let Some(mut packet) = self.held.pop_front() else { return };
        if !self.is_wanted {
            self.bytes -= packet.size();
            return;
        }
        let offset = from_ns(offset, self.time_base);
        if offset != 0 {
            packet.set_pts(packet.pts().map(|pts| pts.saturating_add(offset)));
            packet.set_dts(packet.dts().map(|dts| dts.saturating_add(offset)));
        }
        self.waiting.push_back(packet);
    }
}

/// Ticks as nanoseconds.
pub(crate) fn to_ns(ticks: i64, time_base: Rational) -> i64 {
    rescale_rounded(ticks, i128::from(time_base.numerator()) * i128::from(NS), time_base.denominator().into())
}

/// Nanoseconds as ticks.
pub(crate) fn from_ns(ns: i64, time_base: Rational) -> i64 {
    rescale_rounded(ns, time_base.denominator().into(), i128::from(time_base.numerator()) * i128::from(NS))
}

/// `value * n / d`, to the nearest.
pub(crate) fn rescale_rounded(value: i64, n: i128, d: i128) -> i64 {
    let d = d.max(1);
    // Floored after half is added, so that times before zero are rounded in the same direction as others.
    let scaled = (2 * i128::from(value) * n + d).div_euclid(2 * d);
    scaled.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn kind_of(stream: &Stream<'_>) -> String {
    format!("{:?}", stream.parameters().medium()).to_lowercase()
}

fn is_cover(stream: &Stream<'_>) -> bool {
    // Music files carry their covers as a video stream of a single frame.
    stream.disposition().contains(Disposition::ATTACHED_PIC)
}

fn is_language(key: &str) -> bool {
    key.eq_ignore_ascii_case("language")
}

fn owned_pair((key, value): (&str, &str)) -> (String, String) {
    (read_text(key), read_text(value))
}

/// FFmpeg hands on what RIFF and ID3v1 have as it is, and most of that is Latin-1.
fn read_text(text: &str) -> String {
    let bytes = text.as_bytes();
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect())
}
