//! Encoding frames, and the sound beside them, in the mode that is asked for.

use std::process::ExitCode;

use anyhow::Result;
use siskin_core::media::PixelFormat;

use super::fit::Fit;
use super::input::VideoInput;
use super::job::Job;
use super::realtime::Realtime;
use super::session;
use crate::report::Report;
use crate::target::Target;

/// Encodes the video of an input.
pub(crate) fn run(job: &mut Job<'_>, target: Target, report: &mut Report) -> Result<ExitCode> {
    let is_realtime = job.video.is_realtime();
    let format = if is_realtime { PixelFormat::I420 } else { PixelFormat::Rgb };
    let input = VideoInput::of(&job.source, format)?;
    match is_realtime {
        true => session::run(job, input, target, report, Realtime::new),
        false => session::run(job, input, target, report, Fit::new),
    }
}
