//! Many streams at once, each encoded and decoded frame by frame as in a conference.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;
use siskin_core::audio::{Decoder, EncodedPacket, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::Runtime;

use super::audio::unit_of;
use super::times::{Percentiles, percentiles};
use crate::interrupt;

/// How many streams kept up.
#[derive(Debug, Serialize)]
pub(crate) struct Streams {
    pub(crate) streams: usize,
    pub(crate) threads: usize,
    /// Time needed for a second of all streams, in seconds; below 1 all run in real time.
    pub(crate) real_time_factor: f64,
    /// Microseconds in which a thread encoded and decoded one frame of each of its streams.
    pub(crate) round_us: Percentiles,
    /// Share of the rounds that took no longer than a frame lasts.
    pub(crate) rounds_in_time: f64,
}

struct Stream {
    encoder: Encoder,
    decoder: Decoder,
}

impl Streams {
    /// Codes `pcm`, whole frames, in so many streams on as many threads as the process has cores.
    pub(crate) fn measure(
        bundle: &Bundle,
        runtime: &Runtime,
        config: &EncoderConfig,
        pcm: &[f32],
        streams: usize,
    ) -> Result<Self> {
        // One thread per core, each with its streams in turn: more threads would measure the scheduler.
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(streams);
        // Nine streams on eight cores are two a thread, and five threads.
        let share = streams.div_ceil(cores);
        let threads = streams.div_ceil(share);
        let open = |_| -> siskin_core::Result<Stream> {
            Ok(Stream {
                encoder: Encoder::new(bundle, runtime, config)?,
                decoder: Decoder::new(bundle, runtime)?,
            })
        };
        // Opened before the clock starts; a conference opens its streams once.
        let mut open: Vec<Stream> = (0..streams).map(open).collect::<siskin_core::Result<_>>()?;
        let manifest = bundle.manifest();
        let (hop, channels) = (unit_of(manifest), f64::from(manifest.channels));
        let frame_len = hop * usize::from(manifest.channels);
        let clock = Instant::now();
        let rounds = std::thread::scope(|scope| {
            let shares = open.chunks_mut(share);
            let workers: Vec<_> =
                shares.map(|share| scope.spawn(move || code_in_turns(share, pcm, frame_len))).collect();
            let join = |w: std::thread::ScopedJoinHandle<'_, Result<Vec<f64>>>| {
                w.join().map_err(|_| anyhow!("a stream's thread panicked"))?
            };
            workers.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        let needed = clock.elapsed();
        let rounds = rounds.concat();
        let rate = f64::from(manifest.sample_rate);
        let frame = Duration::from_secs_f64(hop as f64 / rate).as_secs_f64() * 1e6;
        Ok(Self {
            streams,
            threads,
            // By the length of one stream, as all run beside each other.
            real_time_factor: needed.as_secs_f64() * rate * channels / pcm.len().max(1) as f64,
            rounds_in_time: rounds.iter().filter(|&&r| r <= frame).count() as f64
                / rounds.len().max(1) as f64,
            round_us: percentiles(&rounds),
        })
    }
}

/// Codes `pcm` in each of the streams, a frame of each by turns; the times of the turns.
fn code_in_turns(streams: &mut [Stream], pcm: &[f32], frame_len: usize) -> Result<Vec<f64>> {
    let (mut rounds, mut out) = (Vec::new(), Vec::with_capacity(2 * frame_len));
    for frame in pcm.chunks_exact(frame_len) {
        interrupt::check_interrupt()?;
        let clock = Instant::now();
        for Stream { encoder, decoder } in &mut *streams {
            out.clear();
            let mut give = |packet: EncodedPacket<'_>| decoder.decode(packet.data, &mut out).map(drop);
            encoder.push_samples(frame, &mut give)?;
        }
        rounds.push(clock.elapsed().as_secs_f64() * 1e6);
    }
    Ok(rounds)
}
