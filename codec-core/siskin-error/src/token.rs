/// Tokens that cannot be taken, with the place and what is allowed there.
///
/// Positions count the tokens of a stream from 0, frames its codec frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A token that is neither a code of its codebook nor a special id.
    #[error("token {position} is {value}, allowed for codebook {codebook}: {low} to {high}")]
    Range {
        /// Which token.
        position: u64,
        /// The codebook whose code is due.
        codebook: usize,
        /// The token.
        value: i64,
        /// The codebook's lowest id in this layout.
        low: i64,
        /// Its highest.
        high: i64,
    },
    /// A special id where a code is due.
    #[error("token {position} is {value}, the special id {name:?}, where codebook {codebook} has a code")]
    Special {
        /// Which token.
        position: u64,
        /// The codebook whose code is due.
        codebook: usize,
        /// The id's name in the manifest.
        name: String,
        /// The token.
        value: i64,
    },
    /// A code of another codebook than the one that is due: tokens between them are missing.
    #[error("token {position} is a code of slot {found} where slot {due} is due: tokens are missing")]
    Order {
        /// Which token.
        position: u64,
        /// The slot of a frame that the token belongs to.
        found: usize,
        /// The slot whose code is due.
        due: usize,
    },
    /// A frame without all of its codes.
    #[error("frame {frame} is not whole: {missing} of {codebooks} codes are missing")]
    Incomplete {
        /// Which frame.
        frame: u64,
        /// How many of its codes are not there.
        missing: usize,
        /// How many there should be.
        codebooks: usize,
    },
    /// Codes for another number of codebooks.
    #[error("{found} codes, allowed: whole frames of {codebooks}")]
    Codebooks {
        /// How many there are.
        found: usize,
        /// How many a frame has.
        codebooks: usize,
    },
    /// Tokens after the end of the stream.
    #[error("token {position} comes after the end of the stream")]
    AfterEnd {
        /// Which token.
        position: u64,
    },
    /// A frame that the layout has reserved for something else.
    // A legal frame of codes, but one that a reader of the layout would take for the end, so writing it would lose
    // what follows.
    #[error("frame {frame} is all zeros, which means the end in this layout")]
    Reserved {
        /// Which frame.
        frame: u64,
    },
    /// More tokens than a layout may hold back.
    // Bounds the memory of a stream whose layout gives a frame's last code only at the very end.
    #[error("more than {most} frames are held back: this layout cannot stream")]
    TooLong {
        /// The most frames that are held.
        most: u64,
    },
    /// A mask that does not fit its tokens.
    #[error("{mask} mask values for {tokens} tokens")]
    Mask {
        /// Values of the mask.
        mask: usize,
        /// Tokens.
        tokens: usize,
    },
}
