//! Probabilities of a "yes" at which the contexts begin, of 65,536.

use super::contexts::COUNT;

pub(super) static INITIAL: [u16; COUNT] = [1 << 15; COUNT];
