//! Lines of the verbs on coded video.

use std::borrow::Cow;

use serde::Serialize;

use crate::bench::Percentiles;

/// How far an encoding of video has come.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(crate) struct VideoEncodeProgress {
    pub(crate) frames_done: u64,
    pub(crate) frames_total: Option<u64>,
    /// Of the group that is being fitted; not there in real time.
    #[serde(flatten)]
    pub(crate) fit: Option<FitProgress>,
    pub(crate) fps: f64,
    pub(crate) psnr: Option<f64>,
    pub(crate) bits_per_pixel: Option<f64>,
    pub(crate) eta_seconds: Option<f64>,
}

/// How far the fit of a group has come.
#[derive(Debug, Serialize)]
pub(crate) struct FitProgress {
    pub(crate) step: u64,
    pub(crate) steps: u64,
    pub(crate) steps_per_second: f64,
}

/// How far a decoding of video has come.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(crate) struct VideoDecodeProgress {
    pub(crate) frames_done: u64,
    pub(crate) frames_total: Option<u64>,
    pub(crate) fps: f64,
}

/// `siskin encode` of video.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "encode")]
pub(crate) struct VideoEncode<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    /// Of an encoding in real time; not there where networks are fitted.
    #[serde(flatten)]
    pub(crate) realtime: Option<Realtime<'a>>,
    pub(crate) frames: u64,
    pub(crate) resumed_frames: u64,
    pub(crate) groups: u64,
    /// None without sound beside the video.
    pub(crate) sound_samples: Option<u64>,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) bitrate: f64,
    pub(crate) bits_per_pixel: f64,
    pub(crate) psnr: f64,
    pub(crate) elapsed_seconds: f64,
}

/// What only an encoding of video in real time tells.
#[derive(Debug, Serialize)]
pub(crate) struct Realtime<'a> {
    pub(crate) coding: &'static str,
    /// None without a network, as the two that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<&'static str>,
    pub(crate) steps: u32,
    pub(crate) key_groups: u64,
    pub(crate) fps: f64,
}

/// `siskin decode` of video.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "decode")]
pub(crate) struct VideoDecode<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) frames: u64,
    pub(crate) concealed_frames: u64,
    pub(crate) left_out_frames: u64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) packets: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) faults: usize,
    pub(crate) truncated: bool,
    /// None where no sound was decoded.
    pub(crate) samples: Option<u64>,
    pub(crate) concealed_samples: Option<u64>,
    pub(crate) elapsed_seconds: f64,
    pub(crate) fps: f64,
}

/// `siskin info` of video.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "info")]
pub(crate) struct VideoInfo<'a> {
    pub(crate) file: &'a str,
    pub(crate) container: &'static str,
    pub(crate) codec: &'static str,
    pub(crate) coding: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// None where the rate varies.
    pub(crate) frame_rate: Option<[u32; 2]>,
    pub(crate) pixel_aspect: [u32; 2],
    pub(crate) full_range: bool,
    pub(crate) matrix: u8,
    pub(crate) frames: u64,
    pub(crate) groups: u64,
    pub(crate) key_groups: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) packet_bytes: u64,
    pub(crate) bitrate: f64,
    pub(crate) bits_per_pixel: f64,
    pub(crate) container_share: f64,
    pub(crate) truncated: bool,
    pub(crate) faults: u64,
    /// Tracks beside the frames and the first Siskin sound, in words.
    pub(crate) other_tracks: Vec<String>,
    /// Sizes of frames that differ from the track's.
    pub(crate) other_sizes: Vec<[u32; 2]>,
}

/// `siskin verify` of video.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "verify")]
pub(crate) struct VideoVerify<'a> {
    pub(crate) file: &'a str,
    pub(crate) packets: u64,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    /// None where there is no Siskin sound.
    pub(crate) sound_packets: Option<u64>,
    pub(crate) faults: u64,
    pub(crate) ok: bool,
}

/// `siskin play` of video.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "play")]
pub(crate) struct VideoPlay {
    pub(crate) seconds: f64,
}

/// `siskin compare` of video.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "compare")]
pub(crate) struct VideoCompare<'a> {
    pub(crate) reference: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frames: u64,
    pub(crate) same_length: bool,
    pub(crate) psnr: f64,
    /// None where frames are smaller than its window.
    pub(crate) ms_ssim: Option<f64>,
    pub(crate) bytes: u64,
    pub(crate) bits_per_pixel: f64,
}

/// `siskin bench --video`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "bench")]
pub(crate) struct VideoBench<'a> {
    pub(crate) coding: &'static str,
    /// None without a network, as the three that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frames: usize,
    pub(crate) quality: u8,
    pub(crate) bits_per_pixel: f64,
    pub(crate) psnr: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) encode: BenchSide<'a>,
    pub(crate) decode: BenchSide<'a>,
}

/// One direction of `siskin bench --video`.
#[derive(Debug, Serialize)]
pub(crate) struct BenchSide<'a> {
    pub(crate) frames_per_second: f64,
    pub(crate) us: &'a Percentiles,
}
