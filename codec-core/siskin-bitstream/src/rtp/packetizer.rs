//! Packets of a stream cut and packed into RTP payloads.

use std::collections::VecDeque;

use crate::Error;
use crate::code_coder::CodeCoder;
use crate::frames::Frames;
use crate::header::StreamHeader;
use crate::packet::{BoundPacket, PacketInfo};
use crate::rtp::payload::{MAX_FRAMES, PayloadInfo, write_payload, write_sid_payload};
use crate::rtp::segment::write_parts;

/// How payloads are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketizerOptions {
    /// Most frames of a payload, up to [`MAX_FRAMES`]; 0 for as many as fit.
    pub frames: u8,
    /// Fewest frames of a payload, up to `frames`: a packet's last frames wait for the next packets' until they are so
    /// many. Payloads before a pause, a change of stages and the end of the stream hold fewer. 0 and 1 wait for none.
    pub min_frames: u8,
    /// Earlier frames that each payload repeats, up to [`MAX_REDUNDANT`](super::MAX_REDUNDANT). At 0 the copies that a
    /// packet carries itself are sent on.
    pub redundancy: u8,
    /// Residual stages of the copies.
    pub redundancy_stages: u8,
    /// Most bytes of a payload; one frame is sent even if it is larger.
    pub max_bytes: usize,
}

impl PacketizerOptions {
    /// Most frames of a payload, at least 1.
    fn max_frames(&self) -> u8 {
        if self.frames == 0 { MAX_FRAMES } else { self.frames.min(MAX_FRAMES) }
    }
}

impl Default for PacketizerOptions {
    /// One packet's frames as far as they fit a payload of 1200 bytes, which passes any path of the Internet (RFC 8831,
    /// section 5), without copies.
    fn default() -> Self {
        // Two stages of a copy take 5 bytes with speech-24k: 2 groups of 10 bits each.
        Self { frames: 0, min_frames: 0, redundancy: 0, redundancy_stages: 2, max_bytes: 1200 }
    }
}

/// A payload ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutgoingPayload<'a> {
    /// The payload's bytes.
    pub data: &'a [u8],
    /// Samples from the packet's first to the payload's first; negative where the payload begins with frames of earlier
    /// packets.
    pub offset: i64,
    /// Samples that it decodes to.
    pub samples: u64,
    /// The first payload of a stream, or of a talk spurt after a pause: the RTP marker (RFC 3551, section 4.1).
    pub marker: bool,
}

/// What is told of frames when they are sent.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    /// They begin a stream.
    starts_stream: bool,
    /// The stream header goes with them.
    in_band: bool,
    /// They end a pause.
    ends_pause: bool,
    /// Samples of frames of earlier packets among them.
    held_samples: u64,
}

/// Packets in, payloads out. It remembers the last frames of the stream, for copies.
pub struct Packetizer {
    header: StreamHeader,
    coder: Option<Box<dyn CodeCoder + Send>>,
    /// Codes of the last frames, nearest first.
    earlier: VecDeque<Vec<u16>>,
    /// Whether the last packet described comfort noise.
    in_pause: bool,
    /// The frames of the packet at hand.
    frames: Frames,
    /// Frames to be sent, and what goes with the first of them.
    waiting: Frames,
    start: Start,
    payload: Vec<u8>,
}

impl Packetizer {
    /// Makes payloads of the stream of `header`.
    pub fn new(header: StreamHeader) -> Self {
        Self {
            header,
            coder: None,
            earlier: VecDeque::new(),
            in_pause: false,
            frames: Frames::default(),
            waiting: Frames::default(),
            start: Start::default(),
            payload: Vec::new(),
        }
    }

    /// The stream's header.
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Gives the coder that range-coded packets need: payloads are of fixed width, so that a lost one costs no other.
    pub fn set_coder(&mut self, coder: Option<Box<dyn CodeCoder + Send>>) {
        self.coder = coder;
    }

    /// Whether range-coded packets can be read.
    pub fn has_coder(&self) -> bool {
        self.coder.is_some()
    }

    /// Forgets the frames so far, those that wait as well: what follows does not come right after them.
    pub fn reset(&mut self) {
        self.waiting.clear_for(self.header.groups);
        // Copies are told by their distance in frames, so frames from before a gap would be decoded at the wrong
        // time.
        self.earlier.clear();
    }

