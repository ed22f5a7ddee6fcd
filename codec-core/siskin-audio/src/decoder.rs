use std::sync::Arc;

use crate::{Error, Limits, Result};
use siskin_bitstream::packet::{BoundPacket, Packet, PacketInfo};
use siskin_bitstream::{CodeCoder, Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::{Provider, Runtime};

use super::conceal::{Concealment, LATENT_DECAY};
use super::frame::{FrameDecoder, Snapshot};
use super::levels::Limiter;
use super::noise;

/// What a packet held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The packet's head.
    pub info: PacketInfo,
    /// Samples a channel appended to the output.
    pub samples: usize,
}

/// Packets in, samples out.
pub struct Decoder {
    frames: FrameDecoder,
    /// What streams of the bundle look like.
    own: StreamHeader,
    /// Whether a header has been seen that fits.
    ready: bool,
    concealment: Concealment,
    limiter: Limiter,
    limits: Limits,
    /// For range-coded packets.
    coder: Option<Coder>,
    codes: Frames,
    /// Codes of a copy of a lost frame.
    copy: Vec<u16>,
    /// The latent of the frame after those that are lost.
    target: Vec<f32>,
    concealed: Vec<f32>,
}

impl Decoder {
    /// Makes a decoder with a bundle's network.
    ///
    /// # Errors
    /// What [`FrameDecoder::new`] and [`entropy_tables`](crate::entropy_tables) return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let mut decoder = Self::from_parts(FrameDecoder::new(bundle, runtime)?, bundle.stream_header());
        decoder.set_tables(crate::entropy_tables(bundle)?.map(Arc::new));
        Ok(decoder)
    }

    /// Puts a decoder together from its parts; `own` is the header of the streams that they decode.
    pub fn from_parts(frames: FrameDecoder, own: StreamHeader) -> Self {
        let hop = own.hop.into();
        Self {
            frames,
            concealment: Concealment::new(hop, own.sample_rate),
            limiter: Limiter::new(own.sample_rate),
            own,
            ready: false,
            limits: Limits::default(),
            coder: None,
            codes: Frames::default(),
            copy: Vec::new(),
            target: Vec::new(),
            concealed: vec![0.0; hop],
        }
    }

    /// Gives the tables with which range-coded packets are decoded; without any they are refused.
    pub fn set_tables(&mut self, tables: Option<Arc<Tables>>) {
        self.coder = tables.map(Coder::new);
    }

    /// Sets the limits that packets are held to.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes the stream's header from outside the packets (container, caps).
    ///
    /// # Errors
    /// What [`StreamHeader::accepts`] returns; packets are then refused until a header fits.
    pub fn set_header(&mut self, header: &StreamHeader) -> Result<()> {
        let accepted = self.own.accepts(header);
        self.ready = accepted.is_ok();
        accepted
    }

    /// What streams of this decoder's bundle look like.
    pub fn header(&self) -> &StreamHeader {
        &self.own
    }

    /// What runs the network.
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
        if !self.ready {
            return Err(Error::MissingHeader);
        }
        let packet = packet.bind(&self.own)?;
        self.decode_packet(&packet, out)
    }

    /// Decodes a packet and appends its samples (mono) to `out`. The packet that starts a stream resets the decoder.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if range-coded codes do not decode, or a code is no entry of its codebook, with nothing
    /// appended; what [`Decoder::set_header`] returns if the packet is bound to a stream of another bundle;
    /// [`Error::Network`] if the network fails.
    pub fn decode_packet(&mut self, packet: &BoundPacket<'_>, out: &mut Vec<f32>) -> Result<Decoded> {
        self.set_header(packet.stream())?;
        let info = packet.info();
        packet.read_codes(self.coder.as_mut().map(|c| c as &mut dyn CodeCoder), &mut self.codes)?;
        if info.starts_stream {
            self.reset();
        }
        let start = out.len();
        let decoded = match packet.comfort_noise() {
            Some(shape) => {
                self.concealment.begin_pause(&noise::powers(self.concealment.plan(), shape));
                self.miss(info.frames, false, out)
            }
            None => self.decode_frames(out),
        };
        if let Err(e) = decoded {
            out.truncate(start);
            return Err(e);
        }
        if info.starts_stream {
            out.drain(start..start + usize::from(self.own.pre_skip).min(out.len() - start));
        }
        let samples = packet.sample_count() as usize;
        out.truncate(start + samples);
        Ok(Decoded { info, samples })
    }

    /// Decodes one frame's codes that came in no packet, `[stage][group]`, and appends its `hop` samples to `out`:
    /// nothing is dropped for the codec's delay.
    ///
    /// # Errors
    /// What [`FrameDecoder::decode`] returns, with nothing appended.
    pub fn decode_codes(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.frames.decode(codes)?);
        self.heard(&mut out[start..]);
        Ok(())
    }

    /// Decodes one latent frame that came in no packet, as [`Decoder::decode_codes`] does codes.
    ///
    /// # Errors
    /// What [`FrameDecoder::decode_latent`] returns, with nothing appended.
    pub fn decode_latent(&mut self, latent: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(self.frames.decode_latent(latent)?);
        self.heard(&mut out[start..]);
        Ok(())
    }

    /// Dimension of a latent frame.
    pub fn latent_dim(&self) -> usize {
        self.frames.latent_dim()
    }

    /// Decodes the frames of `self.codes`.
    fn decode_frames(&mut self, out: &mut Vec<f32>) -> Result<()> {
        for codes in self.codes.iter() {
            let start = out.len();
            out.extend_from_slice(self.frames.decode(codes)?);
            self.concealment.heard(&mut out[start..]);
            self.limiter.apply(&mut out[start..]);
        }
        Ok(())
    }

    /// Takes a frame that the network has made of what came.
    fn heard(&mut self, pcm: &mut [f32]) {
        self.concealment.heard(pcm);
        self.limiter.apply(pcm);
    }

    /// Bridges `frames` frames that did not come, appending `frames * hop` samples to `out`: a loss holds the last sound
    /// and fades it into the background noise that was heard so far, a pause goes on with the noise described.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal(&mut self, frames: u32, out: &mut Vec<f32>) -> Result<()> {
        self.miss(frames, false, out)
    }

    /// As [`recover_before`](Decoder::recover_before) with the bytes of the packet. One that cannot be decoded has no
    /// copies.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn recover(&mut self, frames: u32, next: &[u8], out: &mut Vec<f32>) -> Result<u32> {
        let packet = Packet::parse(next, &self.limits).ok().filter(|_| self.ready);
        match packet.and_then(|packet| packet.bind(&self.own).ok()) {
            Some(packet) => self.recover_before(frames, &packet, out),
            None => self.conceal(frames, out).map(|()| 0),
        }
    }

    /// Bridges `frames` lost frames before the packet `next`, which is to be decoded after: with its copies of the last
    /// of them, and leading from the last sound to the first that is known for the rest, where
    /// [`conceal`](Decoder::conceal) would have to hold the last. Appends `frames * hop` samples to `out` and returns how
    /// many frames were copies.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn recover_before(&mut self, frames: u32, next: &BoundPacket<'_>, out: &mut Vec<f32>) -> Result<u32> {
        if next.info().starts_stream || self.own.accepts(next.stream()).is_err() {
            return self.conceal(frames, out).map(|()| 0);
        }
        let copies = next.redundant_frames();
        let reach = copies.map_or(0, |c| frames.min(c.frame_count() as u32));
        let is_known = !self.in_pause() && self.find_target(next, reach);
        self.miss(frames - reach, is_known, out)?;
        let Some(copies) = copies else { return Ok(0) };
        let mut recovered = 0;
        for back in (1..=reach).rev() {
            let mut copy = std::mem::take(&mut self.copy);
            copies.read_frame(back as usize, &mut copy);
            let decoded = self.decode_codes(&copy, out);
            self.copy = copy;
            match decoded {
                Ok(()) => recovered += 1,
                Err(Error::Bitstream { .. }) => self.miss(1, false, out)?,
                Err(e) => return Err(e),
            }
        }
        Ok(recovered)
    }

    /// Whether the stream pauses: the last packet described background noise, so that a gap after it is no loss.
    pub fn in_pause(&self) -> bool {
        self.concealment.in_pause()
    }

    /// Looks up the latent of the frame that ends a loss before `packet`: the farthest of its copies, `reach` frames
    /// back, or its own first. Whether there is one.
    fn find_target(&mut self, packet: &BoundPacket<'_>, reach: u32) -> bool {
        if let Some(copies) = packet.redundant_frames().filter(|_| reach > 0) {
            copies.read_frame(reach as usize, &mut self.copy);
            return self.frames.lookup(&self.copy, &mut self.target).is_ok();
        }
        // A SID packet has no codes, and so no first frame.
        let coder = self.coder.as_mut().map(|c| c as &mut dyn CodeCoder);
        if packet.read_codes(coder, &mut self.codes).is_err() {
            return false;
        }
        self.codes.iter().next().is_some_and(|codes| self.frames.lookup(codes, &mut self.target).is_ok())
    }

    /// Bridges lost frames; `is_known` says that `self.target` comes after the last of them.
    fn miss(&mut self, frames: u32, is_known: bool, out: &mut Vec<f32>) -> Result<()> {
        for left in (1..=frames).rev() {
            let ahead = is_known.then_some(left);
            let was_heard = !self.concealment.is_silent(ahead);
            if !was_heard {
                self.concealed.fill(0.0);
            } else if is_known {
                self.concealed.copy_from_slice(self.frames.bridge(&self.target, 1.0 / (left + 1) as f32)?);
            } else {
                self.concealed.copy_from_slice(self.frames.repeat(LATENT_DECAY)?);
            }
            self.concealment.miss(&mut self.concealed, ahead);
            if was_heard && self.concealment.is_silent(is_known.then_some(left - 1).filter(|&l| l > 0)) {
                // What comes next starts from rest, not from a state long past.
                self.frames.reset();
            }
            self.limiter.apply(&mut self.concealed);
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

    /// Keeps the decoder's state in `into`.
    pub fn snapshot(&self, into: &mut Snapshot) {
        self.frames.snapshot(into);
        self.concealment.snapshot(&mut into.concealment);
        into.peak = self.limiter.peak();
    }

    /// Puts back a state, as if what was decoded since had not been.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore(&mut self, from: &Snapshot) -> Result<()> {
        self.frames.restore(from)?;
        self.concealment.restore(&from.concealment);
        self.limiter.set_peak(from.peak);
        Ok(())
    }
}
