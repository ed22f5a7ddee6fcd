//! Tokens in, frames out: whatever the pieces in which the tokens come.

mod coarse;
mod flat;
mod matrix;

use super::format::Format;
use super::layout::Layout;
use super::{MOST_HELD, TokenError};
use crate::{Error, Result};

/// What tokens turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Unit<'a> {
    /// A whole frame of codes, `[stage][group]`.
    Frame(&'a [u16]),
    /// A frame that is not to be had, and why; time goes on by one frame.
    Lost(TokenError),
    /// Tokens that are passed over, and why; no time is lost.
    Ignored(TokenError),
    /// A token of a text column, with the number of the frame beside which it stands.
    Text {
        /// Frames before it.
        frame: u64,
        /// The token.
        token: i64,
    },
}

/// What to do with bad tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadToken {
    /// Stop before the token and say why; the stream is as if it had not come, and goes on with what comes instead.
    /// A frame of which codes are missing is lost all the same, once the rest of it has come.
    #[default]
    Refuse,
    /// Go on: the frame is lost, the error is told, and everything else is taken.
    Conceal,
}

/// Finds the frames in tokens of a [`Format`].
#[derive(Debug, Clone)]
pub struct Unpacker {
    format: Format,
    on_bad: OnBadToken,
    state: State,
    /// Tokens taken.
    position: u64,
    ended: bool,
}

#[derive(Debug, Clone)]
enum State {
    Matrix(matrix::Matrix),
    Flat(flat::Flat),
    Coarse(coarse::Coarse),
}

/// A token and its place, as the layouts get it.
#[derive(Debug, Clone, Copy)]
struct Token {
    position: u64,
    value: i64,
    /// The mask says that nothing is here.
    masked: bool,
}

/// What a layout needs to know besides its own state.
struct Context<'a> {
    format: &'a Format,
    /// Whether the stream goes on after a bad token.
    goes_on: bool,
    ended: &'a mut bool,
    /// Why a frame was lost, for the end of the call if bad tokens are refused.
    refused: &'a mut Option<TokenError>,
}

