//! Frames and sound side by side in one ordinary file, by FFmpeg's encoders.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use ffmpeg_next::codec::{self, Id, encoder};
use ffmpeg_next::format::context::Output;
use ffmpeg_next::format::{self, Pixel};
use ffmpeg_next::{Dictionary, Rational, frame};
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{PixelFormat, Rounding, TimeBase, VideoFrame};

use super::convert::{Converter, Siting, fill_frame};
use crate::failure::usage_error;
use crate::media::graph::{Graph, Pulled, VideoShape};
use crate::media::{AudioTrack, Labels, output, write_packets};

/// Ticks a second where the rate of the frames does not give them: the clock of MPEG, which has whole milliseconds and whole
/// frames of the usual rates.
const TICKS: u32 = 90_000;
/// Quality of H.264, from 0 to 51, less is better: hard to tell from its source.
const CRF: &str = "14";
/// Bits a pixel for encoders of H.264 that know no such quality.
// 3.1 Mb/s at 640x480 and 25 frames per second: generous, as the source has been coded once already.
const BITS_A_PIXEL: f64 = 0.4;

/// The shortest side of frames that FFV1 cuts into slices.
// Twice what was measured to be enough.
const SLICED_SIDE: u32 = 8;

/// An ordinary file for frames and sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// Matroska: FFV1 and FLAC, without loss.
    Matroska,
    /// MP4 or QuickTime: H.264 and AAC.
    Mp4(&'static str),
}

impl Container {
    /// The one that the extension of `path` names.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "mkv" => Some(Self::Matroska),
            "mp4" | "m4v" => Some(Self::Mp4("mp4")),
            "mov" => Some(Self::Mp4("mov")),
            _ => None,
        }
    }

    /// FFmpeg's name of it.
    fn muxer_name(self) -> &'static str {
        match self {
            Self::Matroska => "matroska",
            Self::Mp4(name) => name,
        }
    }

    /// Codecs of frames and sound.
    fn codec_ids(self) -> (Id, Id) {
        match self {
            Self::Matroska => (Id::FFV1, Id::FLAC),
            Self::Mp4(_) => (Id::H264, Id::AAC),
        }
    }

    /// Fails where it cannot hold such frames.
    pub(super) fn check(self, header: &VideoHeader) -> Result<()> {
        // x264 refuses odd sizes in 4:2:0; FFV1 takes them.
        let is_odd = !header.width.is_multiple_of(2) || !header.height.is_multiple_of(2);
        if self != Self::Matroska && is_odd {
            let VideoHeader { width, height, .. } = header;
            return Err(usage_error(format!(
                "H.264 in 4:2:0 has even sizes only, not {width}x{height}: decode to .mkv, which has any"
            )));
        }
        Ok(())
    }
}

/// A file that is being written.
pub(super) struct Movie {
    context: Output,
    video: VideoTrack,
    sound: Option<AudioTrack>,
}

impl Movie {
    /// Begins a file with frames, of which the first is shown at `start` nanoseconds, and sound of a rate, with channels and a
    /// start in nanoseconds.
    pub(super) fn create(
        (target, seekable): (Option<File>, bool),
        container: Container,
        (header, siting, start): (&VideoHeader, Siting, u64),
        sound: Option<(u32, u8, u64)>,
        labels: &Labels,
    ) -> Result<Self> {
        let (of_video, of_sound) = container.codec_ids();
        let name = container.muxer_name();
        let mut context = output::begin_file(target, seekable, name, Some(name), labels)?;
        let video = VideoTrack::add(&mut context, of_video, (header, siting), start)?;
        let sound = sound
            .map(|(rate, channels, start)| -> Result<AudioTrack> {
                let mut track = AudioTrack::add(&mut context, of_sound, rate, channels)?;
                track.begin_at(start);
                Ok(track)
            })
            .transpose()?;
        // In the order in which they were added.
        output::label_stream(&mut context, 0, &labels.video);
        output::label_stream(&mut context, 1, &labels.sound);
        output::write_head(&mut context)?;
        Ok(Self { context, video, sound })
    }

