//! Samples as they come from a microphone to a coded file.

use siskin_core::audio::{EncodedPacket, Encoder, EncoderConfig, file_frames_per_packet};
use siskin_core::bundle::Bundle;
use siskin_core::container::{Mode, Track, Writer, WriterOptions};
use siskin_core::media::{Rounding, TimeBase};
use siskin_core::runtime::Runtime;

use crate::state::Result;

/// Encodes one recording, and keeps its file: an hour takes 2.7 MB at 6 kb/s.
pub(crate) struct Recorder {
    encoder: Encoder,
    writer: Writer,
    clock: TimeBase,
    file: Vec<u8>,
}

impl Recorder {
    /// Begins a recording with a bundle; `stages` of 0 are the bundle's default.
    pub(crate) fn new(bundle: &Bundle, runtime: &Runtime, stages: u8) -> Result<Self> {
        let manifest = bundle.manifest();
        let frame_rate = f64::from(manifest.sample_rate) / f64::from(manifest.hop);
        let config = EncoderConfig {
            stages: Some(stages).filter(|&s| s > 0),
            frames_per_packet: file_frames_per_packet(frame_rate),
            ..Default::default()
        };
        let encoder = Encoder::new(bundle, runtime, &config)?;
        let header = encoder.stream_header();
        let track = Track::audio(header).with_frames_per_packet(header, encoder.frames_per_packet());
        let app = concat!("siskin-player ", env!("CARGO_PKG_VERSION")).to_owned();
        let options = WriterOptions { mode: Mode::File, writing_app: app, tags: Vec::new() };
        let mut writer = Writer::new(vec![track], options)?;
        let mut file = Vec::new();
        writer.write_header(&mut file)?;
        let clock = TimeBase::from_sample_rate(header.sample_rate);
        Ok(Self { encoder, writer, clock, file })
    }

    /// Samples per second that it takes.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.encoder.stream_header().sample_rate
    }

    /// Takes samples; the bytes that the file has so far.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<usize> {
        let Self { encoder, writer, clock, file } = self;
        encoder
            .push_samples(samples, &mut |packet: EncodedPacket<'_>| keep(writer, *clock, &packet, file))?;
        Ok(file.len())
    }

    /// Ends the recording; its file.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        let Self { encoder, writer, clock, file } = &mut self;
        encoder.finish_stream(&mut |packet: EncodedPacket<'_>| keep(writer, *clock, &packet, file))?;
        for patch in writer.finish(file)? {
            patch.apply(file)?;
        }
        Ok(self.file)
    }
}

fn keep(
    writer: &mut Writer,
    clock: TimeBase,
    packet: &EncodedPacket<'_>,
    file: &mut Vec<u8>,
) -> siskin_core::Result<()> {
    let time = |samples: u64| clock.ticks_to_ns(samples, Rounding::Down).unwrap_or(u64::MAX);
    let (start, end) = (time(packet.position), time(packet.position + packet.samples));
    writer.write_block(0, start, end - start, true, packet.data, file)
}
