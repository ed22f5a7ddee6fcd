//! What a receiver keeps of the packets that came: loss and jitter by RFC 3550, appendix A.

use std::time::{Duration, Instant};

use super::wire::{Received, short_time};

/// A jump of the sequence beyond this is another sender's doing.
// The number of RFC 3550, appendix A.1; a minute at 50 packets per second.
const MAX_DROPOUT: u16 = 3000;

/// Counts over the packets of one sender.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    ssrc: u32,
    clock_rate: f64,
    base: u32,
    highest: u32,
    received: u64,
    expected_before: u64,
    received_before: u64,
    transit: Option<u32>,
    jitter: f64,
    report: Option<(u32, Instant)>,
}

impl Reception {
    /// Begins with the first packet of a sender.
    pub(super) fn new(ssrc: u32, sequence: u16, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate: f64::from(clock_rate),
            base: u32::from(sequence),
            highest: u32::from(sequence),
            received: 0,
            expected_before: 0,
            received_before: 0,
            transit: None,
            jitter: 0.0,
            report: None,
        }
    }

    /// Whether the packet is of this sender and goes on where it was.
    pub(super) fn follows(&self, ssrc: u32, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        ssrc == self.ssrc && !(MAX_DROPOUT..=u16::MAX - MAX_DROPOUT).contains(&ahead)
    }

    /// Counts a packet that came `now`, measured from any fixed moment.
    pub(super) fn count(&mut self, sequence: u16, timestamp: u32, now: Duration) {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            self.highest = self.highest.wrapping_add(ahead.into());
        } else {
            // Behind the highest: out of order.
            let place = self.highest.wrapping_sub(u32::from(u16::MAX - ahead) + 1);
            // It may have been sent before the first that came.
            if (self.base.wrapping_sub(place) as i32) > 0 {
                self.base = place;
            }
        }
        self.received += 1;
        // RTP time wraps, so the difference is taken modulo 2^32 and the shorter way is meant.
        let arrival = (now.as_secs_f64() * self.clock_rate).round() as u64 as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit {
            let difference = f64::from(transit.wrapping_sub(before) as i32).abs();
            // A pause of the sender is no jitter.
            if difference < self.clock_rate {
                // The gain of RFC 3550, section 6.4.1.
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
        self.transit = Some(transit);
    }

    /// Notes a report of the sender, whose time ours is to echo.
    pub(super) fn note_report(&mut self, sent: u32) {
        self.report = Some((sent, Instant::now()));
    }

    /// Packets that were sent and did not come.
    pub(super) fn lost(&self) -> u64 {
        self.expected_packets().saturating_sub(self.received)
    }

    /// Packets that came, repeats too.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// How unevenly packets come.
    pub(super) fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter / self.clock_rate)
    }

    /// The figures for a report; the share lost is that since the last call.
    pub(super) fn report(&mut self) -> Received {
        let (expected, received) = (self.expected_packets(), self.received);
        let new = expected - self.expected_before;
        // Repeats may make more packets than were expected; that is no negative loss.
        let lost = new.saturating_sub(received - self.received_before);
        // A report tells the share lost since the last one, so each is counted from here.
        (self.expected_before, self.received_before) = (expected, received);
        Received {
            ssrc: self.ssrc,
            fraction_lost: (lost * 256).checked_div(new).unwrap_or(0).min(255) as u8,
            lost: self.lost() as u32,
            highest: self.highest,
            jitter: self.jitter as u32,
            last_report: self.report.map_or(0, |(sent, _)| sent),
            since_report: self.report.map_or(0, |(_, at)| short_time(at.elapsed())),
        }
    }

    fn expected_packets(&self) -> u64 {
        u64::from(self.highest.wrapping_sub(self.base)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(packet: u64) -> Duration {
        Duration::from_millis(20 * packet)
    }

    #[test]
    fn losses_are_counted_across_a_wrap() {
        let mut reception = Reception::new(1, 65_530, 24_000);
        for n in 0..100u64 {
            if n % 10 != 5 {
                let sequence = (65_530 + n) as u16;
                assert!(reception.follows(1, sequence));
                reception.count(sequence, (n * 480) as u32, at(n));
            }
        }
        assert_eq!((reception.lost(), reception.received()), (10, 90));
        assert_eq!(reception.report().fraction_lost, 25, "a tenth of 256");
        assert_eq!(reception.jitter(), Duration::ZERO);
        assert!(!reception.follows(2, 93) && !reception.follows(1, 20_000));
    }

    #[test]
    fn jitter_is_the_smoothed_difference_of_transit_times() {
        let mut reception = Reception::new(1, 0, 24_000);
        for n in 0..500u64 {
            let late = if n % 2 == 0 { Duration::ZERO } else { Duration::from_millis(4) };
            // The RTP time wraps on the way.
            reception.count(n as u16, (n as u32 * 480).wrapping_sub(24_000), at(n) + late);
        }
        let jitter = reception.jitter().as_secs_f64();
        assert!((0.0038..=0.0042).contains(&jitter), "{jitter}");
    }
}
