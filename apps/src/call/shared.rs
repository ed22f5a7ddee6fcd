//! What the threads of a call tell one another.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::jitter::Counts;
use super::wire::Sent;

/// How loud something is.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// Bits of the smoothed mean square.
    power: AtomicU32,
}

impl Level {
    /// Takes note of some samples; called by the codec threads only.
    pub(super) fn measure(&self, samples: &[f32]) {
        let mean = samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32;
        // Only one thread writes each level, so reading and writing need not be one step.
        let before = f32::from_bits(self.power.load(Ordering::Relaxed));
        // Up at once and slowly down, as people expect of a meter.
        self.power.store(mean.max(before * 0.8 + mean * 0.2).to_bits(), Ordering::Relaxed);
    }

    /// The level in dB of full scale, not below -99.
    pub(super) fn decibels(&self) -> f32 {
        (10.0 * f32::from_bits(self.power.load(Ordering::Relaxed)).log10()).max(-99.0)
    }

    /// A bar for the terminal, from -60 dB to 0.
    pub(super) fn level_bar(&self) -> String {
        // 5 dB a mark: a change that can be seen and does not flicker.
        let filled = ((self.decibels() + 60.0) / 5.0).clamp(0.0, 12.0) as usize;
        format!("[{}{}]", "#".repeat(filled), "-".repeat(12 - filled))
    }
}

/// What the receiver knows of the call.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// Packets that came, and that did not.
    pub(super) packets: u64,
    pub(super) lost: u64,
    /// Bytes of payloads.
    pub(super) bytes: u64,
    /// Payloads that could not be read.
    pub(super) broken: u64,
    pub(super) counts: Counts,
    pub(super) jitter: Duration,
    /// How long frames wait for slower ones.
    pub(super) buffer: Duration,
    /// How long decoded samples wait for the device.
    pub(super) ring: Duration,
    pub(super) round_trip: Option<Duration>,
    /// The share of our packets that the peer lost, by its last report.
    pub(super) peer_loss: f64,
    /// Callbacks that found the ring empty.
    pub(super) underruns: u64,
}

/// What all threads of a call see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    over: AtomicBool,
    /// The peer has said goodbye.
    pub(super) bye: AtomicBool,
    /// The peer has answered.
    pub(super) answered: AtomicBool,
    pub(super) muted: AtomicBool,
    pub(super) said: Level,
    pub(super) played: Level,
    /// How long the microphone gathers samples before it hands them out, in microseconds.
    pub(super) capture_period_us: AtomicUsize,
    pub(super) capture_misses: AtomicU64,
    /// Frames of the microphone that came too late to be sent.
    pub(super) dropped: AtomicU64,
    sent_packets: AtomicU64,
    sent_bytes: AtomicU64,
    sent_timestamp: AtomicU32,
    heard: Mutex<Heard>,
    /// Microseconds since the call began when something of the peer came last.
    pub(super) last_sign: AtomicU64,
}

impl Shared {
    /// Ends the call's threads.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether the threads are to end.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn count_sent(&self, bytes: usize, timestamp: u32) {
        // Relaxed everywhere: each number stands for itself, and nothing is decided by two of them together.
        self.sent_packets.fetch_add(1, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sent_timestamp.store(timestamp, Ordering::Relaxed);
    }

    /// What has been sent so far.
    pub(super) fn sent_report(&self, ssrc: u32) -> Sent {
        Sent {
            ssrc,
            timestamp: self.sent_timestamp.load(Ordering::Relaxed),
            packets: self.sent_packets.load(Ordering::Relaxed),
            bytes: self.sent_bytes.load(Ordering::Relaxed),
        }
    }

    /// Publishes what the receiver knows. Callbacks of devices never take this lock.
    pub(super) fn publish(&self, heard: Heard) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }

    /// What the receiver knew last.
    pub(super) fn last_heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_at_once_and_fall_slowly() {
        let level = Level::default();
        assert_eq!((level.decibels(), level.level_bar().as_str()), (-99.0, "[------------]"));
        level.measure(&[1.0; 480]);
        assert!(level.decibels().abs() < 0.01);
        level.measure(&[0.0; 480]);
        assert!((-1.1..-0.9).contains(&level.decibels()));
    }
}
