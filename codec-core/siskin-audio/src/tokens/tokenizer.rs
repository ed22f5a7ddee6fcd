use super::{Format, Packer};
use crate::{Error, Result};
use crate::{FrameEncoder, HighPass};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

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
    taken: u64,
    given: u64,
}

impl Tokenizer {
    /// Makes one with a bundle's encoder network. `layout` is as [`Layout::parse`](super::Layout::parse) reads it;
    /// without `stages` the bundle's default is taken.
    ///
    /// # Errors
    /// What [`Format::of_bundle`] and [`FrameEncoder::new`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime, layout: &str, stages: Option<u8>) -> Result<Self> {
        let manifest = bundle.manifest();
        let format = Format::of_bundle(bundle, stages.unwrap_or(manifest.default_stages), layout)?;
        let frames = FrameEncoder::new(bundle, runtime)?;
        Self::from_parts(frames, format, manifest.hop.into(), manifest.delay.into(), manifest.sample_rate)
    }

    /// Puts one together: `hop` samples a frame, `delay` samples by which the decoder lags, `rate` samples a second.
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
        let codes = vec![0; format.codebooks()];
        let packer = Packer::new(format);
        let (high_pass, pending) = (HighPass::new(rate), Vec::with_capacity(hop));
        Ok(Self { frames, high_pass, packer, hop, delay, pending, codes, taken: 0, given: 0 })
    }

    /// What the tokens look like.
    pub fn format(&self) -> &Format {
        self.packer.format()
    }

    /// Sets how many choices of codes are followed at once, as [`FrameEncoder::set_search_width`] does.
    pub fn set_search_width(&mut self, width: usize) {
        self.frames.set_search_width(width);
    }

    /// What runs the network.
    pub fn provider(&self) -> siskin_model::runtime::Provider {
        self.frames.provider()
    }

    /// Takes any number of samples (mono, -1..1) and appends the tokens that are ready.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails; what [`Packer::push`] returns.
    pub fn push(&mut self, mut pcm: &[f32], out: &mut Vec<i64>) -> Result<()> {
        self.taken += pcm.len() as u64;
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(self.hop - self.pending.len()));
            // The codes are to be those of the coded stream.
            let high_pass = &mut self.high_pass;
            self.pending.extend(now.iter().map(|&x| high_pass.next(x)));
            pcm = later;
            if self.pending.len() == self.hop {
                self.frame(out)?;
            }
        }
        Ok(())
    }

    /// Ends the stream as [`Packer::finish`] does, after frames for what is left and for the codec's delay, and starts
    /// anew. Returns the stream's length in samples, to which a decoder cuts what it gives.
    ///
    /// # Errors
    /// As [`Tokenizer::push`].
    pub fn finish(&mut self, marked: bool, out: &mut Vec<i64>) -> Result<u64> {
        let taken = self.taken;
        if taken > 0 {
            let frames = (taken + self.delay as u64).div_ceil(self.hop as u64);
            while self.given < frames {
                let missing = self.hop - self.pending.len();
                let high_pass = &mut self.high_pass;
                self.pending.extend((0..missing).map(|_| high_pass.next(0.0)));
                self.frame(out)?;
            }
        }
        self.packer.finish(marked, out);
        self.reset();
        Ok(taken)
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.frames.reset();
        self.high_pass.reset();
        self.packer.reset();
        self.pending.clear();
        (self.taken, self.given) = (0, 0);
    }

    fn frame(&mut self, out: &mut Vec<i64>) -> Result<()> {
        self.frames.encode(&self.pending, &mut self.codes)?;
        self.pending.clear();
        self.given += 1;
        self.packer.push(&self.codes, out)
    }
}
