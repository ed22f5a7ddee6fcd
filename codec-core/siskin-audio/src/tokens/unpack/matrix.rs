//! The matrix layout: rows of tokens, one column per codebook, some of them delayed.

use siskin_error::{Result, TokenError};

use crate::tokens::layout::{Column, Layout, Role};
use crate::tokens::unpack::context::{Context, Emit, Token, Unit};

/// What a row holds in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    /// A code of this frame.
    Code(u16),
    /// The end, at this column's frame.
    End,
    /// Nothing: `pad`, or the mask says so.
    Empty,
    /// A text token.
    Text(i64),
    /// Not used.
    Ignored,
    /// A token that is not allowed in the column.
    Bad(TokenError),
}

/// A frame of which some codes have come.
#[derive(Debug, Clone, Default)]
struct Partial {
    present: usize,
    error: Option<TokenError>,
}

#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    /// The row being gathered.
    row: Vec<Cell>,
    /// Whether the mask leaves out a token of it.
    masked: bool,
    /// Rows gathered so far: the number of the frame whose undelayed codes come next.
    step: u64,
    /// The incomplete frames at index `frame % (delay + 1)`, and their codes.
    partial: Vec<Partial>,
    codes: Vec<u16>,
    delay: u64,
    /// The first frame after the end.
    end: Option<u64>,
    /// Frames in a row without any code: they are lost if a frame comes after them, else they are the end.
    gap: u64,
}

impl Matrix {
    pub(crate) fn new(columns: &[Column], delay: u32, codebooks: usize) -> Self {
        // A frame's codes come over `delay + 1` rows, so that many frames are open at once.
        let held = delay as usize + 1;
        Self {
            row: Vec::with_capacity(columns.len()),
            masked: false,
            step: 0,
            partial: vec![Partial::default(); held],
            codes: vec![0; held * codebooks],
            delay: delay.into(),
            end: None,
            gap: 0,
        }
    }

    pub(crate) fn push_token(
        &mut self,
        token: Token,
        context: &mut Context<'_>,
        emit: Emit<'_>,
    ) -> Result<()> {
        // The rows in which delayed columns end still belong to the stream.
        if *context.ended && self.end.is_none_or(|end| self.step > end + self.delay) {
            return context.emit_ignored(TokenError::AfterEnd { position: token.position }, emit);
        }
        let Layout::Matrix { columns, zero_ends } = &context.format.layout else { return Ok(()) };
        let cell = self.classify_token(token, columns[self.row.len()], context);
        match cell {
            Cell::Bad(error) if !context.conceals => return Err(error.into()),
            cell => self.row.push(cell),
        }
        self.masked |= token.masked;
        if self.row.len() < columns.len() {
            return Ok(());
        }
        let is_code = |c: &Column| matches!(c.role, Role::Code(_));
        let mut codes = self.row.iter().zip(columns).filter(|(_, c)| is_code(c));
        // A row whose codes are all masked has no frame: it is the text prompt of the model.
        let takes_time = !self.masked || codes.any(|(cell, _)| *cell != Cell::Empty);
        let result = self.apply_row(columns, takes_time, emit);
        self.row.clear();
        self.masked = false;
        result?;
        if takes_time {
            self.step += 1;
            if let Some(frame) = (self.step - 1).checked_sub(self.delay) {
                self.emit_frame(frame, *zero_ends, context, emit)?;
            }
        }
        Ok(())
    }

    fn classify_token(&self, token: Token, column: Column, context: &Context<'_>) -> Cell {
        let specials = &context.format.specials;
        match column.role {
            Role::Ignored => Cell::Ignored,
            Role::Text if token.masked || token.value == specials.pad() => Cell::Empty,
            Role::Text => Cell::Text(token.value),
            Role::Code(_) if token.masked => Cell::Empty,
            Role::Code(codebook) => {
                let frame = self.step.checked_sub(column.delay.into());
                // Before the first frame and after the last one a delayed column may hold anything.
                if frame.is_none_or(|f| self.end.is_some_and(|end| f >= end)) {
                    return Cell::Ignored;
                }
                match context.parse_code(token, codebook, 0) {
                    Ok(code) => Cell::Code(code),
                    Err(_) if token.value == specials.pad() => Cell::Empty,
                    Err(_) if token.value == specials.end() => Cell::End,
                    Err(error) => Cell::Bad(error),
                }
            }
        }
    }

