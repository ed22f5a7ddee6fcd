use std::sync::Arc;

use siskin_bitstream::{Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};
use siskin_error::{Error, Limits, Result};
use siskin_model::runtime::Provider;

use crate::conceal::DTX_FADE_FRAMES;
use crate::config::EncoderConfig;
use crate::dtx::Dtx;
use crate::frame::{FrameEncoder, even_block};
use crate::levels::HighPass;
use crate::packet_writer::{EncodedPacket, PacketWriter};
use crate::rate::{RateController, RateMode, StageCandidates};

/// Samples in, packets of frames out.
pub(super) struct PacketEncoder {
    frames: FrameEncoder,
    header: StreamHeader,
    config: EncoderConfig,
    stages: u8,
    /// Stages of the packet being gathered; a change of `stages` waits for the next packet.
    packet_stages: u8,
    /// Samples of the frame being gathered, of all channels, high-passed.
    pending: Vec<f32>,
    /// Codes of the current frame.
    frame: Vec<u16>,
    /// Frames of the packet being gathered.
    codes: Frames,
    coder: Option<Coder>,
    rate: Option<RateController>,
    candidates: StageCandidates,
    /// Samples since the stream began, of all channels.
    samples_in: u64,
    high_pass: HighPass,
    dtx: Option<Dtx>,
    writer: PacketWriter,
}

impl PacketEncoder {
    /// An encoder from its parts, with `stages` stages at first; `config.stages` is ignored.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `config` or `stages` does not fit the header.
    pub(super) fn from_parts(
        mut frames: FrameEncoder,
        header: StreamHeader,
        config: &EncoderConfig,
        stages: u8,
    ) -> Result<Self> {
        if !(1..=64).contains(&config.search_width) {
            return Err(Error::parameter("search width", config.search_width, "1 to 64"));
        }
        // At 0.8 PESQ begins to fall (`docs/architecture.md`); 4 leaves room for experiments. NaN is in no range.
        if !(0.0..=4.0).contains(&config.lambda) {
            return Err(Error::parameter("lambda", config.lambda, "0 to 4"));
        }
        // Before the tables: a new search has no bit costs.
        frames.set_search_width(config.search_width);
        let most = Limits::default().max_frames_per_packet;
        if !(1..=most).contains(&config.frames_per_packet) {
            let allowed = format!("1 to {most}");
            return Err(Error::parameter("frames per packet", config.frames_per_packet, allowed));
        }
        let frames_per_packet = config.frames_per_packet as usize;
        // Packets of a live stream hold too few frames to be mirrored, and must not wait for them.
        let is_mirrored = frames_per_packet >= frames.opening_frames();
        frames.set_opening(is_mirrored);
        // A pause sets the decoder back to its start, where a codec that looks ahead has nothing to give yet, and one that
        // mirrors would need frames that the pause has not.
        let waits = frames.lookahead_frames() > 0 || header.pre_skip > header.hop;
        if config.dtx && (waits || is_mirrored && frames.opening_frames() > 1) {
            let allowed = "off: the codec looks ahead, or mirrors the start of packets of so many frames";
            return Err(Error::parameter("dtx", "on", allowed));
        }
        // A SID packet describes the noise of one channel.
        if config.dtx && header.channels > 1 {
            return Err(Error::parameter("dtx", "on", "off: the codec has several channels"));
        }
        // In DTX each frame is told from the next, so none waits for a block either.
        frames.set_block(if config.dtx { 1 } else { even_block(frames_per_packet, frames.max_block()) });
        let mut encoder = Self {
            high_pass: HighPass::of(frames.conventions(), header.sample_rate, header.channels.into()),
            frames,
            dtx: config.dtx.then(|| Dtx::new(&header)),
            writer: PacketWriter::new(&header, config)?,
            config: config.clone(),
            // `set_stages` below checks and sets them.
            stages: 1,
            packet_stages: 1,
            pending: Vec::with_capacity(frame_len(&header)),
            frame: vec![0; header.codes_per_frame(header.stages)],
            codes: Frames::with_capacity(header.groups, config.frames_per_packet as usize, header.stages),
            coder: None,
            rate: None,
            candidates: StageCandidates::new(header.stages.into(), header.groups.into()),
            samples_in: 0,
            header,
        };
        encoder.set_stages(stages)?;
        encoder.set_rate_mode(config.rate_mode)?;
        Ok(encoder)
    }

