//! Frames in, tokens out.

use siskin_error::{Result, TokenError};

use crate::tokens::format::Format;
use crate::tokens::layout::{Layout, MAX_HELD_FRAMES, Role};

/// Lays out frames of codes as the tokens of a [`Format`].
#[derive(Debug, Clone)]
pub struct Packer {
    format: Format,
    /// Codes held back: the last `delay + 1` frames of a matrix, all frames of a coarse-first clip.
    held: Vec<u16>,
    frames: u64,
}

impl Packer {
    /// A packer for a format.
    pub fn new(format: Format) -> Self {
        Self { format, held: Vec::new(), frames: 0 }
    }

    /// The format of the tokens.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Packs a frame's codes and appends the tokens that are ready. Columns of a matrix without codes get `pad`.
    ///
    /// # Errors
    /// [`Error::Token`](crate::Error::Token) for codes that do not fit the format or more than [`MAX_HELD_FRAMES`] held
    /// back; the packer is unchanged then.
    pub fn push_frame(&mut self, codes: &[u16], out: &mut Vec<i64>) -> Result<()> {
        self.push_frame_beside(codes, &[], out)
    }

    /// [`Packer::push_frame`] with tokens for the columns without codes, in their order; missing ones are `pad`.
    ///
    /// # Errors
    /// As [`Packer::push_frame`].
    pub fn push_frame_beside(&mut self, codes: &[u16], beside: &[i64], out: &mut Vec<i64>) -> Result<()> {
        // Before anything is written: a frame that is refused leaves tokens and packer as they were.
        self.format.check_frame(self.frames, codes)?;
        match &self.format.layout {
            Layout::Matrix { zero_ends, .. } => {
                // A frame of zeros would end the stream at the receiver.
                if *zero_ends && codes.iter().all(|&c| c == 0) {
                    return Err(TokenError::Reserved { frame: self.frames }.into());
                }
                // Only as many frames as the longest delay still needs.
                let keep = self.format.layout.max_delay() as usize * self.format.codebooks;
                self.held.drain(..self.held.len().saturating_sub(keep));
                self.held.extend_from_slice(codes);
                self.write_row(beside, 0, out);
            }
            Layout::Flat { order, offsets } => {
                out.extend(order.iter().zip(offsets).map(|(&k, offset)| offset + i64::from(codes[k])));
            }
            Layout::CoarseFirst { groups } => {
                if self.frames >= MAX_HELD_FRAMES {
                    return Err(TokenError::TooLong { most: MAX_HELD_FRAMES }.into());
                }
                out.extend(codes[..groups[0]].iter().map(|&c| i64::from(c)));
                self.held.extend_from_slice(codes);
            }
        }
        self.frames += 1;
        Ok(())
    }

    /// Ends the stream: appends what was held back and, if `marked`, the special ids that mark the end. The packer then
    /// starts a new stream.
    pub fn finish_stream(&mut self, marked: bool, out: &mut Vec<i64>) {
        let end = self.format.specials.end();
        match &self.format.layout {
            Layout::Matrix { .. } => {
                let delay = self.format.layout.max_delay() as usize;
                // The end frame takes one more step than the last frame's delayed codes.
                let past = delay + usize::from(marked && self.frames > 0);
                for step in 1..=past.min(if self.frames > 0 { past } else { 0 }) {
                    self.write_row(&[], step, out);
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

    /// Back to the state of a new packer.
    pub fn reset(&mut self) {
        self.held.clear();
        self.frames = 0;
    }

    /// Appends the row of the last frame, or the row `past` steps after it.
    fn write_row(&self, beside: &[i64], past: usize, out: &mut Vec<i64>) {
        let Layout::Matrix { columns, .. } = &self.format.layout else { return };
        let (codebooks, pad) = (self.format.codebooks, self.format.specials.pad());
        let mut beside = beside.iter();
        let frames = self.held.len() / codebooks;
        for column in columns {
            out.push(match column.role {
                Role::Code(k) => {
                    // Index of the frame in `held`, of which the last one is `frames - 1`.
                    let place = (frames + past).checked_sub(1 + column.delay as usize);
                    let code = place.filter(|&p| p < frames).map(|p| self.held[p * codebooks + k]);
                    code.map_or(pad, i64::from)
                }
                Role::Text | Role::Ignored => beside.next().copied().unwrap_or(pad),
            });
        }
    }

    /// Writes the end frame after the last one into the `rows` rows just written.
    fn mark_end(&self, rows: usize, out: &mut [i64]) {
        let Layout::Matrix { columns, zero_ends } = &self.format.layout else { return };
        let start = out.len() - rows * columns.len();
        for (c, column) in columns.iter().enumerate() {
            // Each column ends in its own row, delayed as its codes are.
            if let Role::Code(_) = column.role {
                let id = if *zero_ends { 0 } else { self.format.specials.end() };
                out[start + column.delay as usize * columns.len() + c] = id;
            }
        }
    }
}
