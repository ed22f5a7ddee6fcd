//! An encoder between start and stop, and what it has counted.

use gst::glib;
use siskin_core::audio::{self, EncodedPacket, Encoder, EncoderConfig, EncoderNetwork};
use siskin_core::bundle::Bundle;
use siskin_core::{Error, Result};

use crate::element::counters;

/// The rate that the properties ask for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RateSettings {
    /// Bits per second; 0 for the bundle's default.
    pub(super) bitrate: u32,
    /// Residual stages; 0 to derive them from the rate.
    pub(super) stages: u32,
    /// Whether all frames have the same stages.
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
    /// The residual stages per frame, at least 1.
    ///
    /// # Errors
    /// [`Error::Parameter`] where the bundle has fewer.
    pub(super) fn stages_for(&self, bundle: &Bundle) -> Result<u8> {
        let manifest = bundle.manifest();
        let all = manifest.quantizer.stages;
        match (self.stages, self.bitrate) {
            (0, 0) => Ok(manifest.default_stages),
            // `stages` wins over `bitrate`: whoever sets it knows the codec.
            (0, bitrate) => Ok(manifest.stages_for(bitrate)),
            (stages, _) => u8::try_from(stages).ok().filter(|&s| s <= all).ok_or_else(|| Error::Parameter {
                name: "stages",
                value: stages.to_string(),
                allowed: format!("0 to {all} with the bundle {}", manifest.name),
            }),
        }
    }
}

impl RateSettings {
    /// The encoder's rate control, with the bit rate clamped to what the bundle can have.
    fn control_for(&self, bundle: &Bundle) -> Result<audio::RateMode> {
        if self.control == RateMode::Constant {
            return Ok(audio::RateMode::Constant);
        }
        let header = bundle.stream_header();
        // Clamped and no error, as encoders of GStreamer commonly take a bit rate that is out of reach.
        let (low, high) = (header.code_rate(1), header.code_rate(header.stages));
        let asked = match (self.stages, self.bitrate) {
            (0, 1..) => f64::from(self.bitrate),
            _ => header.code_rate(self.stages_for(bundle)?),
        };
        Ok(audio::RateMode::Variable { bitrate: asked.clamp(low.ceil(), high.floor()) as u32 })
    }
}

/// Properties of the coding other than its rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extras {
    /// Earlier frames that each packet repeats.
    pub(super) redundancy: u8,
    /// Residual stages of the repeated frames.
    pub(super) redundancy_stages: u8,
    /// Whether pauses become SID frames.
    pub(super) dtx: bool,
}

impl Default for Extras {
    fn default() -> Self {
        let EncoderConfig { redundancy, redundancy_stages, dtx, .. } = EncoderConfig::default();
        Self { redundancy, redundancy_stages, dtx }
    }
}

/// A packet to be pushed, or a part of a pause in which nothing is sent (DTX).
pub(super) struct OutPacket {
    /// None for a part of a pause.
    pub(super) data: Option<Vec<u8>>,
    pub(super) samples: u64,
}

counters! {
    /// Counters behind the property `stats`.
    Counters as "siskin-audio-encoder-stats" {
        packets: u64,
        frames: u64,
        samples: u64,
        bytes: u64,
        pause_samples: u64,
        pause_bytes: u64,
    }
}

/// What the property `stats` shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    counters: Counters,
    redundant_bytes: u64,
    sample_rate: u32,
    stages: u8,
}

impl Stats {
    pub(super) fn to_structure(self) -> gst::Structure {
        let seconds = self.counters.samples as f64 / f64::from(self.sample_rate.max(1));
        // Before the first packet there is no rate.
        let rate = |bytes: u64| if seconds > 0.0 { (bytes as f64 * 8.0 / seconds).round() as u64 } else { 0 };
        let mut structure = self.counters.to_structure();
        structure.set("bitrate", rate(self.counters.bytes));
        structure.set("redundancy-bitrate", rate(self.redundant_bytes));
        structure.set("stages", u32::from(self.stages));
        // The old name, for one release.
        structure.set("codebooks", u32::from(self.stages));
        structure
    }
}

/// A loaded network and the stream that it encodes.
pub(super) struct Session {
    pub(super) bundle: Bundle,
    pub(super) stats: Stats,
    /// The network until the frames per packet are known, which depend on whether upstream is live.
    idle: Option<EncoderNetwork>,
    encoder: Option<Encoder>,
    provider: &'static str,
    control: audio::RateMode,
    /// A copy of samples whose buffer is not aligned to 4 bytes.
    pcm: Vec<f32>,
    /// End of the last packet or gap returned, in samples of the stream.
    position: u64,
}

