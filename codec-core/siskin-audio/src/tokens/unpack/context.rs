//! What the layouts' unpackers share: tokens in, units out, and the handling of bad tokens.

use siskin_error::{Result, TokenError};

use crate::tokens::format::Format;

/// What tokens were unpacked to.
#[derive(Debug, PartialEq, Eq)]
pub enum Unit<'a> {
    /// A complete frame of codes, `[stage][group]`.
    Frame(&'a [u16]),
    /// A lost frame with the reason; time goes on by one frame.
    Lost(TokenError),
    /// Ignored tokens with the reason; they take no time.
    Ignored(TokenError),
    /// A token of a text column with the index of the frame in its row.
    Text {
        /// Frames before it.
        frame: u64,
        /// The token.
        token: i64,
    },
}

/// A token of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    /// Tokens before it.
    pub(crate) position: u64,
    pub(crate) value: i64,
    /// The mask says that there is no token here.
    pub(crate) masked: bool,
}

/// What a layout's unpacker uses besides its own state.
pub(crate) struct Context<'a> {
    pub(crate) format: &'a Format,
    /// Whether the stream goes on after a bad token.
    pub(crate) conceals: bool,
    pub(crate) ended: &'a mut bool,
    /// Why a frame was lost; if bad tokens are refused, it is the result of the call.
    pub(crate) refused: &'a mut Option<TokenError>,
}

/// Receives the units.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Unit<'_>) -> Result<()>;

impl Context<'_> {
    /// Parses a token as a code with ids `low..low + size`.
    pub(crate) fn parse_code(
        &self,
        token: Token,
        codebook: usize,
        low: i64,
    ) -> std::result::Result<u16, TokenError> {
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

    /// Reports ignored tokens, or refuses them.
    pub(crate) fn emit_ignored(&self, error: TokenError, emit: Emit<'_>) -> Result<()> {
        if self.conceals { emit(Unit::Ignored(error)) } else { Err(error.into()) }
    }

    /// Reports a lost frame. Where bad tokens are refused, the first error is also the result of the call.
    pub(crate) fn emit_lost(&mut self, error: TokenError, emit: Emit<'_>) -> Result<()> {
        if !self.conceals && self.refused.is_none() {
            *self.refused = Some(error.clone());
        }
        emit(Unit::Lost(error))
    }
}
