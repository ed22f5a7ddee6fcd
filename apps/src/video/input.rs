//! Any input to interleaved RGB of 8 bits or to 4:2:0, upright, progressive and in time, by FFmpeg's decoders and filters.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ffmpeg_next::codec::packet::side_data::Type as StreamData;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::side_data::Type as FrameData;
use ffmpeg_next::{Rational, color, ffi, frame};
use siskin_core::bitstream::{Colorimetry, VideoHeader};
use siskin_core::media::{PixelFormat, VideoFrame};

use super::convert::{self, Siting, copy_frame};
use super::orient::Orientation;
use super::timing::Timing;
use crate::media::graph::{Graph, Pulled, VideoShape};
use crate::media::{Kind, Source, Track, to_ns};

/// Pixels that are higher or wider than this many times their other side are a mistake.
// 2^20, the most that the stream header holds.
const MAX_ASPECT: i32 = 0x10_0000;

const NS_PER_S: u64 = 1_000_000_000;

/// Other sizes that are named, at most.
const MAX_SIZES: usize = 8;

/// A frame in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimedFrame {
    pub(crate) frame: VideoFrame,
    /// When it is shown, in nanoseconds from the first one on, and for how long.
    pub(crate) start_ns: u64,
    pub(crate) duration_ns: u32,
}

/// The video stream of an input, decoded.
pub(crate) struct VideoInput {
    track: Track,
    header: VideoHeader,
    /// What frames are converted to.
    format: PixelFormat,
    orientation: Orientation,
    siting: Siting,
    is_deinterlaced: bool,
    /// Frames that the container states.
    stated_frames: Option<u64>,
    /// When the first frame is shown, in nanoseconds of the input.
    zero: i64,
    timing: Timing,
    /// The first frame, decoded to know what it is.
    waiting: Option<frame::Video>,
    stage: Option<Stage>,
    /// The shape of the first frame's pixels as it says it, and that of the stream before it is turned.
    first_aspect: (u32, u32),
    coded_aspect: (u32, u32),
    /// The sizes that were scaled to the first one.
    other_sizes: Vec<(u32, u32)>,
    /// The other shapes of pixels that were made up for.
    other_aspects: Vec<(u32, u32)>,
    /// Whether frames of another form are fitted in.
    is_fitted: bool,
    /// Bits of a sample, and whether there is transparency.
    depth: u32,
    has_alpha: bool,
    frame: frame::Video,
    filtered: frame::Video,
    /// The frame that comes next, and the one after it.
    next: [Option<(VideoFrame, i64)>; 2],
}

/// Filters for frames of one shape.
struct Stage {
    graph: Graph,
    shape: Shape,
    is_closed: bool,
}

/// What decides which filters a frame needs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    format: Pixel,
    size: (u32, u32),
    is_interlaced: bool,
    is_full: bool,
    matrix: &'static str,
    /// The shape of its pixels, as the frame says it.
    pixel_aspect: (u32, u32),
    /// Whether its rows lie from the bottom to the top in memory, as decoders of old formats leave them.
    is_flipped: bool,
}

impl VideoInput {
    /// Opens the best video stream of `path`; `-` is stdin. Frames are converted to `format`.
    pub(crate) fn open(path: &Path, format: PixelFormat) -> Result<Self> {
        Self::of(&Source::open(path)?, format)
    }

    /// Opens the best video stream of `path` for frames of 4:2:0 whose values mean the same whatever the input's do.
    pub(crate) fn open_as(path: &Path, colorimetry: Colorimetry) -> Result<Self> {
        let mut input = Self::open(path, PixelFormat::I420)?;
        input.header.colorimetry = colorimetry;
        Ok(input)
    }

