use siskin_bitstream::packet::Segment;
use siskin_bitstream::{Frames, StreamHeader};
use siskin_error::{Error, Result};
use siskin_model::runtime::Provider;

use crate::config::EncoderConfig;
use crate::frame::{SegmentEncoder, SegmentGatherer};
use crate::packet_writer::{EncodedPacket, PacketWriter};
use crate::rate::RateMode;

/// Samples in, packets of a segment each out.
pub(super) struct SegmentPackets {
    segments: SegmentEncoder,
    header: StreamHeader,
    stages: u8,
    gatherer: SegmentGatherer,
    codes: Frames,
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
            gatherer: SegmentGatherer::new(segments.sizes(), header.channels.into()),
            codes: Frames::new(header.groups),
            writer: PacketWriter::new(&header, config)?,
            segments,
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
        (self.segments.sizes().samples / usize::from(self.header.hop)) as u32
    }

    pub(super) fn latency_samples(&self) -> u64 {
        self.segments.sizes().samples as u64
    }

    pub(super) fn stages(&self) -> u8 {
        self.stages
    }

    pub(super) fn set_stages(&mut self, stages: u8) -> Result<()> {
        if !(1..=self.header.stages).contains(&stages) {
            return Err(Error::parameter("stages", stages, format!("1 to {}", self.header.stages)));
        }
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
        self.segments.provider()
    }

    pub(super) fn push_samples<E: From<Error>>(
        &mut self,
        mut pcm: &[f32],
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        while !pcm.is_empty() {
            pcm = self.gatherer.take(pcm);
            if self.gatherer.is_whole() {
                self.encode_segment(emit)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish_stream<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.gatherer.end();
        while !self.gatherer.is_empty() {
            self.encode_segment(emit)?;
        }
        self.reset();
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.gatherer.reset();
        self.codes.clear_for(self.header.groups);
        self.writer.reset();
    }

    fn encode_segment<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.codes.clear_for(self.header.groups);
        let codes = self.header.codes_per_frame(self.stages);
        let scale = self.segments.encode(self.gatherer.segment(), codes, &mut self.codes)?;
        let decoded = self.codes.len() * usize::from(self.header.hop);
        let (kept, is_last) = self.gatherer.next_segment();
        // What the next one begins with is mixed; the last ends where the samples do.
        let beyond = (decoded - kept) as u32;
        let (overlap, end_trim) = if is_last { (0, beyond) } else { (beyond, 0) };
        let segment = Segment { overlap, scale };
        let packet = self.writer.write_segment(&self.header, &self.codes, segment, end_trim)?;
        emit(packet)
    }
}
