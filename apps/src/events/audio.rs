//! Lines of the verbs on coded sound.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::bench::{Files, Side, Streams};

/// `siskin encode`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "encode")]
pub(crate) struct Encode<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) provider: &'static str,
    /// None where the encoder chooses them frame by frame.
    pub(crate) stages: Option<u8>,
    pub(crate) rate_control: &'static str,
    pub(crate) sample_rate: u32,
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) entropy_coding: bool,
    pub(crate) redundancy_bitrate: f64,
    pub(crate) code_bitrate: f64,
    pub(crate) packet_bitrate: f64,
    pub(crate) bitrate: f64,
    pub(crate) elapsed_seconds: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) speed: f64,
}

/// `siskin share`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "share")]
pub(crate) struct Share<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) model_id: Option<String>,
    pub(crate) video: bool,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
}

/// `siskin decode`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "decode")]
pub(crate) struct Decode<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) provider: &'static str,
    pub(crate) sample_rate: u32,
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) packet_bytes: u64,
    pub(crate) bad_packets: u64,
    pub(crate) concealed_samples: u64,
    pub(crate) packets_dropped: u64,
    pub(crate) frames_lost: u64,
    pub(crate) frames_recovered: u64,
    pub(crate) frames_concealed: u64,
    pub(crate) truncated: bool,
    pub(crate) elapsed_seconds: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) speed: f64,
}

/// `siskin play` of a file without video.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "play")]
pub(crate) struct Play {
    pub(crate) device: String,
    pub(crate) device_rate: u32,
    pub(crate) seconds: f64,
    pub(crate) underruns: u64,
    pub(crate) xruns: u64,
}

/// `siskin verify`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "verify")]
pub(crate) struct Verify<'a> {
    pub(crate) file: &'a str,
    pub(crate) packets: u64,
    pub(crate) headers: u64,
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) faults: u64,
    pub(crate) ok: bool,
}

/// What `siskin verify --repair` has done before it verifies.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "repaired")]
pub(crate) struct Repaired {
    pub(crate) packets: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) dropped_bytes: u64,
}

/// `siskin info`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "info")]
pub(crate) struct Info<'a> {
    pub(crate) file: &'a str,
    pub(crate) container: &'static str,
    pub(crate) codec: &'static str,
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) model_version: Option<&'a str>,
    pub(crate) model_installed: bool,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u8,
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) packets: u64,
    pub(crate) frames: u64,
    pub(crate) hop: u16,
    pub(crate) frames_per_packet: u32,
    pub(crate) stages_lowest: u8,
    pub(crate) stages_highest: u8,
    pub(crate) coding: &'static str,
    pub(crate) variable: bool,
    pub(crate) range_coded_packets: u64,
    /// None where the model is not installed.
    pub(crate) code_bitrate: Option<f64>,
    pub(crate) redundancy_bitrate: f64,
    pub(crate) pause_share: f64,
    pub(crate) pause_bitrate: f64,
    pub(crate) packet_bitrate: f64,
    pub(crate) bitrate: f64,
    pub(crate) bytes: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) container_share: f64,
    pub(crate) truncated: bool,
    pub(crate) faults: u64,
    pub(crate) tags: BTreeMap<&'a str, &'a str>,
}

/// `siskin compare` of sound.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "compare")]
pub(crate) struct Compare<'a> {
    pub(crate) reference: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) sample_rate: u32,
    pub(crate) seconds: f64,
    pub(crate) reference_samples: usize,
    pub(crate) output_samples: usize,
    pub(crate) si_sdr_db: Option<f64>,
    pub(crate) stoi: Option<f64>,
    pub(crate) mel_distance: Option<f64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) bits: Option<u64>,
    pub(crate) bitrate: Option<f64>,
    pub(crate) packet_bitrate: Option<f64>,
}

/// `siskin bench`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "bench")]
pub(crate) struct Bench<'a> {
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) provider: &'static str,
    pub(crate) runtime: &'a str,
    pub(crate) stages: u8,
    pub(crate) search_width: usize,
    pub(crate) seconds: f64,
    pub(crate) frame_ms: f64,
    pub(crate) first_packet_ms: f64,
    pub(crate) first_samples_ms: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) encode: &'a Side,
    pub(crate) decode: &'a Side,
    pub(crate) files: &'a Files,
    pub(crate) streams: Option<&'a Streams>,
}
