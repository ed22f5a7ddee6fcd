use std::io::{Read, Seek};

use siskin_bitstream::container::Block;
use siskin_bitstream::packet::{BoundPacket, Packet};
use siskin_error::{Error, Limits, Result};
use siskin_media::{Rounding, TimeBase};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::{Provider, Runtime};

use super::{AudioFile, Losses};
use crate::Decoder;

/// Longer gaps in the time stamps are not filled: more likely a damaged time stamp than so long a loss.
const MAX_GAP_SECONDS: u64 = 60;

/// What happens to packets between the file and the decoder.
pub trait PacketFilter: Send {
    /// Whether the next packet is lost. It is not asked of packets that are only read to count time.
    fn loses_next(&mut self) -> bool {
        false
    }

    /// Writes another packet in place of `packet` to `into`, which is empty; returns false if it stays as it is.
    ///
    /// # Errors
    /// Why it cannot; the packet then counts as damaged.
    fn rewrite(&mut self, _packet: &BoundPacket<'_>, _into: &mut Vec<u8>) -> Result<bool> {
        Ok(false)
    }
}

/// Decodes a file packet by packet: in order, with lost and damaged packets concealed, to the exact length.
pub struct FileDecoder<R: Read> {
    file: AudioFile<R>,
    decoder: Decoder,
    limits: Limits,
    filter: Option<Box<dyn PacketFilter>>,
    block: Block,
    /// What the filter wrote.
    rewritten: Vec<u8>,
    concealed: Vec<f32>,
    /// Position at which the current stream began.
    origin: u64,
    /// Position of the first sample handed out.
    start: u64,
    /// Position of the next sample handed out.
    position: u64,
    /// Whether a packet has set the position.
    begun: bool,
    /// Position before which nothing is handed out.
    skip_until: u64,
    /// Samples to decode before that, so that the network has heard what came before.
    warm_up: u64,
    /// Samples handed out.
    given: u64,
    /// Bytes of the packets read.
    packet_bytes: u64,
    losses: Losses,
}

impl<R: Read + Seek> FileDecoder<R> {
    /// Prepares to decode a file with a bundle, which must be the one that the file names ([`Bundle::for_stream`]).
    ///
    /// # Errors
    /// What [`Decoder::new`] and [`Decoder::set_header`] return.
    pub fn new(file: AudioFile<R>, bundle: &Bundle, runtime: &Runtime) -> Result<Self> {
        let mut decoder = Decoder::new(bundle, runtime)?;
        decoder.set_header(file.header())?;
        Ok(Self {
            file,
            decoder,
            limits: Limits::default(),
            filter: None,
            block: Block::default(),
            rewritten: Vec::new(),
            concealed: Vec::new(),
            origin: 0,
            start: 0,
            position: 0,
            begun: false,
            skip_until: 0,
            warm_up: samples_of(bundle.manifest().warm_up_ns(), bundle.manifest().sample_rate),
            given: 0,
            packet_bytes: 0,
            losses: Losses::default(),
        })
    }

    /// Lets packets go through a filter from here on.
    pub fn set_filter(&mut self, filter: Box<dyn PacketFilter>) {
        self.filter = Some(filter);
    }

    /// The file being decoded.
    pub fn file(&self) -> &AudioFile<R> {
        &self.file
    }

    /// What runs the network.
    pub fn provider(&self) -> Provider {
        self.decoder.provider()
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.file.header().sample_rate
    }

    /// Channels, which lie interleaved in what is decoded.
    pub fn channels(&self) -> u8 {
        self.file.header().channels
    }

    /// When the first sample is heard, in nanoseconds of the file; known once there is one.
    pub fn start_ns(&self) -> u64 {
        self.time_ns(self.start)
    }

    /// When what has been handed out ends, in nanoseconds of the file.
    pub fn end_ns(&self) -> u64 {
        self.time_ns(self.position)
    }

    fn time_ns(&self, position: u64) -> u64 {
        let base = TimeBase::from_sample_rate(self.sample_rate());
        base.ticks_to_ns(position, Rounding::Down).unwrap_or(u64::MAX)
    }

    /// Position of the next sample handed out, in samples of the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Samples per channel handed out so far.
    pub fn given_samples(&self) -> u64 {
        self.given
    }

    /// Bytes of the packets read so far.
    pub fn packet_bytes(&self) -> u64 {
        self.packet_bytes
    }

    /// What was lost since the last seek, or since the file was opened.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Goes on at a time: the samples from there are those of decoding from the start.
    ///
    /// # Errors
    /// What [`AudioFile::seek`] returns.
    pub fn seek(&mut self, seconds: f64) -> Result<()> {
        self.decoder.reset();
        self.begun = false;
        // What lies behind the time is read again, and would count twice; and what was lost elsewhere decides nothing from here on.
        self.losses = Losses::default();
        let header = self.file.header();
        // The packet that holds the time may begin as much earlier as the longest packet lasts.
        let longest = f64::from(self.limits.max_frames_per_packet) / header.frame_rate();
        self.skip_until = (seconds * f64::from(header.sample_rate)).round() as u64;
        let warm_up = self.warm_up as f64 / f64::from(header.sample_rate);
        // Too early costs some decoding, too late would cost the exact samples.
        self.file.seek((seconds - longest - warm_up).max(0.0))
    }

