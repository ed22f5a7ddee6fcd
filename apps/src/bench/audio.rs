//! How fast sound is coded.

use std::time::Instant;

use anyhow::Result;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig, FrameDecoder, FrameEncoder};
use siskin_core::bundle::{Bundle, GraphSpec, Manifest};
use siskin_core::runtime::{Provider, Runtime, StepNetwork};

use super::times::Side;
use super::{Files, NetworkTime, Percentiles, Streams, Times, peak_memory};
use crate::{events, interrupt, report, units};

/// What is to be measured.
pub(crate) struct Work<'a> {
    /// When the work began, before the bundle was read.
    pub(crate) started: Instant,
    pub(crate) bundle: &'a Bundle,
    pub(crate) runtime: &'a Runtime,
    pub(crate) stages: u8,
    pub(crate) search_width: Option<usize>,
    /// Streams at once, none to leave them out.
    pub(crate) streams: Option<usize>,
}

/// What was measured of one stream in packets of one frame.
struct Single {
    /// Milliseconds from the beginning to the first packet, and to its samples.
    first_packet_ms: f64,
    first_samples_ms: f64,
    encode: Side,
    decode: Side,
    provider: Provider,
}

/// Encodes and decodes, and tells how long frames took. `samples` makes what is coded, in whole frames.
pub(crate) fn run_audio(
    work: &Work<'_>,
    samples: impl FnOnce() -> Result<Vec<f32>>,
    as_json: bool,
) -> Result<()> {
    let (bundle, runtime) = (work.bundle, work.runtime);
    let mut config = EncoderConfig { stages: Some(work.stages), ..Default::default() };
    config.search_width = work.search_width.unwrap_or(config.search_width);
    let manifest = bundle.manifest();
    let (single, pcm) = measure_stream(work, &config, samples)?;
    let files = Files::measure(bundle, runtime, &config, &pcm)?;
    // Before the streams, whose many networks are not what one encoder takes.
    let memory = peak_memory();
    let streams = work.streams.map(|n| Streams::measure(bundle, runtime, &config, &pcm, n)).transpose()?;
    let frame_seconds = unit_of(manifest) as f64 / f64::from(manifest.sample_rate);
    let file_seconds = f64::from(manifest.hop) / f64::from(manifest.sample_rate);
    let Single { first_packet_ms, first_samples_ms, encode, decode, provider } = single;
    if as_json {
        return report::write_json_line(&events::Bench {
            model: &manifest.name,
            model_id: bundle.id().to_string(),
            provider: provider.name(),
            runtime: &runtime.library_info(),
            stages: work.stages,
            search_width: config.search_width,
            seconds: pcm.len() as f64 / f64::from(manifest.channels) / f64::from(manifest.sample_rate),
            frame_ms: frame_seconds * 1e3,
            first_packet_ms,
            first_samples_ms,
            peak_memory_bytes: memory,
            encode: &encode,
            decode: &decode,
            files: &files,
            streams: streams.as_ref(),
        });
    }
    let mut text = format!(
        "{} {} (id {}) on {provider}, {} stages, {} frames of {:.1} ms\nfirst packet after {first_packet_ms:.0} ms, its \
         samples after {first_samples_ms:.0} ms; peak memory {}\n\n{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
        manifest.name,
        manifest.version,
        bundle.id(),
        work.stages,
        encode.frames,
        frame_seconds * 1e3,
        memory.map_or("unknown".into(), units::format_size),
        "us a frame",
        "mean",
        "p50",
        "p95",
        "p99",
        "max",
    );
    for (name, side) in [("encode", &encode), ("decode", &decode)] {
        for (part, p) in [("", &side.whole_us), (" network", &side.network_us), (" rest", &side.rest_us)] {
            let Percentiles { mean, p50, p95, p99, max } = p;
            let label = format!("{name}{part}");
            text += &format!("{label:<20}{mean:>9.1}{p50:>9.1}{p95:>9.1}{p99:>9.1}{max:>9.1}\n");
        }
    }
    for (name, side) in [("\nencode", &encode), ("decode", &decode)] {
        text += &format!(
            "{name}: real-time factor {:.4}, {:.0} frames/s; outside the network {:.2} % of the work, {:.2} % of a \
             frame's {:.1} ms\n",
            side.real_time_factor,
            side.frames_per_second,
            side.rest_share * 100.0,
            side.rest_us.mean / frame_seconds / 1e4,
            frame_seconds * 1e3,
        );
    }
    text += &format!(
        "as in files, 50 frames a packet: real-time factor {:.4} to encode, {:.4} to decode; ",
        files.encode_us / file_seconds / 1e6,
        files.decode_us / file_seconds / 1e6,
    );
    text += &match files.range_coded {
        true => format!(
            "range coding takes {:.1} % less than fixed width\n",
            100.0 - 100.0 * files.bytes as f64 / files.fixed_width_bytes.max(1) as f64
        ),
        false => "the model has no tables for range coding\n".into(),
    };
    if let Some(s) = streams {
        text += &format!(
            "{} streams on {} threads: real-time factor {:.3}, {:.2} % of the frames in time, the longest round {:.1} ms\n",
            s.streams,
            s.threads,
            s.real_time_factor,
            s.rounds_in_time * 100.0,
            s.round_us.max / 1e3,
        );
    }
    report::print_text(&text)
}