    fn apply_row(&mut self, columns: &[Column], takes_time: bool, emit: Emit<'_>) -> Result<()> {
        let (held, codebooks) = (self.partial.len(), self.codes.len() / self.partial.len());
        for (cell, column) in self.row.iter_mut().zip(columns) {
            let frame = self.step.checked_sub(column.delay.into());
            // Moves errors out of the row without a clone.
            let cell = std::mem::replace(cell, Cell::Ignored);
            match (cell, column.role, frame) {
                (Cell::Text(token), _, Some(frame)) => emit(Unit::Text { frame, token })?,
                (Cell::Code(code), Role::Code(k), Some(frame)) if takes_time => {
                    let place = (frame % held as u64) as usize;
                    self.codes[place * codebooks + k] = code;
                    // `check_codebooks` has each codebook exactly once: `present` counts them.
                    self.partial[place].present += 1;
                }
                // The earliest wins: columns may disagree in a model's output, and nothing after the first end is
                // sound.
                (Cell::End, _, Some(frame)) => self.end = Some(self.end.map_or(frame, |e| e.min(frame))),
                (Cell::Bad(error), _, Some(frame)) => {
                    self.partial[(frame % held as u64) as usize].error.get_or_insert(error);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Emits the frame whose last codes have come.
    fn emit_frame(
        &mut self,
        frame: u64,
        zero_ends: bool,
        context: &mut Context<'_>,
        emit: Emit<'_>,
    ) -> Result<()> {
        let place = (frame % self.partial.len() as u64) as usize;
        let Partial { present, error } = std::mem::take(&mut self.partial[place]);
        let codebooks = context.format.codebooks;
        if self.end.is_some_and(|end| frame >= end) {
            *context.ended = true;
            return Ok(());
        }
        let codes = &self.codes[place * codebooks..(place + 1) * codebooks];
        if zero_ends && present == codebooks && codes.iter().all(|&c| c == 0) {
            self.end = Some(frame);
            *context.ended = true;
            return Ok(());
        }
        // A frame of pads alone: lost only if the stream goes on after it.
        if present == 0 && error.is_none() {
            self.gap += 1;
        } else {
            for lost in frame - self.gap..frame {
                context
                    .emit_lost(TokenError::Incomplete { frame: lost, missing: codebooks, codebooks }, emit)?;
            }
            self.gap = 0;
            if present == codebooks && error.is_none() {
                emit(Unit::Frame(codes))?;
            } else {
                let missing = codebooks - present;
                let error = error.unwrap_or(TokenError::Incomplete { frame, missing, codebooks });
                context.emit_lost(error, emit)?;
            }
        }
        // Ended with the frame before the end: the end frame's delayed codes need not come.
        *context.ended = self.end == Some(frame + 1);
        Ok(())
    }

    pub(crate) fn finish_stream(&mut self, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let codebooks = context.format.codebooks;
        if !self.row.is_empty() {
            let (found, row) = (self.row.len(), context.format.layout.tokens_per_row());
            context.emit_ignored(TokenError::Codebooks { found, codebooks: row }, emit)?;
        }
        let first = self.step.saturating_sub(self.delay);
        for frame in first..self.step.min(self.end.unwrap_or(u64::MAX)) {
            let present = self.partial[(frame % self.partial.len() as u64) as usize].present;
            if present > 0 {
                let missing = codebooks - present;
                context.emit_ignored(TokenError::Incomplete { frame, missing, codebooks }, emit)?;
            }
        }
        Ok(())
    }

    pub(crate) fn reset(&mut self) {
        self.row.clear();
        self.masked = false;
        self.partial.fill(Partial::default());
        (self.step, self.end, self.gap) = (0, None, 0);
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.row.clone_from(&other.row);
        self.partial.clone_from(&other.partial);
        self.codes.clone_from(&other.codes);
        self.masked = other.masked;
        (self.step, self.end, self.gap) = (other.step, other.end, other.gap);
        self.delay = other.delay;
    }
}