    /// Cuts a packet of the stream into payloads, which go to `emit` in the order of their time. Those of a segment all have its
    /// time.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if the packet's codes do not decode, [`Error::Parameter`] for more redundancy than a payload
    /// has room for; what `emit` returns.
    pub fn push_packet<E: From<Error>>(
        &mut self,
        packet: &BoundPacket<'_>,
        options: &PacketizerOptions,
        emit: &mut impl FnMut(OutgoingPayload<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (info, in_band) = (packet.info(), packet.header().is_some());
        if packet.comfort_noise().is_some() || info.starts_stream {
            // What waits is of another kind of payload, or of another stream.
            self.flush_frames(options, emit)?;
            self.reset();
        }
        if let Some(noise) = packet.comfort_noise() {
            self.payload.clear();
            self.in_pause = true;
            // The noise lasts until the next payload whatever the count, so a longer pause needs no more payloads.
            let frames = info.frames.min(MAX_FRAMES.into()) as u8;
            write_sid_payload(&self.header, info.starts_stream, frames, in_band, noise, &mut self.payload)?;
            let samples =
                PacketInfo { frames: frames.into(), end_trim: 0, ..info }.sample_count(&self.header);
            return emit(OutgoingPayload {
                data: &self.payload,
                offset: 0,
                samples,
                marker: info.starts_stream,
            });
        }
        if packet.segment().is_some() {
            self.flush_frames(options, emit)?;
            let samples = packet.sample_count();
            return write_parts(packet, options.max_bytes, &mut self.payload, |data, is_first| {
                let marker = info.starts_stream && is_first;
                emit(OutgoingPayload { data, offset: 0, samples, marker })
            });
        }
        let mut options = *options;
        // What the encoder repeats is repeated here, in the payload's own way.
        if let Some(copies) = packet.redundant_frames().filter(|_| options.redundancy == 0) {
            (options.redundancy, options.redundancy_stages) = (copies.frame_count() as u8, copies.stages());
        }
        // Taken once, so that only the first payload after a pause has the marker.
        let ends_pause = std::mem::take(&mut self.in_pause);
        packet.read_codes(self.coder.as_mut().map(|c| &mut **c as &mut dyn CodeCoder), &mut self.frames)?;
        if self.waiting.is_empty() {
            self.waiting.clear_for(self.header.groups);
            self.start = Start { starts_stream: info.starts_stream, ends_pause, ..Default::default() };
        }
        // With the frames that wait, if there are any: the header is that of their stream, too.
        self.start.in_band |= in_band;
        self.frames.iter().for_each(|codes| self.waiting.push_frame(codes));
        self.send_waiting(&options, options.min_frames.min(options.max_frames()), emit)
    }

    /// Sends the frames that wait for more ([`PacketizerOptions::min_frames`]): the stream ends or pauses here. The
    /// payloads' offset is that from where the next packet would begin.
    ///
    /// # Errors
    /// As for [`push_packet`](Self::push_packet).
    pub fn flush_frames<E: From<Error>>(
        &mut self,
        options: &PacketizerOptions,
        emit: &mut impl FnMut(OutgoingPayload<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send_waiting(options, 0, emit)
    }

    /// Sends what there is, but for a last payload that would have fewer than `min_frames` frames.
    fn send_waiting<E: From<Error>>(
        &mut self,
        options: &PacketizerOptions,
        min_frames: u8,
        emit: &mut impl FnMut(OutgoingPayload<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Out of `self` for the call, which borrows it. After an error they are gone.
        let (waiting, start) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.start));
        let sent = self.send_frames(&waiting, start, options, min_frames, emit)?;
        let rest = &mut self.frames;
        rest.clear_for(self.header.groups);
        waiting.iter().skip(sent).for_each(|codes| rest.push_frame(codes));
        let kept = if sent == 0 { start } else { Start::default() };
        let held = rest.len() as u64 * u64::from(self.header.hop);
        self.start = Start { held_samples: held.saturating_sub(self.skip_of(&kept)), ..kept };
        // Swapped, so that both buffers stay.
        self.waiting = std::mem::replace(&mut self.frames, waiting);
        Ok(())
    }

    /// Samples that are dropped from the start of frames.
    fn skip_of(&self, start: &Start) -> u64 {
        if start.starts_stream { self.header.pre_skip.into() } else { 0 }
    }

    /// Sends frames, and says how many.
    fn send_frames<E: From<Error>>(
        &mut self,
        frames: &Frames,
        start: Start,
        options: &PacketizerOptions,
        min_frames: u8,
        emit: &mut impl FnMut(OutgoingPayload<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (hop, skip) = (u64::from(self.header.hop), self.skip_of(&start));
        // RTP time runs without the pre-skip, which is dropped from the stream's first frame.
        let time = |frames: usize| (frames as u64 * hop).saturating_sub(skip);
        let (mut rest, counts, mut done) = (frames.codes(), frames.stage_counts(), 0usize);
        while let Some(&stages) = counts.get(done) {
            let is_first = done == 0;
            let per_frame = self.header.codes_per_frame(stages);
            // A payload has one number of stages.
            let left = counts[done..].iter().take_while(|&&c| c == stages).count();
            let in_band = start.in_band && is_first;
            let fitted = PayloadInfo {
                starts_stream: start.starts_stream && is_first,
                frames: 1,
                stages,
                // Before `fit_frames`, since the copies take room from the frames.
                redundancy: self.copy_stages(options),
            };
            let fitted = self.fit_frames(fitted, options, left, in_band);
            let count = usize::from(fitted.frames);
            // Only the last ones wait: those before are followed by frames that do not fit or have other stages.
            if count < min_frames.into() && done + count == counts.len() {
                break;
            }
            let (now, later) = rest.split_at(count * per_frame);
            let earlier: Vec<&[u16]> = self.earlier.iter().map(Vec::as_slice).collect();
            self.payload.clear();
            write_payload(&self.header, &fitted, in_band, now, &earlier, &mut self.payload)?;
            // After the payload is written: it repeats the frames before it, not its own.
            self.keep_frames(now.chunks_exact(per_frame), options.redundancy);
            let (begin, end) = (time(done), time(done + count));
            emit(OutgoingPayload {
                data: &self.payload,
                // Both are at most some hundred frames.
                offset: begin as i64 - start.held_samples as i64,
                samples: end - begin,
                marker: fitted.starts_stream || start.ends_pause && is_first,
            })?;
            (rest, done) = (later, done + count);
        }
        Ok(done)
    }

    /// Stages of the copy of each earlier frame that is to be repeated, nearest first.
    fn copy_stages(&self, options: &PacketizerOptions) -> Vec<u8> {
        let groups = usize::from(self.header.groups);
        let coded = self.earlier.iter().map(|codes| u8::try_from(codes.len() / groups).unwrap_or(u8::MAX));
        // A frame of few stages (VBR) is repeated in as many as it has.
        coded.map(|stages| options.redundancy_stages.min(stages)).take(options.redundancy.into()).collect()
    }

    /// `info` with the most frames that fit, of the `left` that there are; one frame is sent even if it does not.
    fn fit_frames(
        &self,
        mut info: PayloadInfo,
        options: &PacketizerOptions,
        left: usize,
        in_band: bool,
    ) -> PayloadInfo {
        // By the long form, a few bytes more than the short one that is written: the bound holds all the same.
        let header_bytes = if in_band { self.header.to_bytes().len() } else { 0 };
        // From the largest down: at most 16 tries, where solving for the count would repeat the format's
        // arithmetic.
        for frames in (1..=options.max_frames()).rev().filter(|&f| usize::from(f) <= left) {
            info.frames = frames;
            if info.byte_len(&self.header) + header_bytes <= options.max_bytes {
                break;
            }
        }
        info
    }

    /// Keeps the codes of the last `count` frames, in buffers that are used again.
    fn keep_frames<'a>(&mut self, frames: impl Iterator<Item = &'a [u16]>, count: u8) {
        let count = usize::from(count);
        for codes in frames.filter(|_| count > 0) {
            let oldest = if self.earlier.len() >= count { self.earlier.pop_back() } else { None };
            let mut kept = oldest.unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(codes);
            self.earlier.push_front(kept);
        }
        self.earlier.truncate(count);
    }
}

impl std::fmt::Debug for Packetizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packetizer").field("header", &self.header).finish_non_exhaustive()
    }
}
