//! Seeks that begin early enough for the decoder to warm up.

/// Moves the target of seeks, and the segments that answer them back.
#[derive(Debug, Default)]
pub(super) struct Preroll {
    length: Option<gst::ClockTime>,
    /// The seek that was moved: its number and its own target.
    moved: Option<(gst::Seqnum, gst::ClockTime)>,
}

impl Preroll {
    /// Sets how much is decoded before the place sought.
    pub(super) fn set_length(&mut self, length: gst::ClockTime) {
        self.length = Some(length);
    }

    /// The event to be sent upstream for one that came from downstream.
    pub(super) fn move_seek(&mut self, event: gst::Event) -> gst::Event {
        let gst::EventView::Seek(seek) = event.view() else { return event };
        let (rate, flags, start_type, start, stop_type, stop) = seek.get();
        // In reverse packets do not follow one another, so a warm-up would gain nothing; relative seeks name no
        // target.
        let forward = rate > 0.0 && start_type == gst::SeekType::Set;
        // A seek to a key unit is to land where the demuxer has one, for the sake of other streams.
        let exact = !flags.contains(gst::SeekFlags::KEY_UNIT);
        let (gst::GenericFormattedValue::Time(Some(target)), Some(length)) = (start, self.length) else {
            return event;
        };
        if !forward || !exact || length.is_zero() {
            return event;
        }
        self.moved = Some((event.seqnum(), target));
        let early = gst::GenericFormattedValue::from(target.saturating_sub(length));
        // Otherwise a demuxer may land behind the early target, and the warm-up would be shorter than asked for.
        gst::event::Seek::builder(rate, flags | gst::SeekFlags::ACCURATE, start_type, early, stop_type, stop)
            // The number ties the segment that answers to this seek.
            .seqnum(event.seqnum())
            .build()
    }

    /// The event to be sent downstream for one that came from upstream.
    pub(super) fn restore_segment(&mut self, event: gst::Event) -> gst::Event {
        let gst::EventView::Segment(segment) = event.view() else { return event };
        let Some((_, target)) = self.moved.filter(|(number, _)| *number == event.seqnum()) else {
            return event;
        };
        let Some(own) = segment.segment().downcast_ref::<gst::ClockTime>() else { return event };
        let (Some(start), Some(time)) = (own.start(), own.time()) else { return event };
        // The target as it is counted in buffers.
        let wanted = (start + target).checked_sub(time).filter(|w| *w > start);
        let Some(wanted) = wanted else { return event };
        let mut restored = own.clone();
        // Samples before the start are decoded and then clipped by the base class or the sink: that is the warm-up.
        restored.set_start(wanted);
        restored.set_time(target);
        restored.set_position(wanted);
        gst::event::Segment::builder(&restored).seqnum(event.seqnum()).build()
    }
}

#[cfg(test)]
mod tests {
    use gst::ClockTime;

    use super::*;

    fn seek(flags: gst::SeekFlags, to: ClockTime) -> gst::Event {
        gst::event::Seek::new(1.0, flags, gst::SeekType::Set, to, gst::SeekType::None, ClockTime::NONE)
    }

    fn start(event: &gst::Event) -> Option<ClockTime> {
        match event.view() {
            gst::EventView::Seek(s) => match s.get().3 {
                gst::GenericFormattedValue::Time(time) => time,
                _ => None,
            },
            gst::EventView::Segment(s) => s.segment().downcast_ref::<ClockTime>().and_then(|s| s.start()),
            _ => None,
        }
    }

    #[test]
    fn a_seek_begins_early_and_its_segment_does_not() {
        gst::init().expect("GStreamer");
        let mut preroll = Preroll::default();
        let target = ClockTime::from_seconds(10);
        let flush = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        assert_eq!(start(&preroll.move_seek(seek(flush, target))), Some(target), "nothing known yet");
        preroll.set_length(ClockTime::from_mseconds(520));
        let early = preroll.move_seek(seek(flush, target));
        assert_eq!(start(&early), Some(ClockTime::from_mseconds(9480)));
        let mut segment = gst::FormattedSegment::<ClockTime>::new();
        segment.set_start(ClockTime::from_mseconds(9480));
        segment.set_time(ClockTime::from_mseconds(9480));
        let answer = |number| gst::event::Segment::builder(&segment).seqnum(number).build();
        assert_eq!(start(&preroll.restore_segment(answer(early.seqnum()))), Some(target));
        let other = gst::Seqnum::next();
        assert_eq!(start(&preroll.restore_segment(answer(other))), Some(ClockTime::from_mseconds(9480)));
        let key = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        assert_eq!(start(&preroll.move_seek(seek(key, target))), Some(target));
        assert_eq!(
            start(&preroll.move_seek(seek(flush, ClockTime::from_mseconds(100)))),
            Some(ClockTime::ZERO)
        );
    }
}