    /// Appends the samples of the next packet to `out`, channels interleaved; false at the end.
    ///
    /// # Errors
    /// [`Error::Network`] if the network fails; an error of which [`Error::is_would_block`] is true if the file has not arrived so
    /// far. Damage ends the file and is no error here but in [`FileDecoder::losses`].
    pub fn decode_next(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let start = out.len();
        while out.len() == start {
            match self.file.next_packet(&mut self.block) {
                Ok(true) => {
                    self.packet_bytes += self.block.data.len() as u64;
                    self.take_packet(out)?;
                }
                Ok(false) => {
                    self.end(out)?;
                    break;
                }
                Err(e) if e.is_would_block() => return Err(e),
                Err(e) => {
                    // What could be read before is worth keeping, so damage ends the file and not the run.
                    self.losses.damage = Some(e.with_sources());
                    break;
                }
            }
        }
        let new = ((out.len() - start) / usize::from(self.channels())) as u64;
        if self.given == 0 {
            self.start = self.position.saturating_sub(new);
        }
        self.given += new;
        Ok(new > 0)
    }

    fn take_packet(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let header = self.file.header();
        let channels = usize::from(header.channels);
        let bind = |data| Packet::parse(data, &self.limits).and_then(|packet| packet.bind(header));
        self.rewritten.clear();
        let packet = bind(&self.block.data).and_then(|packet| {
            let is_rewritten = match &mut self.filter {
                Some(filter) => filter.rewrite(&packet, &mut self.rewritten)?,
                None => false,
            };
            if is_rewritten { bind(&self.rewritten) } else { Ok(packet) }
        });
        // The next whole packet shows by its time how much is missing, and then it is concealed at once.
        let Ok(packet) = packet else {
            self.losses.bad_packets += 1;
            return Ok(());
        };
        let info = packet.info();
        let rate = u64::from(header.sample_rate);
        let at = if info.starts_stream {
            let stamp = self.file.samples(self.block.pts_ns).round() as u64;
            // A time stamp is rounded to milliseconds; a stream that follows another has no such gap.
            let is_next = stamp.abs_diff(self.position) <= rate.div_ceil(1000);
            self.origin = if is_next { self.position } else { stamp };
            self.origin
        } else {
            self.file.position(self.block.pts_ns, self.origin)
        };
        let end = at + packet.sample_count();
        // Read only to count time: its sound is over before the decoder has to be warm.
        let is_before = end + self.warm_up <= self.skip_until;
        if is_before || !self.begun && self.losses.bad_packets == 0 {
            // A recording that joined a live stream late begins where it begins.
            self.position = at;
        }
        let is_lost = self.filter.as_mut().is_some_and(|f| f.loses_next()) && !info.starts_stream;
        // The first packet carries the header, without which nothing can be decoded.
        if is_lost && self.begun {
            self.losses.dropped += 1;
            return Ok(());
        }
        self.begun = true;
        if is_before {
            self.position = end;
            return Ok(());
        }
        let (start, from) = (out.len(), self.position.min(at));
        // Packets that overlap leave none.
        let gap = at.saturating_sub(self.position);
        // All gaps together may at most double the length, so that a small file cannot fill a disk.
        let most = MAX_GAP_SECONDS * rate;
        if gap <= most && self.losses.concealed_samples + gap <= most + self.position {
            self.losses.conceal_gap(&mut self.decoder, gap, Some(&packet), &mut self.concealed, out)?;
        } else {
            self.losses.jumps += 1;
        }
        let filled = (out.len() - start) / channels;
        match self.decoder.decode_packet(&packet, out) {
            // By the packet's own place and not by adding up, so that an error does not live on.
            Ok(_) => self.position = end,
            Err(Error::Bitstream { .. } | Error::WrongBundle { .. }) => {
                self.losses.bad_packets += 1;
                self.position += filled as u64;
            }
            Err(e) => return Err(e),
        }
        // What was decoded to warm up is not handed out.
        let early = self.skip_until.saturating_sub(from) as usize;
        let early = early.saturating_mul(channels).min(out.len() - start);
        out.drain(start..start + early);
        Ok(())
    }

    /// Fills up to the stated length if the last packets were damaged.
    fn end(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let missing = self.file.stated_samples().map_or(0, |s| s.saturating_sub(self.position));
        let rate = u64::from(self.sample_rate());
        let rounding = rate.div_ceil(1000);
        if self.file.is_truncated() {
            self.losses.ends_early = true;
        } else if missing > rounding && self.begun {
            // A pause of DTX may last to the end without another packet. Otherwise a file that just ends is not
            // filled with invention.
            let is_lost = self.losses.bad_packets + self.losses.dropped > 0 || self.decoder.in_dtx();
            if is_lost && missing <= MAX_GAP_SECONDS * rate {
                self.losses.conceal_gap(&mut self.decoder, missing, None, &mut self.concealed, out)?;
                self.position += missing;
            } else {
                self.losses.ends_early = true;
            }
        }
        Ok(())
    }
}

fn samples_of(ns: u64, rate: u32) -> u64 {
    TimeBase::from_sample_rate(rate).ns_to_ticks(ns, Rounding::Up).unwrap_or(u64::MAX)
}
