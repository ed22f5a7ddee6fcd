//! What can go wrong in any part of Siskin, and the limits that readers hold input to.
//!
//! It is the ground floor: every other crate returns this [`Error`], so that a caller matches one type whichever part
//! refused its input. An error names the structure, the field, the offset and the allowed range where there are some.

mod error;
mod limits;
mod offset;
mod token;

pub use error::{Error, Result, Source};
pub use limits::Limits;
pub use offset::OffsetUnit;
pub use token::TokenError;
