//! From the microphone's ring to the network: a thread of its own, since networks allocate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use crossbeam::channel::Receiver;
use siskin_core::Limits;
use siskin_core::audio::{EncodedPacket, Encoder};
use siskin_core::bitstream::packet::Packet;
use siskin_core::bitstream::rtp::{OutgoingPayload, Packetizer, PacketizerOptions};

use super::ends::Microphone;
use super::link::Link;
use super::rate::Rate;
use super::shared::Shared;
use super::wire::{self, Media};

/// How often the ring is looked at: a fraction of a device's period.
const TICK: Duration = Duration::from_millis(2);
/// Frames that may wait in the ring. More are dropped: late speech would stay late for the rest of the call.
// 0.2 s: a shorter hiccup of the scheduler is caught up with, at the price of delay for a moment.
const MAX_WAITING: usize = 10;

/// Encodes and sends.
pub(super) struct Sender {
    encoder: Encoder,
    packetizer: Packetizer,
    options: PacketizerOptions,
    link: Arc<Link>,
    shared: Arc<Shared>,
    sequence: u16,
    /// RTP time of the stream's first sample.
    origin: u32,
    datagram: Vec<u8>,
}

impl Sender {
    pub(super) fn new(
        encoder: Encoder,
        options: PacketizerOptions,
        link: Arc<Link>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            packetizer: Packetizer::new(encoder.stream_header().clone()),
            encoder,
            options,
            // Both begin at random (RFC 3550, section 5.1).
            sequence: link.random() as u16,
            origin: link.random() as u32,
            link,
            shared,
            datagram: Vec::new(),
        }
    }

    /// Sends until the call ends. Microphones come through the channel, each in the place of the one before.
    pub(super) fn run(mut self, microphones: &Receiver<Microphone>) -> Result<()> {
        let mut source: Option<(Microphone, Rate)> = None;
        let (hop, rate) =
            (usize::from(self.encoder.stream_header().hop), self.encoder.stream_header().sample_rate);
        let mut chunk = Vec::new();
        while !self.shared.is_over() {
            if let Ok(microphone) = microphones.try_recv() {
                let converter = Rate::with_fixed_output(microphone.rate, rate, hop)?;
                source = Some((microphone, converter));
            }
            let Some((microphone, converter)) = &mut source else {
                std::thread::sleep(TICK);
                continue;
            };
            let needed = converter.needed_samples();
            if microphone.samples.slots() < needed {
                // Polled: a callback that wakes a thread would take a lock.
                std::thread::sleep(TICK);
                continue;
            }
            let stale = (microphone.samples.slots() / needed).saturating_sub(MAX_WAITING);
            if let Ok(late) = microphone.samples.read_chunk(stale * needed) {
                late.commit_all();
                // Their time has passed all the same, which the peer sees as a hole.
                self.origin = self.origin.wrapping_add((stale * hop) as u32);
                self.shared.dropped.fetch_add(stale as u64, Ordering::Relaxed);
            }
            chunk.resize(needed, 0.0);
            // They are there: only this thread takes them.
            let _ = microphone.samples.pop_partial_slice(&mut chunk);
            // A time: devices differ in their rates.
            let period = microphone.counters.period() * 1_000_000 / microphone.rate.max(1) as usize;
            self.shared.capture_period_us.store(period, Ordering::Relaxed);
            self.shared.capture_misses.store(microphone.counters.missed_callbacks(), Ordering::Relaxed);
            if self.shared.muted.load(Ordering::Relaxed) {
                // Silence is sent and not nothing: the peer's buffer keeps its pace, and the connection stays open.
                chunk.fill(0.0);
            }
            // No change of speed here: the listener's side follows this clock.
            let samples = converter.convert(&chunk, 0.0)?;
            self.shared.said.measure(samples);
            self.encode(samples)?;
        }
        Ok(())
    }

    fn encode(&mut self, samples: &[f32]) -> Result<()> {
        let Self { encoder, packetizer, options, link, shared, sequence, origin, datagram } = self;
        encoder.push_samples(samples, &mut |packet: EncodedPacket<'_>| -> Result<()> {
            let parsed = Packet::parse(packet.data, &Limits::default())?.bind(packetizer.header())?;
            packetizer.push_packet(&parsed, options, &mut |payload: OutgoingPayload<'_>| -> Result<()> {
                let timestamp =
                    origin.wrapping_add(packet.position.wrapping_add_signed(payload.offset) as u32);
                let media = Media {
                    ssrc: link.ssrc(),
                    sequence: *sequence,
                    timestamp,
                    marker: payload.marker,
                    payload: payload.data,
                };
                wire::media(&media, datagram)?;
                *sequence = sequence.wrapping_add(1);
                link.send(datagram);
                shared.count_sent(payload.data.len(), timestamp);
                Ok(())
            })
        })
    }
}