impl Session {
    pub(super) fn new(bundle: Bundle, network: EncoderNetwork) -> Self {
        let stats = Stats { sample_rate: bundle.manifest().sample_rate, ..Default::default() };
        let provider = network.provider().name();
        Self {
            bundle,
            stats,
            idle: Some(network),
            encoder: None,
            provider,
            control: audio::RateMode::default(),
            pcm: Vec::new(),
            position: 0,
        }
    }

    pub(super) fn provider(&self) -> &'static str {
        self.provider
    }

    /// Starts the encoder, or keeps the running one, at this rate.
    pub(super) fn start_stream(
        &mut self,
        rate: RateSettings,
        extras: Extras,
        frames_per_packet: u32,
    ) -> Result<()> {
        if let Some(network) = self.idle.take() {
            let Extras { redundancy, redundancy_stages, dtx } = extras;
            let config =
                EncoderConfig { frames_per_packet, redundancy, redundancy_stages, dtx, ..Default::default() };
            let stages = rate.stages_for(&self.bundle)?;
            self.encoder = Some(Encoder::with_network(network, &self.bundle, &config, stages)?);
        }
        self.set_rate(rate)
    }

    /// Changes the rate, from the next packet on.
    pub(super) fn set_rate(&mut self, rate: RateSettings) -> Result<()> {
        let (stages, control) = (rate.stages_for(&self.bundle)?, rate.control_for(&self.bundle)?);
        self.stats.stages = stages;
        self.control = control;
        // Before `start_stream` the settings are only kept.
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        encoder.set_stages(stages)?;
        encoder.set_rate_mode(control)
    }

    /// Bits per second: of the codes alone where the rate is constant, else the average of packets.
    pub(super) fn code_rate(&self) -> u32 {
        match self.control {
            audio::RateMode::Variable { bitrate } => bitrate,
            audio::RateMode::Constant => {
                self.bundle.stream_header().code_rate(self.stats.stages).round() as u32
            }
        }
    }

    /// Samples by which packets lag behind the input.
    pub(super) fn latency_samples(&self) -> u64 {
        self.encoder.as_ref().map_or(0, Encoder::latency_samples)
    }

    /// Encodes native-endian 32-bit floats, or ends the stream if there are none.
    pub(super) fn encode_samples(&mut self, samples: Option<&[u8]>) -> Result<Vec<OutPacket>> {
        let Some(encoder) = &mut self.encoder else { return Ok(Vec::new()) };
        let (mut packets, stats) = (Vec::new(), &mut self.stats);
        let counters = &mut stats.counters;
        let (hop, skip) =
            (u64::from(encoder.stream_header().hop), u64::from(encoder.stream_header().pre_skip));
        let position = &mut self.position;
        let mut keep_packet = |packet: EncodedPacket<'_>| -> Result<()> {
            let gap = packet.position - *position;
            if gap > 0 {
                packets.push(OutPacket { data: None, samples: gap });
            }
            *position = packet.position + packet.samples;
            counters.samples += gap;
            counters.pause_samples += gap;
            stats.redundant_bytes += packet.redundant_bytes as u64;
            if packet.is_sid {
                counters.pause_samples += packet.samples;
                counters.pause_bytes += packet.data.len() as u64;
            }
            // The first packet decodes to pre-skip samples more than it stands for, which belong to its frames.
            let decoded = packet.samples + if packet.position == 0 { skip } else { 0 };
            counters.packets += 1;
            counters.frames += decoded.div_ceil(hop);
            counters.samples += packet.samples;
            counters.bytes += packet.data.len() as u64;
            packets.push(OutPacket { data: Some(packet.data.to_vec()), samples: packet.samples });
            Ok(())
        };
        match samples {
            Some(bytes) => {
                // Buffers are aligned to floats, but for parts that upstream cut at an odd byte.
                let samples = if let Ok(samples) = bytemuck::try_cast_slice(bytes) {
                    samples
                } else {
                    self.pcm.clear();
                    let floats = bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
                    self.pcm.extend(floats);
                    &self.pcm
                };
                encoder.push_samples(samples, &mut keep_packet)?;
                // A live sink would wait for the pause's end if no gap were announced during it.
                let gap = encoder.position() - self.position;
                if gap > 0 {
                    packets.push(OutPacket { data: None, samples: gap });
                    self.position += gap;
                    self.stats.counters.samples += gap;
                    self.stats.counters.pause_samples += gap;
                }
            }
            None => {
                encoder.finish_stream(&mut keep_packet)?;
                // After a drain the next samples are a new stream, which counts from zero.
                self.position = 0;
            }
        }
        Ok(packets)
    }

    /// Forgets the stream; the next samples start another.
    pub(super) fn reset(&mut self) {
        self.position = 0;
        if let Some(encoder) = &mut self.encoder {
            encoder.reset();
        }
    }
}
