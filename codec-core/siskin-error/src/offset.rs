use std::fmt;

/// What the offset of an [`Error::Bitstream`](crate::Error::Bitstream) counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetUnit {
    /// Bytes of the structure.
    #[default]
    Byte,
    /// Codes of a frame, `[stage][group]`.
    Code,
    /// Symbols that were decoded before.
    Symbol,
    /// Binary decisions that were decoded before.
    Decision,
}

impl fmt::Display for OffsetUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Byte => "byte",
            Self::Code => "code",
            Self::Symbol => "symbol",
            Self::Decision => "decision",
        })
    }
}