    /// Writes a frame with its time and duration in nanoseconds.
    pub(super) fn write_frame(&mut self, frame: &VideoFrame, time: (u64, u64)) -> Result<()> {
        self.video.write(frame, time, &mut self.context)
    }

    /// Writes samples of the sound.
    pub(super) fn sound(&mut self, samples: &[f32]) -> Result<()> {
        self.sound.as_mut().map_or(Ok(()), |track| track.write(samples, &mut self.context))
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.video.finish(&mut self.context)?;
        self.sound.as_mut().map_or(Ok(()), |track| track.finish(&mut self.context))?;
        output::end_file(self.context)
    }
}

/// A track of frames.
struct VideoTrack {
    /// Index of the stream in the file.
    stream: usize,
    encoder: encoder::video::Encoder,
    to_i420: Converter,
    /// Gives frames the shape of their pixels, which FFV1 takes from there.
    shaper: Graph,
    size: (u32, u32),
    converted: VideoFrame,
    /// How long a tick lasts.
    tick: TimeBase,
    /// The tick of the next frame at the earliest.
    next: i64,
    /// Durations in ticks of the frames that are in the encoder, by their own.
    durations: BTreeMap<i64, i64>,
}

impl VideoTrack {
    fn add(
        context: &mut Output,
        id: Id,
        (header, siting): (&VideoHeader, Siting),
        start: u64,
    ) -> Result<Self> {
        // Others of this codec want hardware, or are made for something else.
        let known = encoder::find_by_name("libx264").filter(|_| id == Id::H264);
        let Some(codec) = known.or_else(|| encoder::find(id)) else {
            bail!("this FFmpeg has no encoder for {id:?}: decode to .mkv, or to .y4m and .wav");
        };
        let VideoHeader { width, height, frame_rate, pixel_aspect, .. } = *header;
        let is_constant = frame_rate.0 > 0;
        let tick = match (is_constant, start) {
            // One tick per frame: exact, and what players show as the rate. A late start would be rounded by it.
            (true, 0) => TimeBase::from_rate(frame_rate.0, frame_rate.1)?,
            _ => TimeBase::from_rate(TICKS, 1)?,
        };
        let rational =
            |(n, d): (u32, u32)| -> Result<Rational> { Ok(Rational(n.try_into()?, d.try_into()?)) };
        let mut encoder = codec::Context::new_with_codec(codec).encoder().video()?;
        encoder.set_width(width);
        encoder.set_height(height);
        encoder.set_format(Pixel::YUV420P);
        encoder.set_aspect_ratio(rational(pixel_aspect)?);
        encoder.set_time_base(rational(tick.fraction())?);
        let rate = if is_constant { Some(rational(frame_rate)?) } else { None };
        encoder.set_frame_rate(rate);
        let usual = if is_constant { f64::from(frame_rate.0) / f64::from(frame_rate.1) } else { 25.0 };
        if id == Id::H264 {
            // x264 goes by `crf` and leaves this alone.
            encoder.set_bit_rate((BITS_A_PIXEL * usual * header.pixels() as f64) as usize);
        }
        if context.format().flags().contains(format::Flags::GLOBAL_HEADER) {
            encoder.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let encoder = encoder
            .open_with(encoder_options(id, header, siting))
            .map_err(|e| anyhow!("FFmpeg's encoder {} does not take {width}x{height}: {e}", codec.name()))?;
        let mut stream = context.add_stream(codec)?;
        stream.set_parameters(&encoder);
        stream.set_time_base(rational(tick.fraction())?);
        rate.into_iter().for_each(|rate| stream.set_avg_frame_rate(rate));
        Ok(Self {
            stream: stream.index(),
            encoder,
            to_i420: Converter::new(header, siting, PixelFormat::I420)?,
            shaper: aspect_graph(header)?,
            size: (width, height),
            converted: VideoFrame::default(),
            tick,
            next: 0,
            durations: BTreeMap::new(),
        })
    }

    fn write(
        &mut self,
        source: &VideoFrame,
        (start, duration): (u64, u64),
        context: &mut Output,
    ) -> Result<()> {
        // An encoder may keep a frame for long, so each has its own memory.
        let mut frame = frame::Video::new(Pixel::YUV420P, self.size.0, self.size.1);
        fill_frame(self.to_i420.convert(source, &mut self.converted)?, &mut frame)?;
        // Encoders refuse two frames at one tick.
        let at = self.ticks(start).max(self.next);
        self.next = at + 1;
        // Encoders reorder frames and forget how long each lasts.
        self.durations.insert(at, (self.ticks(start.saturating_add(duration)) - at).max(1));
        frame.set_pts(Some(at));
        self.shaper.push(&mut frame)?;
        if self.shaper.pull_frame(&mut frame)? != Pulled::Frame {
            bail!("FFmpeg's filters gave no frame");
        }
        self.encoder.send_frame(&frame).map_err(|e| anyhow!("the output cannot be encoded: {e}"))?;
        self.take_packets(context)
    }

    fn finish(&mut self, context: &mut Output) -> Result<()> {
        self.encoder.send_eof()?;
        self.take_packets(context)
    }

    fn take_packets(&mut self, context: &mut Output) -> Result<()> {
        let (numerator, denominator) = self.tick.fraction();
        let ticks = Rational(numerator.try_into()?, denominator.try_into()?);
        let durations = &mut self.durations;
        write_packets(&mut self.encoder, context, self.stream, ticks, |packet| {
            let own = packet.pts().and_then(|pts| durations.remove(&pts));
            own.into_iter().for_each(|ticks| packet.set_duration(ticks));
        })
    }

    /// The tick nearest to a time.
    fn ticks(&self, nanoseconds: u64) -> i64 {
        let ticks = self.tick.ns_to_ticks(nanoseconds, Rounding::Nearest);
        ticks.and_then(|t| i64::try_from(t).ok()).unwrap_or(i64::MAX)
    }
}

/// A graph that gives frames of a stream the shape of its pixels.
fn aspect_graph(header: &VideoHeader) -> Result<Graph> {
    let VideoHeader { width, height, pixel_aspect, .. } = *header;
    let time_base = Rational(1, i32::try_from(TICKS)?);
    let shape = VideoShape { format: Pixel::YUV420P, size: (width, height), pixel_aspect, time_base };
    Graph::video(&shape, &format!("setsar={}/{}", pixel_aspect.0, pixel_aspect.1))
}

/// The version of FFV1 for frames of a size.
fn ffv1_level(header: &VideoHeader) -> &'static str {
    // Version 3 cuts frames into slices. With a side of 1 to 3 pixels its encoder fails (3x3, 16x3, 3x200, 1x64) or writes other
    // frames than it was given (1x1, 64x1); from 4 on and in version 1 every size of 20 measured came back as it was.
    if header.width.min(header.height) < SLICED_SIDE { "1" } else { "3" }
}

/// What encoders are told: those that a codec does not know it leaves.
fn encoder_options(id: Id, header: &VideoHeader, siting: Siting) -> Dictionary<'static> {
    let colorimetry = &header.colorimetry;
    let mut options = Dictionary::new();
    match id {
        // From version 3 on it has checksums, works on several threads and says the shape of pixels.
        Id::FFV1 => options.set("level", ffv1_level(header)),
        _ => options.set("crf", CRF),
    }
    options.set("threads", "auto");
    options.set("color_range", if colorimetry.full_range { "pc" } else { "tv" });
    options.set("chroma_sample_location", siting.name());
    // Red, green and blue have become the usual YUV.
    let matrix = if colorimetry.matrix == 0 { 6 } else { colorimetry.matrix };
    for (name, code) in [
        ("color_primaries", colorimetry.primaries),
        ("color_trc", colorimetry.transfer),
        ("colorspace", matrix),
    ] {
        // Not what the standard knows no meaning of.
        if (1..=22).contains(&code) {
            options.set(name, &code.to_string());
        }
    }
    options
}
