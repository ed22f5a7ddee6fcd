//! A chain of FFmpeg's filters between a decoder, or samples and frames of our own, and what takes them.

use anyhow::{Context as _, Result, anyhow, bail};
use ffmpeg_next::filter::{self, Filter};
use ffmpeg_next::format::{Pixel, Sample};
use ffmpeg_next::{ChannelLayout, Error as FfmpegError, Frame, Rational};

/// Names of the two ends.
const IN: &str = "in";
const OUT: &str = "out";

/// What a graph has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// A frame is there.
    Frame,
    /// It needs another frame, or to be closed.
    Hungry,
    /// Nothing more comes.
    End,
}

/// Frames of one kind in, frames of another out.
pub(crate) struct Graph {
    graph: filter::Graph,
    time_base: Rational,
}

/// What audio frames are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AudioShape {
    pub(crate) format: Sample,
    pub(crate) layout: ChannelLayout,
    pub(crate) rate: u32,
}

/// What video frames are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VideoShape {
    pub(crate) format: Pixel,
    pub(crate) size: (u32, u32),
    pub(crate) pixel_aspect: (u32, u32),
    pub(crate) time_base: Rational,
}

impl Graph {
    /// A graph for audio; times of its frames are in samples.
    pub(crate) fn audio(shape: &AudioShape, chain: &str) -> Result<Self> {
        let AudioShape { format, layout, rate } = shape;
        let (name, bits) = (format.name(), layout.bits());
        let source =
            format!("time_base=1/{rate}:sample_rate={rate}:sample_fmt={name}:channel_layout=0x{bits:x}");
        Self::new(("abuffer", &source), "abuffersink", chain)
    }

    /// A graph for video.
    pub(crate) fn video(shape: &VideoShape, chain: &str) -> Result<Self> {
        let VideoShape { format, size, pixel_aspect, time_base } = shape;
        let format = format.descriptor().context("frames without a pixel format")?.name();
        let source = format!(
            "video_size={}x{}:pix_fmt={format}:time_base={}/{}:pixel_aspect={}/{}",
            size.0,
            size.1,
            time_base.numerator(),
            time_base.denominator(),
            pixel_aspect.0,
            pixel_aspect.1,
        );
        Self::new(("buffer", &source), "buffersink", chain)
    }

    fn new((source, args): (&str, &str), sink: &str, chain: &str) -> Result<Self> {
        let mut graph = filter::Graph::new();
        let failed = |e: FfmpegError| anyhow!("FFmpeg's filters {chain:?} cannot be set up: {e}");
        graph.add(&find_filter(source)?, IN, args).map_err(failed)?;
        graph.add(&find_filter(sink)?, OUT, "").map_err(failed)?;
        // FFmpeg joins a chain to open ends: the output of our source and the input of our sink.
        graph.output(IN, 0).and_then(|p| p.input(OUT, 0)).and_then(|p| p.parse(chain)).map_err(failed)?;
        graph.validate().map_err(failed)?;
        // Filters may change the time base, so it is asked of the end.
        let time_base = graph.get(OUT).context("no sink")?.sink().time_base();
        Ok(Self { graph, time_base })
    }

    /// Seconds of a tick of the frames that come out.
    pub(crate) fn time_base(&self) -> Rational {
        self.time_base
    }

    /// Takes a frame, of which FFmpeg takes the data over.
    pub(crate) fn push(&mut self, frame: &mut Frame) -> Result<()> {
        let mut source = self.graph.get(IN).context("no source")?;
        source.source().add(frame).map_err(|e| anyhow!("FFmpeg's filters do not take a frame: {e}"))
    }

    /// Says that nothing more comes, and when that is, in ticks of the frames that went in.
    pub(crate) fn close(&mut self, end: i64) -> Result<()> {
        let mut source = self.graph.get(IN).context("no source")?;
        source.source().close(end).map_err(|e| anyhow!("FFmpeg's filters do not end: {e}"))
    }

    /// Fills `frame` with the next one, if there is one.
    pub(crate) fn pull_frame(&mut self, frame: &mut Frame) -> Result<Pulled> {
        let mut sink = self.graph.get(OUT).context("no sink")?;
        match sink.sink().frame(frame) {
            Ok(()) => Ok(Pulled::Frame),
            Err(FfmpegError::Eof) => Ok(Pulled::End),
            // Not a failure: filters gather frames, or wait for the end.
            Err(FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN }) => Ok(Pulled::Hungry),
            Err(e) => bail!("FFmpeg's filters failed: {e}"),
        }
    }
}

fn find_filter(name: &str) -> Result<Filter> {
    filter::find(name).with_context(|| format!("this FFmpeg has no filter {name}"))
}
