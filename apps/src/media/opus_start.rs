//! The beginning of Opus in MP4, of which FFmpeg drops as much as the box `dOps` says, and its end, of which it drops nothing.
//!
//! GStreamer 1.22 (Debian 12) writes that number with its bytes exchanged, so 14,337 samples were dropped in place of 312: the first 292
//! ms of every such recording (`findings/gst-mp4mux-opus-start.sh`). What the container's times say is asked first.

use anyhow::Result;
use ffmpeg_next::frame::side_data::Type;
use ffmpeg_next::{Dictionary, Rational, codec, frame};

use super::cut::cut_frame;
use super::demux::{from_ns, rescale_rounded, to_ns};

/// A packet's samples at most (120 ms at 48 kHz); no encoder's delay is longer.
const MOST: u32 = 5760;
/// Samples by which the length of a packet is rounded: times of other containers had come to 19.8 and 20.2 ms.
const ROUNDING: usize = 48;
/// Samples before zero at most: what an edit leaves to decode from (80 ms as a rule), and no clock that is wrong.
const MOST_BEFORE_ZERO: i64 = 48_000;
const NS: i64 = 1_000_000_000;

/// What is still to be dropped.
#[derive(Debug, Default)]
pub(super) struct OpusStart {
    /// Whether the first frame has been seen.
    is_known: bool,
    /// Samples a channel.
    left: usize,
    /// The last frame, until it is known whether another follows.
    held: Option<frame::Audio>,
}

/// Whether a stream is Opus in MP4.
pub(super) fn is_needed(format: &str, parameters: &codec::Parameters) -> bool {
    parameters.id() == codec::Id::OPUS && format.split(',').any(|name| name == "mov")
}

/// Options of a decoder that leaves all samples to [`OpusStart`].
pub(super) fn options() -> Dictionary<'static> {
    Dictionary::from_iter([("flags2", "+skip_manual")])
}

impl OpusStart {
    /// Takes the next frame, none at the end, and gives the one before it, without what is to be dropped, which may be all of it.
    pub(super) fn exchange(
        &mut self,
        next: Option<frame::Audio>,
        time_base: Rational,
    ) -> Result<Option<frame::Audio>> {
        let is_last = next.is_none();
        let Some(mut frame) = std::mem::replace(&mut self.held, next) else { return Ok(None) };
        self.trim(&mut frame, time_base, is_last)?;
        Ok(Some(frame))
    }

    fn trim(&mut self, frame: &mut frame::Audio, time_base: Rational, is_last: bool) -> Result<()> {
        let (samples, rate) = (frame.samples(), i64::from(frame.rate()));
        let begins = time_of(frame).map_or(0, |ticks| to_ns(ticks, time_base));
        let lasts = to_ns(frame.packet().duration, time_base);
        let counted = |ns: i64| rescale_rounded(ns, rate.into(), NS.into());
        // A packet that lasts less than it holds begins or ends with what the encoder padded, and its time is that of the rest: in the
        // middle the times were rounded, to 6 ms more or less where AAC in Matroska was encoded anew.
        let short = samples as i64 - counted(lasts);
        let short = if lasts > 0 && (1..samples as i64).contains(&short) { short as usize } else { 0 };
        let (mut is_timed, mut end) = (false, samples - if is_last { short } else { 0 });
        if !std::mem::replace(&mut self.is_known, true) {
            let stated = stated(frame);
            (self.left, is_timed) = match begins {
                ..0 => (counted(begins.saturating_neg()).min(MOST_BEFORE_ZERO) as usize, false),
                _ if short > ROUNDING || short > 0 && short.abs_diff(stated) <= ROUNDING => (short, true),
                _ => (stated, false),
            };
            end = samples;
        }
        let start = self.left.min(end);
        self.left -= start;
        if (start, end) == (0, samples) {
            return Ok(());
        }
        if start == end {
            *frame = frame::Audio::empty();
            return Ok(());
        }
        let mut kept = cut_frame(frame, start..end)?;
        let later = if is_timed { 0 } else { rescale_rounded(start as i64, NS.into(), rate.max(1).into()) };
        kept.set_pts(Some(from_ns(begins + later, time_base)));
        *frame = kept;
        Ok(())
    }
}

/// When a frame begins, in ticks; one that was made here has no time but the one that it was given.
pub(super) fn time_of(frame: &frame::Audio) -> Option<i64> {
    frame.timestamp().or(frame.pts())
}

/// The samples that the header wants dropped, in the order of bytes in which they can be meant.
fn stated(frame: &frame::Audio) -> usize {
    let data = frame.side_data(Type::SkipSamples);
    let stated = data.and_then(|data| data.data().first_chunk().map(|bytes| u32::from_le_bytes(*bytes)));
    let stated = stated.unwrap_or(0);
    let meant = if stated <= MOST { stated } else { u16::try_from(stated).map_or(0, u16::swap_bytes).into() };
    if meant <= MOST { meant as usize } else { 0 }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::{ChannelLayout, format};

    use super::*;

    const TICKS: Rational = Rational(1, 48_000);

    fn given(samples: usize, pts: i64) -> frame::Audio {
        let mut frame = frame::Audio::new(
            format::Sample::F32(format::sample::Type::Planar),
            samples,
            ChannelLayout::STEREO,
        );
        frame.set_rate(48_000);
        frame.set_pts(Some(pts));
        for plane in 0..2 {
            let values = frame.plane_mut::<f32>(plane).iter_mut().enumerate();
            values.for_each(|(i, value)| *value = (1000 * plane + i) as f32);
        }
        frame
    }

    #[test]
    fn what_lies_before_zero_is_dropped_from_as_many_frames_as_hold_it() {
        let mut start = OpusStart::default();
        let mut frame = given(960, -1000);
        start.trim(&mut frame, TICKS, false).expect("a frame");
        assert_eq!(frame.samples(), 0);
        let mut frame = given(960, -40);
        start.trim(&mut frame, TICKS, false).expect("a frame");
        assert_eq!((frame.samples(), time_of(&frame)), (920, Some(0)));
        assert_eq!([frame.plane::<f32>(0)[0], frame.plane::<f32>(1)[0]], [40.0, 1040.0]);
        let mut frame = given(960, 920);
        start.trim(&mut frame, TICKS, false).expect("a frame");
        assert_eq!((frame.samples(), time_of(&frame)), (960, Some(920)));
    }

    #[test]
    fn without_a_word_nothing_is_dropped() {
        let mut frame = given(960, 0);
        OpusStart::default().trim(&mut frame, TICKS, true).expect("a frame");
        assert_eq!((frame.samples(), time_of(&frame)), (960, Some(0)));
    }
}
