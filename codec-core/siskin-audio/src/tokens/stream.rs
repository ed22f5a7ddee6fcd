use siskin_bitstream::StreamHeader;
use siskin_error::{Error, Result, TokenError};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::{Provider, Runtime};

use crate::decoder::Decoder;
use crate::frame::Snapshot;
use crate::tokens::format::Format;
use crate::tokens::segment_assembler::SegmentAssembler;
use crate::tokens::unit_decoder::{Ending, Progress, TextToken, UnitDecoder};
use crate::tokens::unpack::{OnBadToken, Unit, Unpacker};

/// Tokens in, samples out as soon as a frame is complete.
///
/// ```no_run
/// # use siskin_audio::tokens::{OnBadToken, TokenStream};
/// # use siskin_model::{bundle::Bundle, runtime::Runtime};
/// # fn main() -> siskin_audio::Result<()> {
/// # let (bundle, runtime) = (Bundle::find("speech-24k")?, Runtime::load(&Default::default())?);
/// # fn next_tokens_of_the_model() -> Option<Vec<i64>> { None }
/// let mut stream = TokenStream::new(&bundle, &runtime, "delayed", 12, OnBadToken::Conceal)?;
/// let mut pcm = Vec::new();
/// while let Some(tokens) = next_tokens_of_the_model() {
///     stream.push_tokens(&tokens, &mut pcm)?;
///     // play what is in `pcm` and clear it
/// }
/// stream.finish_stream(&mut pcm)?;
/// # Ok(())
/// # }
/// ```
pub struct TokenStream {
    unpacker: Unpacker,
    output: UnitDecoder,
}

/// The state of a [`TokenStream`].
#[derive(Default)]
pub struct StreamSnapshot {
    unpacker: Option<Unpacker>,
    decoder: Snapshot,
    progress: Progress,
}

impl TokenStream {
    /// A stream with a bundle's decoder network; `layout` is a name for [`Layout::parse`](super::Layout::parse).
    ///
    /// # Errors
    /// What [`Format::from_bundle`] and [`Decoder::new`] return.
    pub fn new(
        bundle: &Bundle,
        runtime: &Runtime,
        layout: &str,
        stages: u8,
        on_bad: OnBadToken,
    ) -> Result<Self> {
        let format = Format::from_bundle(bundle, stages, layout)?;
        Ok(Self::from_parts(Decoder::new(bundle, runtime)?, format, on_bad))
    }

    /// A stream from its parts.
    pub fn from_parts(decoder: Decoder, format: Format, on_bad: OnBadToken) -> Self {
        let codes_per_frame = format.codes_per_frame();
        let mut stream = Self {
            unpacker: Unpacker::new(format, on_bad),
            output: UnitDecoder { decoder, codes_per_frame, progress: Progress::default() },
        };
        stream.reset();
        stream
    }

    /// The format of the tokens.
    pub fn format(&self) -> &Format {
        self.unpacker.format()
    }

    /// The decoder's stream header: rate, hop and delay.
    pub fn stream_header(&self) -> &StreamHeader {
        self.output.decoder.stream_header()
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.output.decoder.provider()
    }

    /// Trims the stream to `samples` samples, the length of the recording that was tokenized.
    pub fn set_length(&mut self, samples: u64) {
        self.output.progress.length = Some(samples);
        if let Some(segments) = &mut self.output.progress.segments {
            segments.set_samples(Some(samples));
        }
    }

    /// Gives the scales of the segments in their order, for a codec that codes those; segments without one have 1. With
    /// [`set_length`](Self::set_length) before the first token, the stream's last segments have as many frames as they were made
    /// with.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a scale that is not finite or below 0, and if the codec codes frames.
    pub fn set_scales(&mut self, scales: Vec<f32>) -> Result<()> {
        match &mut self.output.progress.segments {
            Some(segments) => segments.set_scales(scales),
            None if scales.is_empty() => Ok(()),
            None => Err(Error::parameter("scales", scales.len(), "none: the codec codes frames")),
        }
    }

    /// Sets the number of frames of a coarse-first clip before its first token.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MAX_HELD_FRAMES`](super::MAX_HELD_FRAMES).
    pub fn set_frames(&mut self, frames: u64) -> Result<()> {
        self.unpacker.set_frames(frames)
    }

    /// Decodes any number of tokens and appends the samples of the frames that become complete to `out`, channels
    /// interleaved. Returns the number of values.
    ///
    /// # Errors
    /// [`Error::Token`] if bad tokens are refused: the samples of the tokens before it are in `out`, and
    /// the stream goes on with the next call. [`Error::Network`] if the network fails; the stream is then to be reset.
    pub fn push_tokens(&mut self, tokens: &[i64], out: &mut Vec<f32>) -> Result<usize> {
        let (start, output) = (out.len(), &mut self.output);
        self.unpacker.push_tokens(tokens, &mut |unit| output.decode_unit(unit, out))?;
        Ok(out.len() - start)
    }

