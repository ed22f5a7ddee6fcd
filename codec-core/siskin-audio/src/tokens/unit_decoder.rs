use std::collections::VecDeque;

use siskin_error::{Error, Result, TokenError};
use siskin_model::bundle::Conventions;

use crate::decoder::Decoder;
use crate::tokens::segment_assembler::{AssembledSegment, SegmentAssembler};
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
    /// Samples per channel decoded.
    pub samples: u64,
}

/// Decodes the units of an unpacker to samples and counts them.
pub(crate) struct UnitDecoder {
    pub(crate) decoder: Decoder,
    /// Codes of a frame that is lost before any other has come.
    pub(crate) codes_per_frame: usize,
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
    /// Whether the stream's first frames are being held, for a codec that decodes them together.
    pub(crate) is_opening: bool,
    /// Codes of the frames of the opening that are held.
    pub(crate) held: Vec<Vec<u16>>,
    /// For a codec of segments.
    pub(super) segments: Option<SegmentAssembler>,
    pub(crate) texts: Vec<TextToken>,
    pub(crate) faults: VecDeque<TokenError>,
}

impl UnitDecoder {
    pub(crate) fn decode_unit(&mut self, unit: Unit<'_>, out: &mut Vec<f32>) -> Result<()> {
        match unit {
            Unit::Frame(codes) if self.progress.segments.is_some() => {
                self.push_segment_frame(Some(codes), out)?;
            }
            Unit::Frame(codes) if self.progress.is_opening => self.hold_frame(codes, out)?,
            Unit::Frame(codes) => self.decode_frame(codes, out)?,
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

    fn decode_frame(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        self.decoder.decode_codes(codes, out)?;
        self.trim_frame(start, out);
        Ok(())
    }

    /// Holds a frame of the opening, and decodes all of them with the last.
    fn hold_frame(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<()> {
        let frames = self.decoder.opening_frames().unwrap_or_default();
        self.progress.held.push(codes.to_vec());
        if self.progress.held.len() < frames {
            return Ok(());
        }
        let held = std::mem::take(&mut self.progress.held);
        self.progress.is_opening = false;
        let mut pcm = Vec::new();
        self.decoder.decode_opening(held.iter().map(Vec::as_slice), &mut pcm)?;
        for pcm in pcm.chunks_exact((pcm.len() / held.len()).max(1)) {
            let start = out.len();
            out.extend_from_slice(pcm);
            self.trim_frame(start, out);
        }
        Ok(())
    }

    /// Takes a frame of a segment, or a lost one if there are no codes.
    fn push_segment_frame(&mut self, codes: Option<&[u16]>, out: &mut Vec<f32>) -> Result<()> {
        // Lent, as decoding a segment needs all the rest.
        let Some(mut segments) = self.progress.segments.take() else { return Ok(()) };
        let lost = self.codes_per_frame;
        let decode = |segment: AssembledSegment<'_>| self.decode_segment(segment, out);
        let taken = match codes {
            Some(codes) => segments.push_frame(codes, decode),
            None => segments.push_lost(lost, decode),
        };
        self.progress.segments = Some(segments);
        if !taken? {
            // Counted as where a codec of frames decodes it and leaves out all its samples.
            self.progress.ending.frames += 1;
        }
        Ok(())
    }

    fn decode_segment(&mut self, assembled: AssembledSegment<'_>, out: &mut Vec<f32>) -> Result<()> {
        let AssembledSegment { codes, planned } = assembled;
        let start = out.len();
        self.decoder.decode_segment(codes, planned.segment, planned.is_first, out)?;
        let trim = planned.end_trim as usize * usize::from(self.decoder.stream_header().channels);
        out.truncate((out.len() - trim.min(out.len() - start)).max(start));
        self.trim_frames(codes.len() as u64, start, out);
        Ok(())
    }

    /// Decodes frames that are held one by one, from silence: what comes next does not belong to them, or nothing does.
    pub(crate) fn release_frames(&mut self, out: &mut Vec<f32>) -> Result<()> {
        if let Some(mut segments) = self.progress.segments.take() {
            let ended = segments.finish_stream(|segment| self.decode_segment(segment, out));
            self.progress.segments = Some(segments);
            return ended;
        }
        self.progress.is_opening = false;
        let held = std::mem::take(&mut self.progress.held);
        held.iter().try_for_each(|codes| self.decode_frame(codes, out))
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
        // Before the frames that are held are decoded: what is refused changes nothing.
        if self.progress.segments.is_some() {
            return Err(Decoder::segments_error("latents"));
        }
        self.release_frames(out)?;
        for latent in latents.chunks_exact(dim) {
            let start = out.len();
            self.decoder.decode_latent(latent, out)?;
            self.trim_frame(start, out);
        }
        Ok(())
    }

    pub(crate) fn conceal_frame(&mut self, out: &mut Vec<f32>) -> Result<()> {
        if self.progress.segments.is_some() {
            self.progress.ending.lost += 1;
            return self.push_segment_frame(None, out);
        }
        self.release_frames(out)?;
        let start = out.len();
        // One at a time, since each frame is trimmed and counted by itself.
        self.decoder.conceal(1, out)?;
        self.progress.ending.lost += 1;
        self.trim_frame(start, out);
        Ok(())
    }

    /// Runs the decoder on silence until the samples of the last frame have come out, for a codec whose frames are as many as
    /// its samples fill; those of Siskin have a frame more.
    pub(crate) fn push_out_delay(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.release_frames(out)?;
        let header = self.decoder.stream_header();
        let (delay, hop) = (usize::from(header.pre_skip), usize::from(header.hop));
        if delay == 0 || self.decoder.conventions() == Conventions::Siskin || self.progress.ending.frames == 0
        {
            return Ok(());
        }
        self.decoder.mark_end()?;
        let silence = vec![0.0; self.decoder.latent_dim()];
        let (start, frames) = (out.len(), self.progress.ending.frames);
        for _ in 0..delay.div_ceil(hop) {
            let from = out.len();
            self.decoder.decode_latent(&silence, out)?;
            self.trim_frame(from, out);
        }
        let channels = usize::from(self.decoder.stream_header().channels);
        let beyond = delay.next_multiple_of(hop) - delay;
        let excess = beyond.min((out.len() - start) / channels);
        // A stated length may have cut the samples already.
        let whole = frames * hop as u64;
        let excess = (self.progress.ending.samples.saturating_sub(whole) as usize).min(excess);
        out.truncate(out.len() - excess * channels);
        self.progress.ending.samples -= excess as u64;
        self.progress.ending.frames = frames;
        Ok(())
    }

    /// Trims the frame that begins at `start`: drops the codec's delay and samples beyond the stream's length.
    fn trim_frame(&mut self, start: usize, out: &mut Vec<f32>) {
        self.trim_frames(1, start, out);
    }

    fn trim_frames(&mut self, frames: u64, start: usize, out: &mut Vec<f32>) {
        let channels = usize::from(self.decoder.stream_header().channels);
        let progress = &mut self.progress;
        progress.ending.frames += frames;
        let skip = progress.skip.min((out.len() - start) / channels);
        out.drain(start..start + skip * channels);
        progress.skip -= skip;
        let samples = &mut progress.ending.samples;
        // Without a length every sample is kept.
        let room = progress.length.map_or(usize::MAX, |l| l.saturating_sub(*samples) as usize);
        out.truncate(start.saturating_add(room.saturating_mul(channels)).min(out.len()));
        *samples += ((out.len() - start) / channels) as u64;
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
        self.is_opening = other.is_opening;
        self.held.clone_from(&other.held);
        self.segments.clone_from(&other.segments);
        self.texts.clone_from(&other.texts);
        self.faults.clone_from(&other.faults);
    }
}
