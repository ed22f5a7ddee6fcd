use crate::bitstream::StreamHeader;
use crate::bitstream::packet::{self, PacketInfo};
use crate::bundle::Bundle;
use crate::runtime::{Provider, Runtime};
use crate::{Error, Limits, Result};

use super::frame::FrameEncoder;
use super::search::DEFAULT_SEARCH_WIDTH;

/// How a stream is to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Residual stages, 1 to the bundle's; `None` takes the bundle's default.
    pub stages: Option<u8>,
    /// Codec frames in a packet, 1 to 500. Each adds a hop to the delay; 1 for live, 50 for files.
    pub frames_per_packet: u32,
    /// Frames after which a packet carries the stream header again, for readers that join late.
    pub header_interval: u32,
    /// Choices of codes that are followed at once for each frame, 1 to 64: see
    /// [`FrameEncoder::set_search_width`].
    pub search_width: usize,
}

impl Default for EncoderConfig {
    /// The bundle's default rate, one frame a packet, the header every 50 frames.
    fn default() -> Self {
        Self { stages: None, frames_per_packet: 1, header_interval: 50, search_width: DEFAULT_SEARCH_WIDTH }
    }
}

/// A packet as the encoder hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedPacket<'a> {
    /// The packet's bytes.
    pub data: &'a [u8],
    /// Position of its first decoded sample in the input, in samples a channel.
    pub position: u64,
    /// Samples a channel that it decodes to.
    pub samples: u64,
    /// Whether it carries the stream header, so that a reader may join here.
    pub joinable: bool,
}

/// Samples in, packets out.
pub struct Encoder {
    frames: FrameEncoder,
    header: StreamHeader,
    config: EncoderConfig,
    stages: u8,
    /// Stages of the packet being gathered; a new rate waits for the next.
    packet_stages: u8,
    /// The frame being gathered.
    pending: Vec<f32>,
    /// Codes of the packet being gathered, `[frame][stage][group]` with all of the bundle's stages.
    codes: Vec<u16>,
    packet: Vec<u8>,
    /// Samples taken since the stream began.
    taken: u64,
    /// Samples that the packets so far decode to.
    given: u64,
    frames_given: u64,
    header_due: u64,
}

impl Encoder {
    /// Makes an encoder with a bundle's network.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `config` does not fit the bundle, and what [`FrameEncoder::new`] returns.
    pub fn new(bundle: &Bundle, runtime: &Runtime, config: &EncoderConfig) -> Result<Self> {
        let stages = config.stages.unwrap_or(bundle.manifest().default_stages);
        Self::from_parts(FrameEncoder::new(bundle, runtime)?, bundle.stream_header(), config, stages)
    }

    /// Puts an encoder together from its parts; `stages` is the rate to begin with, `config.stages` is not looked at.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `config` or `stages` does not fit the header.
    pub fn from_parts(
        mut frames: FrameEncoder,
        header: StreamHeader,
        config: &EncoderConfig,
        stages: u8,
    ) -> Result<Self> {
        if !(1..=64).contains(&config.search_width) {
            return Err(Error::parameter("search width", config.search_width, "1 to 64"));
        }
        frames.set_search_width(config.search_width);
        let most = Limits::default().max_frames_per_packet;
        if !(1..=most).contains(&config.frames_per_packet) {
            return Err(Error::parameter(
                "frames per packet",
                config.frames_per_packet,
                format!("1 to {most}"),
            ));
        }
        let hop = usize::from(header.hop);
        let room = config.frames_per_packet as usize * header.codes_per_frame(header.stages);
        let mut encoder = Self {
            frames,
            header,
            config: config.clone(),
            stages: 1,
            packet_stages: 1,
            pending: Vec::with_capacity(hop),
            codes: Vec::with_capacity(room),
            packet: Vec::with_capacity(2 * room + 128),
            taken: 0,
            given: 0,
            frames_given: 0,
            header_due: 0,
        };
        encoder.set_stages(stages)?;
        Ok(encoder)
    }

