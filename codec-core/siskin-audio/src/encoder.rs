use std::sync::Arc;

use crate::{Error, Limits, Result};
use siskin_bitstream::packet::{self, PacketInfo};
use siskin_bitstream::{CodeCoder, ComfortNoise, Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::{Provider, Runtime};

use super::activity::Activity;
use super::conceal::PAUSE_FRAMES;
use super::frame::FrameEncoder;
use super::history::History;
use super::levels::HighPass;
use super::rate::{Choices, RateControl, RateKeeper};
use super::search::{DEFAULT_BIT_WEIGHT, DEFAULT_SEARCH_WIDTH};

/// How a stream is to be packed.
#[derive(Debug, Clone, PartialEq)]
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
    /// How the bit rate is arrived at.
    pub rate: RateControl,
    /// Range codes packets of several frames where that takes fewer bytes, if the bundle has tables for it.
    pub entropy_coding: bool,
    /// What a bit of range-coded codes weighs in the search against distance, 0 to 4: with 1 as much as a bit of the same
    /// stage removes of the error on average, with 0 nothing.
    pub bit_weight: f32,
    /// Earlier frames that each packet repeats, 0 to [`redundancy::MAX_FRAMES`](siskin_bitstream::redundancy): after a
    /// loss the next packet brings so many of the lost frames back, coarsely.
    pub redundancy: u8,
    /// Residual stages of the repeated frames.
    pub redundancy_stages: u8,
    /// Describes background noise in pauses instead of coding it (discontinuous transmission). With fewer than 0.4 s of
    /// frames in a packet there are gaps between the descriptions.
    pub dtx: bool,
}

impl Default for EncoderConfig {
    /// The bundle's default rate, one frame a packet, the header every 50 frames, entropy coding.
    fn default() -> Self {
        Self {
            stages: None,
            frames_per_packet: 1,
            header_interval: 50,
            search_width: DEFAULT_SEARCH_WIDTH,
            rate: RateControl::Constant,
            entropy_coding: true,
            bit_weight: DEFAULT_BIT_WEIGHT,
            redundancy: 0,
            redundancy_stages: 1,
            dtx: false,
        }
    }
}

/// A packet as the encoder hands it out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodedPacket<'a> {
    /// The packet's bytes.
    pub data: &'a [u8],
    /// Position of its first decoded sample in the input, in samples a channel.
    pub position: u64,
    /// Samples a channel that it decodes to.
    pub samples: u64,
    /// Whether it carries the stream header, so that a reader may join here.
    pub joinable: bool,
    /// Bytes of `data` that repeat earlier frames.
    pub redundant_bytes: usize,
    /// Whether it describes the noise of a pause. The packet after may lie later than where this one ends.
    pub is_pause: bool,
}

/// After how many seconds of a pause its noise is described again.
const DESCRIPTION_SECONDS: f64 = 0.4;
/// How far the noise's level has to go from what was described to be described at once, in half decibels.
const DESCRIPTION_STEP: u8 = 8;
/// In a pause the stream header comes so many times more seldom: it would cost more than the noise.
const PAUSE_HEADER_FACTOR: u64 = 10;

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
    /// Codes of the frame being coded.
    frame: Vec<u16>,
    /// Frames of the packet being gathered.
    codes: Frames,
    coder: Option<Coder>,
    rate: Option<RateKeeper>,
    choices: Choices,
    packet: Vec<u8>,
    /// Samples taken since the stream began.
    taken: u64,
    /// Samples that the packets so far decode to.
    given: u64,
    frames_given: u64,
    header_due: u64,
    high_pass: HighPass,
    history: History,
    pause: Option<Pause>,
}

/// What tells pauses, and the one at hand.
struct Pause {
    activity: Activity,
    /// Frames of the pause so far.
    length: u32,
    /// Frames of the description being gathered.
    frames: u32,
    /// Frames that the last description stands for beyond its packet.
    skip: u32,
    /// Frames from one description to the next.
    interval: u32,
    described: ComfortNoise,
}

