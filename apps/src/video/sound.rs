//! The sound beside a video: coded as far as the pictures have come, so that both lie side by side in the file.

use std::collections::VecDeque;

use anyhow::Result;
use siskin_core::audio::{EncodedPacket, Encoder};
use siskin_core::bitstream::StreamHeader;

use crate::coded::Sink;
use crate::interrupt;
use crate::media::AudioInput;

/// A packet that waits for the pictures.
struct Packet {
    start: u64,
    duration: u64,
    data: Vec<u8>,
}

/// The sound of an input on its way into a file.
pub(crate) struct Sound {
    input: AudioInput,
    encoder: Encoder,
    /// When the sound begins, in nanoseconds.
    offset: u64,
    waiting: VecDeque<Packet>,
    pcm: Vec<f32>,
    ended: bool,
    samples: u64,
}

impl Sound {
    pub(crate) fn new(input: AudioInput, encoder: Encoder) -> Self {
        Self {
            input,
            encoder,
            offset: 0,
            waiting: VecDeque::new(),
            pcm: Vec::new(),
            ended: false,
            samples: 0,
        }
    }

    /// What the stream says of itself.
    pub(super) fn header(&self) -> &StreamHeader {
        self.encoder.header()
    }

    /// Lets the sound begin so many nanoseconds after the file does.
    pub(super) fn begin_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Samples that have been read.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Packets of the input that could not be decoded.
    pub(super) fn bad_packets(&self) -> u64 {
        self.input.bad_packets()
    }

    /// Writes the packets that begin at `time` (in nanoseconds) or before, to a track.
    pub(super) fn write_until(&mut self, time: u64, track: usize, sink: &mut Sink) -> Result<()> {
        while !self.ended && self.waiting.back().is_none_or(|p| p.start <= time) {
            interrupt::check()?;
            self.encode()?;
        }
        while self.waiting.front().is_some_and(|p| p.start <= time) {
            let Some(packet) = self.waiting.pop_front() else { break };
            sink.block_on(track, packet.start, packet.duration, true, &packet.data)?;
        }
        Ok(())
    }

    /// Encodes a little more.
    fn encode(&mut self) -> Result<()> {
        let more = self.input.next(&mut self.pcm)?;
        self.samples += self.pcm.len() as u64;
        let (rate, offset) = (u128::from(self.encoder.header().sample_rate), self.offset);
        let waiting = &mut self.waiting;
        let time = |samples: u64| (u128::from(samples) * 1_000_000_000 / rate) as u64;
        let mut keep = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
            let (start, end) = (time(packet.position), time(packet.position + packet.samples));
            let data = packet.data.to_vec();
            waiting.push_back(Packet { start: start + offset, duration: end - start, data });
            Ok(())
        };
        self.encoder.push(&self.pcm, &mut keep)?;
        self.pcm.clear();
        if !more {
            self.ended = true;
            self.encoder.finish(&mut keep)?;
        }
        Ok(())
    }
}