    /// The header of the stream, for the container.
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Residual stages of the packets from now on.
    pub fn stages(&self) -> u8 {
        self.stages
    }

    /// Changes the rate from the next packet on.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the bundle has not so many stages.
    pub fn set_stages(&mut self, stages: u8) -> Result<()> {
        if !(1..=self.header.stages).contains(&stages) {
            return Err(Error::parameter("stages", stages, format!("1 to {}", self.header.stages)));
        }
        self.stages = stages;
        Ok(())
    }

    /// What runs the network.
    pub fn provider(&self) -> Provider {
        self.frames.provider()
    }

    /// Takes any number of samples (mono, -1..1) and gives each packet that becomes whole to `emit`.
    ///
    /// # Errors
    /// What the network or `emit` returns; the stream is then to be [`reset`](Encoder::reset).
    pub fn push<E: From<Error>>(
        &mut self,
        mut pcm: &[f32],
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let hop = usize::from(self.header.hop);
        self.taken += pcm.len() as u64;
        while !pcm.is_empty() {
            let (now, later) = pcm.split_at(pcm.len().min(hop - self.pending.len()));
            self.pending.extend_from_slice(now);
            pcm = later;
            if self.pending.len() == hop {
                self.encode_frame()?;
                if self.gathered() == self.config.frames_per_packet {
                    self.emit_packet(0, emit)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the stream: codes what is left, marks the padding to be trimmed, and starts anew. A stream without a
    /// sample has no packets.
    ///
    /// # Errors
    /// What the network or `emit` returns.
    pub fn finish<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (hop, delay) = (u64::from(self.header.hop), u64::from(self.header.pre_skip));
        if self.taken > 0 {
            let frames = (self.taken + delay).div_ceil(hop);
            let end_trim = (frames * hop - delay - self.taken) as u32;
            loop {
                let coded = self.frames_given + u64::from(self.gathered());
                if coded == frames {
                    break;
                }
                if self.gathered() == self.config.frames_per_packet {
                    self.emit_packet(0, emit)?;
                }
                self.pending.resize(hop as usize, 0.0);
                self.encode_frame()?;
            }
            self.emit_packet(end_trim, emit)?;
        }
        self.reset();
        Ok(())
    }

    /// Forgets the stream: the next sample begins a new one, as with a new encoder.
    pub fn reset(&mut self) {
        self.frames.reset();
        self.pending.clear();
        self.codes.clear();
        (self.taken, self.given, self.frames_given, self.header_due) = (0, 0, 0, 0);
    }

    /// Frames in the packet being gathered.
    fn gathered(&self) -> u32 {
        (self.codes.len() / self.header.codes_per_frame(self.header.stages)) as u32
    }

    fn encode_frame(&mut self) -> Result<()> {
        let start = self.codes.len();
        if start == 0 {
            self.packet_stages = self.stages;
        }
        self.codes.resize(start + self.header.codes_per_frame(self.header.stages), 0);
        let used = self.header.codes_per_frame(self.packet_stages);
        self.frames.encode(&self.pending, &mut self.codes[start..start + used])?;
        self.pending.clear();
        Ok(())
    }

    fn emit_packet<E: From<Error>>(
        &mut self,
        end_trim: u32,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let frames = self.gathered();
        let info = PacketInfo {
            starts_stream: self.frames_given == 0,
            end_trim,
            frames,
            stages: self.packet_stages,
        };
        let joinable = self.frames_given >= self.header_due;
        self.packet.clear();
        packet::write(&self.header, &info, joinable, &self.codes, &mut self.packet)?;
        if joinable {
            self.header_due = self.frames_given + u64::from(self.config.header_interval.max(1));
        }
        self.codes.clear();
        self.frames_given += u64::from(frames);
        let (position, samples) = (self.given, info.samples(&self.header));
        self.given += samples;
        emit(EncodedPacket { data: &self.packet, position, samples, joinable })
    }
}
