//! Encoding frames, and the sound beside them, in the mode that is asked for.

use std::process::ExitCode;

use anyhow::Result;

use super::fit::Fit;
use super::input::VideoInput;
use super::job::Job;
use super::realtime::Realtime;
use super::session;
use crate::report::Report;
use crate::target::Target;

/// Encodes the video of an input.
pub(crate) fn run(job: &mut Job<'_>, target: Target, report: &mut Report) -> Result<ExitCode> {
    let planar = job.video.is_realtime();
    let input = VideoInput::of(&job.source, planar)?;
    match planar {
        true => session::run(job, input, target, report, Realtime::new),
        false => session::run(job, input, target, report, Fit::new),
    }
}
