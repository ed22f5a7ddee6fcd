//! Loops over samples with the widest vector instructions that the processor has.

use std::sync::LazyLock;

static ARCH: LazyLock<pulp::Arch> = LazyLock::new(pulp::Arch::new);

/// Runs a loop that was compiled for each level of vector instructions. All arithmetic is in integers, so every level gives the
/// same. Only what is inlined into `work` gains, and `work` itself must be: `#[inline(always)] ||`.
// The baseline of x86-64 has vectors of 16 bytes and no signed 32-bit multiplication: with AVX2 the encoder takes half the time.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    ARCH.dispatch(work)
}
