//! The flat layout: a frame's codes one after the other.

use siskin_error::{Result, TokenError};

use crate::tokens::layout::Layout;
use crate::tokens::unpack::context::{Context, Emit, Token, Unit};

#[derive(Debug, Clone)]
pub(crate) struct Flat {
    /// The slot that is due.
    slot: usize,
    codes: Vec<u16>,
    /// Why the frame at hand is lost already.
    bad: Option<TokenError>,
    frames: u64,
    /// Whether an id tells its slot: the slots' ids do not overlap.
    tells_slot: bool,
}

impl Flat {
    pub(crate) fn new(codebooks: usize, offsets: &[i64], size: u32) -> Self {
        let mut sorted = offsets.to_vec();
        sorted.sort_unstable();
        // Only then can a missing token be told from a wrong one.
        let tells_slot = sorted.windows(2).all(|pair| pair[1] - pair[0] >= i64::from(size));
        Self { slot: 0, codes: vec![0; codebooks], bad: None, frames: 0, tells_slot }
    }

    pub(crate) fn push_token(
        &mut self,
        token: Token,
        context: &mut Context<'_>,
        emit: Emit<'_>,
    ) -> Result<()> {
        if *context.ended {
            return context.emit_ignored(TokenError::AfterEnd { position: token.position }, emit);
        }
        if token.masked {
            return Ok(());
        }
        let Layout::Flat { order, offsets } = &context.format.layout else { return Ok(()) };
        let error = match context.parse_code(token, order[self.slot], offsets[self.slot]) {
            Ok(code) => return self.push_code(order[self.slot], code, context, emit),
            Err(error) => error,
        };
        let specials = &context.format.specials;
        let (is_start, is_end) = (token.value == specials.start(), token.value == specials.end());
        if self.slot == 0 && (is_start || is_end || token.value == specials.pad()) {
            *context.ended = is_end;
            return Ok(());
        }
        if is_start || is_end {
            let lost = self.incomplete_error();
            if !context.conceals {
                return Err(lost.into());
            }
            self.start_frame();
            *context.ended = is_end;
            return if is_end { context.emit_ignored(lost, emit) } else { context.emit_lost(lost, emit) };
        }
        let found = offsets.iter().position(|&low| context.parse_code(token, 0, low).is_ok());
        match found.filter(|_| self.tells_slot) {
            Some(found) => {
                let order_error = TokenError::Order { position: token.position, found, due: self.slot };
                if !context.conceals {
                    return Err(order_error.into());
                }
                if found < self.slot {
                    // The next frame has begun before this one was whole.
                    let lost = self.bad.take().unwrap_or(order_error.clone());
                    self.start_frame();
                    context.emit_lost(lost, emit)?;
                }
                if found > 0 {
                    self.bad.get_or_insert(order_error);
                }
                self.slot = found;
                let code = context.parse_code(token, 0, offsets[found])?;
                self.push_code(order[found], code, context, emit)
            }
            _ if !context.conceals => Err(error.into()),
            // Were it in place of a code, the next token would tell by its slot.
            None if self.tells_slot => context.emit_ignored(error, emit),
            _ => {
                self.bad.get_or_insert(error);
                self.push_code(order[self.slot], 0, context, emit)
            }
        }
    }

    fn push_code(
        &mut self,
        codebook: usize,
        code: u16,
        context: &mut Context<'_>,
        emit: Emit<'_>,
    ) -> Result<()> {
        self.codes[codebook] = code;
        self.slot += 1;
        if self.slot < self.codes.len() {
            return Ok(());
        }
        let bad = self.bad.take();
        self.start_frame();
        match bad {
            Some(error) => context.emit_lost(error, emit),
            None => emit(Unit::Frame(&self.codes)),
        }
    }

    /// Starts the next frame.
    fn start_frame(&mut self) {
        self.slot = 0;
        self.bad = None;
        self.frames += 1;
    }

    fn incomplete_error(&self) -> TokenError {
        let codebooks = self.codes.len();
        TokenError::Incomplete { frame: self.frames, missing: codebooks - self.slot, codebooks }
    }

    pub(crate) fn finish_stream(&mut self, context: &mut Context<'_>, emit: Emit<'_>) -> Result<()> {
        if self.slot > 0 { context.emit_ignored(self.incomplete_error(), emit) } else { Ok(()) }
    }

    pub(crate) fn reset(&mut self) {
        (self.slot, self.bad, self.frames) = (0, None, 0);
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.codes.clone_from(&other.codes);
        self.bad.clone_from(&other.bad);
        (self.slot, self.frames, self.tells_slot) = (other.slot, other.frames, other.tells_slot);
    }
}
