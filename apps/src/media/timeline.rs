//! One clock for all tracks of an input whose own clock may jump: recordings that were joined byte by byte, a clock that was set, a
//! counter that began anew.
//!
//! A jump moves everything after it by an offset. The tracks of a file jump at different packets, and each jump found in one track is
//! offered to the others, so that what belonged together stays together.

/// All times are nanoseconds.
const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;

/// How far a track may go back before its clock counts as set back; that of `ffmpeg`.
const BACK: i64 = 100 * MS;
/// The same where the decoding times of pictures are guessed from the order of display, and may be off by a few pictures.
const BACK_GUESSED: i64 = 500 * MS;
/// The longest gap in all tracks that counts as one where clocks begin anew now and then; that of `ffmpeg`.
const GAP_BROADCAST: i64 = 10 * SECOND;
/// The longest gap in all tracks elsewhere: what a recorder left out for a pause.
const GAP: i64 = 60 * SECOND;
/// The longest gap of a track that is alone and whose container states that it lasts so long.
const GAP_STATED: i64 = 3600 * SECOND;
/// How near another track must have come to the end of a gap to prove it.
const NEAR: i64 = 10 * SECOND;

/// What is known of a packet before it is decoded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamp {
    /// Decoding and presentation time, where there are such.
    pub(super) dts: Option<i64>,
    pub(super) pts: Option<i64>,
    pub(super) duration: i64,
    pub(super) is_key: bool,
}

/// One track's place.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    /// Which of the offsets holds.
    epoch: usize,
    /// When the next packet is due for decoding, and where what came so far ends on the screen or in the ear.
    due: Option<i64>,
    end: i64,
}

/// The clock of an input.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Offsets from the input's own times, one for each time that its clock was set.
    offsets: Vec<i64>,
    clocks: Vec<Clock>,
    /// Whether the format is one whose clock begins anew in the middle, by its nature.
    is_broadcast: bool,
    /// Where the container says that it ends.
    stated_end: Option<i64>,
    /// Jumps: where, and by how much.
    pub(super) jumps: Vec<(i64, i64)>,
    /// The earliest time of each track.
    firsts: Vec<Option<i64>>,
}

impl Timeline {
    pub(super) fn new(tracks: usize, is_broadcast: bool, stated_end: Option<i64>) -> Self {
        Self {
            offsets: vec![0],
            clocks: vec![Clock::default(); tracks],
            is_broadcast,
            stated_end,
            jumps: Vec::new(),
            firsts: vec![None; tracks],
        }
    }

    /// The earliest time of a track so far.
    pub(super) fn first(&self, track: usize) -> Option<i64> {
        self.firsts.get(track).copied().flatten()
    }

    /// By how much the times of the next packet of a track are to be moved.
    pub(super) fn place(&mut self, track: usize, stamp: Stamp) -> i64 {
        let Some(time) = stamp.dts.or(stamp.pts) else {
            let clock = &mut self.clocks[track];
            clock.due = clock.due.map(|due| due.saturating_add(stamp.duration));
            return self.offsets[clock.epoch];
        };
        let epoch = self.epoch_of(track, time, &stamp);
        let offset = self.offsets[epoch];
        let shown = stamp.pts.unwrap_or(time).saturating_add(offset);
        let clock = &mut self.clocks[track];
        let is_new = epoch != clock.epoch || clock.due.is_none();
        let next = time.saturating_add(offset).saturating_add(stamp.duration);
        // Without decoding times the order is that of decoding, and times go back and forth.
        let is_ordered = stamp.dts.is_some() || is_new;
        clock.due = Some(if is_ordered { next } else { clock.due.map_or(next, |due| due.max(next)) });
        clock.end = clock.end.max(shown.saturating_add(stamp.duration));
        clock.epoch = epoch;
        let first = &mut self.firsts[track];
        *first = Some(first.map_or(shown, |first| first.min(shown)));
        offset
    }

    /// Which offset holds for a packet.
    fn epoch_of(&mut self, track: usize, time: i64, stamp: &Stamp) -> usize {
        let clock = self.clocks[track];
        let Some(due) = clock.due else {
            return self.first_epoch(track, time);
        };
        let back = if stamp.dts.is_some_and(|dts| Some(dts) != stamp.pts) || self.is_broadcast {
            BACK
        } else {
            BACK_GUESSED
        };
        let late = |epoch: usize| time.saturating_add(self.offsets[epoch]).saturating_sub(due);
        let own = late(clock.epoch);
        // A picture that decodes alone is shown after all that came before it.
        let shown = stamp.pts.map(|pts| pts.saturating_add(self.offsets[clock.epoch]));
        let is_behind = stamp.is_key && shown.is_some_and(|shown| shown < clock.end.saturating_sub(BACK));
        let went_back = own < -back || is_behind && own < 0;
        if !went_back && (own <= self.longest_gap() || self.is_proved(track, time, own)) {
            return clock.epoch;
        }
        let fits =
            |&epoch: &usize| epoch != clock.epoch && (-BACK_GUESSED..=GAP_BROADCAST).contains(&late(epoch));
        if let Some(known) = (0..self.offsets.len()).rev().find(fits) {
            return known;
        }
        self.jumps.push((due, own));
        // After everything that came so far in tracks that have come as far.
        let ends = self
            .clocks
            .iter()
            .filter(|c| c.due.is_some() && c.end.saturating_sub(due).saturating_abs() < NEAR);
        let end = ends.map(|c| c.end).max().unwrap_or(due).max(due);
        self.offsets.push(end.saturating_sub(time));
        self.offsets.len() - 1
    }

