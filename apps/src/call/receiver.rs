//! From the network to the loudspeaker's ring: receives, orders, decodes and paces; reports to the peer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam::channel::Receiver as Channel;
use siskin_core::Error;
use siskin_core::audio::Decoder;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::rtp::PayloadHead;
use siskin_core::bundle::Bundle;
use siskin_core::runtime::Runtime;

use super::ends::Speaker;
use super::jitter::{Frame, JitterBuffer, Next};
use super::link::Link;
use super::rate::Rate;
use super::reception::Reception;
use super::shared::{Heard, Shared};
use super::wire::{self, Incoming, MTU, Media, Report};

/// Longest wait for a datagram, so that the ring is looked at in time.
const TICK: Duration = Duration::from_millis(2);
/// Samples that wait in the ring beyond a device's period, in seconds: least, and more after each time they did not
/// last, up to the most.
// Beginning with two ticks of this loop, and by one tick more after each underrun: the delay is as short as this
// machine's scheduler allows.
const MARGINS: (f64, f64, f64) = (0.004, 0.002, 0.04);
/// How often the peer gets a report, and before it has answered.
// RFC 3550 has 5 s for large sessions; two parties may talk more often, and a report is how the other side learns
// that somebody is there.
const REPORTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(200));
/// How often the rest of the program gets figures.
const FIGURES: Duration = Duration::from_millis(100);

/// A stream that is being played.
struct Playout {
    decoder: Decoder,
    buffer: JitterBuffer,
    reception: Reception,
}

/// A loudspeaker and the way to its rate.
struct Output {
    speaker: Speaker,
    rate: Rate,
    margin: f64,
    underruns: u64,
}

/// Receives and plays.
pub(super) struct Receiver {
    runtime: Runtime,
    /// The decoder of the bundle that we send, which the peer most likely sends too.
    ready: Option<Decoder>,
    link: Arc<Link>,
    shared: Arc<Shared>,
    started: Instant,
    playout: Option<Playout>,
    heard: Heard,
    /// Counts of the streams before this one.
    past: Heard,
    codec_rate: u32,
    pcm: Vec<f32>,
    second: Vec<f32>,
    report: Vec<u8>,
}

impl Receiver {
    pub(super) fn new(runtime: Runtime, decoder: Decoder, link: Arc<Link>, shared: Arc<Shared>) -> Self {
        Self {
            runtime,
            codec_rate: decoder.stream_header().sample_rate,
            ready: Some(decoder),
            link,
            shared,
            started: Instant::now(),
            playout: None,
            heard: Heard::default(),
            past: Heard::default(),
            pcm: Vec::new(),
            second: Vec::new(),
            report: Vec::new(),
        }
    }

    /// Receives until the call ends. Loudspeakers come through the channel, each in the place of the one before.
    pub(super) fn run(mut self, speakers: &Channel<Speaker>) -> Result<()> {
        let mut output: Option<Output> = None;
        let mut datagram = [0; MTU];
        let (mut next_report, mut next_figures) = (Instant::now(), Instant::now());
        while !self.shared.is_over() {
            if let Ok(speaker) = speakers.try_recv() {
                output = Some(self.open(speaker)?);
            }
            if let Some(output) = &mut output {
                self.play(output)?;
            }
            let now = Instant::now();
            if now >= next_report {
                // Also before anything was received: it is what opens a path through the caller's firewall.
                self.send_report(false)?;
                let answered = self.shared.answered.load(Ordering::Relaxed);
                next_report = now + if answered { REPORTS.0 } else { REPORTS.1 };
            }
            if now >= next_figures {
                self.publish(output.as_ref());
                next_figures = now + FIGURES;
            }
            // This wait is the only sleep of the loop: a packet wakes it at once.
            let (link, own) = (self.link.clone(), self.link.ssrc());
            let data = link.receive(&mut datagram, TICK, |d| wire::read(d, own).is_some());
            match data.and_then(|d| wire::read(d, own)) {
                Some(Incoming::Media(media)) => self.take_media(&media)?,
                Some(Incoming::Report(report)) => self.take_report(&report),
                None => {}
            }
        }
        // Said thrice, since it may get lost.
        for _ in 0..3 {
            self.send_report(true)?;
        }
        self.publish(output.as_ref());
        Ok(())
    }

