//! The sound beside a video: coded as far as the frames have come, so that both lie side by side in the file.

use std::collections::VecDeque;

use anyhow::Result;
use siskin_core::audio::{EncodedPacket, Encoder};
use siskin_core::container::Track;
use siskin_core::media::{Rounding, TimeBase};

use crate::interrupt;
use crate::media::{AudioInput, Next};
use crate::media_file::Sink;

/// A packet that waits for the frames.
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
    pub(crate) fn new(mut input: AudioInput, encoder: Encoder) -> Self {
        input.set_channels(encoder.stream_header().channels);
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

    /// The track that it becomes.
    pub(super) fn track(&self) -> Track {
        let header = self.encoder.stream_header();
        Track::audio(header).with_frames_per_packet(header, self.encoder.frames_per_packet())
    }

    /// Lets the file begin at a time in nanoseconds of the input, which is not after the sound does.
    pub(super) fn begin_at(&mut self, zero: i64) {
        match self.input.start_ns() {
            // Packets are moved where the time of the first sample is known; where it is not yet, silence is put
            // before it instead.
            Some(start) => self.offset = u64::try_from(start.saturating_sub(zero)).unwrap_or(0),
            None => self.input.begin_at(zero),
        }
    }

    /// Samples that have been read.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// When the sound begins, in nanoseconds of the input.
    pub(super) fn start_ns(&self) -> Option<i64> {
        self.input.start_ns()
    }

    /// What did not go as it should, in words, once everything has been read.
    pub(super) fn faults(&self) -> Vec<String> {
        self.input.own_faults()
    }

    /// What is missing at the end, in words, once everything has been read.
    pub(super) fn missing(&self) -> Option<String> {
        self.input.missing()
    }

    /// Writes the packets that begin at `time` (in nanoseconds) or before, to a track.
    pub(super) fn write_until(&mut self, time: u64, track: usize, sink: &mut Sink) -> Result<()> {
        // Sound that lies far behind the frames in the input lies behind them in the output too.
        let is_last = time == u64::MAX;
        // One packet beyond `time` is waited for: only then are all up to it known.
        while !self.ended && self.waiting.back().is_none_or(|p| p.start <= time) {
            interrupt::check_interrupt()?;
            if !self.encode(is_last)? {
                break;
            }
        }
        while self.waiting.front().is_some_and(|p| p.start <= time) {
            let Some(packet) = self.waiting.pop_front() else { break };
            sink.block_on(track, packet.start, packet.duration, true, &packet.data)?;
        }
        Ok(())
    }

    /// Encodes a little more; false if there is nothing within reach.
    fn encode(&mut self, is_patient: bool) -> Result<bool> {
        let more = match self.input.next_within(&mut self.pcm, is_patient)? {
            Next::There(()) => true,
            Next::End => false,
            // Reading on would have the demuxer queue frames without end; the next call asks again.
            Next::Later => return Ok(false),
        };
        let channels = u64::from(self.encoder.stream_header().channels);
        self.samples += self.pcm.len() as u64 / channels;
        let base = TimeBase::from_sample_rate(self.encoder.stream_header().sample_rate);
        let (waiting, offset) = (&mut self.waiting, self.offset);
        let time = |samples: u64| base.ticks_to_ns(samples, Rounding::Down).unwrap_or(u64::MAX);
        let mut keep = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
            // The length is the difference of rounded times, so that packets join without gaps of a nanosecond.
            let (start, end) = (time(packet.position), time(packet.position + packet.samples));
            // The encoder uses its buffer again for the next packet.
            let data = packet.data.to_vec();
            waiting.push_back(Packet { start: start + offset, duration: end - start, data });
            Ok(())
        };
        self.encoder.push_samples(&self.pcm, &mut keep)?;
        self.pcm.clear();
        if !more {
            self.ended = true;
            self.encoder.finish_stream(&mut keep)?;
        }
        Ok(true)
    }
}
