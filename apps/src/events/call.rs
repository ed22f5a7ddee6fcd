//! Lines of `siskin call`.

use serde::Serialize;

/// The call can be answered, or is under way to the other side.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "ready")]
pub(crate) struct Ready<'a> {
    pub(crate) address: &'a str,
}

/// A device or file that the call speaks from or writes to.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "device")]
pub(crate) struct CallDevice<'a> {
    pub(crate) kind: &'static str,
    pub(crate) name: &'a str,
    pub(crate) rate: u32,
    /// None for a device.
    pub(crate) unix_seconds: Option<f64>,
}

/// The figures of a call, every second and at its end.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "call")]
pub(crate) struct CallFigures {
    pub(crate) seconds: f64,
    pub(crate) said_db: f32,
    pub(crate) heard_db: f32,
    pub(crate) sent_packets: u64,
    pub(crate) bitrate: f64,
    pub(crate) wire_bitrate: f64,
    pub(crate) packets: u64,
    pub(crate) lost_packets: u64,
    pub(crate) played_frames: u64,
    pub(crate) recovered_frames: u64,
    pub(crate) concealed_frames: u64,
    pub(crate) late_frames: u64,
    pub(crate) joined_frames: u64,
    pub(crate) broken_packets: u64,
    pub(crate) underruns: u64,
    pub(crate) overruns: u64,
    pub(crate) xruns: u64,
    pub(crate) dropped_frames: u64,
    pub(crate) jitter_ms: f64,
    pub(crate) buffer_ms: f64,
    /// None until the other side has answered a report.
    pub(crate) round_trip_ms: Option<f64>,
    pub(crate) peer_loss: f64,
    pub(crate) delay_ms: f64,
}

/// The figures while the call lasts.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(crate) struct CallProgress {
    #[serde(flatten)]
    pub(crate) figures: CallFigures,
}
