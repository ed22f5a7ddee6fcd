//! An encoder between start and stop, and what it has counted.

use gst::glib;
use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig, FrameEncoder, RateControl};
use siskin_core::bundle::Bundle;
use siskin_core::{Error, Result};

/// Which rate is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RateSettings {
    /// Bits a second; 0 for the bundle's default.
    pub(super) bitrate: u32,
    /// Residual stages; 0 to derive them from the rate.
    pub(super) codebooks: u32,
    /// How the rate is arrived at.
    pub(super) control: RateMode,
}

/// Values of the property `rate-control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstSiskinRateControl")]
pub enum RateMode {
    /// Every frame gets the same stages.
    #[default]
    #[enum_value(
        name = "The same stages for each frame; bitrate caps the rate of the codes",
        nick = "constant"
    )]
    Constant,
    /// Frames get the stages that they gain from.
    #[enum_value(
        name = "More stages for frames that gain more; packets take bitrate on average",
        nick = "vbr"
    )]
    Variable,
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

impl RateSettings {
    /// What the encoder is to keep to.
    fn control(&self, bundle: &Bundle) -> Result<RateControl> {
        if self.control == RateMode::Constant {
            return Ok(RateControl::Constant);
        }
        let header = bundle.stream_header();
        let (low, high) = (header.code_rate(1), header.code_rate(header.stages));
        let asked = match (self.codebooks, self.bitrate) {
            (0, 1..) => f64::from(self.bitrate),
            _ => header.code_rate(self.stages(bundle)?),
        };
        Ok(RateControl::Variable { bitrate: asked.clamp(low.ceil(), high.floor()) as u32 })
    }
}

/// What a stream is given beyond its rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extras {
    /// Earlier frames that each packet repeats.
    pub(super) redundancy: u8,
    /// Residual stages of those.
    pub(super) redundancy_stages: u8,
    /// Describe noise in pauses.
    pub(super) dtx: bool,
}

impl Default for Extras {
    fn default() -> Self {
        let EncoderConfig { redundancy, redundancy_stages, dtx, .. } = EncoderConfig::default();
        Self { redundancy, redundancy_stages, dtx }
    }
}

/// A packet to be pushed, or a part of a pause that the description before stands for.
pub(super) struct OutPacket {
    /// None for the part of a pause.
    pub(super) data: Option<Vec<u8>>,
    pub(super) samples: u64,
}

/// Counters behind the property `stats`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    packets: u64,
    frames: u64,
    samples: u64,
    bytes: u64,
    redundant_bytes: u64,
    pause_samples: u64,
    pause_bytes: u64,
    rate: u32,
    stages: u8,
}

impl Stats {
    pub(super) fn structure(&self) -> gst::Structure {
        let seconds = self.samples as f64 / f64::from(self.rate.max(1));
        let rate = |bytes: u64| if self.samples > 0 { bytes as f64 * 8.0 / seconds } else { 0.0 };
        gst::Structure::builder("siskin-audio-encoder-stats")
            .field("packets", self.packets)
            .field("frames", self.frames)
            .field("samples", self.samples)
            .field("bytes", self.bytes)
            .field("bitrate", rate(self.bytes).round() as u64)
            .field("redundancy-bitrate", rate(self.redundant_bytes).round() as u64)
            .field("pause-samples", self.pause_samples)
            .field("pause-bytes", self.pause_bytes)
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
    control: RateControl,
    /// Samples of buffers that are not aligned.
    pcm: Vec<f32>,
    /// Where what has been handed out ends, in samples.
    position: u64,
}

impl Session {
    pub(super) fn new(bundle: Bundle, network: FrameEncoder) -> Self {
        let stats = Stats { rate: bundle.manifest().sample_rate, ..Default::default() };
        let provider = network.provider().name();
        Self {
            bundle,
            stats,
            idle: Some(network),
            encoder: None,
            provider,
            control: RateControl::default(),
            pcm: Vec::new(),
            position: 0,
        }
    }

    pub(super) fn provider(&self) -> &'static str {
        self.provider
    }

    /// Begins to code, or goes on if it has begun.
    pub(super) fn begin(&mut self, rate: RateSettings, extras: Extras, frames_per_packet: u32) -> Result<()> {
        if let Some(network) = self.idle.take() {
            let Extras { redundancy, redundancy_stages, dtx } = extras;
            let config =
                EncoderConfig { frames_per_packet, redundancy, redundancy_stages, dtx, ..Default::default() };
            let stages = rate.stages(&self.bundle)?;
            let header = self.bundle.stream_header();
            let mut encoder = Encoder::from_parts(network, header, &config, stages)?;
            encoder.set_tables(siskin_core::audio::entropy_tables(&self.bundle)?.map(Into::into));
            self.encoder = Some(encoder);
        }
        self.set_rate(rate)
    }

    /// Takes over another rate from the next packet on.
    pub(super) fn set_rate(&mut self, rate: RateSettings) -> Result<()> {
        let (stages, control) = (rate.stages(&self.bundle)?, rate.control(&self.bundle)?);
        self.stats.stages = stages;
        self.control = control;
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        encoder.set_stages(stages)?;
        encoder.set_rate(control)
    }

    /// Bits a second: of the bare codes where the rate is constant, else the average of packets.
    pub(super) fn code_rate(&self) -> u32 {
        match self.control {
            RateControl::Variable { bitrate } => bitrate,
            RateControl::Constant => self.bundle.stream_header().code_rate(self.stats.stages).round() as u32,
        }
    }

    /// Codes samples as they lie in memory, or ends the stream if there are none.
    pub(super) fn encode(&mut self, samples: Option<&[u8]>) -> Result<Vec<OutPacket>> {
        let Some(encoder) = &mut self.encoder else { return Ok(Vec::new()) };
        let (mut packets, stats) = (Vec::new(), &mut self.stats);
        let (hop, skip) = (u64::from(encoder.header().hop), u64::from(encoder.header().pre_skip));
        let position = &mut self.position;
        let mut keep = |packet: EncodedPacket<'_>| -> Result<()> {
            let gap = packet.position - *position;
            if gap > 0 {
                packets.push(OutPacket { data: None, samples: gap });
            }
            *position = packet.position + packet.samples;
            stats.samples += gap;
            stats.pause_samples += gap;
            stats.redundant_bytes += packet.redundant_bytes as u64;
            if packet.is_pause {
                stats.pause_samples += packet.samples;
                stats.pause_bytes += packet.data.len() as u64;
            }
            let decoded = packet.samples + if packet.position == 0 { skip } else { 0 };
            stats.packets += 1;
            stats.frames += decoded.div_ceil(hop);
            stats.samples += packet.samples;
            stats.bytes += packet.data.len() as u64;
            packets.push(OutPacket { data: Some(packet.data.to_vec()), samples: packet.samples });
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
                // Who is downstream should not have to wait for the pause's end to hear of it.
                let gap = encoder.position() - self.position;
                if gap > 0 {
                    packets.push(OutPacket { data: None, samples: gap });
                    self.position += gap;
                    self.stats.samples += gap;
                    self.stats.pause_samples += gap;
                }
            }
            None => {
                encoder.finish(&mut keep)?;
                self.position = 0;
            }
        }
        Ok(packets)
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.position = 0;
        if let Some(encoder) = &mut self.encoder {
            encoder.reset();
        }
    }
}
