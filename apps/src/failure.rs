//! How an error ends the program: one line on stderr, exit code 2 for what the user should type otherwise, else 1.

use std::fmt;
use std::process::ExitCode;

use crate::interrupt::{self, Interrupted};
use crate::report;

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
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Writes the error's line and gives the exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    // Causes that span lines (ONNX Runtime's do) would break the promise of one line.
    let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("siskin: {line}");
    let code = match error {
        _ if error.is::<Interrupted>() => interrupt::EXIT_CODE,
        _ if is_usage(error) => 2,
        _ => 1,
    };
    if json {
        // The exit code and stderr say it too, so a closed stdout loses nothing.
        report::line(&serde_json::json!({ "type": "error", "message": line, "exit_code": code })).ok();
    }
    ExitCode::from(code)
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Usage>() || matches!(cause.downcast_ref(), Some(siskin_core::Error::Parameter { .. }))
    })
}
