//! Any input to mono samples of one rate.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use ffmpeg_next::format::Sample;
use ffmpeg_next::{ChannelLayout, codec, decoder, frame, media};
use siskin_core::container::Chapter;

use super::convert::{Converter, FLOAT, append};
use super::{Feeder, source};
use crate::target::is_dash;

/// Sample rates that are taken for meant.
const RATES: std::ops::RangeInclusive<u32> = 1000..=768_000;
/// Channels that are taken for meant.
const CHANNELS: std::ops::RangeInclusive<u16> = 1..=64;
/// Containers whose header states the length for certain, so that missing audio shows.
const EXACT_LENGTH: [&str; 4] = ["flac", "aiff", "caf", "mov"];
/// Seconds that may be missing at the end before an input counts as cut off.
const MISSING_ALLOWED: f64 = 0.1;

/// The audio stream of an input, decoded and mixed down.
pub(crate) struct AudioInput {
    feeder: Feeder,
    decoder: decoder::Audio,
    shape: Option<(Sample, ChannelLayout, u32)>,
    converter: Option<Converter>,
    /// The rate of the samples handed out; `None` takes the input's own.
    wanted_rate: Option<u32>,
    frame: frame::Audio,
    /// Samples a channel decoded, at the input's rate.
    decoded: u64,
    /// The share of the stated samples that the file holds, if it was cut off.
    share_left: Option<f64>,
}

impl AudioInput {
    /// Opens the best audio stream of `path` (`-` is stdin); `rate` is what to resample to, if anything.
    pub(crate) fn open(path: &Path, rate: Option<u32>) -> Result<Self> {
        let name = if is_dash(path) { "stdin".to_owned() } else { path.display().to_string() };
        let source::Source { input: context, share_left } = source::open(path)?;
        let Some(stream) = context.streams().best(media::Type::Audio) else {
            let kinds: Vec<_> =
                context.streams().map(|s| format!("{:?}", s.parameters().medium()).to_lowercase()).collect();
            let found = if kinds.is_empty() { "nothing".into() } else { kinds.join(", ") };
            bail!("{name} has no audio stream, found: {found}");
        };
        let index = stream.index();
        let mut decoder = codec::Context::from_parameters(stream.parameters())
            .map_err(|e| anyhow!("{name}: {e}"))?
            .decoder();
        // Without it the samples that the encoder padded at start and end are not skipped.
        decoder.set_packet_time_base(stream.time_base());
        let decoder = decoder.audio().map_err(|e| anyhow!("{name}: the audio cannot be decoded: {e}"))?;
        check_shape(&name, decoder.rate(), decoder.channels())?;
        Ok(Self {
            feeder: Feeder::new(name, context, index),
            decoder,
            shape: None,
            converter: None,
            wanted_rate: rate,
            frame: frame::Audio::empty(),
            decoded: 0,
            share_left,
        })
    }

    /// The input's sample rate.
    pub(crate) fn source_rate(&self) -> u32 {
        self.decoder.rate()
    }

    /// The rate of the samples handed out.
    pub(crate) fn rate(&self) -> u32 {
        self.wanted_rate.unwrap_or(self.source_rate())
    }

    /// The input's channels.
    pub(crate) fn channels(&self) -> u16 {
        self.decoder.channels()
    }

    /// The length that the container states or FFmpeg estimates, in seconds.
    pub(crate) fn duration(&self) -> Option<f64> {
        let stream = self.feeder.context.stream(self.feeder.stream)?;
        if stream.duration() > 0 {
            return Some(stream.duration() as f64 * f64::from(stream.time_base()));
        }
        let whole = self.feeder.context.duration();
        (whole > 0).then(|| whole as f64 / f64::from(ffmpeg_next::ffi::AV_TIME_BASE))
    }

    /// The streams that are not read.
    pub(crate) fn other_streams(&self) -> Vec<String> {
        let others = self.feeder.context.streams().filter(|s| s.index() != self.feeder.stream);
        others.map(|s| format!("{:?}", s.parameters().medium()).to_lowercase()).collect()
    }

