//! How far a fit is, as messages on the bus (`GST_MESSAGE_PROGRESS`): nothing else is seen of an element that works for minutes to
//! hours without a packet.

use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use siskin_core::video::FitProgress;

/// Time from one message to the next. A step takes from milliseconds to seconds, and applications draw each message.
const INTERVAL: Duration = Duration::from_secs(1);
/// What the messages are about, for programs.
const CODE: &str = "fit";

/// The messages of a fit.
#[derive(Debug)]
pub(super) struct Messages {
    /// Number of the GOP, from 1.
    group: u64,
    last: Option<Instant>,
}

impl Messages {
    /// Those of the GOP of this number.
    pub(super) fn new(group: u64) -> Self {
        Self { group, last: None }
    }

    /// Posts that the fit has begun, at the first call, and how far it is, once a second.
    pub(super) fn post(&mut self, element: &gst::Element, progress: FitProgress) {
        let kind = match self.last {
            None => gst::ProgressType::Start,
            Some(last) if last.elapsed() >= INTERVAL => gst::ProgressType::Continue,
            Some(_) => return,
        };
        self.last = Some(Instant::now());
        let (done, all) = progress.steps;
        let psnr = progress.psnr.map(|psnr| format!(", {psnr:.1} dB")).unwrap_or_default();
        // Below 100 by the smaller of the two, whatever they are.
        let percent = (done.min(all) as f64 / all.max(1) as f64 * 100.0) as i32;
        self.send(element, kind, &format!("GOP {}: step {done} of {all}{psnr}", self.group), percent);
    }

    /// Posts how the fit has ended, if it has begun: with a packet or without one.
    pub(super) fn end(self, element: &gst::Element, is_complete: bool) {
        if self.last.is_none() {
            return;
        }
        let (kind, word, percent) = match is_complete {
            true => (gst::ProgressType::Complete, "done", 100),
            false => (gst::ProgressType::Canceled, "given up", -1),
        };
        self.send(element, kind, &format!("GOP {}: {word}", self.group), percent);
    }

    fn send(&self, element: &gst::Element, kind: gst::ProgressType, text: &str, percent: i32) {
        let message = gst::message::Progress::builder(kind, CODE, text)
            .src(element)
            .other_field("percent", percent)
            .other_field("group", self.group);
        // Without a bus nobody listens, which is no failure of the fit.
        let _: Result<(), glib::error::BoolError> = element.post_message(message.build());
    }
}
