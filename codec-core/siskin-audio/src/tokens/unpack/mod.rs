//! Tokens in, frames out, however the tokens are cut into calls.

mod coarse;
mod context;
mod flat;
mod matrix;

use siskin_error::{Error, Result, TokenError};

pub use self::context::Unit;

use self::context::{Context, Emit, Token};
use crate::tokens::format::Format;
use crate::tokens::layout::{Layout, MAX_HELD_FRAMES};

/// What to do with bad tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadToken {
    /// Stop before the token with an error; the stream is unchanged and goes on with the next token pushed.
    /// A frame with missing codes is lost all the same, once the rest of it has come.
    #[default]
    Refuse,
    /// Go on: the frame is lost, the error is reported, and all other tokens are used.
    Conceal,
}

/// Unpacks tokens of a [`Format`] to frames.
#[derive(Debug, Clone)]
pub struct Unpacker {
    format: Format,
    on_bad: OnBadToken,
    state: State,
    /// Tokens so far.
    position: u64,
    ended: bool,
}

#[derive(Debug, Clone)]
enum State {
    Matrix(matrix::Matrix),
    Flat(flat::Flat),
    Coarse(coarse::Coarse),
}

impl Unpacker {
    /// An unpacker for a format.
    pub fn new(format: Format, on_bad: OnBadToken) -> Self {
        let state = match &format.layout {
            Layout::Matrix { columns, .. } => {
                State::Matrix(matrix::Matrix::new(columns, format.layout.max_delay(), format.codebooks))
            }
            Layout::Flat { order, offsets } => {
                State::Flat(flat::Flat::new(order.len(), offsets, format.size))
            }
            Layout::CoarseFirst { .. } => State::Coarse(coarse::Coarse::default()),
        };
        Self { format, on_bad, state, position: 0, ended: false }
    }

    /// The format of the tokens.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// How bad tokens are handled.
    pub fn on_bad(&self) -> OnBadToken {
        self.on_bad
    }

    /// Whether a special id has ended the stream.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Tokens so far.
    pub fn token_count(&self) -> u64 {
        self.position
    }

    /// Sets the length of a coarse-first clip before its first token, so that frames come out as soon as they are
    /// complete. Without it `separator` or `end` after the coarse codes gives the length, or [`Unpacker::finish_stream`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than [`MAX_HELD_FRAMES`].
    pub fn set_frames(&mut self, frames: u64) -> Result<()> {
        if frames > MAX_HELD_FRAMES {
            return Err(Error::parameter("frames", frames, format!("0 to {MAX_HELD_FRAMES}")));
        }
        if let State::Coarse(coarse) = &mut self.state {
            coarse.frames = Some(frames);
        }
        Ok(())
    }

    /// Unpacks any number of tokens and passes the units to `emit`.
    ///
    /// # Errors
    /// [`Error::Token`] if bad tokens are refused; the ones before it have been used
    /// ([`Unpacker::token_count`]). What `emit` returns; the stream is then to be reset.
    pub fn push_tokens(
        &mut self,
        tokens: &[i64],
        emit: &mut impl FnMut(Unit<'_>) -> Result<()>,
    ) -> Result<()> {
        self.unpack_tokens(tokens.iter().map(|&value| (value, false)), emit)
    }

    /// [`Unpacker::push_tokens`] with a mask: where it is false there is no token. Rows of a matrix without any code are text
    /// and take no time.
    ///
    /// # Errors
    /// As [`Unpacker::push_tokens`]; [`TokenError::Mask`] if there are not as many values as tokens.
    pub fn push_masked(
        &mut self,
        tokens: &[i64],
        mask: &[bool],
        emit: &mut impl FnMut(Unit<'_>) -> Result<()>,
    ) -> Result<()> {
        if mask.len() != tokens.len() {
            return Err(TokenError::Mask { mask: mask.len(), tokens: tokens.len() }.into());
        }
        self.unpack_tokens(tokens.iter().zip(mask).map(|(&value, &there)| (value, !there)), emit)
    }

    fn unpack_tokens(&mut self, tokens: impl Iterator<Item = (i64, bool)>, emit: Emit<'_>) -> Result<()> {
        for (value, masked) in tokens {
            let token = Token { position: self.position, value, masked };
            let conceals = self.on_bad == OnBadToken::Conceal;
            let mut refused = None;
            let (format, ended) = (&self.format, &mut self.ended);
            let mut context = Context { format, conceals, ended, refused: &mut refused };
            match &mut self.state {
                State::Matrix(matrix) => matrix.push_token(token, &mut context, emit)?,
                State::Flat(flat) => flat.push_token(token, &mut context, emit)?,
                State::Coarse(coarse) => coarse.push_token(token, &mut context, emit)?,
            }
            // A refused token is not counted: it has returned above. A lost frame's last token is.
            self.position += 1;
            if let Some(error) = refused {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Ends the stream: emits the remaining units, with codes missing from the last frame as [`Unit::Ignored`]. The
    /// unpacker then starts a new stream.
    ///
    /// # Errors
    /// The error in place of [`Unit::Ignored`] if bad tokens are refused. What `emit` returns.
    pub fn finish_stream(&mut self, emit: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
        let conceals = self.on_bad == OnBadToken::Conceal;
        let mut refused = None;
        let (format, ended) = (&self.format, &mut self.ended);
        let mut context = Context { format, conceals, ended, refused: &mut refused };
        let ended = match &mut self.state {
            State::Matrix(matrix) => matrix.finish_stream(&mut context, emit),
            State::Flat(flat) => flat.finish_stream(&mut context, emit),
            State::Coarse(coarse) => coarse.finish_stream(&mut context, emit),
        };
        self.reset();
        ended.and(refused.map_or(Ok(()), |error| Err(error.into())))
    }

    /// Back to the start of a stream.
    pub fn reset(&mut self) {
        match &mut self.state {
            State::Matrix(matrix) => matrix.reset(),
            State::Flat(flat) => flat.reset(),
            State::Coarse(coarse) => coarse.reset(),
        }
        (self.position, self.ended) = (0, false);
    }

    /// Copies `other` without a new allocation where the layouts are alike.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        match (&mut self.state, &other.state) {
            (State::Matrix(to), State::Matrix(from)) => to.copy_from(from),
            (State::Flat(to), State::Flat(from)) => to.copy_from(from),
            // Coarse-first holds the whole clip in a map of its own; a snapshot of it allocates anyway.
            (to, from) => *to = from.clone(),
        }
        (self.position, self.ended, self.on_bad) = (other.position, other.ended, other.on_bad);
    }
}
