use siskin_bitstream::StreamHeader;
use siskin_error::{Error, Result};

use crate::config::EncoderConfig;
use crate::packet_writer::PacketWriter;
use crate::tokens::packets::PackedCodes;
use crate::tokens::segment_assembler::{AssembledSegment, SegmentAssembler};

/// Frames of codes in, a packet for each segment out.
pub(super) struct SegmentPackets {
    assembler: SegmentAssembler,
    writer: PacketWriter,
}

impl SegmentPackets {
    /// # Errors
    /// What [`PacketWriter::new`] returns.
    pub(super) fn new(
        assembler: SegmentAssembler,
        header: &StreamHeader,
        header_interval: u64,
    ) -> Result<Self> {
        let mut writer = PacketWriter::new(header, &EncoderConfig::default())?;
        writer.set_header_interval(header_interval);
        Ok(Self { assembler, writer })
    }

    pub(super) fn set_header_interval(&mut self, frames: u64) {
        self.writer.set_header_interval(frames);
    }

    pub(super) fn push_frame<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        codes: &[u16],
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Self { assembler, writer } = self;
        check_taken(assembler.push_frame(codes, |segment| emit(pack(writer, header, segment)?))?)?;
        Ok(())
    }

    /// Takes a lost frame of `codes` codes.
    pub(super) fn skip_frame<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        codes: usize,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Self { assembler, writer } = self;
        check_taken(assembler.push_lost(codes, |segment| emit(pack(writer, header, segment)?))?)?;
        Ok(())
    }

    pub(super) fn finish_stream<E: From<Error>>(
        &mut self,
        header: &StreamHeader,
        samples: Option<u64>,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Self { assembler, writer } = self;
        if samples.is_some() {
            assembler.set_samples(samples);
        }
        let ended = match samples {
            Some(samples) if !assembler.can_end() => {
                let allowed = "as many as the frames of whole segments and the last one have";
                Err(Error::parameter("samples", samples, allowed).into())
            }
            _ => assembler.finish_stream(|segment| emit(pack(writer, header, segment)?)),
        };
        self.reset();
        ended
    }

    pub(super) fn reset(&mut self) {
        self.assembler.reset();
        self.writer.reset();
    }
}

fn pack<'a>(
    writer: &'a mut PacketWriter,
    header: &StreamHeader,
    assembled: AssembledSegment<'_>,
) -> Result<PackedCodes<'a>> {
    let AssembledSegment { codes, planned } = assembled;
    let packet = writer.write_segment(header, codes, planned.segment, planned.end_trim)?;
    Ok(PackedCodes {
        data: packet.data,
        position: packet.position,
        samples: packet.samples,
        is_random_access: packet.is_random_access,
    })
}

fn check_taken(is_taken: bool) -> Result<()> {
    if is_taken {
        return Ok(());
    }
    Err(Error::parameter("frames", "more", "as many as the stream's samples fill"))
}
