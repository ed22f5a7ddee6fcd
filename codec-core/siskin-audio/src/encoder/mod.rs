//! Samples to packets.

mod frames;
mod segments;

use std::sync::Arc;

use siskin_bitstream::StreamHeader;
use siskin_entropy::Tables;
use siskin_error::{Error, Result};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::{Provider, Runtime};

use crate::config::EncoderConfig;
use crate::frame::{FrameEncoder, SegmentEncoder};
use crate::packet_writer::EncodedPacket;
use crate::rate::RateMode;
use crate::tables::load_entropy_tables;
use frames::PacketEncoder;
use segments::SegmentPackets;

/// A bundle's encoder network, whichever way it codes, loaded and not yet in a stream.
pub enum EncoderNetwork {
    /// Frame by frame.
    Frames(Box<FrameEncoder>),
    /// In segments that overlap.
    Segments(Box<SegmentEncoder>),
}

impl EncoderNetwork {
    /// Loads a bundle's encoder network.
    ///
    /// # Errors
    /// What [`FrameEncoder::new`] and [`SegmentEncoder::new`] return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        Ok(match bundle.manifest().segments {
            None => Self::Frames(Box::new(FrameEncoder::new(bundle, runtime)?)),
            Some(_) => Self::Segments(Box::new(SegmentEncoder::new(bundle, runtime)?)),
        })
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Frames(frames) => frames.provider(),
            Self::Segments(segments) => segments.provider(),
        }
    }
}

/// Samples in, packets out.
pub struct Encoder(Kind);

enum Kind {
    Frames(Box<PacketEncoder>),
    Segments(Box<SegmentPackets>),
}

/// Calls a method of whichever encoder there is.
macro_rules! of_kind {
    ($self:ident, $encoder:ident => $call:expr) => {
        match &$self.0 {
            Kind::Frames($encoder) => $call,
            Kind::Segments($encoder) => $call,
        }
    };
    (mut $self:ident, $encoder:ident => $call:expr) => {
        match &mut $self.0 {
            Kind::Frames($encoder) => $call,
            Kind::Segments($encoder) => $call,
        }
    };
}

impl Encoder {
    /// An encoder with a bundle's network.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `config` does not fit the bundle, and what [`EncoderNetwork::new`] and
    /// [`load_entropy_tables`](crate::load_entropy_tables) return.
    pub fn new(bundle: &Bundle, runtime: &Runtime, config: &EncoderConfig) -> Result<Self> {
        let stages = config.stages.unwrap_or(bundle.manifest().default_stages);
        Self::with_network(EncoderNetwork::new(bundle, runtime)?, bundle, config, stages)
    }

    /// An encoder with a bundle's network that has been loaded, with `stages` stages at first; `config.stages` is ignored.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_network(
        network: EncoderNetwork,
        bundle: &Bundle,
        config: &EncoderConfig,
        stages: u8,
    ) -> Result<Self> {
        match network {
            EncoderNetwork::Frames(frames) => {
                let mut encoder = Self::from_parts(*frames, bundle.stream_header(), config, stages)?;
                encoder.set_tables(load_entropy_tables(bundle)?);
                Ok(encoder)
            }
            EncoderNetwork::Segments(segments) => {
                let encoder = SegmentPackets::new(*segments, bundle.stream_header(), config, stages)?;
                Ok(Self(Kind::Segments(Box::new(encoder))))
            }
        }
    }

    /// An encoder of frames from its parts, with `stages` stages at first; `config.stages` is ignored.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `config` or `stages` does not fit the header.
    pub fn from_parts(
        frames: FrameEncoder,
        header: StreamHeader,
        config: &EncoderConfig,
        stages: u8,
    ) -> Result<Self> {
        Ok(Self(Kind::Frames(Box::new(PacketEncoder::from_parts(frames, header, config, stages)?))))
    }

    /// Sets the tables with which packets may be range coded; segments never are.
    pub fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        if let Kind::Frames(encoder) = &mut self.0 {
            encoder.set_tables(tables);
        }
    }

    /// Whether packets may be range coded.
    pub fn is_range_coding(&self) -> bool {
        matches!(&self.0, Kind::Frames(encoder) if encoder.is_range_coding())
    }

    /// The header of the stream, for the container.
    pub fn stream_header(&self) -> &StreamHeader {
        of_kind!(self, e => e.stream_header())
    }

    /// Codec frames of a packet, but for those that end a stream or a pause. A packet of a codec of segments is a segment, whatever
    /// the configuration says.
    pub fn frames_per_packet(&self) -> u32 {
        of_kind!(self, e => e.frames_per_packet())
    }

    /// Samples from the first of a packet's decoded ones to the one with which the packet is complete: its frames, the
    /// decoder's lag, the codec's look-ahead, and what a block of frames runs beyond the packet.
    pub fn latency_samples(&self) -> u64 {
        of_kind!(self, e => e.latency_samples())
    }

    /// Residual stages from the next packet on.
    pub fn stages(&self) -> u8 {
        of_kind!(self, e => e.stages())
    }

    /// Changes the residual stages from the next packet on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for 0 or more than the bundle has.
    pub fn set_stages(&mut self, stages: u8) -> Result<()> {
        of_kind!(mut self, e => e.set_stages(stages))
    }

    /// Changes the rate mode, from the next frame on if it is variable, else from the next packet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate below that of one stage or above that of all, and for a variable rate of a codec of
    /// segments.
    pub fn set_rate_mode(&mut self, rate_mode: RateMode) -> Result<()> {
        of_kind!(mut self, e => e.set_rate_mode(rate_mode))
    }

    /// How the encoder chooses its bit rate.
    pub fn rate_mode(&self) -> RateMode {
        match &self.0 {
            Kind::Frames(encoder) => encoder.rate_mode(),
            Kind::Segments(_) => RateMode::Constant,
        }
    }

    /// End of the packets so far and of the gap that the last SID frame covers, in samples per channel of the input.
    pub fn position(&self) -> u64 {
        of_kind!(self, e => e.position())
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        of_kind!(self, e => e.provider())
    }

    /// Encodes any number of samples (-1..1, channels interleaved; NaN and infinite samples count as silence) and passes each
    /// complete packet to `emit`.
    ///
    /// # Errors
    /// What the network or `emit` returns; the stream is then to be [`reset`](Encoder::reset).
    pub fn push_samples<E: From<Error>>(
        &mut self,
        pcm: &[f32],
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        of_kind!(mut self, e => e.push_samples(pcm, emit))
    }

    /// Ends the stream: pads the last frame, marks the padding to be trimmed, and starts anew. A stream without a sample
    /// has no packets.
    ///
    /// # Errors
    /// What the network or `emit` returns.
    pub fn finish_stream<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        of_kind!(mut self, e => e.finish_stream(emit))
    }

    /// Back to the state of a new encoder: the next sample begins a new stream.
    pub fn reset(&mut self) {
        of_kind!(mut self, e => e.reset());
    }
}
