//! How long payloads last: what the element's properties, the caps of the peer and its SDP say, in frames.

use gst::ClockTime;
use gst::prelude::*;
use siskin_core::bitstream::rtp::MAX_FRAMES;

/// Fewest and most frames of a payload; a most of 0 is no limit but the format's and the MTU's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FrameRange {
    pub(super) min: u8,
    pub(super) max: u8,
}

/// Lengths of a payload; none where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PacketTime {
    min: Option<ClockTime>,
    max: Option<ClockTime>,
}

impl PacketTime {
    /// What the properties `min-ptime` and `max-ptime` of the base class say.
    pub(super) fn from_properties(element: &impl IsA<gst_rtp::RTPBasePayload>) -> Self {
        // A negative property is none, and a shortest length of 0 is what every payload has.
        let time = |name| u64::try_from(element.property::<i64>(name)).ok().map(ClockTime::from_nseconds);
        Self { min: time("min-ptime").filter(|time| !time.is_zero()), max: time("max-ptime") }
    }

    /// What was negotiated: `ptime`, `maxptime` and `minptime` in caps. `ptime` asks for payloads of that length, no longer and
    /// no shorter.
    pub(super) fn from_caps(caps: &gst::CapsRef) -> Self {
        Self::from_fields(caps, "")
    }

    /// What the peer's SDP asks for: `a-ptime`, `a-maxptime` and `a-minptime`, which is what its attributes become in caps. In the
    /// caps of what is sent they say what it has, so these are the peer's own caps.
    pub(super) fn from_sdp(caps: &gst::CapsRef) -> Self {
        Self::from_fields(caps, "a-")
    }

    fn from_fields(caps: &gst::CapsRef, prefix: &str) -> Self {
        let Some(structure) = caps.structure(0) else { return Self::default() };
        let time = |name: &str| milliseconds(structure, &format!("{prefix}{name}"));
        let (exact, max, min) = (time("ptime"), time("maxptime"), time("minptime"));
        Self { min: min.max(exact), max: [exact, max].into_iter().flatten().min() }
    }

    /// Both, where the smaller of two longest and the larger of two shortest lengths count.
    pub(super) fn and(self, other: Self) -> Self {
        // An `Option` that is none is below all others.
        Self { min: self.min.max(other.min), max: [self.max, other.max].into_iter().flatten().min() }
    }

    /// The same in frames of a length, with no more than `most` frames where that is not 0. The longest length counts where it
    /// is shorter than the shortest, and one frame is sent whatever is asked for.
    pub(super) fn in_frames(self, frame: ClockTime, most: u32) -> FrameRange {
        if frame.is_zero() {
            return FrameRange::default();
        }
        let fit = |time: ClockTime| (time.nseconds() / frame.nseconds()).max(1);
        let most = Some(u64::from(most)).filter(|&frames| frames > 0);
        let max = [self.max.map(fit), most].into_iter().flatten().min();
        let max = max.map_or(MAX_FRAMES, |max| max.min(MAX_FRAMES.into()) as u8);
        let min = self.min.map_or(1, |time| time.nseconds().div_ceil(frame.nseconds()));
        let is_limited = self.max.is_some() || most.is_some();
        FrameRange { min: min.min(max.into()) as u8, max: if is_limited { max } else { 0 } }
    }

    /// The attributes of SDP that say this of what is sent, as fields of caps. `a-ptime` names the length of payloads that wait
    /// until they have it.
    pub(super) fn add_attributes(self, structure: &mut gst::StructureRef) {
        let text = |time: ClockTime| format!("{}", time.useconds() as f64 / 1000.0);
        if let Some(min) = self.min {
            structure.set("a-ptime", text(self.max.map_or(min, |max| min.min(max))));
        }
        if let Some(max) = self.max {
            structure.set("a-maxptime", text(max));
        }
    }
}

/// A field in milliseconds: a number, or the text of an attribute, which may be a decimal fraction (RFC 8866, section 6.4).
fn milliseconds(structure: &gst::StructureRef, name: &str) -> Option<ClockTime> {
    let number = structure.get::<u32>(name).ok().map(f64::from);
    let number = number.or_else(|| structure.get::<i32>(name).ok().map(f64::from));
    let number = number.or_else(|| structure.get::<&str>(name).ok()?.trim().parse().ok());
    // A day is longer than any payload, and keeps nonsense out of the conversion.
    let number = number.filter(|ms| *ms > 0.0 && *ms < 86_400_000.0)?;
    Some(ClockTime::from_nseconds((number * 1e6).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: ClockTime = ClockTime::from_mseconds(20);

    fn of_peer(fields: &str) -> PacketTime {
        gst::init().expect("GStreamer");
        let caps: gst::Caps = format!("application/x-rtp{fields}").parse().expect("caps");
        PacketTime::from_caps(&caps).and(PacketTime::from_sdp(&caps))
    }

    #[test]
    fn what_the_peer_asks_for_in_frames() {
        for (fields, most, min, max) in [
            ("", 0, 1, 0),
            ("", 3, 1, 3),
            (",ptime=(uint)40", 0, 2, 2),
            (",a-ptime=(string)40", 0, 2, 2),
            (",a-ptime=(string)\"62.5\"", 0, 3, 3),
            (",a-maxptime=(string)60", 0, 1, 3),
            (",a-maxptime=(string)60,a-ptime=(string)40", 0, 2, 2),
            (",a-minptime=(string)60", 0, 3, 0),
            (",ptime=(int)60", 2, 2, 2),
            // Shorter than a frame, longer than a payload can be, and nonsense.
            (",a-ptime=(string)5", 0, 1, 1),
            (",a-ptime=(string)5000", 0, 16, 16),
            (",a-ptime=(string)x", 0, 1, 0),
            (",a-ptime=(string)-20", 0, 1, 0),
            (",a-ptime=(string)1e300", 0, 1, 0),
        ] {
            let range = of_peer(fields).in_frames(FRAME, most);
            assert_eq!(range, FrameRange { min, max }, "{fields} with frames={most}");
        }
        assert_eq!(of_peer("").in_frames(ClockTime::ZERO, 0), FrameRange::default());
    }

    #[test]
    fn two_wishes_meet() {
        let own = PacketTime { min: Some(FRAME * 2), max: Some(FRAME * 4) };
        let range = |fields| own.and(of_peer(fields)).in_frames(FRAME, 0);
        assert_eq!(range(""), FrameRange { min: 2, max: 4 });
        assert_eq!(range(",a-ptime=(string)60"), FrameRange { min: 3, max: 3 });
        assert_eq!(range(",a-maxptime=(string)20"), FrameRange { min: 1, max: 1 });
    }
}
