use std::sync::Arc;

use siskin_bitstream::packet::{BoundPacket, Packet, PacketInfo};
use siskin_bitstream::{CodeCoder, Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};
use siskin_error::{Error, Limits, Result};
use siskin_model::bundle::{Bundle, Conventions};
use siskin_model::runtime::{Provider, Runtime};

use crate::conceal::{Concealment, LATENT_DECAY};
use crate::frame::{FrameDecoder, Snapshot, even_block};
use crate::levels::Limiter;
use crate::sid;
use crate::tables::load_entropy_tables;

/// What a packet held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The packet's head.
    pub info: PacketInfo,
    /// Samples per channel appended to the output.
    pub samples: usize,
}

/// Packets in, samples out.
pub struct Decoder {
    frames: FrameDecoder,
    /// Header of the streams of the bundle.
    bundle_header: StreamHeader,
    /// Whether the stream's header has come and fits.
    has_header: bool,
    concealment: Concealment,
    limiter: Limiter,
    limits: Limits,
    /// For range-coded packets.
    coder: Option<Coder>,
    codes: Frames,
    /// Codes of a redundant frame.
    redundant_codes: Vec<u16>,
    /// The latent of the frame after a gap.
    next_latent: Vec<f32>,
    concealed: Vec<f32>,
}

