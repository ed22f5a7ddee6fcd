//! Inner loops with AVX2, where compilers find less than the processor has. Each gives exactly what the loop for any processor gives.

mod filter;
mod sad;
mod satd;
mod transform;

use std::sync::LazyLock;

use pulp::x86::V3;

pub(super) use filter::{filter, halves};
pub(super) use sad::{sad, sads};
pub(super) use satd::satd;
pub(super) use transform::forward;

static SIMD: LazyLock<Option<V3>> = LazyLock::new(V3::try_new);

/// The instructions, where the processor has them.
pub(super) fn simd() -> Option<V3> {
    *SIMD
}