/// Takes what was found.
type Emit<'a> = &'a mut dyn FnMut(Unit<'_>) -> Result<()>;

impl Unpacker {
    /// Makes one for a format.
    pub fn new(format: Format, on_bad: OnBadToken) -> Self {
        let state = match &format.layout {
            Layout::Matrix { columns, .. } => {
                State::Matrix(matrix::Matrix::new(columns, format.layout.delay(), format.codebooks))
            }
            Layout::Flat { order, offsets } => {
                State::Flat(flat::Flat::new(order.len(), offsets, format.size))
            }
            Layout::CoarseFirst { .. } => State::Coarse(coarse::Coarse::default()),
        };
        Self { format, on_bad, state, position: 0, ended: false }
    }

    /// What the tokens look like.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// What happens with bad tokens.
    pub fn on_bad(&self) -> OnBadToken {
        self.on_bad
    }

    /// Whether a special id has ended the stream.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Tokens taken so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// States the length of a coarse-first clip before its first token, so that frames come out as soon as they are
    /// whole; without it `separator` or `end` after the coarse codes says it, or else [`Unpacker::finish`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MOST_HELD`].
    pub fn set_frames(&mut self, frames: u64) -> Result<()> {
        if frames > MOST_HELD {
            return Err(Error::parameter("frames", frames, format!("0 to {MOST_HELD}")));
        }
        if let State::Coarse(coarse) = &mut self.state {
            coarse.frames = Some(frames);
        }
        Ok(())
    }

    /// Takes tokens, any number of them, and gives what they turn out to be to `emit`.
    ///
    /// # Errors
    /// [`Error::Token`] if bad tokens are refused; those before it have been taken
    /// ([`Unpacker::position`]). What `emit` returns; the stream is then to be reset.
    pub fn push(&mut self, tokens: &[i64], emit: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
        self.take(tokens.iter().map(|&value| (value, false)), emit)
    }

    /// Takes tokens with a mask beside them: where it is false there is no token. Rows of a matrix that have no codes at
    /// all are text and take no time.
    ///
    /// # Errors
    /// As [`Unpacker::push`]; [`TokenError::Mask`] if there are not as many values as tokens.
    pub fn push_masked(
        &mut self,
        tokens: &[i64],
        mask: &[bool],
        emit: &mut impl FnMut(Unit<'_>) -> Result<()>,
    ) -> Result<()> {
        if mask.len() != tokens.len() {
            return Err(TokenError::Mask { mask: mask.len(), tokens: tokens.len() }.into());
        }
        self.take(tokens.iter().zip(mask).map(|(&value, &there)| (value, !there)), emit)
    }

    fn take(&mut self, tokens: impl Iterator<Item = (i64, bool)>, emit: Emit<'_>) -> Result<()> {
        for (value, masked) in tokens {
            let token = Token { position: self.position, value, masked };
            let goes_on = self.on_bad == OnBadToken::Conceal;
            let mut refused = None;
            let (format, ended) = (&self.format, &mut self.ended);
            let mut context = Context { format, goes_on, ended, refused: &mut refused };
            match &mut self.state {
                State::Matrix(matrix) => matrix.take(token, &mut context, emit)?,
                State::Flat(flat) => flat.take(token, &mut context, emit)?,
                State::Coarse(coarse) => coarse.take(token, &mut context, emit)?,
            }
            self.position += 1;
            if let Some(error) = refused {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Ends the stream: gives what can still be had, and what is missing from the last frame as [`Unit::Ignored`]. The
    /// unpacker then begins anew.
    ///
    /// # Errors
    /// The same error in place of the unit if bad tokens are refused. What `emit` returns.
    pub fn finish(&mut self, emit: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
        let goes_on = self.on_bad == OnBadToken::Conceal;
        let mut refused = None;
        let (format, ended) = (&self.format, &mut self.ended);
        let mut context = Context { format, goes_on, ended, refused: &mut refused };
        let ended = match &mut self.state {
            State::Matrix(matrix) => matrix.finish(&mut context, emit),
            State::Flat(flat) => flat.finish(&mut context, emit),
            State::Coarse(coarse) => coarse.finish(&mut context, emit),
        };
        self.reset();
        ended.and(refused.map_or(Ok(()), |error| Err(error.into())))
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        match &mut self.state {
            State::Matrix(matrix) => matrix.reset(),
            State::Flat(flat) => flat.reset(),
            State::Coarse(coarse) => coarse.reset(),
        }
        (self.position, self.ended) = (0, false);
    }

    /// Becomes what `other` is, reusing what is allocated.
    pub(super) fn copy_from(&mut self, other: &Self) {
        match (&mut self.state, &other.state) {
            (State::Matrix(to), State::Matrix(from)) => to.copy_from(from),
            (State::Flat(to), State::Flat(from)) => to.copy_from(from),
            (to, from) => *to = from.clone(),
        }
        (self.position, self.ended, self.on_bad) = (other.position, other.ended, other.on_bad);
    }
}

impl Context<'_> {
    /// A code in `low..low + size`, or why there is none.
    fn code(&self, token: Token, codebook: usize, low: i64) -> std::result::Result<u16, TokenError> {
        let size = i64::from(self.format.size);
        if let Some(code) = token.value.checked_sub(low).filter(|c| (0..size).contains(c)) {
            return Ok(code as u16);
        }
        let Token { position, value, .. } = token;
        Err(match self.format.specials.name(value) {
            Some(name) => TokenError::Special { position, codebook, name: name.to_owned(), value },
            None => TokenError::Range { position, codebook, value, low, high: low + size - 1 },
        })
    }

    /// Tells of tokens that are passed over, or refuses them.
    fn ignore(&self, error: TokenError, emit: Emit<'_>) -> Result<()> {
        if self.goes_on { emit(Unit::Ignored(error)) } else { Err(error.into()) }
    }

    /// Tells of a lost frame; where bad tokens are refused the error ends the call.
    fn lose(&mut self, error: TokenError, emit: Emit<'_>) -> Result<()> {
        if !self.goes_on && self.refused.is_none() {
            *self.refused = Some(error.clone());
        }
        emit(Unit::Lost(error))
    }
}