    /// Opens the video of an input.
    pub(crate) fn of(source: &Source, format: PixelFormat) -> Result<Self> {
        let name = source.name();
        let (rates, frames, matrix) = source.select_stream(Kind::Video, |s| {
            let matrix =
                s.side_data().find(|d| d.kind() == StreamData::DisplayMatrix).map(|d| d.data().to_vec());
            ((s.avg_frame_rate(), s.rate()), s.frames(), matrix)
        })?;
        let mut track = Track::open(source, Kind::Video)?;
        let mut first = frame::Video::empty();
        // What frames are is known only from one: containers lie about sizes, formats and interlacing.
        if !track.decode(&mut first)? {
            bail!("{}", source.describe_nothing(Kind::Video));
        }
        // What a frame says itself is newer than what its container does.
        let own = first.side_data(FrameData::DisplayMatrix).map(|d| d.data().to_vec());
        let orientation = own.or(matrix).map_or(Orientation::Upright, |m| Orientation::of(&m));
        let (mut width, mut height) = (first.width(), first.height());
        let own = aspect_fraction(first.aspect_ratio());
        let mut pixel_aspect =
            source.pixel_aspect().filter(|a| a.0.max(a.1) <= MAX_ASPECT as u32).unwrap_or(own);
        let coded_aspect = pixel_aspect;
        if orientation.swaps_sides() {
            (width, height) = (height, width);
            pixel_aspect = (pixel_aspect.1, pixel_aspect.0);
        }
        let mut colorimetry = colorimetry_of(&first);
        if format == PixelFormat::I420 && convert::is_rgb(first.format()) {
            // BT.601 of limited range is what everything takes.
            colorimetry = Colorimetry { matrix: 6, full_range: false, ..colorimetry };
        }
        let frame_rate = constant_rate(rates.0, rates.1, first.is_interlaced());
        let header = VideoHeader { width, height, frame_rate, pixel_aspect, colorimetry };
        header.check().with_context(|| name)?;
        let (depth, has_alpha) = convert::depth_and_alpha(first.format());
        // Everything is counted from the first frame that can be decoded, which need not be the first packet.
        let zero = first.timestamp().map_or(0, |ticks| to_ns(ticks, track.time_base()));
        Ok(Self {
            track,
            header,
            format,
            orientation,
            siting: Siting::of_frame(&first),
            is_deinterlaced: first.is_interlaced(),
            stated_frames: u64::try_from(frames).ok().filter(|&f| f > 0),
            zero,
            timing: Timing::new(frame_rate),
            waiting: Some(first),
            stage: None,
            first_aspect: own,
            coded_aspect,
            other_sizes: Vec::new(),
            other_aspects: Vec::new(),
            is_fitted: false,
            depth,
            has_alpha,
            frame: frame::Video::empty(),
            filtered: frame::Video::empty(),
            next: [None, None],
        })
    }

    /// What a coded stream of this input says of itself.
    pub(crate) fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// Where the chroma of the frames lies.
    pub(super) fn siting(&self) -> Siting {
        self.siting
    }

    /// When the first frame is shown, in nanoseconds of the input.
    pub(super) fn start_ns(&self) -> i64 {
        self.zero
    }

    /// What is done to the frames, in words.
    pub(super) fn notes(&self) -> Vec<String> {
        let interlaced = self.is_deinterlaced.then(|| "Deinterlacing the frames".to_owned());
        let deep = (self.depth > 8).then(|| format!("Reducing samples of {} bits to 8", self.depth));
        let alpha = self.has_alpha.then(|| "Leaving out transparency".to_owned());
        self.orientation.words().into_iter().chain(interlaced).chain(deep).chain(alpha).collect()
    }

    /// Frames that the container states, or that follow from its duration.
    pub(super) fn stated_frames(&self) -> Option<u64> {
        let (n, d) = self.header.frame_rate;
        let seconds = self.track.source().stated_seconds(Kind::Video).unwrap_or(0.0);
        // A source may leave frames out, so the length counts more than what it has.
        let by_length =
            (seconds > 0.0 && n > 0).then(|| (seconds * f64::from(n) / f64::from(d)).round() as u64);
        self.stated_frames.max(by_length)
    }

    /// What did not go as it should, in words, once everything has been read.
    pub(super) fn faults(&self) -> Vec<String> {
        let name = self.track.source().name();
        let mut faults = Vec::new();
        match self.track.bad_packets() {
            0 => {}
            bad => faults.push(format!("{name}: {bad} packets could not be decoded")),
        }
        if !self.other_sizes.is_empty() {
            let (width, height) = self.coded_size();
            let sizes: Vec<String> = self.other_sizes.iter().map(|(w, h)| format!("{w}x{h}")).collect();
            let words = if self.is_fitted { "are fitted into" } else { "are scaled to" };
            faults.push(format!(
                "{name}: the frames' size changes: those of {} {words} {width}x{height}",
                sizes.join(", ")
            ));
        }
        if !self.other_aspects.is_empty() {
            let (across, down) = self.coded_aspect;
            let shapes: Vec<String> = self.other_aspects.iter().map(|(a, d)| format!("{a}:{d}")).collect();
            faults.push(format!(
                "{name}: the shape of the pixels changes: frames of {} are fitted into those of {across}:{down}",
                shapes.join(", ")
            ));
        }
        faults.extend(self.track.source().describe_later());
        faults.extend(self.timing.faults().into_iter().map(|fault| format!("{name}: {fault}")));
        faults
    }

