//! Packets to samples.

mod frames;

use std::sync::Arc;

use siskin_bitstream::packet::{BoundPacket, Packet, PacketInfo, Segment};
use siskin_bitstream::{CodeCoder, Frames, StreamHeader};
use siskin_entropy::{Coder, Tables};
use siskin_error::{Error, Limits, Result};
use siskin_model::bundle::{Bundle, Conventions, SegmentSpec};
use siskin_model::runtime::{Provider, Runtime};

use crate::frame::{FrameDecoder, SegmentDecoder, Snapshot};
use crate::sid;
use crate::tables::load_entropy_tables;
use frames::FrameSound;

/// What a packet held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The packet's head.
    pub info: PacketInfo,
    /// Samples per channel appended to the output.
    pub samples: usize,
}

/// Packets in, samples out, channels interleaved.
pub struct Decoder {
    sound: Sound,
    /// Header of the streams of the bundle.
    bundle_header: StreamHeader,
    /// Whether the stream's header has come and fits.
    has_header: bool,
    limits: Limits,
    /// For range-coded packets.
    coder: Option<Coder>,
    codes: Frames,
}

/// What makes sound of codes.
enum Sound {
    Frames(Box<FrameSound>),
    Segments(Box<SegmentDecoder>),
}

impl Decoder {
    /// A decoder with a bundle's network.
    ///
    /// # Errors
    /// What [`FrameDecoder::new`] and [`load_entropy_tables`](crate::load_entropy_tables) return.
    pub fn new(bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let header = bundle.stream_header();
        if bundle.manifest().segments.is_some() {
            let segments = SegmentDecoder::new(bundle, runtime)?;
            return Ok(Self::with_sound(Sound::Segments(Box::new(segments)), header));
        }
        let mut decoder = Self::from_parts(FrameDecoder::new(bundle, runtime)?, header);
        decoder.set_tables(load_entropy_tables(bundle)?);
        Ok(decoder)
    }

    /// A decoder from its parts; `bundle_header` is the header of the streams that they decode.
    pub fn from_parts(frames: FrameDecoder, bundle_header: StreamHeader) -> Self {
        let (hop, rate) = (bundle_header.hop.into(), bundle_header.sample_rate);
        let sound = FrameSound::new(frames, hop, rate, bundle_header.channels.into());
        Self::with_sound(Sound::Frames(Box::new(sound)), bundle_header)
    }

