use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, Conventions};
use siskin_model::runtime::{Provider, Runtime};

use crate::frame::{CodedSegment, FrameEncoder, SegmentEncoder, SegmentSource};
use crate::levels::HighPass;
use crate::tokens::format::Format;
use crate::tokens::packer::Packer;

/// Samples in, tokens out.
pub struct Tokenizer {
    source: Source,
    packer: Packer,
}

/// What makes frames of codes of samples.
enum Source {
    Frames(Box<FrameSource>),
    Segments(Box<SegmentTokens>),
}

/// A codec that codes frame by frame.
struct FrameSource {
    frames: FrameEncoder,
    high_pass: HighPass,
    hop: usize,
    channels: usize,
    delay: usize,
    /// The frame being gathered, of all channels.
    pending: Vec<f32>,
    codes: Vec<u16>,
    /// Samples of all channels.
    samples_in: u64,
    frames_out: u64,
}

/// A codec that codes segments.
struct SegmentTokens {
    source: SegmentSource,
    codes_per_frame: usize,
    scales: Vec<f32>,
    samples: u64,
}

impl Tokenizer {
    /// A tokenizer with a bundle's encoder network. `layout` is a name for [`Layout::parse`](super::Layout::parse); without
    /// `stages` the bundle's default is used.
    ///
    /// # Errors
    /// What [`Format::from_bundle`], [`FrameEncoder::new`] and [`SegmentEncoder::new`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime, layout: &str, stages: Option<u8>) -> Result<Self> {
        let manifest = bundle.manifest();
        let format = Format::from_bundle(bundle, stages.unwrap_or(manifest.default_stages), layout)?;
        let channels = usize::from(manifest.channels);
        if manifest.segments.is_some() {
            let segments = SegmentEncoder::new(bundle, runtime)?;
            let groups = manifest.quantizer.groups;
            let source = SegmentTokens {
                source: SegmentSource::new(segments, manifest.channels, manifest.hop, groups),
                codes_per_frame: format.codes_per_frame(),
                scales: Vec::new(),
                samples: 0,
            };
            return Ok(Self { source: Source::Segments(Box::new(source)), packer: Packer::new(format) });
        }
        let mut frames = FrameEncoder::new(bundle, runtime)?;
        frames.set_opening(true);
        // A published codec's frames are as many as the samples fill; `TokenStream` pushes its delay out by itself.
        let is_published = manifest.conventions == Conventions::Published;
        let delay = if is_published { 0 } else { manifest.delay.into() };
        Ok(Self::of_frames(frames, format, manifest.hop.into(), channels, delay, manifest.sample_rate))
    }

    /// A tokenizer of frames of one channel from its parts: `hop` samples per frame, `delay` samples by which the decoder lags,
    /// `rate` samples per second.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a hop of 0.
    pub fn from_parts(
        frames: FrameEncoder,
        format: Format,
        hop: usize,
        delay: usize,
        rate: u32,
    ) -> Result<Self> {
        if hop == 0 {
            return Err(Error::parameter("hop", hop, "1 and more"));
        }
        Ok(Self::of_frames(frames, format, hop, 1, delay, rate))
    }

    fn of_frames(
        frames: FrameEncoder,
        format: Format,
        hop: usize,
        channels: usize,
        delay: usize,
        rate: u32,
    ) -> Self {
        let source = FrameSource {
            high_pass: HighPass::of(frames.conventions(), rate, channels),
            frames,
            hop,
            channels,
            delay,
            pending: Vec::with_capacity(hop * channels),
            codes: vec![0; format.codes_per_frame()],
            samples_in: 0,
            frames_out: 0,
        };
        Self { source: Source::Frames(Box::new(source)), packer: Packer::new(format) }
    }

    /// The format of the tokens.
    pub fn format(&self) -> &Format {
        self.packer.format()
    }

    /// Runs up to `frames` frames at once, as [`FrameEncoder::set_block`] does: for recordings, whose tokens need not come as soon
    /// as they can. Back to the start of a stream. A segment is always run at once.
    pub fn set_block(&mut self, frames: usize) {
        if let Source::Frames(source) = &mut self.source {
            source.frames.set_block(frames);
        }
        self.begin_stream();
    }

    /// Sets the number of beams of the codebook search, as [`FrameEncoder::set_search_width`] does.
    pub fn set_search_width(&mut self, width: usize) {
        if let Source::Frames(source) = &mut self.source {
            source.frames.set_search_width(width);
        }
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        match &self.source {
            Source::Frames(source) => source.frames.provider(),
            Source::Segments(tokens) => tokens.source.provider(),
        }
    }

    /// Encodes any number of samples (-1..1, channels interleaved) and appends the tokens that are ready.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails; what [`Packer::push_frame`] returns.
    pub fn push_samples(&mut self, pcm: &[f32], out: &mut Vec<i64>) -> Result<()> {
        match &mut self.source {
            Source::Frames(source) => source.push_samples(pcm, &mut self.packer, out),
            Source::Segments(source) => source.push_samples(pcm, &mut self.packer, out),
        }
    }

    /// Ends the stream as [`Packer::finish_stream`] does, after frames for the rest of the samples and for the codec's delay,
    /// and starts a new one. Returns the stream's length in samples per channel, to which a decoder trims its output.
    ///
    /// # Errors
    /// As [`Tokenizer::push_samples`].
    pub fn finish_stream(&mut self, marked: bool, out: &mut Vec<i64>) -> Result<u64> {
        let samples = match &mut self.source {
            Source::Frames(source) => source.finish_stream(&mut self.packer, out)?,
            Source::Segments(source) => source.finish_stream(&mut self.packer, out)?,
        };
        self.packer.finish_stream(marked, out);
        self.begin_stream();
        Ok(samples)
    }

    /// Back to the start of a stream, with the scales of the last one, which are for whoever asks then.
    fn begin_stream(&mut self) {
        let scales = self.take_scales();
        self.reset();
        if let Source::Segments(source) = &mut self.source {
            source.scales = scales;
        }
    }

    /// Takes the scales of the segments since the last call or [`reset`](Self::reset), for a codec that codes those: without them
    /// their tokens do not decode to what they were made of.
    pub fn take_scales(&mut self) -> Vec<f32> {
        match &mut self.source {
            Source::Frames(_) => Vec::new(),
            Source::Segments(source) => std::mem::take(&mut source.scales),
        }
    }

    /// Back to the start of a stream.
    pub fn reset(&mut self) {
        match &mut self.source {
            Source::Frames(source) => source.reset(),
            Source::Segments(source) => source.reset(),
        }
        self.packer.reset();
    }
}

