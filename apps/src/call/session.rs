//! A call as a whole: its threads, its devices, its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use crossbeam::channel::{Sender as Channel, unbounded};
use siskin_core::audio::{Decoder, Encoder, EncoderConfig};
use siskin_core::bitstream::rtp::PacketizerOptions;
use siskin_core::bundle::Bundle;
use siskin_core::runtime::Runtime;

use super::ends::{Microphone, Speaker};
use super::link::Link;
use super::place::Place;
use super::port::{self, Port};
use super::receiver::Receiver;
use super::sender::Sender;
use super::shared::{Heard, Shared};
use super::wire::OVERHEAD;

/// A peer of whom nothing is heard for so long is gone, or has not answered.
// Five reports of the peer, of which some may get lost.
const SILENCE: Duration = Duration::from_secs(5);
const NO_ANSWER: Duration = Duration::from_secs(15);
/// How long after the end of a file the call goes on, so that its end is heard.
const FAREWELL: Duration = Duration::from_millis(500);

/// Which side begins.
#[derive(Debug, Clone)]
pub(crate) enum Where {
    /// Wait for a call at this address.
    Listen(String),
    /// Call this address.
    Connect(String),
}

/// How a call is to be.
#[derive(Debug, Clone)]
pub(crate) struct CallOptions {
    pub(crate) side: Where,
    pub(crate) stages: Option<u8>,
    pub(crate) redundancy: u8,
    pub(crate) redundant_stages: u8,
    pub(crate) input: Option<PathBuf>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) input_device: Option<String>,
    pub(crate) output_device: Option<String>,
}

/// What is to be told of a call at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) said_db: f32,
    pub(crate) heard_db: f32,
    pub(crate) bars: (String, String),
    pub(crate) muted: bool,
    pub(crate) sent_packets: u64,
    /// Bits a second of our payloads, and with IP, UDP and RTP headers.
    pub(crate) bitrate: f64,
    pub(crate) wire_bitrate: f64,
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) played: u64,
    pub(crate) recovered: u64,
    pub(crate) concealed: u64,
    pub(crate) late: u64,
    pub(crate) joined: u64,
    pub(crate) broken: u64,
    pub(crate) underruns: u64,
    pub(crate) overruns: u64,
    pub(crate) xruns: u64,
    pub(crate) dropped: u64,
    pub(crate) jitter: f64,
    pub(crate) buffer: f64,
    pub(crate) round_trip: Option<f64>,
    pub(crate) peer_loss: f64,
    /// From the speaker's mouth to the listener's ear, without the devices' own converters: an estimate that takes the
    /// network to be as slow there as back.
    pub(crate) delay: f64,
}

/// What is to be told of a device or file.
#[derive(Debug, Clone)]
pub(crate) struct PortInfo {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) rate: u32,
    /// When a file's first sample was said or heard, in seconds since 1970.
    pub(crate) since: Option<f64>,
}

/// A call.
pub(crate) struct Call {
    link: Arc<Link>,
    shared: Arc<Shared>,
    options: CallOptions,
    rate: u32,
    /// Seconds that the codec itself takes: a frame and its overlap.
    codec_delay: f64,
    threads: Vec<(&'static str, JoinHandle<Result<()>>)>,
    microphones: Channel<Microphone>,
    speakers: Channel<Speaker>,
    places: Option<(Place<Microphone>, Place<Speaker>)>,
    begun: Instant,
    answered: Option<Instant>,
    file_ended: Option<Instant>,
}

impl Call {
    /// Prepares networks and socket and starts to receive. Devices open when there is somebody to talk to.
    pub(crate) fn new(options: CallOptions, bundle: &Bundle, runtime: Runtime) -> Result<Self> {
        let config = EncoderConfig { stages: options.stages, ..Default::default() };
        // Networks open before the socket: whoever answers can talk at once.
        let encoder = Encoder::new(bundle, &runtime, &config)?;
        let decoder = Decoder::new(bundle, &runtime)?;
        let header = encoder.stream_header().clone();
        let rate = header.sample_rate;
        let link = Arc::new(match &options.side {
            Where::Listen(address) => Link::listen(address)?,
            Where::Connect(address) => Link::connect(address)?,
        });
        let shared = Arc::new(Shared::default());
        let packetizer_options = PacketizerOptions {
            redundancy: options.redundancy,
            redundancy_stages: options.redundant_stages,
            ..Default::default()
        };
        let (microphones, microphone_ends) = unbounded();
        let (speakers, speaker_ends) = unbounded();
        let sender = Sender::new(encoder, packetizer_options, link.clone(), shared.clone());
        let receiver = Receiver::new(runtime, decoder, link.clone(), shared.clone());
        let threads = vec![
            ("sending", std::thread::spawn(move || sender.run(&microphone_ends))),
            ("receiving", std::thread::spawn(move || receiver.run(&speaker_ends))),
        ];
        // A frame must fill before it can be coded, and the decoder's output lags by the overlap.
        let codec_delay = f64::from(header.hop + header.pre_skip) / f64::from(rate);
        Ok(Self {
            link,
            shared,
            options,
            rate,
            codec_delay,
            threads,
            microphones,
            speakers,
            places: None,
            begun: Instant::now(),
            answered: None,
            file_ended: None,
        })
    }

    /// Where this side listens, or whom it calls.
    pub(crate) fn address(&self) -> Result<String> {
        let peer = self.link.peer().map(|p| p.to_string());
        peer.map_or_else(|| self.link.address().map(|a| a.to_string()), Ok)
    }

    /// Whether the peer has answered and can be heard.
    pub(crate) fn is_answered(&self) -> bool {
        self.port_info().is_some()
    }

    /// Mutes or unmutes the microphone.
    pub(crate) fn toggle_mute(&self) {
        self.shared.muted.fetch_xor(true, Ordering::Relaxed);
    }

