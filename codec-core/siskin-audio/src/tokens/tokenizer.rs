use siskin_error::{Error, Result};
use siskin_model::bundle::{Bundle, Conventions};
use siskin_model::runtime::{Provider, Runtime};

use crate::frame::FrameEncoder;
use crate::levels::HighPass;
use crate::tokens::format::Format;
use crate::tokens::packer::Packer;

/// Samples in, tokens out.
pub struct Tokenizer {
    frames: FrameEncoder,
    high_pass: HighPass,
    packer: Packer,
    hop: usize,
    delay: usize,
    /// The frame being gathered.
    pending: Vec<f32>,
    codes: Vec<u16>,
    samples_in: u64,
    frames_out: u64,
}

impl Tokenizer {
    /// A tokenizer with a bundle's encoder network. `layout` is a name for [`Layout::parse`](super::Layout::parse); without
    /// `stages` the bundle's default is used.
    ///
    /// # Errors
    /// What [`Format::from_bundle`] and [`FrameEncoder::new`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime, layout: &str, stages: Option<u8>) -> Result<Self> {
        let manifest = bundle.manifest();
        let format = Format::from_bundle(bundle, stages.unwrap_or(manifest.default_stages), layout)?;
        let mut frames = FrameEncoder::new(bundle, runtime)?;
        frames.set_opening(true);
        // A published codec's frames are as many as the samples fill; `TokenStream` pushes its delay out by itself.
        let is_published = manifest.conventions == Conventions::Published;
        let delay = if is_published { 0 } else { manifest.delay.into() };
        Self::from_parts(frames, format, manifest.hop.into(), delay, manifest.sample_rate)
    }

    /// A tokenizer from its parts: `hop` samples per frame, `delay` samples by which the decoder lags, `rate` samples per
    /// second.
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
        let codes = vec![0; format.codes_per_frame()];
        let packer = Packer::new(format);
        let (high_pass, pending) = (HighPass::of(frames.conventions(), rate), Vec::with_capacity(hop));
        Ok(Self { frames, high_pass, packer, hop, delay, pending, codes, samples_in: 0, frames_out: 0 })
    }

    /// The format of the tokens.
    pub fn format(&self) -> &Format {
        self.packer.format()
    }

    /// Runs up to `frames` frames at once, as [`FrameEncoder::set_block`] does: for recordings, whose tokens need not come as soon as
    /// they can. Back to the start of a stream.
    pub fn set_block(&mut self, frames: usize) {
        self.frames.set_block(frames);
        self.reset();
    }

    /// Sets the number of beams of the codebook search, as [`FrameEncoder::set_search_width`] does.
    pub fn set_search_width(&mut self, width: usize) {
        self.frames.set_search_width(width);
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.frames.provider()
    }

    /// Encodes any number of samples (mono, -1..1) and appends the tokens that are ready.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails; what [`Packer::push_frame`] returns.
    pub fn push_samples(&mut self, mut pcm: &[f32], out: &mut Vec<i64>) -> Result<()> {
        self.samples_in += pcm.len() as u64;
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(self.hop - self.pending.len()));
            // The same high-pass as in `Encoder`, so that the codes are those of a coded stream.
            let high_pass = &mut self.high_pass;
            self.pending.extend(now.iter().map(|&x| high_pass.filter_sample(x)));
            pcm = later;
            if self.pending.len() == self.hop {
                self.encode_frame(u64::MAX, out)?;
            }
        }
        Ok(())
    }

    /// Ends the stream as [`Packer::finish_stream`] does, after frames for the rest of the samples and for the codec's delay,
    /// and starts a new one. Returns the stream's length in samples, to which a decoder trims its output.
    ///
    /// # Errors
    /// As [`Tokenizer::push_samples`].
    pub fn finish_stream(&mut self, marked: bool, out: &mut Vec<i64>) -> Result<u64> {
        let samples = self.samples_in;
        if samples > 0 {
            // As many as `Encoder` makes of this length, so that tokens and packets have the same frames.
            let frames = (samples + self.delay as u64).div_ceil(self.hop as u64);
            // Silence fills the last frame and pushes the codec's delay through.
            let fill = |tokenizer: &mut Self| {
                let high_pass = &mut tokenizer.high_pass;
                let missing = tokenizer.hop - tokenizer.pending.len();
                tokenizer.pending.extend((0..missing).map(|_| high_pass.filter_sample(0.0)));
            };
            if !self.pending.is_empty() {
                fill(self);
                self.encode_frame(frames, out)?;
            }
            self.frames.mark_end()?;
            self.take_ready(frames, out)?;
            while self.frames_out < frames {
                fill(self);
                self.encode_frame(frames, out)?;
            }
        }
        self.packer.finish_stream(marked, out);
        self.reset();
        Ok(samples)
    }

    /// Back to the start of a stream.
    pub fn reset(&mut self) {
        self.frames.reset();
        self.high_pass.reset();
        self.packer.reset();
        self.pending.clear();
        (self.samples_in, self.frames_out) = (0, 0);
    }

    /// Encodes the pending frame; frames beyond `most` are left.
    fn encode_frame(&mut self, most: u64, out: &mut Vec<i64>) -> Result<()> {
        self.frames.push_frame(&self.pending)?;
        self.pending.clear();
        self.take_ready(most, out)
    }

    fn take_ready(&mut self, most: u64, out: &mut Vec<i64>) -> Result<()> {
        while self.frames_out < most && self.frames.take_codes(&mut self.codes) {
            self.frames_out += 1;
            self.packer.push_frame(&self.codes, out)?;
        }
        Ok(())
    }
}
