//! Group after group of codebooks, each for the whole clip.

use std::collections::BTreeMap;

use super::{Context, Emit, Token, Unit};
use crate::Result;
use crate::tokens::layout::Layout;
use crate::tokens::{MOST_HELD, TokenError};

#[derive(Debug, Clone, Default)]
pub(super) struct Coarse {
    /// The clip's length in frames, as soon as it is known.
    pub(super) frames: Option<u64>,
    /// All codes so far in their order; bad ones are 0 here and have an entry in `bad`.
    held: Vec<u16>,
    bad: BTreeMap<usize, TokenError>,
    /// Frames given.
    given: u64,
    frame: Vec<u16>,
}

impl Coarse {
    pub(super) fn take(&mut self, token: Token, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let Layout::CoarseFirst { groups } = &context.format.layout else { return Ok(()) };
        let specials = &context.format.specials;
        let is_full = self.frames.is_some_and(|f| self.held.len() as u64 >= f.saturating_mul(codes(groups)));
        let is_mark = token.value == specials.separator() || token.value == specials.end();
        if *context.ended || is_full && !is_mark {
            return context.ignore(TokenError::AfterEnd { position: token.position }, emit);
        }
        if token.masked {
            return Ok(());
        }
        if self.frames.is_none() && is_mark {
            return self.end_coarse(token.value == specials.end(), groups, context, emit);
        }
        if token.value == specials.end() {
            if !is_full && !context.goes_on {
                return Err(self.incomplete(groups).into());
            }
            *context.ended = true;
            return if is_full { Ok(()) } else { context.ignore(self.incomplete(groups), emit) };
        }
        let (codebook, begins_group) = self.place(groups);
        if token.value == specials.separator() && begins_group {
            return Ok(());
        }
        if self.held.len() as u64 / codes(groups) >= MOST_HELD {
            return Err(TokenError::TooLong { most: MOST_HELD }.into());
        }
        match context.code(token, codebook, 0) {
            Ok(code) => self.held.push(code),
            Err(error) if !context.goes_on => return Err(error.into()),
            Err(error) => {
                self.bad.insert(self.held.len(), error);
                self.held.push(0);
            }
        }
        self.give(groups, context, emit)
    }

    /// The coarse codes are through, and so the length is known.
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
            context.ignore(TokenError::Incomplete { frame, missing, codebooks: groups[0] }, emit)?;
            self.held.truncate(self.held.len() - rest);
        }
        self.frames = Some((self.held.len() / groups[0]) as u64);
        *context.ended = is_end && groups.len() == 1;
        Ok(())
    }

    /// The codebook of the next code, and whether it is the first of its group.
    fn place(&self, groups: &[usize]) -> (usize, bool) {
        let (mut start, mut first) = (0, 0);
        for &count in groups {
            let length = self.frames.map_or(usize::MAX, |f| f as usize * count);
            let inside = self.held.len() - start;
            if inside < length {
                return (first + inside % count, inside == 0);
            }
            (start, first) = (start + length, first + count);
        }
        (0, true)
    }

    /// Gives the frames that have become whole.
    fn give(&mut self, groups: &[usize], context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let last = groups.last().copied().unwrap_or(1);
        let before = codes(groups) as usize - last;
        // A single group needs no length.
        let frames = match self.frames {
            Some(frames) => frames as usize,
            None if before == 0 => 0,
            None => return Ok(()),
        };
        while self.held.len() >= frames * before + (self.given as usize + 1) * last {
            let t = self.given as usize;
            let (mut start, mut error) = (0, None);
            self.frame.clear();
            for &count in groups {
                for at in start + t * count..start + (t + 1) * count {
                    error = error.or_else(|| self.bad.remove(&at));
                    self.frame.push(self.held[at]);
                }
                start += frames * count;
            }
            self.given += 1;
            match error {
                Some(error) => context.lose(error, emit)?,
                None => emit(Unit::Frame(&self.frame))?,
            }
        }
        Ok(())
    }

    fn incomplete(&self, groups: &[usize]) -> TokenError {
        let all = self.frames.unwrap_or_default().saturating_mul(codes(groups));
        let missing = all.saturating_sub(self.held.len() as u64) as usize;
        TokenError::Incomplete { frame: self.given, missing, codebooks: all as usize }
    }

    pub(super) fn finish(&mut self, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let Layout::CoarseFirst { groups } = &context.format.layout else { return Ok(()) };
        let (found, codebooks) = (self.held.len(), codes(groups) as usize);
        if let Some(frames) = self.frames {
            let is_whole = *context.ended || found as u64 >= frames.saturating_mul(codebooks as u64);
            return if is_whole { Ok(()) } else { context.ignore(self.incomplete(groups), emit) };
        }
        if !found.is_multiple_of(codebooks) {
            context.ignore(TokenError::Codebooks { found, codebooks }, emit)?;
            return Ok(());
        }
        self.frames = Some((found / codebooks) as u64);
        self.give(groups, context, emit)
    }

    pub(super) fn reset(&mut self) {
        self.held.clear();
        self.bad.clear();
        (self.frames, self.given) = (None, 0);
    }
}

/// Codes of a frame.
fn codes(groups: &[usize]) -> u64 {
    groups.iter().sum::<usize>() as u64
}
