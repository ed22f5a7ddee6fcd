//! Any input to interleaved RGB of 8 bits or to 4:2:0, by FFmpeg's decoders and `swscale`.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::software::scaling::{Context as Scaler, Flags};
use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec, color, decoder, ffi, frame, media};
use siskin_core::bitstream::{Colour, VideoHeader};

use crate::media::source;
use crate::target::is_dash;

/// Errors in a row after which an input is given up.
const MOST_BAD_IN_A_ROW: u32 = 10_000;

/// The video stream of an input, decoded.
pub(crate) struct VideoInput {
    name: String,
    context: Input,
    decoder: decoder::Video,
    stream: usize,
    time_base: Rational,
    header: VideoHeader,
    scaler: Option<(Scaler, Pixel, u32, u32)>,
    frame: frame::Video,
    picture: frame::Video,
    /// Whether pictures are given as 4:2:0.
    planar: bool,
    bad_packets: u64,
    draining: bool,
}

impl VideoInput {
    /// Which of pictures and sound an input has; a cover is no video. Nothing of what cannot be opened, or only once.
    pub(super) fn kinds(path: &Path) -> (bool, bool) {
        let Some(context) = path.is_file().then(|| source::open(path).ok()).flatten().map(|s| s.input) else {
            return (false, false);
        };
        let has = |kind| {
            context.streams().any(|s| {
                let is_cover =
                    s.disposition().contains(ffmpeg_next::format::stream::Disposition::ATTACHED_PIC);
                s.parameters().medium() == kind && !is_cover
            })
        };
        (has(media::Type::Video), has(media::Type::Audio))
    }

    /// Opens the best video stream of `path`; `-` is stdin.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = if is_dash(path) { "stdin".to_owned() } else { path.display().to_string() };
        let context = source::open(path)?.input;
        let Some(stream) = context.streams().best(media::Type::Video) else {
            bail!("{name} has no video stream");
        };
        let (index, time_base) = (stream.index(), stream.time_base());
        let rate = constant_rate(stream.avg_frame_rate(), stream.rate());
        let mut decoder = codec::Context::from_parameters(stream.parameters())
            .map_err(|e| anyhow!("{name}: {e}"))?
            .decoder();
        decoder.set_packet_time_base(time_base);
        let decoder = decoder.video().map_err(|e| anyhow!("{name}: the video cannot be decoded: {e}"))?;
        let aspect = decoder.aspect_ratio();
        let aspect = (u32::try_from(aspect.numerator()), u32::try_from(aspect.denominator()));
        let header = VideoHeader {
            width: decoder.width(),
            height: decoder.height(),
            frame_rate: rate,
            pixel_aspect: match aspect {
                (Ok(a @ 1..=0x10_0000), Ok(b @ 1..=0x10_0000)) => (a, b),
                _ => (1, 1),
            },
            colour: colour(&decoder),
        };
        header.check()?;
        Ok(Self {
            name,
            context,
            decoder,
            stream: index,
            time_base,
            header,
            scaler: None,
            frame: frame::Video::empty(),
            picture: frame::Video::empty(),
            planar: false,
            bad_packets: 0,
            draining: false,
        })
    }

    /// Gives pictures as 4:2:0, planes without gaps, instead of RGB.
    pub(crate) fn planar(self) -> Self {
        Self { planar: true, ..self }
    }

    /// What a coded stream of this input says of itself.
    pub(crate) fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// Frames that the container states, or that follow from its duration.
    pub(super) fn stated_frames(&self) -> Option<u64> {
        let stream = self.context.stream(self.stream)?;
        if stream.frames() > 0 {
            return u64::try_from(stream.frames()).ok();
        }
        let (n, d) = self.header.frame_rate;
        let seconds = self.context.duration() as f64 / f64::from(ffi::AV_TIME_BASE);
        (seconds > 0.0 && n > 0).then(|| (seconds * f64::from(n) / f64::from(d)).round() as u64)
    }

    /// How much later the sound begins than the pictures, in nanoseconds, as the container says.
    pub(super) fn sound_offset(&self) -> Option<i64> {
        let start = |stream: &ffmpeg_next::Stream<'_>| {
            // What has no start says so by the least number there is.
            let ticks = Some(stream.start_time()).filter(|t| *t > i64::MIN);
            ticks.map(|t| (t as f64 * f64::from(stream.time_base()) * 1e9).round() as i64)
        };
        let sound = self.context.streams().best(media::Type::Audio)?;
        Some(start(&sound)? - start(&self.context.stream(self.stream)?)?)
    }

    /// Kinds of streams that are not read; of the sound only the best stream is read, and only where it is wanted.
    pub(super) fn other_streams(&self, with_sound: bool) -> Vec<String> {
        let sound = self.context.streams().best(media::Type::Audio).filter(|_| with_sound).map(|s| s.index());
        let is_read = |index: usize| index == self.stream || Some(index) == sound;
        let others = self.context.streams().filter(|s| !is_read(s.index()));
        others.map(|s| format!("{:?}", s.parameters().medium()).to_lowercase()).collect()
    }

    /// Packets that could not be decoded so far.
    pub(super) fn bad_packets(&self) -> u64 {
        self.bad_packets
    }

    /// The next picture and its time in nanoseconds, if it has one; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Vec<u8>, Option<i64>)>> {
        loop {
            match self.decoder.receive_frame(&mut self.frame) {
                Ok(()) => return self.take_frame().map(Some),
                Err(FfmpegError::Eof) => return Ok(None),
                Err(FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN }) => self.feed()?,
                Err(_) => self.bad_packets += 1,
            }
        }
    }

    fn feed(&mut self) -> Result<()> {
        if self.draining {
            bail!("{}: FFmpeg's decoder does not come to an end", self.name);
        }
        let mut in_a_row = 0;
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.context) {
                Ok(()) if packet.stream() != self.stream => {}
                Ok(()) if self.decoder.send_packet(&packet).is_err() => self.bad_packets += 1,
                Ok(()) => return Ok(()),
                Err(FfmpegError::InvalidData) if in_a_row < MOST_BAD_IN_A_ROW => {
                    self.bad_packets += 1;
                    in_a_row += 1;
                }
                Err(end) => {
                    self.bad_packets += u64::from(end != FfmpegError::Eof);
                    self.draining = true;
                    return self.decoder.send_eof().map_err(|e| anyhow!("{}: {e}", self.name));
                }
            }
        }
    }

    /// The picture at hand in the size of the stream's first one.
    fn take_frame(&mut self) -> Result<(Vec<u8>, Option<i64>)> {
        let VideoHeader { width, height, colour, .. } = self.header;
        let shape =
            (full_range(self.frame.format(), colour.full_range), self.frame.width(), self.frame.height());
        if self.scaler.as_ref().is_none_or(|s| (s.1, s.2, s.3) != shape) {
            let to = if self.planar { full_range(Pixel::YUV420P, colour.full_range) } else { Pixel::RGB24 };
            let scaler = Scaler::get(shape.0, shape.1, shape.2, to, width, height, Flags::BICUBIC);
            let scaler =
                scaler.with_context(|| format!("{}: no conversion from {:?}", self.name, shape.0))?;
            self.scaler = Some((scaler, shape.0, shape.1, shape.2));
        }
        let (Some((scaler, ..)), pts) = (&mut self.scaler, self.frame.timestamp()) else {
            bail!("{}: no converter", self.name);
        };
        self.frame.set_format(shape.0);
        scaler.run(&self.frame, &mut self.picture).context("conversion failed")?;
        let (width, height) = (width as usize, height as usize);
        let half = (width.div_ceil(2), height.div_ceil(2));
        let mut out = Vec::with_capacity(3 * width * height);
        let mut copy = |plane: usize, row: usize, rows: usize| {
            let (data, stride) = (self.picture.data(plane), self.picture.stride(plane));
            (0..rows).for_each(|y| out.extend_from_slice(&data[y * stride..y * stride + row]));
        };
        if self.planar {
            copy(0, width, height);
            copy(1, half.0, half.1);
            copy(2, half.0, half.1);
        } else {
            copy(0, 3 * width, height);
        }
        let scale = f64::from(self.time_base) * 1e9;
        Ok((out, pts.map(|p| (p as f64 * scale).round() as i64)))
    }
}

