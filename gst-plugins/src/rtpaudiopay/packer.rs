//! Packets of a stream cut and packed into RTP payloads.

use std::collections::VecDeque;

use siskin_core::bitstream::packet::{Coding, Packet, PacketInfo};
use siskin_core::bitstream::rtp::{self, PayloadInfo};
use siskin_core::bitstream::{Frames, StreamHeader};
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::{Limits, Result};

/// What the element's properties ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    /// Most frames of a payload; 0 for as many as fit.
    pub(super) frames: u8,
    /// Earlier frames that each payload repeats.
    pub(super) redundancy: u8,
    /// Residual stages of the copies.
    pub(super) redundant_stages: u8,
    /// Most bytes of a payload.
    pub(super) bytes: usize,
}

/// A payload ready to be sent.
pub(super) struct OutPayload {
    pub(super) data: Vec<u8>,
    /// Samples from the packet's first to the payload's first.
    pub(super) offset: u64,
    /// Samples that it decodes to.
    pub(super) samples: u64,
    /// The first payload of a stream, or of speech after a pause.
    pub(super) starts_talk: bool,
}

/// Remembers the last frames of a stream.
pub(super) struct Packer {
    header: StreamHeader,
    limits: Limits,
    /// Codes of the last frames, nearest first.
    earlier: VecDeque<Vec<u16>>,
    /// For range-coded packets, once one has come.
    coder: Option<Coder>,
    /// Whether the last packet described the noise of a pause.
    in_pause: bool,
}

impl Packer {
    pub(super) fn new(header: StreamHeader) -> Self {
        Self { header, limits: Limits::default(), earlier: VecDeque::new(), coder: None, in_pause: false }
    }

    pub(super) fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Forgets the frames so far: what follows does not come right after them.
    pub(super) fn restart(&mut self) {
        self.earlier.clear();
    }

    /// Takes a packet of the stream apart into payloads.
    pub(super) fn pack(&mut self, data: &[u8], mut packing: Packing) -> Result<Vec<OutPayload>> {
        let packet = Packet::parse(data, &self.limits)?.bind(&self.header)?;
        let info = packet.info();
        if let Some(noise) = packet.noise() {
            self.restart();
            self.in_pause = true;
            let frames = info.frames.min(rtp::MAX_FRAMES.into()) as u8;
            let mut data = Vec::new();
            let in_band = packet.header().is_some();
            rtp::write_silence(&self.header, info.starts_stream, frames, in_band, noise, &mut data)?;
            let part = PacketInfo { frames: frames.into(), end_trim: 0, ..info };
            let samples = part.samples(&self.header);
            return Ok(vec![OutPayload { data, offset: 0, samples, starts_talk: info.starts_stream }]);
        }
        // What the encoder repeats is repeated here, in the payload's own way.
        if let Some(copies) = packet.copies().filter(|_| packing.redundancy == 0) {
            (packing.redundancy, packing.redundant_stages) = (copies.count() as u8, copies.stages());
        }
        let ends_pause = std::mem::take(&mut self.in_pause);
        if packet.coding() == Coding::RangeCoded && self.coder.is_none() {
            // Payloads are of fixed width, so what the encoder has coded must be read.
            let bundle = Bundle::for_stream(&self.header, None)?;
            self.coder = siskin_core::audio::entropy_tables(&bundle)?.map(|tables| Coder::new(tables.into()));
        }
        let mut frames = Frames::default();
        packet.read_codes(self.coder.as_mut().map(|c| c as _), &mut frames)?;
        if info.starts_stream {
            self.restart();
        }
        let (hop, skip) = (u64::from(self.header.hop), u64::from(self.header.pre_skip));
        let (mut payloads, mut done) = (Vec::new(), 0u64);
        let (mut rest, mut counts) = (frames.codes(), frames.counts());
        while let Some(&stages) = counts.first() {
            let first = done == 0;
            let starts_stream = info.starts_stream && first;
            let per_frame = self.header.codes_per_frame(stages);
            // A payload has one number of stages.
            let left = counts.iter().take_while(|&&c| c == stages).count();
            let payload = self.fit(packing, stages, left, starts_stream, packet.header().is_some() && first);
            let (now, later) = rest.split_at(usize::from(payload.frames) * per_frame);
            let earlier: Vec<&[u16]> = self.earlier.iter().map(Vec::as_slice).collect();
            let mut data = Vec::with_capacity(payload.bytes(&self.header) + 64);
            rtp::write(&self.header, &payload, packet.header().is_some() && first, now, &earlier, &mut data)?;
            let end = done + u64::from(payload.frames) * hop;
            let trim = |at: u64| if info.starts_stream { at.saturating_sub(skip) } else { at };
            payloads.push(OutPayload {
                data,
                offset: trim(done),
                samples: trim(end) - trim(done),
                starts_talk: starts_stream || ends_pause && first,
            });
            for frame in now.chunks_exact(per_frame) {
                self.earlier.push_front(frame.to_vec());
            }
            self.earlier.truncate(usize::from(packing.redundancy));
            (rest, done) = (later, end);
            counts = &counts[usize::from(payload.frames)..];
        }
        Ok(payloads)
    }

    /// The payload of the most frames that fits; one frame is sent even if it does not.
    fn fit(
        &self,
        packing: Packing,
        stages: u8,
        left: usize,
        starts_stream: bool,
        in_band: bool,
    ) -> PayloadInfo {
        let copies = self.earlier.iter().take(packing.redundancy.into());
        let copy_stages = |codes: &Vec<u16>| {
            let coded = codes.len() / usize::from(self.header.groups);
            packing.redundant_stages.min(u8::try_from(coded).unwrap_or(u8::MAX))
        };
        let redundancy: Vec<u8> = copies.map(copy_stages).collect();
        let asked = if packing.frames == 0 { rtp::MAX_FRAMES } else { packing.frames.min(rtp::MAX_FRAMES) };
        let mut info = PayloadInfo { starts_stream, frames: 1, stages, redundancy };
        let header_bytes = if in_band { self.header.to_bytes().len() } else { 0 };
        for frames in (1..=asked).rev().filter(|&f| usize::from(f) <= left) {
            info.frames = frames;
            if info.bytes(&self.header) + header_bytes <= packing.bytes {
                break;
            }
        }
        info
    }
}
