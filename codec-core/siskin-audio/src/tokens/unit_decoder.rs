use std::collections::VecDeque;

use siskin_error::{Error, Result, TokenError};

use crate::decoder::Decoder;
use crate::tokens::unpack::Unit;

/// Errors kept until the caller asks for them: enough to find the cause, bounded for a stream of garbage.
const MAX_FAULTS: usize = 64;
/// Text tokens kept until the caller asks for them: over an hour of Moshi's 12.5 per second.
const MAX_TEXT_TOKENS: usize = 65_536;

/// A token of a text column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextToken {
    /// Index of the frame in its row.
    pub frame: u64,
    /// The token.
    pub token: i64,
}

/// Counts of a stream of tokens, so far or at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ending {
    /// Frames, lost ones included.
    pub frames: u64,
    /// Frames that were lost and concealed.
    pub lost: u64,
    /// Errors that cost no frame.
    pub ignored: u64,
    /// Samples decoded.
    pub samples: u64,
}

/// Decodes the units of an unpacker to samples and counts them.
pub(crate) struct UnitDecoder {
    pub(crate) decoder: Decoder,
    pub(crate) progress: Progress,
}

/// Counts and reports of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) ending: Ending,
    /// Samples of the codec's delay still to be dropped.
    pub(crate) skip: usize,
    /// Length to which the stream is trimmed.
    pub(crate) length: Option<u64>,
    pub(crate) texts: Vec<TextToken>,
    pub(crate) faults: VecDeque<TokenError>,
}

impl UnitDecoder {
    pub(crate) fn decode_unit(&mut self, unit: Unit<'_>, out: &mut Vec<f32>) -> Result<()> {
        match unit {
            Unit::Frame(codes) => {
                let start = out.len();
                self.decoder.decode_codes(codes, out)?;
                self.trim_frame(start, out);
            }
            Unit::Lost(error) => {
                self.progress.push_fault(error);
                self.conceal_frame(out)?;
            }
            Unit::Ignored(error) => {
                self.progress.push_fault(error);
                self.progress.ending.ignored += 1;
            }
            Unit::Text { frame, token } => {
                let texts = &mut self.progress.texts;
                // Makes room for one token if the list is full.
                texts.drain(..(texts.len() + 1).saturating_sub(MAX_TEXT_TOKENS));
                texts.push(TextToken { frame, token });
            }
        }
        Ok(())
    }

    pub(crate) fn decode_latents(&mut self, latents: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let dim = self.decoder.latent_dim();
        if !latents.len().is_multiple_of(dim) {
            let allowed = format!("whole frames of {dim}");
            return Err(Error::parameter("latents", latents.len(), allowed));
        }
        // All are looked at before the first is decoded: a NaN would stay in the network's states.
        if let Some(bad) = latents.iter().find(|x| !x.is_finite()) {
            return Err(Error::parameter("latent", bad, "finite values"));
        }
        for latent in latents.chunks_exact(dim) {
            let start = out.len();
            self.decoder.decode_latent(latent, out)?;
            self.trim_frame(start, out);
        }
        Ok(())
    }

    pub(crate) fn conceal_frame(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        // One at a time, since each frame is trimmed and counted by itself.
        self.decoder.conceal(1, out)?;
        self.progress.ending.lost += 1;
        self.trim_frame(start, out);
        Ok(())
    }

    /// Trims the frame that begins at `start`: drops the codec's delay and samples beyond the stream's length.
    fn trim_frame(&mut self, start: usize, out: &mut Vec<f32>) {
        let progress = &mut self.progress;
        progress.ending.frames += 1;
        let skip = progress.skip.min(out.len() - start);
        out.drain(start..start + skip);
        progress.skip -= skip;
        let samples = &mut progress.ending.samples;
        // Without a length every sample is kept.
        let room = progress.length.map_or(usize::MAX, |l| l.saturating_sub(*samples) as usize);
        out.truncate(start.saturating_add(room).min(out.len()));
        *samples += (out.len() - start) as u64;
    }
}

impl Progress {
    fn push_fault(&mut self, error: TokenError) {
        // The latest are kept: the caller asks about what happens now.
        if self.faults.len() == MAX_FAULTS {
            self.faults.pop_front();
        }
        self.faults.push_back(error);
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        (self.ending, self.skip, self.length) = (other.ending, other.skip, other.length);
        self.texts.clone_from(&other.texts);
        self.faults.clone_from(&other.faults);
    }
}