/// The rate if it is constant as far as the container knows, else (0, 1).
fn constant_rate(average: Rational, base: Rational) -> (u32, u32) {
    let pair = |r: Rational| match (u32::try_from(r.numerator()), u32::try_from(r.denominator())) {
        (Ok(n @ 1..), Ok(d @ 1..)) => Some((n, d)),
        _ => None,
    };
    match (pair(average), pair(base)) {
        (Some(a), Some(b)) => {
            let ratio = f64::from(a.0) * f64::from(b.1) / (f64::from(a.1) * f64::from(b.0));
            // The base of fields or of a stream that drops frames now and then is a multiple of the average.
            if (ratio - 1.0).abs() < 0.02 { b } else { (0, 1) }
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => (0, 1),
    }
}

fn colour(decoder: &decoder::Video) -> Colour {
    let code = |value: i32| u8::try_from(value).unwrap_or(2);
    Colour {
        primaries: code(ffi::AVColorPrimaries::from(decoder.color_primaries()) as i32),
        transfer: code(
            ffi::AVColorTransferCharacteristic::from(decoder.color_transfer_characteristic()) as i32
        ),
        matrix: code(ffi::AVColorSpace::from(decoder.color_space()) as i32),
        full_range: decoder.color_range() == color::Range::JPEG || is_full(decoder.format()),
    }
}

fn is_full(format: Pixel) -> bool {
    matches!(format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P)
}

/// `swscale` knows the range of a format only by the format's name.
fn full_range(format: Pixel, full: bool) -> Pixel {
    match format {
        Pixel::YUV420P if full => Pixel::YUVJ420P,
        Pixel::YUV422P if full => Pixel::YUVJ422P,
        Pixel::YUV444P if full => Pixel::YUVJ444P,
        Pixel::YUV440P if full => Pixel::YUVJ440P,
        other => other,
    }
}