    fn open(&self, speaker: Speaker) -> Result<Output> {
        let hop = self.hop();
        let rate = Rate::with_fixed_input(self.codec_rate, speaker.rate, hop)?;
        Ok(Output { speaker, rate, margin: MARGINS.0, underruns: 0 })
    }

    fn hop(&self) -> usize {
        let decoder = self.playout.as_ref().map(|p| &p.decoder).or(self.ready.as_ref());
        decoder.map_or(1, |d| d.stream_header().hop.into())
    }

    /// Keeps the ring so full that it lasts until the next look.
    fn play(&mut self, output: &mut Output) -> Result<()> {
        let misses = output.speaker.counters.missed_callbacks();
        if misses > output.underruns {
            output.underruns = misses;
            output.margin = (output.margin + MARGINS.1).min(MARGINS.2);
        }
        let rate = f64::from(output.speaker.rate);
        // What the device may take at any moment, and the time until this thread looks again.
        let least = output.speaker.counters.period() + (output.margin * rate) as usize;
        loop {
            let waiting = output.speaker.queued_samples();
            if waiting >= least {
                return Ok(());
            }
            let now = self.started.elapsed();
            let Some(playout) = &mut self.playout else { return Ok(()) };
            // Asked before the frame is taken, which changes the delay.
            let speed = playout.buffer.speed();
            match playout.buffer.next(now) {
                Next::Wait => return Ok(()),
                next => self.decode(next)?,
            }
            if waiting == 0 {
                // The first samples shall wait as long as all later ones.
                let _ = output.speaker.samples.push_partial_slice(&vec![0.0; least]);
            }
            self.shared.played.measure(&self.pcm);
            // A full ring belongs to a device that has stopped; its samples are nobody's.
            let _ = output.speaker.samples.push_partial_slice(output.rate.convert(&self.pcm, speed)?);
        }
    }

    /// Puts the samples of one frame's time into `pcm`.
    fn decode(&mut self, next: Next) -> Result<()> {
        let Some(playout) = &mut self.playout else { return Ok(()) };
        let decoder = &mut playout.decoder;
        self.pcm.clear();
        match next {
            Next::Wait => {}
            Next::Conceal => decoder.conceal(1, &mut self.pcm)?,
            Next::Play(frame) => decode_or_conceal(decoder, &frame, &mut self.pcm)?,
            // A cross-fade over the whole frame: both are decoded, so the decoder's state stays right, and the pitch
            // does not change.
            Next::Join(first, second) => {
                decode_or_conceal(decoder, &first, &mut self.pcm)?;
                self.second.clear();
                decode_or_conceal(decoder, &second, &mut self.second)?;
                let step = 1.0 / self.pcm.len().max(1) as f32;
                for (i, (a, b)) in self.pcm.iter_mut().zip(&self.second).enumerate() {
                    *a += (b - *a) * (i as f32 * step);
                }
            }
        }
        // The first frame of a stream is shorter by the pre-skip.
        let hop = usize::from(decoder.stream_header().hop);
        let missing = hop.saturating_sub(self.pcm.len());
        self.pcm.splice(0..0, std::iter::repeat_n(0.0, missing));
        Ok(())
    }

    fn take_media(&mut self, media: &Media<'_>) -> Result<()> {
        // Any media shows that the peer is there, even if reports are lost.
        self.sign();
        let now = self.started.elapsed();
        let Ok(head) = PayloadHead::parse(media.payload) else {
            self.past.broken += 1;
            return Ok(());
        };
        // Headers come in-band from time to time, so a receiver that joins late finds its decoder too.
        if let Some(header) = &head.header {
            self.follow(header, media)?;
        }
        let Some(playout) = &mut self.playout else { return Ok(()) };
        if !playout.reception.follows(media.ssrc, media.sequence) {
            let rate = playout.decoder.stream_header().sample_rate;
            // Figures are of the whole call, whatever the peer's streams were.
            self.past.packets += playout.reception.received();
            self.past.lost += playout.reception.lost();
            playout.reception = Reception::new(media.ssrc, media.sequence, rate);
            // Numbers of another stream have nothing to do with those that wait.
            playout.buffer.restart();
        }
        playout.reception.count(media.sequence, media.timestamp, now);
        self.past.bytes += media.payload.len() as u64;
        match head.bind(playout.decoder.stream_header()) {
            Ok(payload) => playout.buffer.insert(payload, media.timestamp, now),
            Err(_) => self.past.broken += 1,
        }
        Ok(())
    }