    /// Looks after the call; false once it is over. What the user should know goes to `note`.
    ///
    /// # Errors
    /// What made a thread fail, a peer that does not answer or is gone, devices that are not there at the start.
    pub(crate) fn tend(&mut self, note: &mut dyn FnMut(&str)) -> Result<bool> {
        // Neither ends by itself, so there is an error to be had.
        if self.threads.iter().any(|(_, t)| t.is_finished()) {
            self.end()?;
            bail!("the call's threads ended");
        }
        if self.shared.bye.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let answered = self.shared.answered.load(Ordering::Relaxed);
        let since_sign = self.begun.elapsed().as_micros() as u64;
        let silent = since_sign.saturating_sub(self.shared.last_sign.load(Ordering::Relaxed));
        match (answered, &self.options.side) {
            (false, Where::Connect(peer)) if self.begun.elapsed() > NO_ANSWER => {
                bail!("{peer} does not answer")
            }
            (true, _) if silent > SILENCE.as_micros() as u64 => bail!("the peer is gone"),
            _ => {}
        }
        // Microphones are opened with the first answer and not before: nobody wants to be recorded while it rings.
        if answered && self.places.is_none() {
            self.answered = Some(Instant::now());
            self.places = Some(self.open()?);
            note(&format!("In a call with {}", self.address()?));
        }
        if let Some((microphone, speaker)) = &mut self.places {
            microphone.tend(port::no_capture, note)?;
            speaker.tend(port::no_playback, note)?;
            // Without a device a silent source stands in, which ends too and means nothing.
            if microphone.is_at_end() && self.file_ended.is_none() {
                self.file_ended = Some(Instant::now());
            }
        }
        Ok(self.file_ended.is_none_or(|t| t.elapsed() < FAREWELL))
    }

    /// What is to be told now.
    pub(crate) fn current_figures(&self) -> Figures {
        let (heard, sent) = (self.shared.last_heard(), self.shared.sent_report(self.link.ssrc()));
        let seconds = self.answered.map_or(0.0, |t| t.elapsed().as_secs_f64());
        let rate_of = |bytes: u64| if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 };
        Figures {
            seconds,
            said_db: self.shared.said.decibels(),
            heard_db: self.shared.played.decibels(),
            bars: (self.shared.said.level_bar(), self.shared.played.level_bar()),
            muted: self.shared.muted.load(Ordering::Relaxed),
            sent_packets: sent.packets,
            bitrate: rate_of(sent.bytes),
            // At 50 packets a second these headers weigh more than the speech in them.
            wire_bitrate: rate_of(sent.bytes + sent.packets * OVERHEAD),
            packets: heard.packets,
            lost: heard.lost,
            played: heard.counts.played,
            recovered: heard.counts.recovered,
            concealed: heard.counts.concealed,
            late: heard.counts.late,
            joined: heard.counts.joined,
            broken: heard.broken,
            underruns: heard.underruns,
            xruns: self.places.as_ref().map_or(0, |(m, s)| m.recovered_errors() + s.recovered_errors()),
            overruns: self.shared.capture_misses.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            jitter: heard.jitter.as_secs_f64(),
            buffer: heard.buffer.as_secs_f64(),
            round_trip: heard.round_trip.map(|t| t.as_secs_f64()),
            peer_loss: heard.peer_loss,
            delay: self.delay(&heard),
        }
    }

    /// What records and what plays, once both are open.
    pub(crate) fn port_info(&self) -> Option<[PortInfo; 2]> {
        let info = |kind, port: &Port| PortInfo {
            kind,
            name: port.name.clone(),
            rate: port.rate,
            since: port.since,
        };
        let (microphone, speaker) = self.places.as_ref()?;
        Some([info("capture", microphone.port()?), info("playback", speaker.port()?)])
    }

    /// Hangs up and closes devices and files.
    ///
    /// # Errors
    /// What made a thread or the writing of a file fail.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.shared.end();
        let mut result = Ok(());
        for (name, thread) in self.threads.drain(..) {
            let ended = thread.join().unwrap_or_else(|_| Err(anyhow!("the {name} thread failed")));
            // The first error is told; later ones mostly follow from it.
            result = result.and(ended);
        }
        if let Some((microphone, speaker)) = self.places.take() {
            result = result.and(microphone.close()).and(speaker.close());
        }
        result
    }

    fn open(&self) -> Result<(Place<Microphone>, Place<Speaker>)> {
        let (options, rate) = (&self.options, self.rate);
        // The loudspeaker first: what is said meanwhile is not lost.
        let speaker = match &options.output {
            Some(path) => Place::of_file(port::create_target(path)?, self.speakers.clone()),
            None => {
                let name = options.output_device.clone();
                let open = move || port::open_loudspeaker(name.clone(), rate);
                Place::of_device("loudspeaker", open, self.speakers.clone())
            }
        };
        let microphone = match &options.input {
            Some(path) => Place::of_file(port::open_source(path)?, self.microphones.clone()),
            None => {
                let name = options.input_device.clone();
                let open = move || port::open_microphone(name.clone(), rate);
                Place::of_device("microphone", open, self.microphones.clone())
            }
        };
        Ok((microphone, speaker))
    }

    fn delay(&self, heard: &Heard) -> f64 {
        // One way cannot be measured without synchronized clocks.
        let network = heard.round_trip.map_or(0.0, |t| t.as_secs_f64() / 2.0);
        // Samples wait for half a period on average before their frame can be taken.
        let capture = self.shared.capture_period_us.load(Ordering::Relaxed) as f64 * 1e-6 / 2.0;
        capture + self.codec_delay + network + heard.buffer.as_secs_f64() + heard.ring.as_secs_f64()
    }
}
