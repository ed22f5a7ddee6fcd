//! When to ask for a keyframe: at once where one is needed, and again while it does not come, since requests get lost as well.

use std::time::{Duration, Instant};

use siskin_core::bitstream::rtp_video::Depacketizer;

/// Time from one request to the next for the same loss: a few frames, as a keyframe comes with the next frame where the way
/// there and back is short. Where it is longer, the sender's RTP session ignores what comes within a round trip, and the encoder
/// makes no two keyframes within its `min-force-key-unit-interval`.
const INTERVAL: Duration = Duration::from_millis(100);

/// The requests of a stream.
#[derive(Debug, Default)]
pub(super) struct Requests {
    count: u64,
    /// When the last one was made, and how much had been lost by then.
    last: Option<(Instant, u64)>,
}

impl Requests {
    /// How many were made.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether one is to be made now; it then counts as made.
    pub(super) fn is_due(&mut self, depacketizer: &Depacketizer, now: Instant) -> bool {
        if !depacketizer.needs_keyframe() {
            return false;
        }
        let losses = depacketizer.stats().losses;
        let is_due = self
            .last
            .is_none_or(|(time, before)| losses > before || now.saturating_duration_since(time) >= INTERVAL);
        if is_due {
            self.count += 1;
            self.last = Some((now, losses));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::rtp_video::Packetizer;

    use super::*;

    #[test]
    fn one_at_once_one_for_each_loss_and_more_while_nothing_comes() {
        let packetizer = Packetizer::new(100).expect("enough bytes");
        let payload = |is_keyframe| {
            packetizer.split_packet(&[1; 200], is_keyframe).expect("a packet").swap_remove(0).data
        };
        let mut depacketizer = Depacketizer::default();
        let (mut requests, start) = (Requests::default(), Instant::now());
        // Joined late: payloads of a predicted frame come, 20 ms apart.
        let mut due = |depacketizer: &mut Depacketizer, sequence, is_keyframe, ms| {
            depacketizer.push_payload(sequence, 0, false, &payload(is_keyframe)).expect("a payload");
            requests.is_due(depacketizer, start + Duration::from_millis(ms))
        };
        let asked: Vec<bool> =
            (0u16..12).map(|n| due(&mut depacketizer, n, false, u64::from(n) * 20)).collect();
        let expected: Vec<bool> = (0..12).map(|n| n % 5 == 0).collect();
        assert_eq!(asked, expected);
        // A keyframe begins; a part of it is lost 10 ms after the last request.
        assert!(!due(&mut depacketizer, 12, true, 205));
        assert!(due(&mut depacketizer, 14, false, 210));
        assert!(!due(&mut depacketizer, 15, false, 230));
        assert_eq!(requests.count(), 4);
    }
}
