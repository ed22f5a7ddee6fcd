//! One clock for all tracks of an input whose own clock may jump: recordings that were joined byte by byte, a clock that was set, a
//! counter that began anew.
//!
//! A jump moves everything after it by an offset. Whether all tracks jump or one alone is known only when the others have come as
//! far, so the packets of a track that jumps wait for that. What jumps together is moved by the same offset, so that what belonged
//! together stays together; a track that jumps alone goes on where it was.

/// All times are nanoseconds.
const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;

/// How far a track may go back before its clock counts as set back; that of `ffmpeg`.
const BACK: i64 = 100 * MS;
/// The same where the decoding times of frames are guessed from the order of display, and may be off by a few frames.
const BACK_GUESSED: i64 = 500 * MS;
/// The same of the first packet that has a decoding time.
const BACK_MIXED: i64 = 3 * SECOND;
/// How many frames later than it is decoded one may be shown: what frames without decoding times may go back by, however long each
/// is. A slide show has one in 5 s.
const REORDERED: i64 = 16;
/// A gap of a track that is not asked about: less may be missing whatever the other does.
const SHORT_GAP: i64 = SECOND;
/// The longest gap in all tracks that counts as one where clocks begin anew now and then; that of `ffmpeg`.
const GAP_BROADCAST: i64 = 10 * SECOND;
/// The longest gap in all tracks elsewhere: what a recorder left out for a pause.
const GAP: i64 = 60 * SECOND;
/// The longest gap of a track that is alone and whose container states that it lasts so long.
const GAP_STATED: i64 = 3600 * SECOND;
/// How far the tracks of a file lie apart in it, at the least; and the most that is taken for that.
const APART: i64 = 2 * SECOND;
const MAX_APART: i64 = 5 * SECOND;
/// How far apart two tracks may come down that jump together: recordings whose tracks begin one after the other.
const ALIKE: i64 = 10 * SECOND;
/// What a track may come to, after its jump, before the others count as ended.
const MAX_HELD: i64 = 5 * SECOND;

/// What is known of a packet before it is decoded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamp {
    /// Decoding and presentation time, where there are such.
    pub(super) dts: Option<i64>,
    pub(super) pts: Option<i64>,
    pub(super) duration: i64,
    pub(super) is_keyframe: bool,
    /// Whether it lies before what the container has shown of the track: only what comes later decodes from it.
    pub(super) is_cut: bool,
}

/// One track's place.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    /// Which of the offsets holds.
    epoch: usize,
    /// When the next packet is due for decoding, and where what came so far ends on the screen or in the ear.
    due: Option<i64>,
    end: i64,
    /// The decoding time of the last packet in the input's own time. The first packets of a stream may have none.
    decoded: Option<i64>,
    /// A jump that waits for the other tracks.
    held: Option<Jump>,
    /// What has been found out about it: the offset that holds from it on.
    decided: Option<usize>,
}