impl Encoder {
    /// Makes an encoder with a bundle's network.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `config` does not fit the bundle, and what [`FrameEncoder::new`] and
    /// [`entropy_tables`](crate::entropy_tables) return.
    pub fn new(bundle: &Bundle, runtime: &Runtime, config: &EncoderConfig) -> Result<Self> {
        let stages = config.stages.unwrap_or(bundle.manifest().default_stages);
        let frames = FrameEncoder::new(bundle, runtime)?;
        let mut encoder = Self::from_parts(frames, bundle.stream_header(), config, stages)?;
        encoder.set_tables(crate::entropy_tables(bundle)?.map(Arc::new));
        Ok(encoder)
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
        if !(0.0..=4.0).contains(&config.bit_weight) {
            return Err(Error::parameter("bit weight", config.bit_weight, "0 to 4"));
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
        let pause = config.dtx.then(|| Pause {
            activity: Activity::new(hop, header.sample_rate),
            length: 0,
            frames: 0,
            skip: 0,
            interval: (header.frame_rate() * DESCRIPTION_SECONDS).ceil().clamp(1.0, 500.0) as u32,
            described: ComfortNoise::default(),
        });
        let history = History::new(&header, config.redundancy, config.redundancy_stages)?;
        let in_packet = config.frames_per_packet as usize;
        let per_frame = header.codes_per_frame(header.stages);
        let (frame, packet) = (vec![0; per_frame], Vec::with_capacity(2 * in_packet * per_frame + 128));
        let codes = Frames::with_capacity(header.groups, in_packet, header.stages);
        let choices = Choices::new(header.stages.into(), header.groups.into());
        let mut encoder = Self {
            frames,
            high_pass: HighPass::new(header.sample_rate),
            history,
            pause,
            header,
            config: config.clone(),
            stages: 1,
            packet_stages: 1,
            pending: Vec::with_capacity(hop),
            frame,
            codes,
            coder: None,
            rate: None,
            choices,
            packet,
            taken: 0,
            given: 0,
            frames_given: 0,
            header_due: 0,
        };
        encoder.set_stages(stages)?;
        encoder.set_rate(config.rate)?;
        Ok(encoder)
    }

    /// Gives the tables with which packets may be range coded.
    pub fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        // The codes of a single frame say too little of one another to pay for the coder's last byte.
        let pays = self.config.entropy_coding && self.config.frames_per_packet > 1;
        let tables = tables.filter(|_| pays);
        self.frames.weigh(tables.clone(), self.config.bit_weight);
        self.coder = tables.map(Coder::new);
    }

