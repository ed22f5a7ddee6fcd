//! Mistakes in the command line, which end the program with another exit code than what goes wrong at work.

use std::fmt;

/// A mistake in the command line that `clap` cannot see, such as a value beyond what the model offers.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A usage error as an [`anyhow::Error`].
pub(crate) fn usage_error(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Whether the user should have typed something else.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        // The core's parameter errors are about values that came from the command line.
        cause.is::<Usage>() || matches!(cause.downcast_ref(), Some(siskin_core::Error::Parameter { .. }))
    })
}