    fn with_sound(sound: Sound, bundle_header: StreamHeader) -> Self {
        Self {
            sound,
            bundle_header,
            has_header: false,
            limits: Limits::default(),
            coder: None,
            codes: Frames::default(),
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
        match &self.sound {
            Sound::Frames(sound) => sound.frames.provider(),
            Sound::Segments(segments) => segments.provider(),
        }
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

    /// Decodes a packet and appends its samples to `out`, channels interleaved. The packet that starts a stream resets the decoder.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if range-coded codes do not decode, a code is not below the codebook's size, or the packet is a segment
    /// where the codec has none or the other way round, with nothing appended; what [`Decoder::set_header`] returns if the packet
    /// is bound to a stream of another bundle;
    /// [`Error::Network`] if the network fails.
    pub fn decode_packet(&mut self, packet: &BoundPacket<'_>, out: &mut Vec<f32>) -> Result<Decoded> {
        self.set_header(packet.stream())?;
        let info = packet.info();
        // Before the reset, so that codes that do not decode leave the state as it was.
        packet.read_codes(self.coder.as_mut().map(|c| c as &mut dyn CodeCoder), &mut self.codes)?;
        let is_segment = packet.segment().is_some();
        let mismatch = |reason| Err(Error::bitstream("packet", "coding", 0, reason));
        match &self.sound {
            Sound::Frames(_) if is_segment => return mismatch("a segment, and the codec codes frames"),
            Sound::Segments(_) if !is_segment => return mismatch("no segment, and the codec codes segments"),
            _ => {}
        }
        if info.starts_stream {
            self.reset();
        }
        let (start, channels) = (out.len(), usize::from(self.bundle_header.channels));
        let decoded = match &mut self.sound {
            Sound::Frames(sound) => match packet.comfort_noise() {
                Some(shape) => {
                    let powers = sid::powers_from_sid(sound.concealment.plan(), shape);
                    sound.concealment.set_comfort_noise(&powers);
                    sound.conceal_gap(info.frames, false, out)
                }
                None => sound.decode_frames(&self.codes, info.starts_stream, out),
            },
            Sound::Segments(segments) => {
                if info.starts_stream {
                    segments.start_stream();
                }
                let scale = packet.segment().map_or(1.0, |s| s.scale);
                segments
                    .decode(&self.codes, scale, info.overlap as usize)
                    .map(|pcm| out.extend_from_slice(&pcm))
            }
        };
        if let Err(e) = decoded {
            // The contract: an error appends nothing.
            out.truncate(start);
            return Err(e);
        }
        if info.starts_stream {
            // The codec's delay is cut once per stream, here, so that sample 0 out is sample 0 in.
            let skip = usize::from(self.bundle_header.pre_skip) * channels;
            out.drain(start..start + skip.min(out.len() - start));
        }
        // Cuts off the end trim; the pre-skip has been drained above.
        let samples = packet.sample_count() as usize;
        out.truncate(start + samples * channels);
        Ok(Decoded { info, samples })
    }

    /// Decodes one frame's codes without a packet, `[stage][group]`, and appends its `hop` samples of each channel to `out`:
    /// nothing is dropped for the codec's delay.
    ///
    /// # Errors
    /// What [`FrameDecoder::decode_frame`] returns, with nothing appended; [`Error::Parameter`] if the codec codes segments.
    pub fn decode_codes(&mut self, codes: &[u16], out: &mut Vec<f32>) -> Result<()> {
        self.frame_sound("codes without a packet")?.decode_frame(codes, out)
    }

    /// Decodes one latent frame without a packet, as [`Decoder::decode_codes`] does codes.
    ///
    /// # Errors
    /// What [`FrameDecoder::decode_latent`] returns, with nothing appended.
    pub fn decode_latent(&mut self, latent: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.frame_sound("latents")?.decode_latent(latent, out)
    }

    /// Decodes a segment's codes without a packet and appends its samples to `out`, but for the last `overlap`, which
    /// come with the next. `is_first` says that the stream begins with it.
    ///
    /// # Errors
    /// As for [`decode_packet`](Self::decode_packet).
    pub(crate) fn decode_segment(
        &mut self,
        codes: &Frames,
        segment: Segment,
        is_first: bool,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let Sound::Segments(segments) = &mut self.sound else {
            return Err(Error::parameter("segment", "given", "frames: the codec codes those"));
        };
        if is_first {
            segments.start_stream();
        }
        out.extend_from_slice(&segments.decode(codes, segment.scale, segment.overlap as usize)?);
        Ok(())
    }

    /// Sizes of the segments, if the codec codes those.
    pub(crate) fn segments(&self) -> Option<SegmentSpec> {
        match &self.sound {
            Sound::Frames(_) => None,
            Sound::Segments(segments) => Some(segments.sizes()),
        }
    }

    fn frame_sound(&mut self, given: &'static str) -> Result<&mut FrameSound> {
        match &mut self.sound {
            Sound::Frames(sound) => Ok(sound),
            Sound::Segments(_) => Err(Self::segments_error(given)),
        }
    }

    /// What a codec of segments says to input without scales.
    pub(crate) fn segments_error(given: &'static str) -> Error {
        let allowed = "packets or token files: the codec codes segments, which have a scale";
        Error::parameter("input", given, allowed)
    }

    /// Dimension of a latent frame.
    pub fn latent_dim(&self) -> usize {
        match &self.sound {
            Sound::Frames(sound) => sound.frames.latent_dim(),
            Sound::Segments(segments) => segments.latent_dim(),
        }
    }

    /// As [`FrameDecoder::mark_end`].
    pub(crate) fn mark_end(&mut self) -> Result<()> {
        match &mut self.sound {
            Sound::Frames(sound) => sound.frames.mark_end(),
            Sound::Segments(_) => Ok(()),
        }
    }

    /// Whose conventions the bundle follows.
    pub(crate) fn conventions(&self) -> Conventions {
        match &self.sound {
            Sound::Frames(sound) => sound.frames.conventions(),
            Sound::Segments(segments) => segments.conventions(),
        }
    }

    /// Frames at the start of a stream that [`decode_opening`](Self::decode_opening) takes together; none if the codec's
    /// streams simply begin.
    pub(crate) fn opening_frames(&self) -> Option<usize> {
        match &self.sound {
            Sound::Frames(sound) => sound.frames.opening_frames(),
            Sound::Segments(_) => None,
        }
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
        self.frame_sound("codes without a packet")?.decode_opening(codes, out)
    }

    /// Conceals a gap of `frames` frames, appending `frames * hop` samples of each channel to `out`. After a loss it holds the last
    /// sound and fades it into the background noise of the stream; in DTX it goes on with comfort noise. A lost segment is silence.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails.
    pub fn conceal(&mut self, frames: u32, out: &mut Vec<f32>) -> Result<()> {
        match &mut self.sound {
            Sound::Frames(sound) => sound.conceal_gap(frames, false, out)?,
            Sound::Segments(segments) => segments.conceal(frames as usize, out),
        }
        Ok(())
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
        let Sound::Frames(sound) = &mut self.sound else {
            return self.conceal(frames, out).map(|()| 0);
        };
        let copies = next.redundant_frames();
        // Copies beyond the gap are of frames that have been decoded.
        let reach = copies.map_or(0, |c| frames.min(c.frame_count() as u32));
        // In DTX comfort noise runs up to the next packet; there is nothing to lead to.
        let is_known = !sound.concealment.in_dtx()
            && find_next_latent(sound, &mut self.coder, &mut self.codes, next, reach);
        sound.conceal_gap(frames - reach, is_known, out)?;
        let Some(copies) = copies else { return Ok(0) };
        let mut recovered = 0;
        // Oldest first: the network's state must run through the frames in their order.
        for back in (1..=reach).rev() {
            // Lent, as decoding needs all of the sound.
            let mut codes = std::mem::take(&mut sound.redundant_codes);
            copies.read_frame(back as usize, &mut codes);
            let decoded = sound.decode_frame(&codes, out);
            sound.redundant_codes = codes;
            match decoded {
                Ok(()) => recovered += 1,
                // Bad redundancy is a lost frame like any other; the packet itself may still be good.
                Err(Error::Bitstream { .. }) => sound.conceal_gap(1, false, out)?,
                Err(e) => return Err(e),
            }
        }
        Ok(recovered)
    }

    /// Whether the stream is in DTX: the last packet was a SID frame, so that a gap after it is no loss.
    pub fn in_dtx(&self) -> bool {
        matches!(&self.sound, Sound::Frames(sound) if sound.concealment.in_dtx())
    }

    /// Back to the state of a new decoder that knows its header: after a seek.
    pub fn reset(&mut self) {
        match &mut self.sound {
            Sound::Frames(sound) => sound.reset(),
            Sound::Segments(segments) => segments.reset(),
        }
    }

    /// Saves the decoder's state to `into`.
    pub fn save_state(&self, into: &mut Snapshot) {
        match &self.sound {
            Sound::Frames(sound) => sound.save_state(into),
            Sound::Segments(segments) => segments.save_state(into),
        }
    }

    /// Restores a state.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the snapshot is of another bundle.
    pub fn restore_state(&mut self, from: &Snapshot) -> Result<()> {
        match &mut self.sound {
            Sound::Frames(sound) => sound.restore_state(from),
            Sound::Segments(segments) => segments.restore_state(from),
        }
    }
}

/// Sets `next_latent` to the first frame after a gap before `packet`: its redundant frame `reach` frames back, or its
/// own first. Returns whether there is one.
fn find_next_latent(
    sound: &mut FrameSound,
    coder: &mut Option<Coder>,
    frames: &mut Frames,
    packet: &BoundPacket<'_>,
    reach: u32,
) -> bool {
    let FrameSound { frames: network, redundant_codes, next_latent, .. } = sound;
    if let Some(copies) = packet.redundant_frames().filter(|_| reach > 0) {
        copies.read_frame(reach as usize, redundant_codes);
        return network.lookup_latent(redundant_codes, next_latent).is_ok();
    }
    // A SID packet has no codes, and so no first frame.
    if packet.read_codes(coder.as_mut().map(|c| c as &mut dyn CodeCoder), frames).is_err() {
        return false;
    }
    frames.iter().next().is_some_and(|codes| network.lookup_latent(codes, next_latent).is_ok())
}
