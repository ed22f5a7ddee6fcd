//! Any input to interleaved RGB of 8 bits or to 4:2:0, by FFmpeg's decoders and `swscale`.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling::{Context as Scaler, Flags};
use ffmpeg_next::{Rational, codec, color, decoder, ffi, frame, media};
use siskin_core::bitstream::{Colour, VideoHeader};

use super::colour::{ToRgb, full_range, is_rgb, take_planar};
use super::pace::{Pace, Timed};
use crate::media::{Feeder, source};
use crate::target::is_dash;

/// The video stream of an input, decoded.
pub(crate) struct VideoInput {
    feeder: Feeder,
    decoder: decoder::Video,
    time_base: Rational,
    header: VideoHeader,
    /// The way from frames of this format and size.
    converter: Option<(Converter, Pixel, u32, u32)>,
    frame: frame::Video,
    /// Whether pictures are given as 4:2:0.
    planar: bool,
    pace: Pace,
}

/// What makes pictures of frames.
enum Converter {
    Rgb(ToRgb),
    Planar(Scaler, frame::Video),
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
            feeder: Feeder::new(name, context, index),
            decoder,
            time_base,
            header,
            converter: None,
            frame: frame::Video::empty(),
            planar: false,
            pace: Pace::new(rate),
        })
    }

    /// Gives pictures as 4:2:0, planes without gaps, instead of RGB. Sources that are RGB themselves become BT.601 of limited
    /// range.
    pub(crate) fn planar(mut self) -> Self {
        self.planar = true;
        if is_rgb(self.decoder.format()) {
            self.header.colour = Colour { matrix: 6, full_range: false, ..self.header.colour };
        }
        self
    }

    /// What a coded stream of this input says of itself.
    pub(crate) fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// Frames that the container states, or that follow from its duration.
    pub(super) fn stated_frames(&self) -> Option<u64> {
        let stream = self.feeder.context.stream(self.feeder.stream)?;
        let stated = u64::try_from(stream.frames()).ok().filter(|&f| f > 0);
        let (n, d) = self.header.frame_rate;
        let own =
            Some(stream.duration()).filter(|&t| t > 0).map(|t| t as f64 * f64::from(stream.time_base()));
        let whole = self.feeder.context.duration() as f64 / f64::from(ffi::AV_TIME_BASE);
        // A source may leave frames out, so the length counts more than what it has.
        let seconds = own.unwrap_or(if stated.is_some() { 0.0 } else { whole });
        let by_length =
            (seconds > 0.0 && n > 0).then(|| (seconds * f64::from(n) / f64::from(d)).round() as u64);
        stated.max(by_length)
    }

    /// How much later the sound begins than the pictures, in nanoseconds, as the container says.
    pub(super) fn sound_offset(&self) -> Option<i64> {
        let start = |stream: &ffmpeg_next::Stream<'_>| {
            // What has no start says so by the least number there is.
            let ticks = Some(stream.start_time()).filter(|t| *t > i64::MIN);
            ticks.map(|t| (t as f64 * f64::from(stream.time_base()) * 1e9).round() as i64)
        };
        let sound = self.feeder.context.streams().best(media::Type::Audio)?;
        Some(start(&sound)? - start(&self.feeder.context.stream(self.feeder.stream)?)?)
    }

    /// Kinds of streams that are not read; of the sound only the best stream is read, and only where it is wanted.
    pub(super) fn other_streams(&self, with_sound: bool) -> Vec<String> {
        let sound =
            self.feeder.context.streams().best(media::Type::Audio).filter(|_| with_sound).map(|s| s.index());
        let is_read = |index: usize| index == self.feeder.stream || Some(index) == sound;
        let others = self.feeder.context.streams().filter(|s| !is_read(s.index()));
        others.map(|s| format!("{:?}", s.parameters().medium()).to_lowercase()).collect()
    }

    /// Packets that could not be decoded so far.
    pub(super) fn bad_packets(&self) -> u64 {
        self.feeder.bad_packets
    }

    /// The next picture and its time in nanoseconds, if it has one; none at the end. Where the rate is constant there is one for
    /// each of its frames, whatever the source leaves out.
    pub(crate) fn next(&mut self) -> Result<Option<Timed>> {
        let mut pace = std::mem::take(&mut self.pace);
        let next = pace.next(|| self.decoded());
        self.pace = pace;
        next
    }

    /// The next picture as the source has it.
    fn decoded(&mut self) -> Result<Option<Timed>> {
        match self.feeder.decode(&mut self.decoder, &mut self.frame)? {
            true => self.take_frame().map(Some),
            false => Ok(None),
        }
    }

    /// The picture at hand in the size of the stream's first one.
    fn take_frame(&mut self) -> Result<Timed> {
        let VideoHeader { width, height, colour, .. } = self.header;
        let shape = (self.frame.format(), self.frame.width(), self.frame.height());
        if self.converter.as_ref().is_none_or(|s| (s.1, s.2, s.3) != shape) {
            let converter = self.converter(shape).with_context(|| self.feeder.name.clone())?;
            self.converter = Some((converter, shape.0, shape.1, shape.2));
        }
        let (Some((converter, ..)), pts) = (&mut self.converter, self.frame.timestamp()) else {
            bail!("{}: no converter", self.feeder.name);
        };
        let mut out = Vec::with_capacity(3 * width as usize * height as usize);
        match converter {
            Converter::Rgb(to_rgb) => to_rgb.convert(&mut self.frame, &mut out)?,
            Converter::Planar(scaler, picture) => {
                self.frame.set_format(full_range(shape.0, colour.full_range));
                scaler.run(&self.frame, picture).context("conversion failed")?;
                take_planar(picture, &mut out);
            }
        }
        // The next frame comes into the same memory with its own format.
        self.frame.set_format(shape.0);
        let scale = f64::from(self.time_base) * 1e9;
        Ok((out, pts.map(|p| (p as f64 * scale).round() as i64)))
    }
}

impl VideoInput {
    /// The way from frames of a format and size to pictures.
    fn converter(&self, (format, columns, rows): (Pixel, u32, u32)) -> Result<Converter> {
        let VideoHeader { width, height, colour, .. } = self.header;
        if !self.planar {
            return Ok(Converter::Rgb(ToRgb::new(format, (columns, rows), (width, height), &colour)?));
        }
        let (from, to) =
            (full_range(format, colour.full_range), full_range(Pixel::YUV420P, colour.full_range));
        let scaler = Scaler::get(from, columns, rows, to, width, height, Flags::BICUBIC);
        let scaler = scaler.with_context(|| format!("no conversion from {format:?}"))?;
        Ok(Converter::Planar(scaler, frame::Video::empty()))
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
