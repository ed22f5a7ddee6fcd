use std::sync::Arc;

use siskin_bitstream::packet::{self, Packet, PacketInfo};
use siskin_bitstream::{CodeCoder, Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};
use siskin_error::{Error, Limits, Result};
use siskin_model::bundle::SegmentSpec;

use crate::config::EncoderConfig;
use crate::tokens::segment_assembler::SegmentAssembler;
use crate::tokens::segment_packets::SegmentPackets;

/// A packet made of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedCodes<'a> {
    /// The packet's bytes.
    pub data: &'a [u8],
    /// Position of its first decoded sample in the stream.
    pub position: u64,
    /// Samples per channel that it decodes to.
    pub samples: u64,
    /// Whether it is a random access point: it carries the stream header.
    pub is_random_access: bool,
}

/// Frames of codes in, packets out: the part of an encoder after its network.
pub struct CodePackets {
    header: StreamHeader,
    stages: u8,
    frames_per_packet: u32,
    /// Codes of the packet being gathered, with all of the bundle's stages.
    codes: Vec<u16>,
    /// The same with the stream's stages.
    frames: Frames,
    coder: Option<Coder>,
    header_interval: u64,
    packet: Vec<u8>,
    /// Frames before the packet being gathered, skipped ones included.
    frames_before: u64,
    started: bool,
    header_due: u64,
    /// Whether a full packet is held until the next frame, since it may be the last and be trimmed.
    holds_last: bool,
    /// Codes of the last frame.
    last: Vec<u16>,
    /// For a codec of segments.
    segments: Option<SegmentPackets>,
}

impl CodePackets {
    /// Packets of `frames_per_packet` frames with `stages` stages. If `holds_last`, a full packet is held until the next
    /// frame comes, so that [`CodePackets::finish_stream`] can trim the stream to its length.
    ///
    /// # Errors
    /// [`Error::Parameter`] for stages beyond the header's, or frames out of 1 to 500.
    pub fn new(header: StreamHeader, stages: u8, frames_per_packet: u32, holds_last: bool) -> Result<Self> {
        header.check_stages(stages)?;
        let most = Limits::default().max_frames_per_packet;
        if !(1..=most).contains(&frames_per_packet) {
            return Err(Error::parameter("frames per packet", frames_per_packet, format!("1 to {most}")));
        }
        Ok(Self {
            header,
            stages,
            frames_per_packet,
            codes: Vec::new(),
            frames: Frames::default(),
            coder: None,
            header_interval: EncoderConfig::default().header_interval.into(),
            packet: Vec::new(),
            frames_before: 0,
            started: false,
            header_due: 0,
            holds_last,
            last: Vec::new(),
            segments: None,
        })
    }

    /// Makes a packet of each segment, for a codec that codes those: its `sizes`, the scales in their order (1 where there are
    /// none), and the stream's length, from which follows how many frames the last segments have; without it, all but the last are
    /// whole. To be called before the first frame; the frames per packet no longer count.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a scale that is not finite or below 0.
    pub fn set_segments(&mut self, sizes: SegmentSpec, scales: Vec<f32>, samples: Option<u64>) -> Result<()> {
        let mut assembler = SegmentAssembler::new(sizes, self.header.hop, self.header.groups);
        assembler.set_scales(scales)?;
        assembler.set_samples(samples);
        self.segments = Some(SegmentPackets::new(assembler, &self.header, self.header_interval)?);
        Ok(())
    }