    /// Whether packets may be range coded.
    pub fn is_range_coding(&self) -> bool {
        self.coder.is_some()
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

    /// Changes how the bit rate is arrived at, from the next frame on where it is variable, else from the next packet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate below that of one stage or above that of all.
    pub fn set_rate(&mut self, rate: RateControl) -> Result<()> {
        self.config.rate = rate;
        let RateControl::Variable { bitrate } = rate else {
            self.rate = None;
            return Ok(());
        };
        let header = &self.header;
        let (low, high) = (header.code_rate(1), header.code_rate(header.stages));
        if !(low..=high).contains(&f64::from(bitrate)) {
            return Err(Error::parameter("bitrate", bitrate, format!("{low:.0} to {high:.0}")));
        }
        let stage_bits = header.codes_per_frame(1) * usize::from(header.code_bits);
        match &mut self.rate {
            Some(keeper) => keeper.set_bitrate(bitrate, header.frame_rate()),
            None => {
                let stages = header.stages.into();
                self.rate = Some(RateKeeper::new(bitrate, header.frame_rate(), stages, stage_bits));
            }
        }
        Ok(())
    }

    /// How the bit rate is arrived at.
    pub fn rate(&self) -> RateControl {
        self.config.rate
    }

    /// Position up to which packets, and descriptions of pauses beyond their packets, have been given, in samples a
    /// channel of the input.
    pub fn position(&self) -> u64 {
        self.given
    }

    /// What runs the network.
    pub fn provider(&self) -> Provider {
        self.frames.provider()
    }

    /// Takes any number of samples (mono, -1..1; what is not finite counts as silence) and gives each packet that becomes whole to `emit`.
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
            let high_pass = &mut self.high_pass;
            self.pending.extend(now.iter().map(|&x| high_pass.next(x)));
            pcm = later;
            if self.pending.len() == hop {
                self.take_frame(false, emit)?;
                if self.gathered() == self.config.frames_per_packet {
                    self.emit_gathered(0, emit)?;
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
                    self.emit_gathered(0, emit)?;
                }
                let high_pass = &mut self.high_pass;
                let missing = hop as usize - self.pending.len();
                self.pending.extend((0..missing).map(|_| high_pass.next(0.0)));
                self.take_frame(coded + 1 == frames, emit)?;
            }
            self.emit_gathered(end_trim, emit)?;
        }
        self.reset();
        Ok(())
    }

    /// Forgets the stream: the next sample begins a new one, as with a new encoder.
    pub fn reset(&mut self) {
        self.frames.reset();
        if let Some(rate) = &mut self.rate {
            rate.reset();
        }
        self.pending.clear();
        self.codes.clear_for(self.header.groups);
        self.high_pass.reset();
        self.history.clear();
        if let Some(pause) = &mut self.pause {
            pause.activity.reset();
            (pause.length, pause.frames, pause.skip) = (0, 0, 0);
            pause.described = ComfortNoise::default();
        }
        (self.taken, self.given, self.frames_given, self.header_due) = (0, 0, 0, 0);
    }

    /// Frames in the packet being gathered.
    fn gathered(&self) -> u32 {
        let described = self.pause.as_ref().map_or(0, |p| p.frames);
        described + self.codes.len() as u32
    }

    /// Codes the pending frame, or counts it to a pause; what was gathered of the other kind is given to `emit`. The
    /// last frame of a stream is never left to a description before it.
    fn take_frame<E: From<Error>>(
        &mut self,
        is_last: bool,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Some(pause) = &mut self.pause else { return Ok(self.encode_frame()?) };
        if pause.activity.is_active(&self.pending) {
            (pause.skip, pause.length) = (0, 0);
            if pause.frames > 0 {
                self.emit_gathered(0, emit)?;
            }
            return Ok(self.encode_frame()?);
        }
        if !self.codes.is_empty() {
            self.emit_gathered(0, emit)?;
        }
        let Some(pause) = &mut self.pause else { return Ok(()) };
        pause.length = pause.length.saturating_add(1);
        if pause.length < PAUSE_FRAMES {
            self.frames.follow(&self.pending)?;
        } else {
            // The decoder starts from rest after this, and so must the encoder, or it leaves out what it said before.
            self.frames.reset();
        }
        self.pending.clear();
        let is_near = pause.activity.describe().level.abs_diff(pause.described.level) < DESCRIPTION_STEP;
        if pause.skip > 0 && is_near && !is_last {
            pause.skip -= 1;
            self.frames_given += 1;
            self.given += u64::from(self.header.hop);
        } else {
            pause.frames += 1;
        }
        Ok(())
    }

    /// Emits what is gathered: codes or a description.
    fn emit_gathered<E: From<Error>>(
        &mut self,
        end_trim: u32,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match self.pause.as_ref().map_or(0, |p| p.frames) {
            0 => self.emit_packet(end_trim, emit),
            frames => self.emit_description(frames, end_trim, emit),
        }
    }

    fn emit_description<E: From<Error>>(
        &mut self,
        frames: u32,
        end_trim: u32,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Some(pause) = &mut self.pause else { return Ok(()) };
        let info = PacketInfo { starts_stream: self.frames_given == 0, end_trim, frames, stages: 0 };
        let interval = u64::from(self.config.header_interval.max(1));
        let overdue = self.header_due + (PAUSE_HEADER_FACTOR - 1) * interval;
        let joinable = info.starts_stream || self.frames_given >= overdue;
        pause.described = pause.activity.describe();
        pause.skip = pause.interval.saturating_sub(frames);
        pause.frames = 0;
        self.packet.clear();
        packet::write_sid(&self.header, &info, joinable, &pause.described, &mut self.packet)?;
        self.history.clear();
        self.hand_out(&info, joinable, 0, emit)
    }

    fn encode_frame(&mut self) -> Result<()> {
        if self.codes.is_empty() {
            self.packet_stages = self.stages;
            self.frames.begin_packet();
        }
        if let Some(rate) = &mut self.rate {
            self.frames.encode_all(&self.pending, &mut self.choices)?;
            let count = rate.choose(&self.choices);
            self.frames.end_frame(self.choices.codes(count));
            self.codes.push_frame(self.choices.codes(count));
            self.pending.clear();
            return Ok(());
        }
        let frame = &mut self.frame[..self.header.codes_per_frame(self.packet_stages)];
        self.frames.encode(&self.pending, frame)?;
        self.frames.end_frame(frame);
        self.codes.push_frame(frame);
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
            stages: self.codes.max_stages(),
        };
        let joinable = self.frames_given >= self.header_due;
        self.packet.clear();
        let coder = self.coder.as_mut();
        packet::write_frames(
            &self.header,
            &info,
            joinable,
            &self.codes,
            coder.map(|c| c as &mut dyn CodeCoder),
            &mut self.packet,
        )?;
        let redundant_bytes = self.history.append(&self.header, &mut self.packet)?;
        if let Some(rate) = &mut self.rate {
            let fixed = self.codes.codes().len() * usize::from(self.header.code_bits);
            rate.settle(self.packet.len(), fixed);
        }
        for codes in self.codes.iter() {
            self.history.push(codes);
        }
        self.codes.clear_for(self.header.groups);
        self.hand_out(&info, joinable, redundant_bytes, emit)
    }

    /// Gives the packet that has been written to `emit` and goes on in the stream.
    fn hand_out<E: From<Error>>(
        &mut self,
        info: &PacketInfo,
        joinable: bool,
        redundant_bytes: usize,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if joinable {
            self.header_due = self.frames_given + u64::from(self.config.header_interval.max(1));
        }
        self.frames_given += u64::from(info.frames);
        let (position, samples, is_pause) = (self.given, info.sample_count(&self.header), info.stages == 0);
        self.given += samples;
        emit(EncodedPacket { data: &self.packet, position, samples, joinable, redundant_bytes, is_pause })
    }
}