/// Where a track jumps.
#[derive(Debug, Clone, Copy)]
struct Jump {
    /// The time of the first packet behind it in the input, and when that was due.
    time: i64,
    due: i64,
    /// By how much it jumps.
    by: i64,
    /// How far the other tracks must come without a jump to show that this one jumps alone.
    proof: i64,
    /// What of the track has come since.
    since: i64,
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
    /// How far one track has come before another in the file.
    apart: i64,
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
            apart: 0,
        }
    }

    /// The earliest time of a track so far.
    pub(super) fn first(&self, track: usize) -> Option<i64> {
        self.firsts.get(track).copied().flatten()
    }

    /// By how much the times of the next packet of a track are to be moved; none if that is not known yet. Then it and those after
    /// it wait until [`Timeline::is_settled`] names the track.
    pub(super) fn place(&mut self, track: usize, stamp: Stamp) -> Option<i64> {
        let Some(time) = stamp.dts.or(stamp.pts) else {
            let clock = &mut self.clocks[track];
            clock.due = clock.due.map(|due| due.saturating_add(stamp.duration));
            return Some(self.offsets[clock.epoch]);
        };
        let decided = self.clocks[track].decided.take();
        let epoch = decided.or_else(|| self.epoch_of(track, time, &stamp))?;
        let offset = self.offsets[epoch];
        let shown = stamp.pts.unwrap_or(time).saturating_add(offset);
        let clock = &mut self.clocks[track];
        let is_new = epoch != clock.epoch || clock.due.is_none();
        let next = time.saturating_add(offset).saturating_add(stamp.duration);
        // Without decoding times the order is that of decoding, and times go back and forth.
        let is_ordered = stamp.dts.is_some() || is_new;
        clock.due = Some(if is_ordered { next } else { clock.due.map_or(next, |due| due.max(next)) });
        clock.end = clock.end.max(shown.saturating_add(stamp.duration));
        clock.decoded = stamp.dts;
        clock.epoch = epoch;
        if !stamp.is_cut {
            let first = &mut self.firsts[track];
            *first = Some(first.map_or(shown, |first| first.min(shown)));
        }
        self.ask_others(track);
        Some(offset)
    }

    /// Takes note of a packet that waits.
    pub(super) fn hold(&mut self, track: usize, stamp: Stamp) {
        let clock = &mut self.clocks[track];
        let Some(jump) = &mut clock.held else { return };
        jump.since = jump.since.saturating_add(stamp.duration.max(MS));
        if jump.since > MAX_HELD {
            self.decide_alone(track);
        }
    }

    /// Has what waits decided by what is known: nothing more comes.
    pub(super) fn end(&mut self) {
        for track in 0..self.clocks.len() {
            if self.clocks[track].held.is_some() {
                self.decide_alone(track);
            }
        }
    }

    /// Whether packets of a track that waited can be placed now.
    pub(super) fn is_settled(&self, track: usize) -> bool {
        self.clocks[track].held.is_none()
    }

    /// Which offset holds for a packet; none if that depends on what comes.
    fn epoch_of(&mut self, track: usize, time: i64, stamp: &Stamp) -> Option<usize> {
        let clock = self.clocks[track];
        let Some(due) = clock.due else {
            return Some(self.first_epoch(track, time));
        };
        let reordered = stamp.duration.saturating_mul(REORDERED);
        let back = match stamp.dts {
            Some(_) if clock.decoded.is_none() => BACK_MIXED,
            Some(dts) if Some(dts) != stamp.pts => BACK,
            _ if self.is_broadcast => BACK,
            Some(_) => BACK_GUESSED,
            None => BACK_GUESSED.max(reordered),
        };
        let late = |epoch: usize| time.saturating_add(self.offsets[epoch]).saturating_sub(due);
        let by = late(clock.epoch);
        // A frame that decodes alone is shown after all that came before it.
        let shown = stamp.pts.map(|pts| pts.saturating_add(self.offsets[clock.epoch]));
        let is_behind =
            stamp.is_keyframe && shown.is_some_and(|shown| shown < clock.end.saturating_sub(BACK));
        // A clock whose decoding times grow was not set back, whatever the durations say: Matroska states one for all frames, which
        // FFmpeg writes as the mean, 320 ms of a recorded screen whose frames are 33 ms apart while something moves.
        let goes_on = stamp.dts.zip(clock.decoded).is_some_and(|(dts, last)| dts >= last);
        // Decoding times begin before the times of display that stood for them, and these may be any of a slide show: what they
        // cannot be is much earlier than the first of them.
        let begins = stamp.dts.is_some() && clock.decoded.is_none();
        let first = self.firsts[track].filter(|_| begins).unwrap_or(due).min(due);
        let back_by = by.saturating_add(due.saturating_sub(first));
        let went_back = !goes_on && (back_by < -back || is_behind && !begins && by < 0);
        if !went_back && by <= SHORT_GAP {
            self.note_distance(track, due);
            return Some(clock.epoch);
        }
        if !went_back && self.is_proved(track, due.saturating_add(by)) {
            return Some(clock.epoch);
        }
        let fits =
            |&epoch: &usize| epoch != clock.epoch && (-BACK_GUESSED..=GAP_BROADCAST).contains(&late(epoch));
        if let Some(known) = (0..self.offsets.len()).rev().find(fits) {
            return Some(known);
        }
        let others = self.others(track).map(|c| c.end).max();
        let proof = others.map_or(due, |end| end.max(due)).saturating_add(self.apart());
        let jump = Jump { time, due, by, proof, since: 0 };
        let waits = |(i, c): (usize, &Clock)| c.held.filter(|_| i != track).map(|held| (i, held));
        if let Some((other, held)) = self.clocks.iter().enumerate().find_map(waits) {
            if held.time.saturating_sub(time).saturating_abs() <= ALIKE {
                let own = [self.clocks[other].epoch, clock.epoch];
                let [theirs, ours] = self.decide_together([held, jump]).map_or(own, |epoch| [epoch; 2]);
                self.decide(other, theirs);
                return Some(ours);
            }
            let epoch = self.jump_alone(held);
            self.decide(other, epoch);
        }
        if others.is_none() {
            return Some(self.epoch_alone(clock.epoch, jump));
        }
        self.clocks[track].held = Some(jump);
        None
    }

    /// Tracks beside one that have begun.
    fn others(&self, track: usize) -> impl Iterator<Item = &Clock> {
        let is_other = move |(i, c): &(usize, &Clock)| *i != track && c.due.is_some();
        self.clocks.iter().enumerate().filter(is_other).map(|(_, c)| c)
    }

    /// The offset for the first packet of a track: the newest, unless an earlier one brings it nearer to the others.
    fn first_epoch(&self, track: usize, time: i64) -> usize {
        let others = self.clocks.iter().enumerate().filter(|(i, c)| *i != track && c.due.is_some());
        let Some(end) = others.map(|(_, c)| c.end).max() else { return self.offsets.len() - 1 };
        let far =
            |epoch: &usize| time.saturating_add(self.offsets[*epoch]).saturating_sub(end).saturating_abs();
        (0..self.offsets.len()).rev().min_by_key(far).unwrap_or(0)
    }

    /// How far the tracks lie apart in the file, as far as has been seen, with room to spare.
    fn apart(&self) -> i64 {
        (self.apart + self.apart / 2 + SECOND).max(APART)
    }

    /// Takes note of how far the others are ahead of a track that goes on.
    fn note_distance(&mut self, track: usize, due: i64) {
        let ahead = self.others(track).map(|c| c.end.saturating_sub(due)).max().unwrap_or(0);
        self.apart = self.apart.max(ahead.min(MAX_APART));
    }

    /// Whether a gap up to a time is one and no jump: another track has come across it packet by packet.
    fn is_proved(&self, track: usize, at: i64) -> bool {
        self.others(track).any(|c| c.end >= at.saturating_sub(self.apart()))
    }

    /// Decides about tracks that wait, now that one has come further without a jump.
    fn ask_others(&mut self, track: usize) {
        let end = self.clocks[track].end;
        for other in 0..self.clocks.len() {
            let Some(jump) = self.clocks[other].held.filter(|_| other != track) else { continue };
            if end >= jump.proof {
                let epoch = self.jump_alone(jump);
                self.decide(other, epoch);
            }
        }
    }

    fn decide(&mut self, track: usize, epoch: usize) {
        let clock = &mut self.clocks[track];
        (clock.held, clock.decided) = (None, Some(epoch));
    }

    /// Decides about a track beside which nothing comes any more.
    fn decide_alone(&mut self, track: usize) {
        let Some(jump) = self.clocks[track].held else { return };
        // Another one went past the place and has ended since.
        let was_passed = self.others(track).any(|c| c.end >= jump.due.saturating_add(self.apart()));
        let epoch = match was_passed {
            true => self.jump_alone(jump),
            false => self.epoch_alone(self.clocks[track].epoch, jump),
        };
        self.decide(track, epoch);
    }

    /// The offset after a jump beside which there is no other track: a gap that is no longer than gaps are leaves it as it was.
    fn epoch_alone(&mut self, epoch: usize, jump: Jump) -> usize {
        let end = jump.due.saturating_add(jump.by);
        let is_stated = !self.is_broadcast && jump.by <= GAP_STATED;
        let is_stated = is_stated && self.stated_end.is_some_and(|stated| end <= stated);
        match jump.by >= 0 && (jump.by <= self.longest_gap() || is_stated) {
            true => epoch,
            false => self.jump_alone(jump),
        }
    }

    /// The offset after a jump of both tracks, with which neither overlaps with what it had before, and one of them follows that at
    /// once; none for a gap.
    fn decide_together(&mut self, jumps: [Jump; 2]) -> Option<usize> {
        let by = jumps[0].by.min(jumps[1].by);
        if by >= 0 && by <= self.longest_gap() {
            return None;
        }
        self.jumps.push((jumps[0].due.min(jumps[1].due), by));
        let offsets = jumps.map(|jump| jump.due.saturating_sub(jump.time));
        self.offsets.push(offsets[0].max(offsets[1]));
        Some(self.offsets.len() - 1)
    }

    /// The offset that lets a track go on where it was.
    fn jump_alone(&mut self, jump: Jump) -> usize {
        self.jumps.push((jump.due, jump.by));
        self.offsets.push(jump.due.saturating_sub(jump.time));
        self.offsets.len() - 1
    }

    fn longest_gap(&self) -> i64 {
        if self.is_broadcast { GAP_BROADCAST } else { GAP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 40 ms at a time in milliseconds.
    fn at(ms: i64) -> Stamp {
        Stamp { dts: Some(ms * MS), pts: Some(ms * MS), duration: 40 * MS, is_keyframe: true, is_cut: false }
    }

    /// Where packets of tracks 0 and 1 come down, in milliseconds, by track; what waits is placed when it can be.
    fn placed(timeline: &mut Timeline, packets: impl IntoIterator<Item = (usize, i64)>) -> [Vec<i64>; 2] {
        let mut places = [Vec::new(), Vec::new()];
        let mut waiting: [Vec<i64>; 2] = [Vec::new(), Vec::new()];
        let release = |timeline: &mut Timeline, waiting: &mut [Vec<i64>; 2], places: &mut [Vec<i64>; 2]| {
            for track in 0..timeline.clocks.len() {
                while timeline.is_settled(track) && !waiting[track].is_empty() {
                    let ms = waiting[track][0];
                    let Some(offset) = timeline.place(track, at(ms)) else { break };
                    places[track].push(ms + offset / MS);
                    waiting[track].remove(0);
                }
            }
        };
        for (track, ms) in packets {
            match timeline.is_settled(track) {
                true => match timeline.place(track, at(ms)) {
                    Some(offset) => places[track].push(ms + offset / MS),
                    None => waiting[track].push(ms),
                },
                false => {
                    waiting[track].push(ms);
                    timeline.hold(track, at(ms));
                }
            }
            release(timeline, &mut waiting, &mut places);
        }
        while waiting.iter().any(|w| !w.is_empty()) {
            timeline.end();
            release(timeline, &mut waiting, &mut places);
        }
        places
    }

    /// Packets of both tracks, one after the other.
    fn both(times: impl Iterator<Item = i64>) -> impl Iterator<Item = (usize, i64)> {
        times.flat_map(|ms| [(0, ms), (1, ms)])
    }

    /// Whether packets follow each other without gaps.
    fn is_even(places: &[i64]) -> bool {
        places.windows(2).all(|w| w[1] - w[0] == 40)
    }

    #[test]
    fn joined_recordings_follow_each_other_in_step() {
        for second in [0, 1400, 100_000, 95_443_717] {
            let mut timeline = Timeline::new(2, true, None);
            // The sound of the second one begins 60 ms after its frames, and comes three packets later in the file.
            let first = both((0..100).map(|i| 1400 + i * 40));
            let rest = (0..60).flat_map(|i| [(0, second + i * 40), (1, second + 60 + (i - 3) * 40)]);
            let rest = rest.filter(|&(_, ms)| ms >= second).filter(|&(t, ms)| t == 0 || ms >= second + 60);
            let [pictures, sound] = placed(&mut timeline, first.chain(rest));
            assert!(is_even(&pictures) && pictures.len() == 160, "{second}: {pictures:?}");
            assert_eq!((sound[100], sound.len()), (5460, 157), "{second}");
            assert_eq!(timeline.jumps.len(), 1, "{second}");
        }
    }

    #[test]
    fn recordings_whose_sound_ends_early_stay_in_step_when_they_are_joined() {
        let mut timeline = Timeline::new(2, true, None);
        let first = (0..500).flat_map(|i| [(0, i * 40), (1, i * 40)]).filter(|&(t, ms)| t == 0 || ms < 8000);
        let packets: Vec<_> = first.collect();
        let twice = packets.iter().chain(&packets).copied();
        let [pictures, sound] = placed(&mut timeline, twice);
        assert!(is_even(&pictures) && pictures.len() == 1000);
        assert_eq!((sound.len(), sound[200], sound[201]), (400, 20_000, 20_040));
    }

    #[test]
    fn a_clock_that_is_set_for_both_tracks_leaves_no_gap() {
        for jump in [-3_600_000, -20_000, -3000, 20_000, 90_000, 1 << 40] {
            let mut timeline = Timeline::new(2, true, None);
            // The sound lies half a second behind the frames in the file.
            let set = |i: i64| if i >= 100 { i * 40 + jump } else { i * 40 };
            let packets = (0..300).flat_map(|i| [Some((0, set(i))), (i >= 12).then(|| (1, set(i - 12)))]);
            let [pictures, sound] = placed(&mut timeline, packets.flatten());
            assert!(is_even(&pictures) && pictures.len() == 300, "{jump}: {pictures:?}");
            assert!(is_even(&sound) && sound.len() == 288, "{jump}: {sound:?}");
            assert_eq!((pictures[0], sound[0], timeline.jumps.len()), (0, 0, 1), "{jump}");
        }
    }

    #[test]
    fn gaps_stay_gaps() {
        let mut timeline = Timeline::new(2, false, None);
        assert_eq!(placed(&mut timeline, [0, 40, 30_000].map(|ms| (0, ms)))[0], [0, 40, 30_000]);
        // The sound was off for ten minutes, the frames were not.
        let mut timeline = Timeline::new(2, false, None);
        let packets = (0..15_050).map(|i| (0, i * 40)).chain([(1, 600_000), (1, 600_040)]);
        let sound = &placed(&mut timeline, [(1, 0), (1, 40), (1, 80)].into_iter().chain(packets))[1];
        assert_eq!(sound[3..], [600_000, 600_040]);
        assert!(timeline.jumps.is_empty());
        // Both were.
        let mut timeline = Timeline::new(2, false, None);
        let times = (0..100).chain(600..700).map(|i| i * 40);
        let [pictures, sound] = placed(&mut timeline, both(times.clone()));
        assert_eq!((&pictures, &sound), (&times.clone().collect(), &times.collect()));
        // Alone it needs the container's word.
        for (stated, expected) in [(None, 120), (Some(601 * SECOND), 600_000)] {
            let mut timeline = Timeline::new(1, false, stated);
            assert_eq!(placed(&mut timeline, [0, 40, 80, 600_000].map(|ms| (0, ms)))[0][3], expected);
        }
    }

    #[test]
    fn a_track_whose_clock_alone_is_set_goes_on() {
        for jump in [-3000, -200, 20_000, 70_000, 3_600_000, 1 << 40] {
            let set = |ms: i64| if ms >= 5000 { ms + jump } else { ms };
            // Side by side as they were recorded, and sorted by the new times as a muxer does it.
            let recorded: Vec<_> = (0..250).flat_map(|i| [(0, i * 40), (1, set(i * 40))]).collect();
            let mut sorted = recorded.clone();
            sorted.sort_by_key(|p| p.1);
            for packets in [Some(recorded), (jump > 0).then_some(sorted)].into_iter().flatten() {
                let mut timeline = Timeline::new(2, false, None);
                let [pictures, sound] = placed(&mut timeline, packets);
                assert!(is_even(&pictures) && pictures.len() == 250, "{jump}");
                assert!(is_even(&sound) && sound.len() == 250, "{jump}: {sound:?}");
            }
        }
    }

    #[test]
    fn pictures_out_of_order_are_no_jumps() {
        let mut timeline = Timeline::new(1, false, None);
        let order = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        for (i, ms) in order.into_iter().enumerate() {
            let stamp = Stamp {
                dts: None,
                pts: Some(ms * MS),
                duration: 40 * MS,
                is_keyframe: i == 0,
                is_cut: false,
            };
            assert_eq!(timeline.place(0, stamp), Some(0), "{ms}");
        }
        assert_eq!(timeline.first(0), Some(0));
        let is_keyframe =
            Stamp { dts: None, pts: Some(100 * MS), duration: 40 * MS, is_keyframe: true, is_cut: false };
        assert_eq!(timeline.place(0, is_keyframe), Some(260 * MS));
    }

    #[test]
    fn decoding_times_may_be_missing_at_first() {
        // As FFmpeg reads H.264 out of Matroska.
        let mut timeline = Timeline::new(2, false, None);
        for (i, (dts, pts)) in [(None, 21), (None, 181), (Some(21), 101), (Some(61), 61), (Some(101), 141)]
            .into_iter()
            .enumerate()
        {
            let stamp = Stamp {
                dts: dts.map(|ms| ms * MS),
                pts: Some(pts * MS),
                duration: 40 * MS,
                is_keyframe: i == 0,
                is_cut: false,
            };
            assert_eq!(timeline.place(0, stamp), Some(0), "{pts}");
        }
    }

    #[test]
    fn frames_that_last_long_or_less_than_stated_are_no_jumps() {
        // A slide show and a recorded screen with B-frames out of Matroska: (decoding time, time of display) and the stated duration.
        let slides = [(None, 0), (None, 15_000), (Some(0), 5000), (Some(5000), 10_000)];
        // The first two come without decoding times, and the third is decoded before the second is shown.
        let joined = [(None, 0), (None, 9000), (Some(0), 3000), (Some(3000), 11_000)];
        let screen = [
            (None, 0),
            (Some(66), 133),
            (Some(99), 99),
            (Some(133), 166),
            (Some(166), 200),
            (Some(166), 240),
            (Some(3000), 3033),
        ];
        for (frames, duration) in [(&slides[..], 5000), (&joined[..], 40), (&screen[..], 320)] {
            let mut timeline = Timeline::new(2, false, None);
            for (i, &(dts, pts)) in frames.iter().enumerate() {
                let (dts, pts) = (dts.map(|ms: i64| ms * MS), Some(pts * MS));
                let stamp = Stamp {
                    dts,
                    pts,
                    duration: duration * MS,
                    is_keyframe: i == 0 || pts == dts,
                    is_cut: false,
                };
                assert_eq!(timeline.place(0, stamp), Some(0), "{stamp:?}");
            }
            assert!(timeline.jumps.is_empty());
        }
    }

    #[test]
    fn a_track_begins_where_its_edit_does() {
        // As FFmpeg reads an MP4 that was cut between keyframes.
        let mut timeline = Timeline::new(1, false, None);
        for ms in (-3320..80).step_by(40) {
            let stamp = Stamp { is_cut: ms < 0, ..at(ms) };
            assert_eq!(timeline.place(0, stamp), Some(0), "{ms}");
        }
        assert_eq!(timeline.first(0), Some(0));
    }

    #[test]
    fn absurd_times_do_no_harm() {
        let mut timeline = Timeline::new(2, true, Some(i64::MAX));
        for time in [0, i64::MIN, i64::MAX, -1, i64::MIN + 1, 0, i64::MAX / 2] {
            for track in 0..2 {
                for (dts, duration) in [(Some(time), 0), (None, i64::MAX)] {
                    let stamp =
                        Stamp { dts, pts: Some(time), duration, is_keyframe: dts.is_some(), is_cut: false };
                    match timeline.is_settled(track) {
                        true => drop(timeline.place(track, stamp)),
                        false => timeline.hold(track, stamp),
                    }
                }
            }
        }
        timeline.end();
    }
}