    /// Makes the decoder fit the peer's stream.
    fn follow(&mut self, header: &StreamHeader, media: &Media<'_>) -> Result<()> {
        if self.playout.as_ref().is_some_and(|p| p.decoder.stream_header().accepts(header).is_ok()) {
            return Ok(());
        }
        // Opened before the call, so that the first word does not wait for a network.
        let ready = self.ready.take().filter(|d| d.stream_header().accepts(header).is_ok());
        let mut decoder = match ready {
            Some(decoder) => decoder,
            None => {
                let decoder = Decoder::new(&Bundle::for_stream(header, None)?, &self.runtime)?;
                if header.channels != 1 {
                    return Err(Error::Parameter {
                        name: "the peer's channels",
                        value: header.channels.to_string(),
                        allowed: "1".into(),
                    }
                    .into());
                }
                // The rate converter to the loudspeaker is made for one rate and one frame size.
                if decoder.stream_header().sample_rate != self.codec_rate
                    || usize::from(decoder.stream_header().hop) != self.hop()
                {
                    return Err(Error::Parameter {
                        name: "the peer's sample rate",
                        value: decoder.stream_header().sample_rate.to_string(),
                        allowed: format!("{}, ours", self.codec_rate),
                    }
                    .into());
                }
                decoder
            }
        };
        decoder.set_header(header)?;
        let own = decoder.stream_header();
        let buffer = JitterBuffer::new(own.sample_rate, own.hop, own.pre_skip);
        let reception = Reception::new(media.ssrc, media.sequence, own.sample_rate);
        self.playout = Some(Playout { buffer, reception, decoder });
        Ok(())
    }

    fn take_report(&mut self, report: &Report) {
        self.sign();
        if let (Some(sent), Some(playout)) = (report.sent, &mut self.playout) {
            playout.reception.note_report(sent);
        }
        if let Some(echo) = report.echo {
            self.heard.round_trip = wire::round_trip(echo).or(self.heard.round_trip);
            self.heard.peer_loss = f64::from(echo.2) / 256.0;
        }
        if report.bye {
            self.shared.bye.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that the peer is there.
    fn sign(&self) {
        self.shared.answered.store(true, Ordering::Relaxed);
        self.shared.last_sign.store(self.started.elapsed().as_micros() as u64, Ordering::Relaxed);
    }

    fn send_report(&mut self, bye: bool) -> Result<()> {
        let received = self.playout.as_mut().map(|p| p.reception.report());
        let sent = self.shared.sent_report(self.link.ssrc());
        wire::report(&sent, self.link.canonical_name(), received.as_ref(), bye, &mut self.report)?;
        self.link.send(&self.report);
        Ok(())
    }

    fn publish(&mut self, output: Option<&Output>) {
        let mut heard = Heard { bytes: self.past.bytes, broken: self.past.broken, ..self.heard.clone() };
        (heard.packets, heard.lost) = (self.past.packets, self.past.lost);
        if let Some(playout) = &self.playout {
            heard.packets += playout.reception.received();
            heard.lost += playout.reception.lost();
            heard.jitter = playout.reception.jitter();
            heard.counts = playout.buffer.counts();
            heard.buffer = playout.buffer.delay();
        }
        if let Some(output) = output {
            heard.underruns = output.underruns;
            let least = output.speaker.counters.period() as f64 / f64::from(output.speaker.rate);
            heard.ring = Duration::from_secs_f64(least + output.margin);
        }
        self.shared.publish(heard);
    }
}

/// Decodes a frame; one that cannot be is concealed. The first frame of a stream is shorter by the pre-skip.
fn decode_or_conceal(decoder: &mut Decoder, frame: &Frame, pcm: &mut Vec<f32>) -> Result<()> {
    if frame.starts_stream {
        decoder.reset();
    }
    match decoder.decode_codes(&frame.codes, pcm) {
        Ok(()) if frame.starts_stream => {
            let skip = usize::from(decoder.stream_header().pre_skip).min(pcm.len());
            pcm.drain(..skip);
            Ok(())
        }
        Ok(()) => Ok(()),
        // A frame that cannot be decoded sounds like one that was lost.
        Err(Error::Bitstream { .. }) => Ok(decoder.conceal(1, pcm)?),
        Err(e) => Err(e.into()),
    }
}
