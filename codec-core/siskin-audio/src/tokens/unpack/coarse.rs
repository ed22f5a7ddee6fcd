//! The coarse-first layout: one group of codebooks after the other, each for the whole clip.

use std::collections::BTreeMap;

use siskin_error::{Result, TokenError};

use crate::tokens::layout::{Layout, MAX_HELD_FRAMES};
use crate::tokens::unpack::context::{Context, Emit, Token, Unit};

#[derive(Debug, Clone, Default)]
pub(crate) struct Coarse {
    /// The clip's length in frames, once known.
    pub(crate) frames: Option<u64>,
    /// All codes so far in their order; a bad one is 0 and has an entry in `bad`.
    // The whole clip, since its first frame is complete only when the last group begins.
    held: Vec<u16>,
    bad: BTreeMap<usize, TokenError>,
    /// Frames emitted.
    emitted: u64,
    frame: Vec<u16>,
}

impl Coarse {
    pub(crate) fn push_token(
        &mut self,
        token: Token,
        context: &mut Context<'_>,
        emit: Emit<'_>,
    ) -> Result<()> {
        let Layout::CoarseFirst { groups } = &context.format.layout else { return Ok(()) };
        let specials = &context.format.specials;
        let is_full =
            self.frames.is_some_and(|f| self.held.len() as u64 >= f.saturating_mul(codes_per_frame(groups)));
        // Both marks end the coarse codes: some models write no separator.
        let is_mark = token.value == specials.separator() || token.value == specials.end();
        if *context.ended || is_full && !is_mark {
            return context.emit_ignored(TokenError::AfterEnd { position: token.position }, emit);
        }
        if token.masked {
            return Ok(());
        }
        if self.frames.is_none() && is_mark {
            return self.end_coarse(token.value == specials.end(), groups, context, emit);
        }
        if token.value == specials.end() {
            if !is_full && !context.conceals {
                return Err(self.incomplete_error(groups).into());
            }
            *context.ended = true;
            return if is_full { Ok(()) } else { context.emit_ignored(self.incomplete_error(groups), emit) };
        }
        let (codebook, begins_group) = self.next_codebook(groups);
        // Models may write one between all groups, not only after the first.
        if token.value == specials.separator() && begins_group {
            return Ok(());
        }
        if self.held.len() as u64 / codes_per_frame(groups) >= MAX_HELD_FRAMES {
            return Err(TokenError::TooLong { most: MAX_HELD_FRAMES }.into());
        }
        match context.parse_code(token, codebook, 0) {
            Ok(code) => self.held.push(code),
            Err(error) if !context.conceals => return Err(error.into()),
            Err(error) => {
                // The 0 keeps the places of all later codes.
                self.bad.insert(self.held.len(), error);
                self.held.push(0);
            }
        }
        self.emit_frames(groups, context, emit)
    }

    /// Ends the coarse codes, whose number gives the length.
    fn end_coarse(
        &mut self,
        is_end: bool,
        groups: &[usize],
        context: &mut Context<'_>,
        emit: Emit<'_>,
    ) -> Result<()> {
        let rest = self.held.len() % groups[0];
        if rest > 0 {
            let frame = (self.held.len() / groups[0]) as u64;
            let missing = groups[0] - rest;
            context.emit_ignored(TokenError::Incomplete { frame, missing, codebooks: groups[0] }, emit)?;
            // A part of a coarse frame has no place for its fine codes.
            self.held.truncate(self.held.len() - rest);
        }
        self.frames = Some((self.held.len() / groups[0]) as u64);
        *context.ended = is_end && groups.len() == 1;
        Ok(())
    }

    /// The codebook of the next code, and whether it is the first of its group.
    fn next_codebook(&self, groups: &[usize]) -> (usize, bool) {
        let (mut start, mut first) = (0, 0);
        for &count in groups {
            // Without a length every code belongs to the first group.
            let length = self.frames.map_or(usize::MAX, |f| f as usize * count);
            let inside = self.held.len() - start;
            if inside < length {
                return (first + inside % count, inside == 0);
            }
            (start, first) = (start + length, first + count);
        }
        (0, true)
    }

    /// Emits the frames that have become complete.
    fn emit_frames(&mut self, groups: &[usize], context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let last = groups.last().copied().unwrap_or(1);
        let before = codes_per_frame(groups) as usize - last;
        // With a single group frames are complete without the length.
        let frames = match self.frames {
            Some(frames) => frames as usize,
            None if before == 0 => 0,
            None => return Ok(()),
        };
        while self.held.len() >= frames * before + (self.emitted as usize + 1) * last {
            let t = self.emitted as usize;
            let (mut start, mut error) = (0, None);
            self.frame.clear();
            for &count in groups {
                for at in start + t * count..start + (t + 1) * count {
                    // The first bad code of a frame is reported, and each error is dropped once its frame is out.
                    error = error.or_else(|| self.bad.remove(&at));
                    self.frame.push(self.held[at]);
                }
                start += frames * count;
            }
            self.emitted += 1;
            match error {
                Some(error) => context.emit_lost(error, emit)?,
                None => emit(Unit::Frame(&self.frame))?,
            }
        }
        Ok(())
    }

    fn incomplete_error(&self, groups: &[usize]) -> TokenError {
        let all = self.frames.unwrap_or_default().saturating_mul(codes_per_frame(groups));
        let missing = all.saturating_sub(self.held.len() as u64) as usize;
        TokenError::Incomplete { frame: self.emitted, missing, codebooks: all as usize }
    }

    pub(crate) fn finish_stream(&mut self, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let Layout::CoarseFirst { groups } = &context.format.layout else { return Ok(()) };
        let (found, codebooks) = (self.held.len(), codes_per_frame(groups) as usize);
        if let Some(frames) = self.frames {
            let is_whole = *context.ended || found as u64 >= frames.saturating_mul(codebooks as u64);
            return if is_whole { Ok(()) } else { context.emit_ignored(self.incomplete_error(groups), emit) };
        }
        // No mark has come: a clip of whole frames is taken to have ended here, another number cannot be divided.
        if !found.is_multiple_of(codebooks) {
            context.emit_ignored(TokenError::Codebooks { found, codebooks }, emit)?;
            return Ok(());
        }
        self.frames = Some((found / codebooks) as u64);
        self.emit_frames(groups, context, emit)
    }

    pub(crate) fn reset(&mut self) {
        self.held.clear();
        self.bad.clear();
        (self.frames, self.emitted) = (None, 0);
    }
}

/// Codes per frame.
fn codes_per_frame(groups: &[usize]) -> u64 {
    groups.iter().sum::<usize>() as u64
}
