//! Reading and writing bytes and bits, with the field and the offset in each error.

mod bits;
mod cursor;

pub use bits::{BitReader, BitWriter};
pub use cursor::{Cursor, put_signed, put_varint};
