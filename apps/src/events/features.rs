//! Lines of the verbs on features.

use std::borrow::Cow;

use serde::Serialize;

use crate::bench::Percentiles;

/// `siskin features encode`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "features encode")]
pub(crate) struct FeaturesEncode<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) provider: &'static str,
    pub(crate) level: u8,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) bytes_per_frame: f64,
    pub(crate) elapsed_seconds: f64,
}

/// `siskin features decode`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "features decode")]
pub(crate) struct FeaturesDecode<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) provider: &'static str,
    pub(crate) frames: u64,
    pub(crate) broken_packets: u64,
    pub(crate) objects: u64,
    pub(crate) elapsed_seconds: f64,
}

/// `siskin features info`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "features")]
pub(crate) struct FeaturesInfo<'a> {
    pub(crate) file: Cow<'a, str>,
    pub(crate) container: &'static str,
    pub(crate) codec: &'static str,
    pub(crate) model: &'a str,
    pub(crate) model_id: String,
    pub(crate) model_installed: bool,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) frame_rate: (u32, u32),
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    /// The finest and the coarsest level; none in a file without packets.
    pub(crate) levels: Option<(u8, u8)>,
    pub(crate) bytes: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) bytes_per_frame: f64,
    pub(crate) largest_packet: usize,
    pub(crate) truncated: bool,
    pub(crate) faults: u64,
}

/// `siskin features bench`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "features_bench")]
pub(crate) struct FeaturesBench<'a> {
    pub(crate) model: &'a str,
    pub(crate) provider: &'static str,
    pub(crate) threads: usize,
    pub(crate) level: u8,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) frames: u32,
    pub(crate) bytes_per_frame: f64,
    pub(crate) objects_per_frame: f64,
    /// From the frame to the packet.
    pub(crate) device_us: Percentiles,
    /// Of that, what the network and the packing of its input take.
    pub(crate) device_network_us: Percentiles,
    /// From the packet to the objects.
    pub(crate) server_us: Percentiles,
}