    /// Sets the tables with which packets may be range coded.
    pub(super) fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        // The codes of a single frame predict too little of one another to pay for the range coder's last byte.
        let pays = self.config.entropy_coding && self.config.frames_per_packet > 1;
        let tables = tables.filter(|_| pays);
        self.frames.set_bit_costs(tables.clone(), self.config.lambda);
        self.coder = tables.map(Coder::new);
    }

    /// Whether packets may be range coded.
    pub(super) fn is_range_coding(&self) -> bool {
        self.coder.is_some()
    }

    /// The header of the stream, for the container.
    pub(super) fn stream_header(&self) -> &StreamHeader {
        &self.header
    }

    /// Codec frames of a packet, but for those that end a stream or a pause.
    pub(super) fn frames_per_packet(&self) -> u32 {
        self.config.frames_per_packet
    }

    /// Samples from the first of a packet's decoded ones to the one with which the packet is complete: its frames, the
    /// decoder's lag, the codec's look-ahead, and what a block of frames runs beyond the packet.
    pub(super) fn latency_samples(&self) -> u64 {
        let frames = u64::from(self.config.frames_per_packet);
        let block = self.frames.block() as u64;
        let beyond = if frames.is_multiple_of(block) { 0 } else { block };
        let all = frames + beyond + u64::from(self.frames.lookahead_frames());
        all * u64::from(self.header.hop) + u64::from(self.header.pre_skip)
    }

    /// Residual stages from the next packet on.
    pub(super) fn stages(&self) -> u8 {
        self.stages
    }

    /// Changes the residual stages from the next packet on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for 0 or more than the bundle has.
    pub(super) fn set_stages(&mut self, stages: u8) -> Result<()> {
        self.header.check_stages(stages)?;
        self.stages = stages;
        Ok(())
    }

    /// Changes the rate mode, from the next frame on if it is variable, else from the next packet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rate below that of one stage or above that of all.
    pub(super) fn set_rate_mode(&mut self, rate_mode: RateMode) -> Result<()> {
        let RateMode::Variable { bitrate } = rate_mode else {
            (self.config.rate_mode, self.rate) = (rate_mode, None);
            return Ok(());
        };
        let header = &self.header;
        // The rates of fixed width: range coding may undercut the lowest, but not promise to.
        let (low, high) = (header.code_rate(1), header.code_rate(header.stages));
        if !(low..=high).contains(&f64::from(bitrate)) {
            return Err(Error::parameter("bitrate", bitrate, format!("{low:.0} to {high:.0}")));
        }
        // Behind the check: a mode that is refused must not be told as the current one.
        self.config.rate_mode = rate_mode;
        let stage_bits = header.codes_per_frame(1) * usize::from(header.code_bits);
        match &mut self.rate {
            // A change of the target keeps the reservoir and the averages.
            Some(controller) => controller.set_bitrate(bitrate, header.frame_rate()),
            None => {
                let stages = header.stages.into();
                self.rate = Some(RateController::new(bitrate, header.frame_rate(), stages, stage_bits));
            }
        }
        Ok(())
    }

    /// How the encoder chooses its bit rate.
    pub(super) fn rate_mode(&self) -> RateMode {
        self.config.rate_mode
    }

    /// End of the packets so far and of the gap that the last SID frame covers, in samples per channel of the input.
    pub(super) fn position(&self) -> u64 {
        self.writer.samples_out()
    }

    /// The execution provider of the network.
    pub(super) fn provider(&self) -> Provider {
        self.frames.provider()
    }

    /// Encodes any number of samples (-1..1, channels interleaved; NaN and infinite samples count as silence) and passes each
    /// complete packet to `emit`.
    ///
    /// # Errors
    /// What the network or `emit` returns; the stream is then to be [`reset`](Encoder::reset).
    pub(super) fn push_samples<E: From<Error>>(
        &mut self,
        mut pcm: &[f32],
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let frame = frame_len(&self.header);
        self.samples_in += pcm.len() as u64;
        while !pcm.is_empty() {
            // Whole frames only, whatever the caller's buffers are: output must not depend on how the input was
            // cut.
            let (now, later) = pcm.split_at(pcm.len().min(frame - self.pending.len()));
            let high_pass = &mut self.high_pass;
            self.pending.extend(now.iter().map(|&x| high_pass.filter_sample(x)));
            pcm = later;
            if self.pending.len() == frame {
                self.process_frame(u64::MAX, false, emit)?;
                // At once: a live stream must not wait for the next frame.
                if self.is_packet_full() {
                    self.flush_packet(0, emit)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the stream: pads the last frame, marks the padding to be trimmed, and starts anew. A stream without a sample
    /// has no packets.
    ///
    /// # Errors
    /// What the network or `emit` returns.
    pub(super) fn finish_stream<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (hop, delay) = (u64::from(self.header.hop), u64::from(self.header.pre_skip));
        // A sample that lacks channels has those silent.
        let samples = self.samples_in.div_ceil(self.header.channels.into());
        if samples > 0 {
            // The decoder's output lags by the delay: its last samples come with a frame after the input's end.
            let frames = (samples + delay).div_ceil(hop);
            let end_trim = (frames * hop - delay - samples) as u32;
            let silence = |encoder: &mut Self| {
                let high_pass = &mut encoder.high_pass;
                let missing = frame_len(&encoder.header) - encoder.pending.len();
                encoder.pending.extend((0..missing).map(|_| high_pass.filter_sample(0.0)));
            };
            // A frame that the input fills in part is filled up with silence; those after it are none of the stream.
            if !self.pending.is_empty() {
                silence(self);
                self.process_frame(frames, self.frames_so_far() + 1 == frames, emit)?;
            }
            self.frames.mark_end()?;
            self.take_ready(frames, emit)?;
            loop {
                let coded = self.frames_so_far();
                if coded == frames {
                    break;
                }
                if self.is_packet_full() {
                    self.flush_packet(0, emit)?;
                }
                silence(self);
                self.process_frame(frames, coded + 1 == frames, emit)?;
            }
            // A codec without delay may have coded its last frame already, with nothing to trim.
            if self.pending_frames() > 0 {
                self.flush_packet(end_trim, emit)?;
            }
        }
        self.reset();
        Ok(())
    }

    /// Back to the state of a new encoder: the next sample begins a new stream.
    pub(super) fn reset(&mut self) {
        self.frames.reset();
        if let Some(rate) = &mut self.rate {
            rate.reset();
        }
        self.pending.clear();
        self.codes.clear_for(self.header.groups);
        // The high-pass remembers a sample: without this the next stream would start with the last one's offset.
        self.high_pass.reset();
        if let Some(dtx) = &mut self.dtx {
            dtx.reset();
        }
        self.writer.reset();
        self.samples_in = 0;
    }

    /// Frames in the packet being gathered.
    fn pending_frames(&self) -> u32 {
        let sid_frames = self.dtx.as_ref().map_or(0, Dtx::sid_frames);
        sid_frames + self.codes.len() as u32
    }

    /// Encodes the pending frame, or adds it to a SID packet or the gap after one. A packet of the other kind that is being
    /// gathered goes to `emit` first.
    fn process_frame<E: From<Error>>(
        &mut self,
        most: u64,
        is_last: bool,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Some(dtx) = &mut self.dtx else { return self.encode_frame(most, emit) };
        if dtx.detect_activity(&self.pending) {
            if dtx.sid_frames() > 0 {
                self.flush_packet(0, emit)?;
            }
            return self.encode_frame(most, emit);
        }
        if !self.codes.is_empty() {
            self.flush_packet(0, emit)?;
        }
        // Borrowed again: `flush_packet` needed all of the encoder.
        let Some(dtx) = &mut self.dtx else { return Ok(()) };
        if dtx.count_inactive() < DTX_FADE_FRAMES {
            self.frames.run_network(&self.pending)?;
        } else {
            // The decoder starts from its reset state after this. The encoder must too, or its codes leave out what its
            // state holds and the decoder's does not.
            self.frames.reset();
        }
        self.pending.clear();
        if dtx.skip_frame(is_last) {
            self.writer.skip_frame(&self.header);
        }
        Ok(())
    }

    /// Encodes the pending frame. A codec that looks ahead gives codes of earlier frames, several or none at once; those
    /// beyond `most` frames of the stream are left.
    fn encode_frame<E: From<Error>>(
        &mut self,
        most: u64,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.frames.push_frame(&self.pending)?;
        self.pending.clear();
        self.take_ready(most, emit)
    }

    /// Adds the codes of frames that are ready to packets, up to `most` frames of the stream.
    fn take_ready<E: From<Error>>(
        &mut self,
        most: u64,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        while self.frames.ready_frames() > 0 && self.frames_so_far() < most {
            // Before the frame and not after it: the last packet of a stream waits for its trim.
            if self.is_packet_full() {
                self.flush_packet(0, emit)?;
            }
            self.take_frame();
        }
        Ok(())
    }

    /// Adds the codes of a frame that is ready to the packet.
    fn take_frame(&mut self) {
        if self.codes.is_empty() {
            // All frames of a packet of constant rate have one number of stages: the head states it once.
            self.packet_stages = self.stages;
            self.frames.start_packet();
        }
        let codes = if let Some(rate) = &mut self.rate {
            // One search passes through every number of stages on its way, as far as they may be chosen.
            let is_enough = |candidates: &StageCandidates, count| rate.is_enough(candidates, count);
            self.frames.take_all_stages(&mut self.candidates, is_enough);
            let count = rate.choose_stages(&self.candidates);
            self.candidates.codes_at(count)
        } else {
            let frame = &mut self.frame[..self.header.codes_per_frame(self.packet_stages)];
            self.frames.take_codes(frame);
            frame
        };
        self.frames.end_frame(codes);
        self.codes.push_frame(codes);
    }

    /// Frames of the stream that have been coded.
    fn frames_so_far(&self) -> u64 {
        self.writer.frames_out() + u64::from(self.pending_frames())
    }

    /// Whether the packet being gathered has all its frames. The first also holds what the decoder drops for its delay.
    fn is_packet_full(&self) -> bool {
        let is_first = self.writer.frames_out() == 0;
        let dropped = if is_first { self.header.pre_skip / self.header.hop } else { 0 };
        self.pending_frames() >= self.config.frames_per_packet + u32::from(dropped)
    }

    /// Writes the packet being gathered, of codes or a SID frame, and passes it to `emit`.
    fn flush_packet<E: From<Error>>(
        &mut self,
        end_trim: u32,
        emit: &mut impl FnMut(EncodedPacket<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if let Some(dtx) = self.dtx.as_mut().filter(|dtx| dtx.sid_frames() > 0) {
            let frames = dtx.sid_frames();
            return emit(self.writer.write_sid(&self.header, dtx.finish_sid(), frames, end_trim)?);
        }
        let packet = self.writer.write_frames(&self.header, &self.codes, self.coder.as_mut(), end_trim)?;
        if let Some(rate) = &mut self.rate {
            let fixed_bits = self.codes.codes().len() * usize::from(self.header.code_bits);
            // By the bytes of the whole packet, heads and redundancy included, since that is what the channel
            // carries.
            rate.update_reservoir(packet.data.len(), fixed_bits);
        }
        self.codes.clear_for(self.header.groups);
        emit(packet)
    }
}

/// Samples of a frame, of all channels.
fn frame_len(header: &StreamHeader) -> usize {
    usize::from(header.hop) * usize::from(header.channels)
}