/// Samples of a channel with each of which a packet comes: a frame, or what a segment has before the next.
pub(super) fn unit_of(manifest: &Manifest) -> usize {
    manifest.segments.map_or(manifest.hop.into(), |sizes| sizes.stride)
}

/// An encoder and a decoder whose networks are timed.
struct Timed<'a> {
    work: &'a Work<'a>,
    encoder_time: NetworkTime,
    decoder_time: NetworkTime,
}

impl Timed<'_> {
    fn network(&self, spec: &GraphSpec, time: &NetworkTime) -> siskin_core::Result<Box<dyn StepNetwork>> {
        let Work { bundle, runtime, .. } = self.work;
        Ok(time.of(bundle.open_network(runtime, spec, 1)?))
    }

    /// Networks of segments are not timed apart: there is no more than one run a second.
    fn encoder(&self, config: &EncoderConfig) -> siskin_core::Result<Encoder> {
        let Work { bundle, runtime, stages, .. } = *self.work;
        if bundle.manifest().segments.is_some() {
            let config = EncoderConfig { stages: Some(stages), ..config.clone() };
            return Encoder::new(bundle, runtime, &config);
        }
        let network = self.network(&bundle.manifest().encoder, &self.encoder_time)?;
        let frames = FrameEncoder::with_network(bundle, runtime, network)?;
        Encoder::from_parts(frames, bundle.stream_header(), config, stages)
    }

    fn decoder(&self) -> siskin_core::Result<Decoder> {
        let Work { bundle, runtime, .. } = *self.work;
        if bundle.manifest().segments.is_some() {
            return Decoder::new(bundle, runtime);
        }
        let network = self.network(&bundle.manifest().decoder, &self.decoder_time)?;
        let frames = FrameDecoder::with_network(bundle, runtime, network)?;
        Ok(Decoder::from_parts(frames, bundle.stream_header()))
    }
}

/// Codes one stream, a frame a packet, or a segment.
fn measure_stream(
    work: &Work<'_>,
    config: &EncoderConfig,
    samples: impl FnOnce() -> Result<Vec<f32>>,
) -> Result<(Single, Vec<f32>)> {
    let manifest = work.bundle.manifest();
    // The networks are wrapped, so that what our own code costs beside them can be told.
    let timed = Timed { work, encoder_time: NetworkTime::default(), decoder_time: NetworkTime::default() };
    let frame_len = unit_of(manifest) * usize::from(manifest.channels);
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let ms = || work.started.elapsed().as_secs_f64() * 1e3;

    let mut encoder = timed.encoder(config)?;
    // A constant and not silence: a frame of it is coded in full.
    let constant = vec![0.1; frame_len];
    while packets.is_empty() {
        // Several, if the codec looks ahead. It ends: a packet comes after the look-ahead and its own frames.
        let mut keep = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
            packets.push(packet.data.to_vec());
            Ok(())
        };
        encoder.push_samples(&constant, &mut keep)?;
    }
    let first_packet_ms = ms();
    let mut decoder = timed.decoder()?;
    let mut out = Vec::with_capacity(frame_len);
    // This is also the decoder's warm-up, which stays out of the percentiles.
    decoder.decode(&packets[0], &mut out)?;
    let first_samples_ms = ms();

    let pcm = samples()?;
    // The first frame, which pays for the network's warm-up, is told apart and not in the percentiles.
    encoder.reset();
    packets.clear();
    let mut keep = |packet: EncodedPacket<'_>| -> siskin_core::Result<()> {
        packets.push(packet.data.to_vec());
        Ok(())
    };
    let frame_seconds = unit_of(manifest) as f64 / f64::from(manifest.sample_rate);
    let mut times = Times::default();
    for frame in pcm.chunks_exact(frame_len) {
        // Outside the clock.
        interrupt::check_interrupt()?;
        times.time(&timed.encoder_time, || encoder.push_samples(frame, &mut keep))?;
    }
    let encode = times.side(frame_seconds);
    let mut times = Times::default();
    for packet in &packets {
        out.clear();
        interrupt::check_interrupt()?;
        times.time(&timed.decoder_time, || decoder.decode(packet, &mut out))?;
    }
    let decode = times.side(frame_seconds);
    let provider = encoder.provider();
    Ok((Single { first_packet_ms, first_samples_ms, encode, decode, provider }, pcm))
}
