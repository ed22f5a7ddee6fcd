//! Rows of tokens, a column each codebook, some of them late.

use super::{Context, Emit, Token, Unit};
use crate::Result;
use crate::tokens::TokenError;
use crate::tokens::layout::{Column, Layout, Role};

/// What a row has in a column.
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
    /// Something that is not looked at.
    Passed,
    /// A token that no such column may have.
    Bad(TokenError),
}

/// A frame of which codes have come.
#[derive(Debug, Clone, Default)]
struct Partial {
    present: usize,
    error: Option<TokenError>,
}

#[derive(Debug, Clone)]
pub(super) struct Matrix {
    /// The row that is being gathered.
    row: Vec<Cell>,
    /// Whether the mask has left something out in it.
    masked: bool,
    /// Rows gathered so far: the number of the frame whose undelayed codes come next.
    step: u64,
    /// The frames that are not whole yet, `frame % (delay + 1)`, and their codes.
    partial: Vec<Partial>,
    codes: Vec<u16>,
    delay: u64,
    /// The first frame that is not there any more.
    end: Option<u64>,
    /// Frames without any code since the last that had one: nothing comes after them, or they are lost.
    gap: u64,
}

impl Matrix {
    pub(super) fn new(columns: &[Column], delay: u32, codebooks: usize) -> Self {
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

    pub(super) fn take(&mut self, token: Token, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        // The rows in which late columns come to their end belong to the stream still.
        if *context.ended && self.end.is_none_or(|end| self.step > end + self.delay) {
            return context.ignore(TokenError::AfterEnd { position: token.position }, emit);
        }
        let Layout::Matrix { columns, zero_ends } = &context.format.layout else { return Ok(()) };
        let cell = self.cell(token, columns[self.row.len()], context);
        match cell {
            Cell::Bad(error) if !context.goes_on => return Err(error.into()),
            cell => self.row.push(cell),
        }
        self.masked |= token.masked;
        if self.row.len() < columns.len() {
            return Ok(());
        }
        let is_code = |c: &Column| matches!(c.role, Role::Code(_));
        let mut codes = self.row.iter().zip(columns).filter(|(_, c)| is_code(c));
        // A row whose codes are all masked stands beside no frame: it is text that was given to the model.
        let takes_time = !self.masked || codes.any(|(cell, _)| *cell != Cell::Empty);
        let taken = self.take_row(columns, takes_time, emit);
        self.row.clear();
        self.masked = false;
        taken?;
        if takes_time {
            self.step += 1;
            if let Some(frame) = (self.step - 1).checked_sub(self.delay) {
                self.resolve(frame, *zero_ends, context, emit)?;
            }
        }
        Ok(())
    }

    fn cell(&self, token: Token, column: Column, context: &Context<'_>) -> Cell {
        let specials = &context.format.specials;
        match column.role {
            Role::Ignored => Cell::Passed,
            Role::Text if token.masked || token.value == specials.pad() => Cell::Empty,
            Role::Text => Cell::Text(token.value),
            Role::Code(_) if token.masked => Cell::Empty,
            Role::Code(codebook) => {
                let frame = self.step.checked_sub(column.delay.into());
                // Before the first frame and after the last one the corner of a delayed column holds anything.
                if frame.is_none_or(|f| self.end.is_some_and(|end| f >= end)) {
                    return Cell::Passed;
                }
                match context.code(token, codebook, 0) {
                    Ok(code) => Cell::Code(code),
                    Err(_) if token.value == specials.pad() => Cell::Empty,
                    Err(_) if token.value == specials.end() => Cell::End,
                    Err(error) => Cell::Bad(error),
                }
            }
        }
    }

    fn take_row(&mut self, columns: &[Column], takes_time: bool, emit: Emit<'_>) -> Result<()> {
        let (held, codebooks) = (self.partial.len(), self.codes.len() / self.partial.len());
        for (cell, column) in self.row.iter_mut().zip(columns) {
            let frame = self.step.checked_sub(column.delay.into());
            let cell = std::mem::replace(cell, Cell::Passed);
            match (cell, column.role, frame) {
                (Cell::Text(token), _, Some(frame)) => emit(Unit::Text { frame, token })?,
                (Cell::Code(code), Role::Code(k), Some(frame)) if takes_time => {
                    let place = (frame % held as u64) as usize;
                    self.codes[place * codebooks + k] = code;
                    self.partial[place].present += 1;
                }
                (Cell::End, _, Some(frame)) => self.end = Some(self.end.map_or(frame, |e| e.min(frame))),
                (Cell::Bad(error), _, Some(frame)) => {
                    self.partial[(frame % held as u64) as usize].error.get_or_insert(error);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives the frame whose last codes have come.
    fn resolve(
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
        if present == 0 && error.is_none() {
            self.gap += 1;
        } else {
            for lost in frame - self.gap..frame {
                context.lose(TokenError::Incomplete { frame: lost, missing: codebooks, codebooks }, emit)?;
            }
            self.gap = 0;
            if present == codebooks && error.is_none() {
                emit(Unit::Frame(codes))?;
            } else {
                let missing = codebooks - present;
                let error = error.unwrap_or(TokenError::Incomplete { frame, missing, codebooks });
                context.lose(error, emit)?;
            }
        }
        *context.ended = self.end == Some(frame + 1);
        Ok(())
    }

    pub(super) fn finish(&mut self, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        let codebooks = context.format.codebooks;
        if !self.row.is_empty() {
            let (found, row) = (self.row.len(), context.format.layout.row());
            context.ignore(TokenError::Codebooks { found, codebooks: row }, emit)?;
        }
        let first = self.step.saturating_sub(self.delay);
        for frame in first..self.step.min(self.end.unwrap_or(u64::MAX)) {
            let present = self.partial[(frame % self.partial.len() as u64) as usize].present;
            if present > 0 {
                let missing = codebooks - present;
                context.ignore(TokenError::Incomplete { frame, missing, codebooks }, emit)?;
            }
        }
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.row.clear();
        self.masked = false;
        self.partial.fill(Partial::default());
        (self.step, self.end, self.gap) = (0, None, 0);
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.row.clone_from(&other.row);
        self.partial.clone_from(&other.partial);
        self.codes.clone_from(&other.codes);
        self.masked = other.masked;
        (self.step, self.end, self.gap) = (other.step, other.end, other.gap);
        self.delay = other.delay;
    }
}