    /// What is missing at the end, in words, once everything has been read.
    pub(super) fn missing(&self) -> Option<String> {
        self.track.source().missing(Kind::Video, self.timing.end() as f64 / 1e9)
    }

    /// The next frame; none at the end. Where the rate is constant there is one for each frame period, whatever the source leaves
    /// out.
    pub(crate) fn next(&mut self) -> Result<Option<TimedFrame>> {
        let current = match self.next[0].take() {
            Some(frame) => Some(frame),
            None => self.next_filtered()?,
        };
        let Some((frame, start)) = current else { return Ok(None) };
        // A constant rate needs no look ahead, which would delay each frame by one.
        if let Some(constant) = self.header.frame_duration_ns() {
            let duration_ns = u32::try_from(constant).unwrap_or(u32::MAX);
            return Ok(Some(TimedFrame { frame, start_ns: u64::try_from(start).unwrap_or(0), duration_ns }));
        }
        let following = match self.next[1].take() {
            Some(frame) => Some(frame),
            None => self.next_filtered()?,
        };
        let end = following.as_ref().map_or(self.timing.end(), |f| f.1);
        let duration_ns = self.timing.duration(start, end);
        let rest = start.saturating_add(duration_ns.into());
        self.next = match rest < end {
            // Durations are coded in 32 bits: what lasts longer is repeated.
            true => [Some((frame.clone(), rest)), following],
            false => [following, None],
        };
        Ok(Some(TimedFrame { frame, start_ns: u64::try_from(start).unwrap_or(0), duration_ns }))
    }

    /// The next frame that comes out of the filters, and its time.
    fn next_filtered(&mut self) -> Result<Option<(VideoFrame, i64)>> {
        loop {
            let Some(stage) = &mut self.stage else {
                match self.decode()? {
                    Some(frame) => self.begin_stage(frame)?,
                    None => return Ok(None),
                }
                continue;
            };
            match stage.graph.pull_frame(&mut self.filtered)? {
                Pulled::Frame => {
                    let time = self.timing.time_of(self.filtered.pts(), stage.graph.time_base());
                    let (width, height) = (self.filtered.width(), self.filtered.height());
                    if (width, height) != (self.header.width, self.header.height) {
                        bail!("FFmpeg's filters gave a frame of {width}x{height}");
                    }
                    let mut frame = VideoFrame::default();
                    copy_frame(&self.filtered, self.format, &mut frame)?;
                    return Ok(Some((frame, time)));
                }
                // The next frame, of another shape, opens new filters.
                Pulled::End => self.stage = None,
                // Otherwise a filter that keeps a frame back would make this loop endless.
                Pulled::Hungry if stage.is_closed => bail!("FFmpeg's filters do not come to an end"),
                Pulled::Hungry => self.feed()?,
            }
        }
    }

    /// Gives the filters one more frame, or the end.
    fn feed(&mut self) -> Result<()> {
        let next = self.decode()?;
        let shape = next.as_ref().map(shape_of);
        let Some(stage) = &mut self.stage else { return Ok(()) };
        match (next, shape) {
            // New filters only where the old ones cannot do: deinterlacing keeps frames of before and after, which a
            // change would lose.
            (Some(frame), Some(shape)) if stage.shape.takes(&shape) => self.push(frame),
            (next, _) => {
                let end = match &next {
                    // The last frame stays until the next one, whatever filters that goes through.
                    Some(frame) => self.timing.place(time_of(frame, &self.track, self.zero)),
                    None => {
                        let listed = self.track.source().listed_end_ns(Kind::Video);
                        // A frame counts as the last one only if it is: a track may go on in what cannot be decoded.
                        listed.into_iter().for_each(|end| self.timing.extend_to(end));
                        self.timing.last()
                    }
                };
                stage.is_closed = true;
                stage.graph.close(end)?;
                self.waiting = next;
                Ok(())
            }
        }
    }