impl FrameSource {
    fn push_samples(&mut self, mut pcm: &[f32], packer: &mut Packer, out: &mut Vec<i64>) -> Result<()> {
        self.samples_in += pcm.len() as u64;
        let frame = self.hop * self.channels;
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(frame - self.pending.len()));
            // The same high-pass as in `Encoder`, so that the codes are those of a coded stream.
            let high_pass = &mut self.high_pass;
            self.pending.extend(now.iter().map(|&x| high_pass.filter_sample(x)));
            pcm = later;
            if self.pending.len() == frame {
                self.encode_frame(u64::MAX, packer, out)?;
            }
        }
        Ok(())
    }

    fn finish_stream(&mut self, packer: &mut Packer, out: &mut Vec<i64>) -> Result<u64> {
        let samples = self.samples_in.div_ceil(self.channels as u64);
        if samples == 0 {
            return Ok(0);
        }
        // As many as `Encoder` makes of this length, so that tokens and packets have the same frames.
        let frames = (samples + self.delay as u64).div_ceil(self.hop as u64);
        // Silence fills the last frame and pushes the codec's delay through.
        let fill = |source: &mut Self| {
            let high_pass = &mut source.high_pass;
            let missing = source.hop * source.channels - source.pending.len();
            source.pending.extend((0..missing).map(|_| high_pass.filter_sample(0.0)));
        };
        if !self.pending.is_empty() {
            fill(self);
            self.encode_frame(frames, packer, out)?;
        }
        self.frames.mark_end()?;
        self.take_ready(frames, packer, out)?;
        while self.frames_out < frames {
            fill(self);
            self.encode_frame(frames, packer, out)?;
        }
        Ok(samples)
    }

    fn reset(&mut self) {
        self.frames.reset();
        self.high_pass.reset();
        self.pending.clear();
        (self.samples_in, self.frames_out) = (0, 0);
    }

    /// Encodes the pending frame; frames beyond `most` are left.
    fn encode_frame(&mut self, most: u64, packer: &mut Packer, out: &mut Vec<i64>) -> Result<()> {
        self.frames.push_frame(&self.pending)?;
        self.pending.clear();
        self.take_ready(most, packer, out)
    }

    fn take_ready(&mut self, most: u64, packer: &mut Packer, out: &mut Vec<i64>) -> Result<()> {
        while self.frames_out < most && self.frames.take_codes(&mut self.codes) {
            self.frames_out += 1;
            packer.push_frame(&self.codes, out)?;
        }
        Ok(())
    }
}

impl SegmentTokens {
    fn push_samples(&mut self, pcm: &[f32], packer: &mut Packer, out: &mut Vec<i64>) -> Result<()> {
        let Self { source, codes_per_frame, scales, samples } = self;
        source.push_samples(pcm, *codes_per_frame, &mut |coded| {
            push_segment(coded, scales, samples, packer, out)
        })
    }

    fn finish_stream(&mut self, packer: &mut Packer, out: &mut Vec<i64>) -> Result<u64> {
        let Self { source, codes_per_frame, scales, samples } = self;
        source.finish_stream(*codes_per_frame, &mut |coded| {
            push_segment(coded, scales, samples, packer, out)
        })?;
        Ok(self.samples)
    }

    fn reset(&mut self) {
        self.source.reset();
        self.scales.clear();
        self.samples = 0;
    }
}

fn push_segment(
    coded: CodedSegment<'_>,
    scales: &mut Vec<f32>,
    samples: &mut u64,
    packer: &mut Packer,
    out: &mut Vec<i64>,
) -> Result<()> {
    scales.push(coded.segment.scale);
    *samples += coded.samples;
    coded.codes.iter().try_for_each(|codes| packer.push_frame(codes, out))
}
