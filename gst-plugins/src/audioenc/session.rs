//! An encoder between start and stop, and what it has counted.

use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig, FrameEncoder};
use siskin_core::bundle::Bundle;
use siskin_core::{Error, Result};

/// Which rate is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RateSettings {
    /// Bits a second; 0 for the bundle's default.
    pub(super) bitrate: u32,
    /// Residual stages; 0 to derive them from the rate.
    pub(super) codebooks: u32,
}

impl RateSettings {
    /// The residual stages that are meant.
    pub(super) fn stages(&self, bundle: &Bundle) -> Result<u8> {
        let manifest = bundle.manifest();
        let all = manifest.quantizer.stages;
        match (self.codebooks, self.bitrate) {
            (0, 0) => Ok(manifest.default_stages),
            (0, bitrate) => Ok(manifest.stages_for(bitrate)),
            (stages, _) => u8::try_from(stages).ok().filter(|&s| s <= all).ok_or_else(|| Error::Parameter {
                name: "codebooks",
                value: stages.to_string(),
                allowed: format!("0 to {all} with the bundle {}", manifest.name),
            }),
        }
    }
}

/// A packet to be pushed.
pub(super) struct OutPacket {
    pub(super) data: Vec<u8>,
    pub(super) samples: u64,
}

/// Counters behind the property `stats`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    packets: u64,
    frames: u64,
    samples: u64,
    bytes: u64,
    rate: u32,
    stages: u8,
}

impl Stats {
    pub(super) fn structure(&self) -> gst::Structure {
        let seconds = self.samples as f64 / f64::from(self.rate.max(1));
        let bitrate = if self.samples > 0 { self.bytes as f64 * 8.0 / seconds } else { 0.0 };
        gst::Structure::builder("siskin-audio-encoder-stats")
            .field("packets", self.packets)
            .field("frames", self.frames)
            .field("samples", self.samples)
            .field("bytes", self.bytes)
            .field("bitrate", bitrate.round() as u64)
            .field("codebooks", u32::from(self.stages))
            .build()
    }
}

/// A loaded network and the stream that it codes.
pub(super) struct Session {
    pub(super) bundle: Bundle,
    pub(super) stats: Stats,
    /// The network until the packing is known, which depends on what is upstream.
    idle: Option<FrameEncoder>,
    encoder: Option<Encoder>,
    provider: &'static str,
    /// Samples of buffers that are not aligned.
    pcm: Vec<f32>,
}

impl Session {
    pub(super) fn new(bundle: Bundle, network: FrameEncoder) -> Self {
        let stats = Stats { rate: bundle.manifest().sample_rate, ..Default::default() };
        let provider = network.provider().name();
        Self { bundle, stats, idle: Some(network), encoder: None, provider, pcm: Vec::new() }
    }

    pub(super) fn provider(&self) -> &'static str {
        self.provider
    }

    /// Begins to code, or goes on if it has begun.
    pub(super) fn begin(&mut self, rate: RateSettings, frames_per_packet: u32) -> Result<()> {
        if let Some(network) = self.idle.take() {
            let config = EncoderConfig { frames_per_packet, ..Default::default() };
            let stages = rate.stages(&self.bundle)?;
            let header = self.bundle.stream_header();
            self.encoder = Some(Encoder::from_parts(network, header, &config, stages)?);
        }
        self.set_rate(rate)
    }

    /// Takes over another rate from the next packet on.
    pub(super) fn set_rate(&mut self, rate: RateSettings) -> Result<()> {
        let stages = rate.stages(&self.bundle)?;
        self.stats.stages = stages;
        self.encoder.as_mut().map_or(Ok(()), |e| e.set_stages(stages))
    }

    /// Bits a second of the bare codes.
    pub(super) fn code_rate(&self) -> u32 {
        self.bundle.stream_header().code_rate(self.stats.stages).round() as u32
    }

    /// Codes samples as they lie in memory, or ends the stream if there are none.
    pub(super) fn encode(&mut self, samples: Option<&[u8]>) -> Result<Vec<OutPacket>> {
        let Some(encoder) = &mut self.encoder else { return Ok(Vec::new()) };
        let (mut packets, stats) = (Vec::new(), &mut self.stats);
        let (hop, skip) = (u64::from(encoder.header().hop), u64::from(encoder.header().pre_skip));
        let mut keep = |packet: EncodedPacket<'_>| -> Result<()> {
            let decoded = packet.samples + if packet.position == 0 { skip } else { 0 };
            stats.packets += 1;
            stats.frames += decoded.div_ceil(hop);
            stats.samples += packet.samples;
            stats.bytes += packet.data.len() as u64;
            packets.push(OutPacket { data: packet.data.to_vec(), samples: packet.samples });
            Ok(())
        };
        match samples {
            Some(bytes) => {
                // Buffers are aligned as floats are, but for those cut by upstream at an odd place.
                let samples = if let Ok(samples) = bytemuck::try_cast_slice(bytes) {
                    samples
                } else {
                    self.pcm.clear();
                    let floats = bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
                    self.pcm.extend(floats);
                    &self.pcm
                };
                encoder.push(samples, &mut keep)?;
            }
            None => encoder.finish(&mut keep)?,
        }
        Ok(packets)
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        if let Some(encoder) = &mut self.encoder {
            encoder.reset();
        }
    }
}