    fn decode(&mut self) -> Result<Option<frame::Video>> {
        if let Some(frame) = self.waiting.take() {
            return Ok(Some(frame));
        }
        while self.track.decode(&mut self.frame)? {
            let frame = std::mem::replace(&mut self.frame, frame::Video::empty());
            if !self.timing.is_too_early(time_of(&frame, &self.track, self.zero)) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn push(&mut self, mut frame: frame::Video) -> Result<()> {
        let duration = to_ns(frame.packet().duration.max(0), self.track.time_base());
        let place = self.timing.push(time_of(&frame, &self.track, self.zero), duration);
        frame.set_pts(Some(place));
        match &mut self.stage {
            Some(stage) => stage.graph.push(&mut frame),
            None => Ok(()),
        }
    }

    fn begin_stage(&mut self, frame: frame::Video) -> Result<()> {
        let shape = shape_of(&frame);
        let name = self.track.source().name();
        let graph = self.graph(&shape, &colorimetry_of(&frame)).with_context(|| name)?;
        self.is_deinterlaced |= shape.is_interlaced;
        if shape.size != self.coded_size()
            && !self.other_sizes.contains(&shape.size)
            && self.other_sizes.len() < MAX_SIZES
        {
            self.other_sizes.push(shape.size);
        }
        self.is_fitted |= self.fitted_size(&shape) != self.coded_size();
        if shape.size == self.coded_size()
            && self.fitted_size(&shape) != shape.size
            && !self.other_aspects.contains(&shape.pixel_aspect)
            && self.other_aspects.len() < MAX_SIZES
        {
            self.other_aspects.push(shape.pixel_aspect);
        }
        self.stage = Some(Stage { graph, shape, is_closed: false });
        self.push(frame)
    }

    /// The size of the first frame, as the decoder gives it.
    fn coded_size(&self) -> (u32, u32) {
        let VideoHeader { width, height, .. } = self.header;
        if self.orientation.swaps_sides() { (height, width) } else { (width, height) }
    }

    /// The size at which frames of a shape are seen in the stream's size and shape of pixels as they are meant.
    fn fitted_size(&self, shape: &Shape) -> (u32, u32) {
        let (width, height) = self.coded_size();
        let own = match shape.pixel_aspect == self.first_aspect {
            true => self.coded_aspect,
            false => shape.pixel_aspect,
        };
        let form = |size: (u32, u32), pixel: (u32, u32)| {
            f64::from(size.0) * f64::from(pixel.0) / (f64::from(size.1) * f64::from(pixel.1))
        };
        let wider = form(shape.size, own) / form((width, height), self.coded_aspect);
        // Sizes are rounded to whole macroblocks now and then, which is no other form.
        if (wider - 1.0).abs() < 0.03 {
            return (width, height);
        }
        // Even, as chroma is.
        let part =
            |side: u32, by: f64| (((f64::from(side) * by / 2.0).round() as u32) * 2).clamp(2.min(side), side);
        if wider > 1.0 { (width, part(height, 1.0 / wider)) } else { (part(width, wider), height) }
    }

    /// The filters for frames of a shape.
    fn graph(&self, shape: &Shape, colorimetry: &Colorimetry) -> Result<Graph> {
        let wanted = self.coded_size();
        let fitted = self.fitted_size(shape);
        let resize = (shape.size != fitted).then_some(fitted);
        let (mut format, mut chain) = (shape.format, Vec::new());
        if shape.is_interlaced {
            let name = format.descriptor().map_or("", |d| d.name());
            if !["yuv", "gray", "gbr"].iter().any(|planar| name.starts_with(planar)) {
                // The filter has only planes, and what FFmpeg would put before it by itself knows no range.
                let (filter, planes) = convert::planes_filter(format, colorimetry);
                chain.push(filter);
                format = planes;
            }
            // One frame for each two fields, so that the frame rate stays; progressive frames pass as they are.
            chain.push("bwdif=mode=send_frame:parity=auto:deint=interlaced".into());
        }
        let to = if convert::is_rgb(shape.format) && self.format == PixelFormat::Rgb {
            colorimetry
        } else {
            &self.header.colorimetry
        };
        chain.extend(convert::conversion_filters(
            format,
            resize,
            (colorimetry, to),
            self.siting,
            self.format,
        ));
        if fitted != wanted {
            chain.push(format!("pad={}:{}:(ow-iw)/2:(oh-ih)/2", wanted.0, wanted.1));
        }
        if chain.is_empty() && shape.is_flipped {
            // Rows that lie upside down in memory would be read with a negative stride, which the copies here do not
            // know.
            chain.push("copy".into());
        }
        // After the conversion: turning 4:2:0 or RGB is one filter for both.
        chain.extend(self.orientation.filters());
        chain.extend(self.timing.filter());
        let chain = if chain.is_empty() { "null".into() } else { chain.join(",") };
        let shape = VideoShape {
            format: shape.format,
            size: shape.size,
            pixel_aspect: (1, 1),
            time_base: self.timing.ticks(),
        };
        Graph::video(&shape, &chain)
    }
}

impl Shape {
    /// Whether filters for this shape do for another. Those that deinterlace leave progressive frames alone.
    fn takes(&self, other: &Self) -> bool {
        let same = Self { is_interlaced: self.is_interlaced, ..*other };
        same == *self && (self.is_interlaced || !other.is_interlaced)
    }
}

fn shape_of(frame: &frame::Video) -> Shape {
    let colorimetry = colorimetry_of(frame);
    Shape {
        format: frame.format(),
        size: (frame.width(), frame.height()),
        is_interlaced: frame.is_interlaced(),
        is_full: colorimetry.full_range,
        matrix: convert::matrix_name(&colorimetry),
        pixel_aspect: aspect_fraction(frame.aspect_ratio()),
        is_flipped: isize::try_from(frame.stride(0)).is_err(),
    }
}

/// When a frame is shown, in nanoseconds after `zero`.
fn time_of(frame: &frame::Video, track: &Track, zero: i64) -> Option<i64> {
    frame.timestamp().map(|ticks| to_ns(ticks, track.time_base()).saturating_sub(zero))
}

/// The rate if it is constant as far as the container knows, else (0, 1).
fn constant_rate(average: Rational, base: Rational, is_interlaced: bool) -> (u32, u32) {
    let pair = |r: Rational| match (u32::try_from(r.numerator()), u32::try_from(r.denominator())) {
        (Ok(n @ 1..), Ok(d @ 1..)) => Some((n, d)),
        _ => None,
    };
    // A frame's duration is coded in 32 bits of nanoseconds: slower ones are repeated, as those of any rate.
    let is_coded =
        |&(n, d): &(u32, u32)| u64::from(d) * NS_PER_S / u64::from(n.max(1)) <= u64::from(u32::MAX);
    let rate = match (pair(average), pair(base)) {
        (Some(a), Some(b)) => {
            let ratio = f64::from(a.0) * f64::from(b.1) / (f64::from(a.1) * f64::from(b.0));
            match ratio {
                // 2 %: averages over short clips are that far off. The base then says which of 23.976 and 24 is
                // meant.
                r if (r - 1.0).abs() < 0.02 => b,
                // Fields that are coded one by one are counted one by one.
                r if is_interlaced && (r - 0.5).abs() < 0.01 => (b.0, b.1.saturating_mul(2)),
                // The base of a stream that drops frames now and then is a multiple of the average.
                _ => (0, 1),
            }
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => (0, 1),
    };
    Some(rate).filter(is_coded).unwrap_or((0, 1))
}

fn aspect_fraction(ratio: Rational) -> (u32, u32) {
    match (ratio.numerator(), ratio.denominator()) {
        (a @ 1..=MAX_ASPECT, b @ 1..=MAX_ASPECT) => (a as u32, b as u32),
        _ => (1, 1),
    }
}

/// What the values of a frame mean.
fn colorimetry_of(frame: &frame::Video) -> Colorimetry {
    // FFmpeg's numbers are those of ITU-T H.273, where 2 means unspecified.
    let code = |value: i32| u8::try_from(value).unwrap_or(2);
    let format = frame.format();
    let full_range = match frame.color_range() {
        color::Range::JPEG => true,
        color::Range::MPEG => false,
        // Where nothing is said grey has every value, as in frames.
        color::Range::Unspecified => convert::is_full(format) || convert::is_grey(format),
    };
    Colorimetry {
        primaries: code(ffi::AVColorPrimaries::from(frame.color_primaries()) as i32),
        transfer: code(ffi::AVColorTransferCharacteristic::from(frame.color_transfer_characteristic()) as i32),
        matrix: code(ffi::AVColorSpace::from(frame.color_space()) as i32),
        full_range,
    }
}