    /// [`TokenStream::push_tokens`] with a mask: where it is false there is no token.
    ///
    /// # Errors
    /// As [`TokenStream::push_tokens`]; [`TokenError::Mask`] for a mask of another length.
    pub fn push_masked(&mut self, tokens: &[i64], mask: &[bool], out: &mut Vec<f32>) -> Result<usize> {
        let (start, output) = (out.len(), &mut self.output);
        self.unpacker.push_masked(tokens, mask, &mut |unit| output.decode_unit(unit, out))?;
        Ok(out.len() - start)
    }

    /// Decodes one frame's codes, `[stage][group]` of any number of stages, without the layout.
    ///
    /// # Errors
    /// What [`Decoder::decode_codes`] returns, before anything has changed.
    pub fn push_codes(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<usize> {
        let start = out.len();
        self.output.decode_unit(Unit::Frame(codes), out)?;
        Ok(out.len() - start)
    }

    /// Decodes latents in place of tokens, `[frame][dimension]`, for models without a quantizer.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a part of a frame or NaN or infinite values, before anything has changed;
    /// [`Error::Network`] if the network fails.
    pub fn push_latents(&mut self, latents: &[f32], out: &mut Vec<f32>) -> Result<usize> {
        let start = out.len();
        self.output.decode_latents(latents, out)?;
        Ok(out.len() - start)
    }

    /// Conceals `frames` lost frames.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal(&mut self, frames: u32, out: &mut Vec<f32>) -> Result<()> {
        for _ in 0..frames {
            self.output.conceal_frame(out)?;
        }
        Ok(())
    }

    /// Ends the stream: appends the remaining samples, returns the counts, and starts a new stream.
    ///
    /// # Errors
    /// [`Error::Token`] if bad tokens are refused and the last frame is incomplete.
    pub fn finish_stream(&mut self, out: &mut Vec<f32>) -> Result<Ending> {
        let output = &mut self.output;
        let mut ended = self.unpacker.finish_stream(&mut |unit| output.decode_unit(unit, out));
        if ended.is_ok() {
            ended = output.push_out_delay(out);
        }
        // Read before the reset, which clears the counts.
        let ending = self.output.progress.ending;
        let faults = std::mem::take(&mut self.output.progress.faults);
        let texts = std::mem::take(&mut self.output.progress.texts);
        self.reset();
        // The caller may still ask for the errors and text of the end.
        (self.output.progress.faults, self.output.progress.texts) = (faults, texts);
        ended.map(|()| ending)
    }

    /// The counts so far.
    pub fn progress(&self) -> Ending {
        self.output.progress.ending
    }

    /// Whether a special id has ended the stream.
    pub fn has_ended(&self) -> bool {
        self.unpacker.has_ended()
    }

    /// Tokens so far.
    pub fn token_count(&self) -> u64 {
        self.unpacker.token_count()
    }

    /// Takes the errors since the last call, the latest 64 of them.
    pub fn take_faults(&mut self) -> Vec<TokenError> {
        self.output.progress.faults.drain(..).collect()
    }

    /// Takes the text tokens since the last call, the latest 65,536 of them.
    pub fn take_texts(&mut self) -> Vec<TextToken> {
        std::mem::take(&mut self.output.progress.texts)
    }

    /// Back to the state of a new instance: the next token begins a new stream.
    pub fn reset(&mut self) {
        self.unpacker.reset();
        self.output.decoder.reset();
        let progress = &mut self.output.progress;
        progress.texts.clear();
        progress.faults.clear();
        progress.ending = Ending::default();
        progress.length = None;
        progress.held.clear();
        progress.is_opening = self.output.decoder.opening_frames().is_some();
        let header = self.output.decoder.stream_header();
        let assembler = |sizes| SegmentAssembler::new(sizes, header.hop, header.groups);
        progress.segments = self.output.decoder.segments().map(assembler);
        // The codec's delay, as in a packet that starts a stream.
        progress.skip = self.output.decoder.stream_header().pre_skip.into();
    }

    /// Saves the stream's state to `into`, whose buffers are reused.
    pub fn save_state(&self, into: &mut StreamSnapshot) {
        match &mut into.unpacker {
            // Reuses the buffers: a server saves a snapshot per slot and frame.
            Some(unpacker) => unpacker.copy_from(&self.unpacker),
            none => *none = Some(self.unpacker.clone()),
        }
        self.output.decoder.save_state(&mut into.decoder);
        into.progress.copy_from(&self.output.progress);
    }

    /// Restores a state, for speculative decoding or a listener who interrupts.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another format or bundle, or empty.
    pub fn restore_state(&mut self, from: &StreamSnapshot) -> Result<()> {
        let other = || Error::parameter("snapshot", "of another stream", "of this stream");
        let unpacker = from.unpacker.as_ref().ok_or_else(other)?;
        // Checked before the decoder's state, so that a wrong snapshot changes nothing.
        if unpacker.format() != self.unpacker.format() {
            return Err(other());
        }
        self.output.decoder.restore_state(&from.decoder)?;
        self.unpacker.copy_from(unpacker);
        self.output.progress.copy_from(&from.progress);
        Ok(())
    }
}
