use std::collections::VecDeque;

use super::{Format, OnBadToken, TokenError, Unit, Unpacker};
use crate::{Decoder, Snapshot};
use crate::{Error, Result};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

/// Faults that are kept for the caller to look at.
const MOST_FAULTS: usize = 64;
/// Text tokens that are kept until the caller takes them.
const MOST_TEXT: usize = 65_536;

/// A token of a text column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextToken {
    /// The frame beside which it stands.
    pub frame: u64,
    /// The token.
    pub token: i64,
}

/// How a stream of tokens has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ending {
    /// Frames that it had.
    pub frames: u64,
    /// Those of them that were lost and concealed.
    pub lost: u64,
    /// Faults that cost no frame.
    pub ignored: u64,
    /// Samples given.
    pub samples: u64,
}

/// Tokens in, samples out as soon as a frame is whole.
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
///     stream.push(&tokens, &mut pcm)?;
///     // play what is in `pcm` and clear it
/// }
/// stream.finish(&mut pcm)?;
/// # Ok(())
/// # }
/// ```
pub struct TokenStream {
    unpacker: Unpacker,
    sound: Sound,
}

struct Sound {
    decoder: Decoder,
    progress: Progress,
}

/// Where a stream stands.
#[derive(Debug, Clone, Default)]
struct Progress {
    ending: Ending,
    /// Samples of the codec's delay that are still to be dropped.
    skip: usize,
    length: Option<u64>,
    texts: Vec<TextToken>,
    faults: VecDeque<TokenError>,
}

/// A [`TokenStream`] at a moment.
#[derive(Default)]
pub struct StreamSnapshot {
    unpacker: Option<Unpacker>,
    decoder: Snapshot,
    progress: Progress,
}

impl TokenStream {
    /// Makes one with a bundle's decoder network; `layout` is as [`Layout::parse`](super::Layout::parse) reads it.
    ///
    /// # Errors
    /// What [`Format::of_bundle`] and [`Decoder::new`] return.
    pub fn new(
        bundle: &Bundle,
        runtime: &Runtime,
        layout: &str,
        stages: u8,
        on_bad: OnBadToken,
    ) -> Result<Self> {
        let format = Format::of_bundle(bundle, stages, layout)?;
        Ok(Self::from_parts(Decoder::new(bundle, runtime)?, format, on_bad))
    }

    /// Puts one together from its parts.
    pub fn from_parts(decoder: Decoder, format: Format, on_bad: OnBadToken) -> Self {
        let mut stream = Self {
            unpacker: Unpacker::new(format, on_bad),
            sound: Sound { decoder, progress: Progress::default() },
        };
        stream.reset();
        stream
    }

    /// What the tokens look like.
    pub fn format(&self) -> &Format {
        self.unpacker.format()
    }

    /// The decoder's stream header: rate, hop and delay.
    pub fn header(&self) -> &siskin_bitstream::StreamHeader {
        self.sound.decoder.header()
    }

    /// What runs the network.
    pub fn provider(&self) -> siskin_model::runtime::Provider {
        self.sound.decoder.provider()
    }

    /// Cuts the stream to so many samples, if its tokens are those of a recording of that length.
    pub fn set_length(&mut self, samples: u64) {
        self.sound.progress.length = Some(samples);
    }

    /// States the frames of a coarse-first clip before its first token.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MOST_HELD`](super::MOST_HELD).
    pub fn set_frames(&mut self, frames: u64) -> Result<()> {
        self.unpacker.set_frames(frames)
    }

    /// Takes tokens, any number of them, and appends the samples (mono) of the frames that become whole to `out`.
    /// Returns how many samples.
    ///
    /// # Errors
    /// [`Error::Token`] if bad tokens are refused: what came before has been taken and its samples are in `out`, and
    /// the stream goes on with the next call. [`Error::Network`] if the network fails; the stream is then to be reset.
    pub fn push(&mut self, tokens: &[i64], out: &mut Vec<f32>) -> Result<usize> {
        let (start, sound) = (out.len(), &mut self.sound);
        self.unpacker.push(tokens, &mut |unit| sound.take(unit, out))?;
        Ok(out.len() - start)
    }

    /// [`TokenStream::push`] with a mask beside the tokens: where it is false there is no token.
    ///
    /// # Errors
    /// As [`TokenStream::push`]; [`TokenError::Mask`] for a mask of another length.
    pub fn push_masked(&mut self, tokens: &[i64], mask: &[bool], out: &mut Vec<f32>) -> Result<usize> {
        let (start, sound) = (out.len(), &mut self.sound);
        self.unpacker.push_masked(tokens, mask, &mut |unit| sound.take(unit, out))?;
        Ok(out.len() - start)
    }

    /// Takes one frame's codes, `[stage][group]` of any number of stages, past the layout.
    ///
    /// # Errors
    /// What [`Decoder::decode_codes`] returns, before anything has changed.
    pub fn push_codes(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<usize> {
        let start = out.len();
        self.sound.take(Unit::Frame(codes), out)?;
        Ok(out.len() - start)
    }

    /// Takes latents instead of tokens, `[frame][dimension]`, for models that write no codes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a part of a frame or values that are not finite, before anything is taken;
    /// [`Error::Network`] if the network fails.
    pub fn push_latents(&mut self, latents: &[f32], out: &mut Vec<f32>) -> Result<usize> {
        let start = out.len();
        self.sound.take_latents(latents, out)?;
        Ok(out.len() - start)
    }

    /// Bridges `frames` frames that are not to come.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal(&mut self, frames: u32, out: &mut Vec<f32>) -> Result<()> {
        for _ in 0..frames {
            self.sound.lose(out)?;
        }
        Ok(())
    }

