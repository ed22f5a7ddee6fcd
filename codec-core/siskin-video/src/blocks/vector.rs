//! Loops over samples with the widest vector instructions that the processor has.

use std::sync::LazyLock;

use pulp::NullaryFnOnce;

static ARCH: LazyLock<pulp::Arch> = LazyLock::new(pulp::Arch::new);

/// Runs a loop that was compiled for each level of vector instructions. All arithmetic is in integers, so every level gives the
/// same. Only what is inlined into `work` gains, and `work` itself must be: `#[inline(always)] ||`.
// The baseline of x86-64 has vectors of 16 bytes and no signed 32-bit multiplication: with AVX2 the encoder takes half the time.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnMut() -> R) -> R {
    ARCH.dispatch(Direct(work))
}

/// A closure that is called where it stands.
// As `FnOnce`, one that only borrows is called by way of a function that nobody forces to be inlined. If it is too large for that it
// has no vector instructions, and calls each intrinsic as a function: so did the forward transform, for two fifths of the processor
// time of an encoder.
pub(super) struct Direct<F>(pub(super) F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Direct<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}