    /// Sets the tables with which packets of several frames may be range coded.
    pub fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        self.coder = tables.filter(|_| self.frames_per_packet > 1).map(Coder::new);
    }

    /// Sets after how many frames a packet carries the stream header again.
    pub fn set_header_interval(&mut self, frames: u64) {
        self.header_interval = frames.max(1);
        if let Some(segments) = &mut self.segments {
            segments.set_header_interval(frames);
        }
    }

    /// The stream's header.
    pub fn stream_header(&self) -> &StreamHeader {
        &self.header
    }

    /// Adds one frame's codes, `[stage][group]`, which must be below the codebook's size: see
    /// [`Format::check_frame`](super::Format::check_frame).
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of codes; what `emit` returns.
    pub fn push_frame<E: From<Error>>(
        &mut self,
        codes: &[u16],
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let expected = self.header.codes_per_frame(self.stages);
        if codes.len() != expected {
            return Err(Error::parameter("codes", codes.len(), expected).into());
        }
        if let Some(segments) = &mut self.segments {
            return segments.push_frame(&self.header, codes, emit);
        }
        // The packet was full before: only now is it known not to be the last.
        if self.holds_last && self.is_packet_full() {
            self.emit_packet(0, emit)?;
        }
        self.last.clear();
        self.last.extend_from_slice(codes);
        self.codes.extend_from_slice(codes);
        // Frames are padded to all of the bundle's stages, so that their number follows from the length.
        self.codes.resize(self.codes.len() + self.header.codes_per_frame(self.header.stages) - expected, 0);
        if !self.holds_last && self.is_packet_full() {
            self.emit_packet(0, emit)?;
        }
        Ok(())
    }

    /// Skips a lost frame: the next packet begins after it, and decoders conceal the gap. In a segment, which cannot lack a frame,
    /// the codes of the frame before take its place.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn skip_frame<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if let Some(segments) = &mut self.segments {
            let codes = self.header.codes_per_frame(self.stages);
            return segments.skip_frame(&self.header, codes, emit);
        }
        if self.pending_frames() > 0 {
            self.emit_packet(0, emit)?;
        }
        // Time goes on, and the gap before the next packet is what decoders conceal.
        self.frames_before += 1;
        Ok(())
    }

    /// Ends the stream, trimmed to `samples` samples if given, and starts a new one. A codec whose decoder lags by a frame
    /// and more has as many frames of tokens as its samples fill: its last frame is repeated until the samples of all have
    /// come out.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the frames hold fewer samples, or a frame or more beyond them; what `emit` returns.
    pub fn finish_stream<E: From<Error>>(
        &mut self,
        samples: Option<u64>,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if let Some(segments) = &mut self.segments {
            return segments.finish_stream(&self.header, samples, emit);
        }
        let (hop, delay) = (u64::from(self.header.hop), u64::from(self.header.pre_skip));
        let frames = self.frames_before + u64::from(self.pending_frames());
        let samples = samples.or_else(|| (delay >= hop && frames > 0).then_some(frames * hop));
        if let Some(samples) = samples.filter(|_| delay >= hop && !self.last.is_empty()) {
            // No further than a file without a frame of its own beyond the end needs.
            let whole = (samples + delay).div_ceil(hop).min(frames + delay.div_ceil(hop));
            let last = std::mem::take(&mut self.last);
            for _ in frames..whole {
                self.push_frame(&last, emit)?;
            }
        }
        let frames = self.frames_before + u64::from(self.pending_frames());
        // The decoder drops the delay at the start of the stream.
        let held = (frames * hop).saturating_sub(self.header.pre_skip.into());
        let trim = match samples {
            None => 0,
            Some(samples) => {
                match held.checked_sub(samples).filter(|&t| t < hop && (t == 0 || self.pending_frames() > 0))
                {
                    Some(trim) => trim as u32,
                    None => {
                        let allowed =
                            format!("{} to {held} with {frames} frames", (held + 1).saturating_sub(hop));
                        self.reset();
                        return Err(Error::parameter("samples", samples, allowed).into());
                    }
                }
            }
        };
        let last = if self.pending_frames() > 0 { self.emit_packet(trim, emit) } else { Ok(()) };
        self.reset();
        last
    }

    /// Back to the start of a stream.
    pub fn reset(&mut self) {
        if let Some(segments) = &mut self.segments {
            segments.reset();
        }
        self.codes.clear();
        (self.frames_before, self.started, self.header_due) = (0, false, 0);
        self.last.clear();
    }

    /// Whether the packet being gathered has all its frames. The first also holds what the decoder drops for its delay.
    fn is_packet_full(&self) -> bool {
        let dropped = if self.started { 0 } else { self.header.pre_skip / self.header.hop };
        self.pending_frames() >= self.frames_per_packet + u32::from(dropped)
    }

    fn pending_frames(&self) -> u32 {
        (self.codes.len() / self.header.codes_per_frame(self.header.stages)) as u32
    }

    fn emit_packet<E: From<Error>>(
        &mut self,
        end_trim: u32,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let frames = self.pending_frames();
        let info =
            PacketInfo { starts_stream: !self.started, end_trim, frames, stages: self.stages, overlap: 0 };
        let is_random_access = self.frames_before >= self.header_due || !self.started;
        self.packet.clear();
        self.frames.clear_for(self.header.groups);
        let used = self.header.codes_per_frame(self.stages);
        for codes in self.codes.chunks_exact(self.header.codes_per_frame(self.header.stages)) {
            self.frames.push_frame(&codes[..used]);
        }
        let coder = self.coder.as_mut();
        packet::write_frames(
            &self.header,
            &info,
            is_random_access,
            &self.frames,
            coder.map(|c| c as &mut dyn CodeCoder),
            &mut self.packet,
        )?;
        if is_random_access {
            self.header_due = self.frames_before + self.header_interval;
        }
        // The first packet's samples begin with the delay, which is dropped: positions of the others are earlier by it.
        let skip = if self.started { u64::from(self.header.pre_skip) } else { 0 };
        let position = (self.frames_before * u64::from(self.header.hop)).saturating_sub(skip);
        self.codes.clear();
        self.frames_before += u64::from(frames);
        self.started = true;
        let samples = info.sample_count(&self.header);
        emit(PackedCodes { data: &self.packet, position, samples, is_random_access })
    }
}

/// Appends the codes of a packet, `[frame][stage][group]`, to `out` and returns its head. Range-coded packets need a
/// `coder` with the bundle's [`Tables`](siskin_entropy::Tables).
///
/// # Errors
/// [`Error::Bitstream`] for a packet that is not one of the stream, or whose frames have different stages.
pub fn codes_from_packet(
    data: &[u8],
    header: &StreamHeader,
    coder: Option<&mut Coder>,
    out: &mut Vec<u16>,
) -> Result<PacketInfo> {
    codes_and_scale_from_packet(data, header, coder, out).map(|(info, _)| info)
}

/// As [`codes_from_packet`], with the scale of a segment.
///
/// # Errors
/// As for [`codes_from_packet`].
pub fn codes_and_scale_from_packet(
    data: &[u8],
    header: &StreamHeader,
    coder: Option<&mut Coder>,
    out: &mut Vec<u16>,
) -> Result<(PacketInfo, Option<f32>)> {
    let packet = Packet::parse(data, &Limits::default())?.bind(header)?;
    let mut frames = Frames::default();
    packet.read_codes(coder.map(|c| c as &mut dyn CodeCoder), &mut frames)?;
    // A matrix of codes has one number of rows, and padding would be other codes.
    if frames.is_variable() {
        let reason =
            "frames of different stages; only streams with a constant number of stages become tokens";
        return Err(Error::bitstream("packet", "stages", 0, reason));
    }
    out.extend_from_slice(frames.codes());
    Ok((packet.info(), packet.segment().map(|s| s.scale)))
}
