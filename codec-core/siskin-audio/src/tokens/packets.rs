use std::sync::Arc;

use crate::EncoderConfig;
use crate::{Error, Limits, Result};
use siskin_bitstream::packet::{self, Packet, PacketInfo};
use siskin_bitstream::{CodeCoder, Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};

/// A packet made of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedCodes<'a> {
    /// The packet's bytes.
    pub data: &'a [u8],
    /// Position of its first decoded sample in the stream.
    pub position: u64,
    /// Samples a channel that it decodes to.
    pub samples: u64,
    /// Whether it carries the stream header, so that a reader may join here.
    pub joinable: bool,
}

/// Frames of codes in, packets out: what an encoder does after its network.
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
    /// Frames that came before the packet being gathered, those left out included.
    before: u64,
    given: u64,
    started: bool,
    header_due: u64,
    /// Whether a full packet waits for the next frame, since it may be the last and be trimmed.
    waits: bool,
}

impl CodePackets {
    /// Packets of `frames_per_packet` frames with `stages` stages. If `waits`, a full packet is held until the next
    /// frame comes, so that [`CodePackets::finish`] can trim the stream to its length.
    ///
    /// # Errors
    /// [`Error::Parameter`] for stages that the stream has not, or frames out of 1 to 500.
    pub fn new(header: StreamHeader, stages: u8, frames_per_packet: u32, waits: bool) -> Result<Self> {
        if !(1..=header.stages).contains(&stages) {
            return Err(Error::parameter("stages", stages, format!("1 to {}", header.stages)));
        }
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
            before: 0,
            given: 0,
            started: false,
            header_due: 0,
            waits,
        })
    }

    /// Gives the tables with which packets of several frames may be range coded.
    pub fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        self.coder = tables.filter(|_| self.frames_per_packet > 1).map(Coder::new);
    }

    /// Sets after how many frames a packet carries the stream header again.
    pub fn set_header_interval(&mut self, frames: u64) {
        self.header_interval = frames.max(1);
    }

    /// The stream's header.
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Takes one frame's codes, `[stage][group]`. They are to be entries of the codebooks: see
    /// [`Format::check_frame`](super::Format::check_frame).
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of codes; what `emit` returns.
    pub fn push<E: From<Error>>(
        &mut self,
        codes: &[u16],
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let expected = self.header.codes_per_frame(self.stages);
        if codes.len() != expected {
            return Err(Error::parameter("codes", codes.len(), expected).into());
        }
        if self.waits && self.gathered() == self.frames_per_packet {
            self.emit(0, emit)?;
        }
        self.codes.extend_from_slice(codes);
        self.codes.resize(self.codes.len() + self.header.codes_per_frame(self.header.stages) - expected, 0);
        if !self.waits && self.gathered() == self.frames_per_packet {
            self.emit(0, emit)?;
        }
        Ok(())
    }

    /// Leaves out a frame that is not to be had: the next packet begins after it, and decoders bridge the hole.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn skip<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if self.gathered() > 0 {
            self.emit(0, emit)?;
        }
        self.before += 1;
        Ok(())
    }

    /// Ends the stream, cut to `samples` samples if that is known, and starts anew.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the frames do not hold so many samples or more than a frame more; what `emit` returns.
    pub fn finish<E: From<Error>>(
        &mut self,
        samples: Option<u64>,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let hop = u64::from(self.header.hop);
        let frames = self.before + u64::from(self.gathered());
        let held = (frames * hop).saturating_sub(self.header.pre_skip.into());
        let trim = match samples {
            None => 0,
            Some(samples) => {
                match held.checked_sub(samples).filter(|&t| t < hop && (t == 0 || self.gathered() > 0)) {
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
        let last = if self.gathered() > 0 { self.emit(trim, emit) } else { Ok(()) };
        self.reset();
        last
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.codes.clear();
        (self.before, self.given, self.started, self.header_due) = (0, 0, false, 0);
    }

    fn gathered(&self) -> u32 {
        (self.codes.len() / self.header.codes_per_frame(self.header.stages)) as u32
    }

    fn emit<E: From<Error>>(
        &mut self,
        end_trim: u32,
        emit: &mut impl FnMut(PackedCodes<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let frames = self.gathered();
        let info = PacketInfo { starts_stream: !self.started, end_trim, frames, stages: self.stages };
        let joinable = self.before >= self.header_due || !self.started;
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
            joinable,
            &self.frames,
            coder.map(|c| c as &mut dyn CodeCoder),
            &mut self.packet,
        )?;
        if joinable {
            self.header_due = self.before + self.header_interval;
        }
        let skip = if self.started { u64::from(self.header.pre_skip) } else { 0 };
        let position = (self.before * u64::from(self.header.hop)).saturating_sub(skip);
        self.codes.clear();
        self.before += u64::from(frames);
        self.started = true;
        let samples = info.sample_count(&self.header);
        self.given += samples;
        emit(PackedCodes { data: &self.packet, position, samples, joinable })
    }
}

/// Appends the codes of a packet, `[frame][stage][group]`, to `out` and returns its head. Range-coded packets need a
/// `coder` with the bundle's [`Tables`](siskin_entropy::Tables).
///
/// # Errors
/// [`Error::Bitstream`] for a packet that is not one of the stream, or whose frames have different stages.
pub fn codes_of_packet(
    data: &[u8],
    header: &StreamHeader,
    coder: Option<&mut Coder>,
    out: &mut Vec<u16>,
) -> Result<PacketInfo> {
    let packet = Packet::parse(data, &Limits::default())?.bind(header)?;
    let mut frames = Frames::default();
    packet.read_codes(coder.map(|c| c as &mut dyn CodeCoder), &mut frames)?;
    if frames.is_variable() {
        let reason = "frames of different stages, which tokens cannot have";
        return Err(Error::bitstream("packet", "stages", 0, reason));
    }
    out.extend_from_slice(frames.codes());
    Ok(packet.info())
}