    /// The offset for the first packet of a track: the newest, unless an earlier one brings it nearer to the others.
    fn first_epoch(&self, track: usize, time: i64) -> usize {
        let others = self.clocks.iter().enumerate().filter(|(i, c)| *i != track && c.due.is_some());
        let Some(end) = others.map(|(_, c)| c.end).max() else { return self.offsets.len() - 1 };
        let far =
            |epoch: &usize| time.saturating_add(self.offsets[*epoch]).saturating_sub(end).saturating_abs();
        (0..self.offsets.len()).rev().min_by_key(far).unwrap_or(0)
    }

    fn longest_gap(&self) -> i64 {
        if self.is_broadcast { GAP_BROADCAST } else { GAP }
    }

    /// Whether a long gap is one and no jump: another track has come across it packet by packet, or the container says so.
    fn is_proved(&self, track: usize, time: i64, gap: i64) -> bool {
        let epoch = self.clocks[track].epoch;
        let at = time.saturating_add(self.offsets[epoch]);
        let mut others =
            self.clocks.iter().enumerate().filter(|(i, c)| *i != track && c.due.is_some()).peekable();
        if others.peek().is_none() {
            return !self.is_broadcast && gap <= GAP_STATED && self.stated_end.is_some_and(|end| at <= end);
        }
        others.any(|(_, c)| c.epoch == epoch && c.end >= at.saturating_sub(NEAR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 40 ms at a time in milliseconds.
    fn at(ms: i64) -> Stamp {
        Stamp { dts: Some(ms * MS), pts: Some(ms * MS), duration: 40 * MS, is_key: true }
    }

    /// The places of packets, in milliseconds.
    fn placed(timeline: &mut Timeline, track: usize, times: impl IntoIterator<Item = i64>) -> Vec<i64> {
        times.into_iter().map(|ms| ms + timeline.place(track, at(ms)) / MS).collect()
    }

    #[test]
    fn joined_recordings_follow_each_other_in_step() {
        for second in [0, 1400, 100_000, 95_443_717] {
            let mut timeline = Timeline::new(2, true, None);
            placed(&mut timeline, 0, (0..100).map(|i| 1400 + i * 40));
            placed(&mut timeline, 1, (0..100).map(|i| 1400 + i * 40));
            let pictures = placed(&mut timeline, 0, (0..3).map(|i| second + i * 40));
            assert_eq!(pictures, [5400, 5440, 5480], "{second}");
            // The sound of the second one begins 60 ms after its pictures.
            assert_eq!(placed(&mut timeline, 1, [second + 60]), [5460], "{second}");
            assert_eq!(timeline.jumps.len(), usize::from(second != 1400 + 4000));
        }
    }

    #[test]
    fn gaps_stay_gaps() {
        let mut timeline = Timeline::new(2, false, None);
        assert_eq!(placed(&mut timeline, 0, [0, 40, 30_000]), [0, 40, 30_000]);
        // The sound was off for ten minutes, the pictures were not.
        let mut timeline = Timeline::new(2, false, None);
        placed(&mut timeline, 1, [0, 40, 80]);
        placed(&mut timeline, 0, (0..15_000).map(|i| i * 40));
        assert_eq!(placed(&mut timeline, 1, [600_000]), [600_000]);
        assert!(timeline.jumps.is_empty());
        // Alone it needs the container's word.
        for (stated, expected) in [(None, 120), (Some(601 * SECOND), 600_000)] {
            let mut timeline = Timeline::new(1, false, stated);
            assert_eq!(placed(&mut timeline, 0, [0, 40, 80, 600_000])[3], expected);
        }
    }

    #[test]
    fn a_track_whose_clock_alone_is_set_goes_on() {
        for jump in [-3000, -200, 70_000, 3_600_000, 1 << 40] {
            let mut timeline = Timeline::new(2, false, None);
            placed(&mut timeline, 0, (0..125).map(|i| i * 40));
            let before = placed(&mut timeline, 1, (0..125).map(|i| i * 40));
            let after = placed(&mut timeline, 1, (125..130).map(|i| i * 40 + jump));
            assert_eq!((before[124], after[0], after[4]), (4960, 5000, 5160), "{jump}");
            assert_eq!(placed(&mut timeline, 0, [5000, 5040]), [5000, 5040], "{jump}");
            assert_eq!(timeline.jumps.len(), 1);
        }
    }

    #[test]
    fn pictures_out_of_order_are_no_jumps() {
        let mut timeline = Timeline::new(1, false, None);
        let order = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        for (i, ms) in order.into_iter().enumerate() {
            let stamp = Stamp { dts: None, pts: Some(ms * MS), duration: 40 * MS, is_key: i == 0 };
            assert_eq!(timeline.place(0, stamp), 0, "{ms}");
        }
        assert_eq!(timeline.first(0), Some(0));
        let key = Stamp { dts: None, pts: Some(100 * MS), duration: 40 * MS, is_key: true };
        assert_eq!(timeline.place(0, key), 260 * MS);
    }

    #[test]
    fn absurd_times_do_no_harm() {
        let mut timeline = Timeline::new(2, true, Some(i64::MAX));
        for time in [0, i64::MIN, i64::MAX, -1, i64::MIN + 1, 0, i64::MAX / 2] {
            for track in 0..2 {
                timeline.place(track, Stamp { dts: Some(time), pts: Some(time), duration: 0, is_key: true });
                timeline
                    .place(track, Stamp { dts: None, pts: Some(time), duration: i64::MAX, is_key: false });
            }
        }
    }
}
