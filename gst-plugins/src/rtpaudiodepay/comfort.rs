//! Keeps comfort noise going through a pause of the sender, who sends nothing but a SID frame every few hundred milliseconds:
//! gap events in real time, at which the decoder goes on with its noise. Without them a mixer or a sound card would play digital
//! silence until the next payload shows by its time what was missing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use gst::ClockTime;
use gst::prelude::*;
use gst_rtp::prelude::*;

use crate::sync::lock;

/// How long after a SID frame noise goes on. A sender repeats SID frames at least every second; one that has stopped is gone.
const MAX_PAUSE: ClockTime = ClockTime::from_seconds(3);

/// A pause of the sender.
#[derive(Debug, Clone, Copy)]
struct Pause {
    /// Time of the next gap.
    from: ClockTime,
    /// When it is taken for the end of the stream.
    until: ClockTime,
    /// How long a gap lasts.
    hop: ClockTime,
    /// Counts pauses and their payloads.
    number: u64,
}

#[derive(Debug, Default)]
struct State {
    pause: Option<Pause>,
    number: u64,
    is_playing: bool,
    is_stopped: bool,
    wait: Option<gst::SingleShotClockId>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Never held while data is pushed.
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Changes the state and wakes the thread.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        state.wait.take().iter().for_each(|wait| wait.unschedule());
        self.changed.notify_all();
    }

    /// Waits for a pause; none once the element is stopped.
    fn wait_for_pause(&self) -> Option<(Pause, MutexGuard<'_, State>)> {
        let mut state = lock(&self.state);
        loop {
            match state.pause {
                _ if state.is_stopped => return None,
                Some(pause) if state.is_playing => return Some((pause, state)),
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The noise of an element's pauses. Its thread runs from the first pause to the stop of the element.
#[derive(Debug, Default)]
pub(super) struct ComfortNoise {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ComfortNoise {
    /// A payload that ends at `end` has come; `is_pause` says whether it describes noise that goes on from there.
    pub(super) fn follow(
        &self,
        element: &super::RtpSiskinAudioDepay,
        is_pause: bool,
        end: Option<ClockTime>,
        hop: ClockTime,
    ) {
        if !is_pause && lock(&self.shared.state).pause.is_none() {
            return;
        }
        self.shared.change(|state| {
            state.number += 1;
            let number = state.number;
            let pause = |from: ClockTime| Pause { from, until: from.saturating_add(MAX_PAUSE), hop, number };
            state.pause = end.filter(|_| is_pause && !hop.is_zero()).map(pause);
        });
        let mut thread = lock(&self.thread);
        if is_pause && thread.is_none() {
            let (shared, element) = (self.shared.clone(), element.clone());
            let named = std::thread::Builder::new().name("siskin-noise".into());
            // Without a thread a pause is silent, as it would be without this.
            *thread = named.spawn(move || run(&shared, &element)).ok();
        }
    }

    /// The clock runs, or it stands still.
    pub(super) fn set_playing(&self, is_playing: bool) {
        self.shared.change(|state| (state.is_playing, state.is_stopped) = (is_playing, false));
    }

    /// Forgets the pause.
    pub(super) fn reset(&self) {
        self.shared.change(|state| state.pause = None);
    }

    /// Lets the thread end; to be called before the pads are deactivated, which lets go what it may be pushing.
    pub(super) fn stop(&self) {
        self.shared.change(|state| (state.is_stopped, state.pause) = (true, None));
    }

    /// Waits for the thread's end; to be called once the pads are deactivated.
    pub(super) fn join(&self) {
        let thread = lock(&self.thread).take();
        // It does not panic; and if it did, there would be nothing to save.
        thread.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn run(shared: &Shared, element: &super::RtpSiskinAudioDepay) {
    while let Some((pause, mut state)) = shared.wait_for_pause() {
        let Some((clock, due)) = element.clock().zip(due_time(element, pause)) else {
            // Not live: the next payload shows by its time how long the pause was.
            state.pause = None;
            continue;
        };
        let wait = clock.new_single_shot_id(due);
        state.wait = Some(wait.clone());
        drop(state);
        if wait.wait().0.is_ok() {
            push_gap(shared, element, pause.number);
        }
    }
}

/// When the gap of a pause must go out: when no payload can come any more in its place, less half a frame for the way to a sink
/// that waits for nothing.
fn due_time(element: &super::RtpSiskinAudioDepay, pause: Pause) -> Option<ClockTime> {
    let mut query = gst::query::Latency::new();
    let sink = element.sink_pad();
    if !sink.peer_query(&mut query) || !query.result().0 {
        return None;
    }
    let wait = query.result().1.saturating_sub(pause.hop / 2);
    let segment = sink.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<ClockTime>()?.clone();
    Some(element.base_time()? + segment.to_running_time(pause.from)? + wait)
}

/// Pushes the next gap of a pause, unless a payload has come.
fn push_gap(shared: &Shared, element: &super::RtpSiskinAudioDepay, number: u64) {
    let sink = element.sink_pad();
    let _serialized = sink.stream_lock();
    let gap = {
        let mut state = lock(&shared.state);
        let Some(pause) = state.pause.as_mut().filter(|pause| pause.number == number) else { return };
        let start = pause.from;
        pause.from = start.saturating_add(pause.hop);
        let (hop, is_over) = (pause.hop, pause.from >= pause.until);
        if is_over {
            state.pause = None;
        }
        gst::event::Gap::builder(start).duration(hop).build()
    };
    element.src_pad().push_event(gap);
}