impl Decoder {
    /// A decoder with a bundle's network.
    ///
    /// # Errors
    /// What [`FrameDecoder::new`] and [`load_entropy_tables`](crate::load_entropy_tables) return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let mut decoder = Self::from_parts(FrameDecoder::new(bundle, runtime)?, bundle.stream_header());
        decoder.set_tables(load_entropy_tables(bundle)?);
        Ok(decoder)
    }

    /// A decoder from its parts; `bundle_header` is the header of the streams that they decode.
    pub fn from_parts(frames: FrameDecoder, bundle_header: StreamHeader) -> Self {
        let hop = bundle_header.hop.into();
        Self {
            concealment: Concealment::new(hop, bundle_header.sample_rate),
            limiter: Limiter::of(frames.conventions(), bundle_header.sample_rate),
            frames,
            bundle_header,
            has_header: false,
            limits: Limits::default(),
            coder: None,
            codes: Frames::default(),
            redundant_codes: Vec::new(),
            next_latent: Vec::new(),
            concealed: vec![0.0; hop],
        }
    }

    /// Sets the tables with which range-coded packets are decoded; without any they are refused.
    pub fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        self.coder = tables.map(Coder::new);
    }

    /// Sets the limits that packets are held to.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Sets the stream's header from outside the packets (container, caps).
    ///
    /// # Errors
    /// What [`StreamHeader::accepts`] returns; packets are then refused until a header fits.
    pub fn set_header(&mut self, header: &StreamHeader) -> Result<()> {
        let accepted = self.bundle_header.accepts(header);
        // A header that does not fit stops the stream: packets after it would decode to noise of the right length.
        self.has_header = accepted.is_ok();
        accepted
    }

    /// Header of the streams of this decoder's bundle.
    pub fn stream_header(&self) -> &StreamHeader {
        &self.bundle_header
    }

    /// The execution provider of the network.
    pub fn provider(&self) -> Provider {
        self.frames.provider()
    }

    /// Decodes the bytes of a packet: [`Packet::parse`], [`Packet::bind`] and [`Decoder::decode_packet`] in one.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for a packet that is not valid, with nothing appended: the caller may
    /// [`conceal`](Decoder::conceal) it and go on. [`Error::MissingHeader`] before a header, [`Error::WrongBundle`]
    /// if the packet's header is of another bundle, [`Error::Network`] if the network fails.
    pub fn decode(&mut self, data: &[u8], out: &mut Vec<f32>) -> Result<Decoded> {
        let packet = Packet::parse(data, &self.limits)?;
        if let Some(header) = &packet.header {
            self.set_header(header)?;
        }
        if !self.has_header {
            return Err(Error::MissingHeader);
        }
        let packet = packet.bind(&self.bundle_header)?;
        self.decode_packet(&packet, out)
    }

    /// Decodes a packet and appends its samples (mono) to `out`. The packet that starts a stream resets the decoder.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if range-coded codes do not decode, or a code is not below the codebook's size, with nothing
    /// appended; what [`Decoder::set_header`] returns if the packet is bound to a stream of another bundle;
    /// [`Error::Network`] if the network fails.
    pub fn decode_packet(&mut self, packet: &BoundPacket<'_>, out: &mut Vec<f32>) -> Result<Decoded> {
        self.set_header(packet.stream())?;
        let info = packet.info();
        // Before the reset, so that codes that do not decode leave the state as it was.
        packet.read_codes(self.coder.as_mut().map(|c| c as &mut dyn CodeCoder), &mut self.codes)?;
        if info.starts_stream {
            self.reset();
        }
        let start = out.len();
        let decoded = match packet.comfort_noise() {
            Some(shape) => {
                self.concealment.set_comfort_noise(&sid::powers_from_sid(self.concealment.plan(), shape));
                self.conceal_gap(info.frames, false, out)
            }
            None => self.decode_frames(info.starts_stream, out),
        };
        if let Err(e) = decoded {
            // The contract: an error appends nothing.
            out.truncate(start);
            return Err(e);
        }
        if info.starts_stream {
            // The codec's delay is cut once per stream, here, so that sample 0 out is sample 0 in.
            out.drain(start..start + usize::from(self.bundle_header.pre_skip).min(out.len() - start));
        }
        // Cuts off the end trim; the pre-skip has been drained above.
        let samples = packet.sample_count() as usize;
        out.truncate(start + samples);
        Ok(Decoded { info, samples })
    }

    /// Decodes one frame's codes without a packet, `[stage][group]`, and appends its `hop` samples to `out`:
    /// nothing is dropped for the codec's delay.
    ///
    /// # Errors
    /// What [`FrameDecoder::decode_frame`] returns, with nothing appended.
    pub fn decode_codes(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.frames.decode_frame(codes)?);
        self.finish_frame(&mut out[start..]);
        Ok(())
    }

    /// Decodes one latent frame without a packet, as [`Decoder::decode_codes`] does codes.
    ///
    /// # Errors
    /// What [`FrameDecoder::decode_latent`] returns, with nothing appended.
    pub fn decode_latent(&mut self, latent: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.frames.decode_latent(latent)?);
        self.finish_frame(&mut out[start..]);
        Ok(())
    }

    /// Dimension of a latent frame.
    pub fn latent_dim(&self) -> usize {
        self.frames.latent_dim()
    }

    /// As [`FrameDecoder::mark_end`].
    pub(crate) fn mark_end(&mut self) -> Result<()> {
        self.frames.mark_end()
    }

    /// Whose conventions the bundle follows.
    pub(crate) fn conventions(&self) -> Conventions {
        self.frames.conventions()
    }

    /// Decodes the frames of `self.codes`.
    fn decode_frames(&mut self, starts_stream: bool, out: &mut Vec<f32>) -> Result<()> {
        // A packet of a live stream has too few frames to be mirrored: those begin from silence, as their encoders do.
        let opened = self.frames.opening_frames().filter(|&n| starts_stream && n <= self.codes.len());
        if opened.is_some() {
            let pcm = self.frames.decode_opening(self.codes.iter())?;
            self.finish_opening(pcm, out);
        }
        let first = opened.unwrap_or_default();
        let mut left = self.codes.len() - first;
        // Blocks follow from the packet alone.
        let block = even_block(left, self.frames.max_block()).max(1);
        let mut codes = self.codes.iter().skip(first);
        while left > 0 {
            let (start, frames) = (out.len(), block.min(left));
            out.extend_from_slice(self.frames.decode_block(codes.by_ref(), frames)?);
            for frame in out[start..].chunks_exact_mut(self.bundle_header.hop.into()) {
                self.concealment.receive_frame(frame);
                self.limiter.limit_samples(frame);
            }
            left -= frames;
        }
        Ok(())
    }

    /// Frames at the start of a stream that [`decode_opening`](Self::decode_opening) takes together; none if the codec's
    /// streams simply begin.
    pub(crate) fn opening_frames(&self) -> Option<usize> {
        self.frames.opening_frames()
    }

    /// Decodes the first frames of a stream together.
    ///
    /// # Errors
    /// As for [`decode_codes`](Self::decode_codes).
    pub(crate) fn decode_opening<'a>(
        &mut self,
        codes: impl Iterator<Item = &'a [u16]>,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let pcm = self.frames.decode_opening(codes)?;
        self.finish_opening(pcm, out);
        Ok(())
    }

    fn finish_opening(&mut self, mut pcm: Vec<f32>, out: &mut Vec<f32>) {
        for frame in pcm.chunks_exact_mut(self.bundle_header.hop.into()) {
            self.finish_frame(frame);
        }
        out.append(&mut pcm);
    }

    /// Fades a decoded frame in after a gap and limits it.
    fn finish_frame(&mut self, pcm: &mut [f32]) {
        self.concealment.receive_frame(pcm);
        self.limiter.limit_samples(pcm);
    }

    /// Conceals a gap of `frames` frames, appending `frames * hop` samples to `out`. After a loss it holds the last sound and
    /// fades it into the background noise of the stream; in DTX it goes on with comfort noise.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal(&mut self, frames: u32, out: &mut Vec<f32>) -> Result<()> {
        self.conceal_gap(frames, false, out)
    }

    /// [`conceal_before`](Decoder::conceal_before) with the bytes of the packet. An invalid packet has no redundancy.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal_before_data(&mut self, frames: u32, next: &[u8], out: &mut Vec<f32>) -> Result<u32> {
        let packet = Packet::parse(next, &self.limits).ok().filter(|_| self.has_header);
        match packet.and_then(|packet| packet.bind(&self.bundle_header).ok()) {
            Some(packet) => self.conceal_before(frames, &packet, out),
            None => self.conceal(frames, out).map(|()| 0),
        }
    }

    /// Conceals `frames` lost frames before the packet `next`, which is to be decoded after. Frames that `next` repeats as
    /// redundancy are decoded; the ones before them lead from the last sound to the first known frame, where
    /// [`conceal`](Decoder::conceal) would hold the last sound. Appends `frames * hop` samples to `out` and returns how many
    /// frames were decoded from redundancy.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal_before(&mut self, frames: u32, next: &BoundPacket<'_>, out: &mut Vec<f32>) -> Result<u32> {
        // A packet of another stream says nothing about this gap.
        if next.info().starts_stream || self.bundle_header.accepts(next.stream()).is_err() {
            return self.conceal(frames, out).map(|()| 0);
        }
        let copies = next.redundant_frames();
        // Copies beyond the gap are of frames that have been decoded.
        let reach = copies.map_or(0, |c| frames.min(c.frame_count() as u32));
        // In DTX comfort noise runs up to the next packet; there is nothing to lead to.
        let is_known = !self.in_dtx() && self.find_next_latent(next, reach);
        self.conceal_gap(frames - reach, is_known, out)?;
        let Some(copies) = copies else { return Ok(0) };
        let mut recovered = 0;
        // Oldest first: the network's state must run through the frames in their order.
        for back in (1..=reach).rev() {
            // Lent, as `decode_codes` needs all of the decoder.
            let mut codes = std::mem::take(&mut self.redundant_codes);
            copies.read_frame(back as usize, &mut codes);
            let decoded = self.decode_codes(&codes, out);
            self.redundant_codes = codes;
            match decoded {
                Ok(()) => recovered += 1,
                // Bad redundancy is a lost frame like any other; the packet itself may still be good.
                Err(Error::Bitstream { .. }) => self.conceal_gap(1, false, out)?,
                Err(e) => return Err(e),
            }
        }
        Ok(recovered)
    }

    /// Whether the stream is in DTX: the last packet was a SID frame, so that a gap after it is no loss.
    pub fn in_dtx(&self) -> bool {
        self.concealment.in_dtx()
    }

    /// Sets `next_latent` to the first frame after a gap before `packet`: its redundant frame `reach` frames back, or its
    /// own first. Returns whether there is one.
    fn find_next_latent(&mut self, packet: &BoundPacket<'_>, reach: u32) -> bool {
        if let Some(copies) = packet.redundant_frames().filter(|_| reach > 0) {
            copies.read_frame(reach as usize, &mut self.redundant_codes);
            return self.frames.lookup_latent(&self.redundant_codes, &mut self.next_latent).is_ok();
        }
        // A SID packet has no codes, and so no first frame.
        let coder = self.coder.as_mut().map(|c| c as &mut dyn CodeCoder);
        if packet.read_codes(coder, &mut self.codes).is_err() {
            return false;
        }
        self.codes
            .iter()
            .next()
            .is_some_and(|codes| self.frames.lookup_latent(codes, &mut self.next_latent).is_ok())
    }

    /// Conceals lost frames; `is_known` says that `self.next_latent` comes after the last of them.
    fn conceal_gap(&mut self, frames: u32, is_known: bool, out: &mut Vec<f32>) -> Result<()> {
        for left in (1..=frames).rev() {
            let frames_to_next = is_known.then_some(left);
            let is_audible = !self.concealment.is_silent(frames_to_next);
            if !is_audible {
                // The network need not run for samples of gain 0.
                self.concealed.fill(0.0);
            } else if is_known {
                self.concealed.copy_from_slice(
                    self.frames.decode_interpolated(&self.next_latent, 1.0 / (left + 1) as f32)?,
                );
            } else {
                // The network runs on, so that its state goes on from the last sound when packets come back.
                self.concealed.copy_from_slice(self.frames.decode_repeated(LATENT_DECAY)?);
            }
            self.concealment.conceal_frame(&mut self.concealed, frames_to_next);
            if is_audible && self.concealment.is_silent(is_known.then_some(left - 1).filter(|&l| l > 0)) {
                // The next frame starts from the reset state, not from that of a sound long past.
                self.frames.reset();
            }
            self.limiter.limit_samples(&mut self.concealed);
            out.extend_from_slice(&self.concealed);
        }
        Ok(())
    }

    /// Back to the state of a new decoder that knows its header: after a seek.
    pub fn reset(&mut self) {
        self.frames.reset();
        self.concealment.reset();
        self.limiter.reset();
    }

    /// Saves the decoder's state to `into`.
    pub fn save_state(&self, into: &mut Snapshot) {
        self.frames.save_state(into);
        self.concealment.save_state(&mut into.concealment);
        // With the limiter's peak, or samples after a restored state would differ until the peak has decayed.
        into.peak = self.limiter.peak();
    }

    /// Restores a state.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        self.frames.restore_state(from)?;
        self.concealment.restore_state(&from.concealment);
        self.limiter.set_peak(from.peak);
        Ok(())
    }
}