    /// The chapters of the container.
    pub(crate) fn chapters(&self) -> Vec<Chapter> {
        let chapter = |c: ffmpeg_next::Chapter<'_>| {
            let ns = |at: i64| (at.max(0) as f64 * f64::from(c.time_base()) * 1e9).round() as u64;
            let title = c.metadata().get("title").unwrap_or_default().to_owned();
            Chapter { start_ns: ns(c.start()), end_ns: Some(ns(c.end())), title }
        };
        self.feeder.context.chapters().map(chapter).collect()
    }

    /// The tags of the container and the stream, as FFmpeg names them.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let stream = self.feeder.context.stream(self.feeder.stream);
        let of_stream = stream.iter().flat_map(|s| s.metadata().iter().map(owned).collect::<Vec<_>>());
        let mut tags: Vec<(String, String)> = self.feeder.context.metadata().iter().map(owned).collect();
        for tag in of_stream {
            if tags.iter().all(|t| !t.0.eq_ignore_ascii_case(&tag.0)) {
                tags.push(tag);
            }
        }
        tags
    }

    /// Packets that could not be decoded so far.
    pub(crate) fn bad_packets(&self) -> u64 {
        self.feeder.bad_packets
    }

    /// What is missing at the end, in words, once everything has been read.
    pub(crate) fn missing(&self) -> Option<String> {
        let found = self.decoded as f64 / f64::from(self.source_rate());
        let format = self.feeder.context.format();
        let exact = format.name().split(',').any(|n| EXACT_LENGTH.contains(&n));
        let stated = match self.share_left {
            Some(share) => found / share.max(1e-9),
            None if exact => self.duration()?,
            None => return None,
        };
        (found + MISSING_ALLOWED < stated)
            .then(|| format!("{} ends after {found:.2} s of {stated:.2} s", self.feeder.name))
    }

    /// Appends the next samples to `out`; false at the end.
    pub(crate) fn next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        if self.feeder.decode(&mut self.decoder, &mut self.frame)? {
            self.take_frame(out)?;
            return Ok(true);
        }
        let before = out.len();
        self.flush_converter(out)?;
        Ok(out.len() > before)
    }

    fn take_frame(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let frame = with_layout(&self.frame)?;
        check_shape(&self.feeder.name, frame.rate(), frame.channels())?;
        self.decoded += frame.samples() as u64;
        let shape = (frame.format(), frame.channel_layout(), frame.rate());
        if self.shape != Some(shape) {
            // Streams chained one behind another may each have a shape of their own.
            self.flush_converter(out)?;
            self.converter = Some(Converter::new(shape, (FLOAT, self.rate()))?);
            self.shape = Some(shape);
        }
        if let Some(converter) = &mut self.converter {
            append(&converter.convert(&frame)?, out);
        }
        Ok(())
    }

    fn flush_converter(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.converter.take().map_or(Ok(()), |converter| converter.finish(out))
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn check_shape(name: &str, rate: u32, channels: u16) -> Result<()> {
    if !RATES.contains(&rate) {
        bail!("{name} has a sample rate of {rate} Hz, allowed: {} to {}", RATES.start(), RATES.end());
    }
    if !CHANNELS.contains(&channels) {
        bail!("{name} has {channels} channels, allowed: {} to {}", CHANNELS.start(), CHANNELS.end());
    }
    Ok(())
}

/// The frame with a channel layout: formats that state only a number of channels get the usual one.
fn with_layout(frame: &frame::Audio) -> Result<frame::Audio> {
    let channels = frame.channels();
    let layout = match frame.channel_layout() {
        known if !known.is_empty() => known,
        _ => ChannelLayout::default(channels.into()),
    };
    if layout.is_empty() {
        bail!("{channels} channels without a layout cannot be mixed down");
    }
    // `swresample` compares layouts strictly, and a frame's can only be set when it is made.
    let mut copy = frame::Audio::new(frame.format(), frame.samples(), layout);
    copy.set_rate(frame.rate());
    for plane in 0..frame.planes() {
        let (from, to) = (frame.data(plane), copy.data_mut(plane));
        let bytes = from.len().min(to.len());
        to[..bytes].copy_from_slice(&from[..bytes]);
    }
    Ok(copy)
}
