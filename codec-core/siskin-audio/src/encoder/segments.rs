use siskin_bitstream::StreamHeader;
use siskin_error::{Error, Result};
use siskin_model::runtime::Provider;

use crate::config::EncoderConfig;
use crate::frame::{CodedSegment, SegmentEncoder, SegmentSource};
use crate::packet_writer::{EncodedPacket, PacketWriter};
use crate::rate::RateMode;

/// Samples in, packets of a segment each out.
pub(super) struct SegmentPackets {
    source: SegmentSource,
    header: StreamHeader,
    stages: u8,
    writer: PacketWriter,
}

impl SegmentPackets {
    /// # Errors
    /// [`Error::Parameter`] for what segments do not have.
    pub(super) fn new(
        segments: SegmentEncoder,
        header: StreamHeader,
        config: &EncoderConfig,
        stages: u8,
    ) -> Result<Self> {
        let refused = |name, value: &dyn ToString, allowed: &'static str| {
            Err(Error::parameter(name, value.to_string(), format!("{allowed}: the codec codes segments")))
        };
        if config.dtx {
            return refused("dtx", &"on", "off");
        }
        if config.redundancy > 0 {
            return refused("redundancy", &config.redundancy, "0");
        }
        let mut encoder = Self {
            source: SegmentSource::new(segments, header.channels, header.hop, header.groups),
            writer: PacketWriter::new(&header, config)?,
            header,
            stages: 1,
        };
        encoder.set_stages(stages)?;
        encoder.set_rate_mode(config.rate_mode)?;
        Ok(encoder)
    }

    pub(super) fn stream_header(&self) -> &StreamHeader {
        &self.header
    }

    pub(super) fn frames_per_packet(&self) -> u32 {
        (self.source.sizes().samples / usize::from(self.header.hop)) as u32
    }

    pub(super) fn latency_samples(&self) -> u64 {
        self.source.sizes().samples as u64
    }

    pub(super) fn stages(&self) -> u8 {
        self.stages
    }

    pub(super) fn set_stages(&mut self, stages: u8) -> Result<()> {
        self.header.check_stages(stages)?;
        self.stages = stages;
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "as the encoder of frames has it")]
    pub(super) fn set_rate_mode(&mut self, rate_mode: RateMode) -> Result<()> {
        match rate_mode {
            RateMode::Constant => Ok(()),
            RateMode::Variable { .. } => {
                Err(Error::parameter("rate control", "variable", "constant: the codec codes segments"))
            }
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.writer.samples_out()
    }

    pub(super) fn provider(&self) -> Provider {
        self.source.provider()
    }

    pub(super) fn push_samples<E: From<Error>>(
        &mut self,
        pcm: &[f32],
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Self { source, header, stages, writer } = self;
        let codes = header.codes_per_frame(*stages);
        source.push_samples(pcm, codes, &mut |coded| emit(write_segment(writer, header, coded)?))
    }

    pub(super) fn finish_stream<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Self { source, header, stages, writer } = self;
        let codes = header.codes_per_frame(*stages);
        source.finish_stream(codes, &mut |coded| emit(write_segment(writer, header, coded)?))?;
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.source.reset();
        self.writer.reset();
    }
}

fn write_segment<'a>(
    writer: &'a mut PacketWriter,
    header: &StreamHeader,
    coded: CodedSegment<'_>,
) -> Result<EncodedPacket<'a>> {
    writer.write_segment(header, coded.codes, coded.segment, coded.end_trim)
}