    /// Ends the stream: appends what can still be had, says how it went, and starts anew.
    ///
    /// # Errors
    /// [`Error::Token`] if bad tokens are refused and the last frame is not whole.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<Ending> {
        let sound = &mut self.sound;
        let ended = self.unpacker.finish(&mut |unit| sound.take(unit, out));
        let ending = self.sound.progress.ending;
        let faults = std::mem::take(&mut self.sound.progress.faults);
        let texts = std::mem::take(&mut self.sound.progress.texts);
        self.reset();
        // What was found at the end can still be asked for.
        (self.sound.progress.faults, self.sound.progress.texts) = (faults, texts);
        ended.map(|()| ending)
    }

    /// How it goes so far.
    pub fn progress(&self) -> Ending {
        self.sound.progress.ending
    }

    /// Whether a special id has ended the stream.
    pub fn ended(&self) -> bool {
        self.unpacker.ended()
    }

    /// Tokens taken.
    pub fn position(&self) -> u64 {
        self.unpacker.position()
    }

    /// Takes the faults since the last call, the latest 64 of them.
    pub fn faults(&mut self) -> Vec<TokenError> {
        self.sound.progress.faults.drain(..).collect()
    }

    /// Takes the text tokens since the last call, the latest 65,536 of them.
    pub fn texts(&mut self) -> Vec<TextToken> {
        std::mem::take(&mut self.sound.progress.texts)
    }

    /// Forgets the stream: the next token begins a new one, as with a new instance.
    pub fn reset(&mut self) {
        self.unpacker.reset();
        self.sound.decoder.reset();
        let progress = &mut self.sound.progress;
        progress.texts.clear();
        progress.faults.clear();
        progress.ending = Ending::default();
        progress.length = None;
        progress.skip = self.sound.decoder.header().pre_skip.into();
    }

    /// Keeps all of the stream's state in `into`, whose buffers are reused.
    pub fn snapshot(&self, into: &mut StreamSnapshot) {
        match &mut into.unpacker {
            Some(unpacker) => unpacker.copy_from(&self.unpacker),
            none => *none = Some(self.unpacker.clone()),
        }
        self.sound.decoder.snapshot(&mut into.decoder);
        into.progress.copy_from(&self.sound.progress);
    }

    /// Puts back a state, as if what came since had not: speculative decoding, or a listener who cuts in.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another format or bundle, or empty.
    pub fn restore(&mut self, from: &StreamSnapshot) -> Result<()> {
        let other = || Error::parameter("snapshot", "of another stream", "of this stream");
        let unpacker = from.unpacker.as_ref().ok_or_else(other)?;
        if unpacker.format() != self.unpacker.format() {
            return Err(other());
        }
        self.sound.decoder.restore(&from.decoder)?;
        self.unpacker.copy_from(unpacker);
        self.sound.progress.copy_from(&from.progress);
        Ok(())
    }
}

impl Sound {
    fn take(&mut self, unit: Unit<'_>, out: &mut Vec<f32>) -> Result<()> {
        match unit {
            Unit::Frame(codes) => {
                let start = out.len();
                self.decoder.decode_codes(codes, out)?;
                self.trim(start, out);
            }
            Unit::Lost(error) => {
                self.progress.fault(error);
                self.lose(out)?;
            }
            Unit::Ignored(error) => {
                self.progress.fault(error);
                self.progress.ending.ignored += 1;
            }
            Unit::Text { frame, token } => {
                let texts = &mut self.progress.texts;
                texts.drain(..(texts.len() + 1).saturating_sub(MOST_TEXT));
                texts.push(TextToken { frame, token });
            }
        }
        Ok(())
    }

    fn take_latents(&mut self, latents: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let dim = self.decoder.latent_dim();
        if !latents.len().is_multiple_of(dim) {
            let allowed = format!("whole frames of {dim}");
            return Err(Error::parameter("latents", latents.len(), allowed));
        }
        if let Some(bad) = latents.iter().find(|x| !x.is_finite()) {
            return Err(Error::parameter("latent", bad, "finite numbers"));
        }
        for latent in latents.chunks_exact(dim) {
            let start = out.len();
            self.decoder.decode_latent(latent, out)?;
            self.trim(start, out);
        }
        Ok(())
    }

    fn lose(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        self.decoder.conceal(1, out)?;
        self.progress.ending.lost += 1;
        self.trim(start, out);
        Ok(())
    }

    /// Drops the codec's delay and what lies beyond the stream's length from the frame that begins at `start`.
    fn trim(&mut self, start: usize, out: &mut Vec<f32>) {
        let progress = &mut self.progress;
        progress.ending.frames += 1;
        let skip = progress.skip.min(out.len() - start);
        out.drain(start..start + skip);
        progress.skip -= skip;
        let given = &mut progress.ending.samples;
        let room = progress.length.map_or(usize::MAX, |l| l.saturating_sub(*given) as usize);
        out.truncate(start.saturating_add(room).min(out.len()));
        *given += (out.len() - start) as u64;
    }
}

impl Progress {
    fn fault(&mut self, error: TokenError) {
        if self.faults.len() == MOST_FAULTS {
            self.faults.pop_front();
        }
        self.faults.push_back(error);
    }

    fn copy_from(&mut self, other: &Self) {
        (self.ending, self.skip, self.length) = (other.ending, other.skip, other.length);
        self.texts.clone_from(&other.texts);
        self.faults.clone_from(&other.faults);
    }
}
