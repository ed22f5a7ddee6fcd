//! Frames in, tokens out.

use super::format::Format;
use super::layout::{Layout, Role};
use super::{MOST_HELD, TokenError};
use crate::Result;

/// Lays out frames of codes as the tokens of a [`Format`].
#[derive(Debug, Clone)]
pub struct Packer {
    format: Format,
    /// Codes that are not written yet: the last `delay + 1` frames of a matrix, all frames of a coarse-first clip.
    held: Vec<u16>,
    frames: u64,
}

impl Packer {
    /// Makes one for a format.
    pub fn new(format: Format) -> Self {
        Self { format, held: Vec::new(), frames: 0 }
    }

    /// What the tokens look like.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Takes a frame's codes and appends the tokens that are ready. Columns of a matrix that hold no codes get `pad`.
    ///
    /// # Errors
    /// [`Error::Token`](crate::Error::Token) if these are no codes of a frame, or more than a layout may hold back;
    /// nothing is taken then.
    pub fn push(&mut self, codes: &[u16], out: &mut Vec<i64>) -> Result<()> {
        self.push_beside(codes, &[], out)
    }

    /// [`Packer::push`] with tokens for the columns that hold no codes, in their order; what is missing is `pad`.
    ///
    /// # Errors
    /// As [`Packer::push`].
    pub fn push_beside(&mut self, codes: &[u16], beside: &[i64], out: &mut Vec<i64>) -> Result<()> {
        self.format.check_frame(self.frames, codes)?;
        match &self.format.layout {
            Layout::Matrix { zero_ends, .. } => {
                if *zero_ends && codes.iter().all(|&c| c == 0) {
                    return Err(TokenError::Reserved { frame: self.frames }.into());
                }
                let keep = self.format.layout.delay() as usize * self.format.codebooks;
                self.held.drain(..self.held.len().saturating_sub(keep));
                self.held.extend_from_slice(codes);
                self.row(beside, 0, out);
            }
            Layout::Flat { order, offsets } => {
                out.extend(order.iter().zip(offsets).map(|(&k, offset)| offset + i64::from(codes[k])));
            }
            Layout::CoarseFirst { groups } => {
                if self.frames >= MOST_HELD {
                    return Err(TokenError::TooLong { most: MOST_HELD }.into());
                }
                out.extend(codes[..groups[0]].iter().map(|&c| i64::from(c)));
                self.held.extend_from_slice(codes);
            }
        }
        self.frames += 1;
        Ok(())
    }

    /// Ends the stream: appends what was held back and, if `marked`, the special ids that mark the end. The packer then
    /// begins anew.
    pub fn finish(&mut self, marked: bool, out: &mut Vec<i64>) {
        let end = self.format.specials.end();
        match &self.format.layout {
            Layout::Matrix { .. } => {
                let delay = self.format.layout.delay() as usize;
                let past = delay + usize::from(marked && self.frames > 0);
                for step in 1..=past.min(if self.frames > 0 { past } else { 0 }) {
                    self.row(&[], step, out);
                }
                if marked && self.frames > 0 {
                    self.mark_end(past, out);
                }
            }
            Layout::Flat { .. } => out.extend(marked.then_some(end)),
            Layout::CoarseFirst { groups } => {
                let codebooks = self.format.codebooks;
                out.extend((marked && groups.len() > 1).then_some(self.format.specials.separator()));
                let mut first = groups[0];
                for &count in &groups[1..] {
                    for frame in self.held.chunks_exact(codebooks) {
                        out.extend(frame[first..first + count].iter().map(|&c| i64::from(c)));
                    }
                    first += count;
                }
                out.extend(marked.then_some(end));
            }
        }
        self.reset();
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.held.clear();
        self.frames = 0;
    }

    /// Appends the row of the last frame, or the row `past` steps after it.
    fn row(&self, beside: &[i64], past: usize, out: &mut Vec<i64>) {
        let Layout::Matrix { columns, .. } = &self.format.layout else { return };
        let (codebooks, pad) = (self.format.codebooks, self.format.specials.pad());
        let mut beside = beside.iter();
        let frames = self.held.len() / codebooks;
        for column in columns {
            out.push(match column.role {
                Role::Code(k) => {
                    // The frame's place in what is held: the last one is `frames - 1`.
                    let place = (frames + past).checked_sub(1 + column.delay as usize);
                    let code = place.filter(|&p| p < frames).map(|p| self.held[p * codebooks + k]);
                    code.map_or(pad, i64::from)
                }
                Role::Text | Role::Ignored => beside.next().copied().unwrap_or(pad),
            });
        }
    }

    /// Puts the frame that means the end behind the last one, in the `rows` rows just written.
    fn mark_end(&self, rows: usize, out: &mut [i64]) {
        let Layout::Matrix { columns, zero_ends } = &self.format.layout else { return };
        let start = out.len() - rows * columns.len();
        for (c, column) in columns.iter().enumerate() {
            if let Role::Code(_) = column.role {
                let id = if *zero_ends { 0 } else { self.format.specials.end() };
                out[start + column.delay as usize * columns.len() + c] = id;
            }
        }
    }
}
