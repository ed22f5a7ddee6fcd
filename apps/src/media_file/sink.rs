//! Packets to a coded file or stream.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use anyhow::{Context, Result};
use siskin_core::audio::EncodedPacket;
use siskin_core::bitstream::StreamHeader;
use siskin_core::container::{Chapter, Mode, Patch, Track, Writer, WriterOptions};
use siskin_core::media::{Rounding, TimeBase};

use crate::media::TrackLabels;
use crate::target::Target;

/// The container on its way to the output.
pub(crate) struct Sink {
    writer: Writer,
    /// The output's name, for messages.
    name: String,
    file: Option<File>,
    is_file: bool,
    rate: u32,
    hop: u64,
    /// Where the last packet of sound ends, in samples.
    end: u64,
    pending: Vec<u8>,
    bytes: u64,
    packets: u64,
    packet_bytes: u64,
    redundant_bytes: u64,
    frames: u64,
    codes: u64,
}

/// What a finished file holds.
pub(crate) struct Totals {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Bytes of the packets in it.
    pub(crate) packet_bytes: u64,
    /// Bytes of copies of earlier frames in those.
    pub(crate) redundant_bytes: u64,
    /// Frames that the packets and the pauses between them cover.
    pub(crate) frames: u64,
    /// Codes of those.
    pub(crate) codes: u64,
}

impl Sink {
    /// Begins the file of a stream with so many frames in a packet: with an index at the end where the target can seek, as a
    /// live stream elsewhere.
    pub(crate) fn create(
        target: &Target,
        stream: (&StreamHeader, u32),
        tags: Vec<(String, String)>,
    ) -> Result<Self> {
        Self::with_chapters(target, stream, tags, (Vec::new(), TrackLabels::default()))
    }

    /// [`Sink::create`] with chapters, and with what the track says of itself.
    pub(crate) fn with_chapters(
        target: &Target,
        (header, frames): (&StreamHeader, u32),
        tags: Vec<(String, String)>,
        (chapters, labels): (Vec<Chapter>, TrackLabels),
    ) -> Result<Self> {
        let mut track = Track::audio(header).with_frames_per_packet(header, frames);
        (track.name, track.language) = (labels.name, labels.language);
        Self::begin(target, vec![track], tags, chapters).map(|sink| sink.at_rate(header))
    }

    /// [`Sink::create`] with a track of words.
    pub(crate) fn with_words(
        target: &Target,
        (header, frames): (&StreamHeader, u32),
        tags: Vec<(String, String)>,
    ) -> Result<Self> {
        let tracks = vec![Track::audio(header).with_frames_per_packet(header, frames), Track::text()];
        Self::begin(target, tracks, tags, Vec::new()).map(|sink| sink.at_rate(header))
    }

    fn at_rate(self, header: &StreamHeader) -> Self {
        Self { rate: header.sample_rate, hop: header.hop.into(), ..self }
    }

    /// Begins a file of these tracks; [`Sink::block`] adds to the first.
    pub(crate) fn begin(
        target: &Target,
        tracks: Vec<Track>,
        tags: Vec<(String, String)>,
        chapters: Vec<Chapter>,
    ) -> Result<Self> {
        let options = WriterOptions {
            mode: if target.is_file() { Mode::File } else { Mode::Live },
            writing_app: concat!("siskin ", env!("CARGO_PKG_VERSION")).into(),
            tags,
        };
        let mut sink = Self {
            writer: Writer::new(tracks, options)?,
            name: target.name(),
            file: target.handle()?,
            is_file: target.is_file(),
            rate: 1,
            hop: 1,
            end: 0,
            pending: Vec::new(),
            bytes: 0,
            packets: 0,
            packet_bytes: 0,
            redundant_bytes: 0,
            frames: 0,
            codes: 0,
        };
        sink.writer.set_chapters(chapters);
        sink.writer.write_header(&mut sink.pending)?;
        sink.write_pending()?;
        Ok(sink)
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a packet.
    pub(crate) fn packet(&mut self, packet: EncodedPacket<'_>) -> Result<()> {
        let base = TimeBase::from_sample_rate(self.rate);
        let time = |samples: u64| base.ticks_to_ns(samples, Rounding::Down).unwrap_or(u64::MAX);
        let (start, end) = (time(packet.position), time(packet.position + packet.samples));
        // In a file the head is known, so any packet will do to begin with.
        let is_keyframe = packet.is_random_access || self.is_file;
        self.redundant_bytes += packet.redundant_bytes as u64;
        // A pause of DTX is a gap of whole frames.
        self.frames += u64::from(packet.frames) + packet.position.saturating_sub(self.end) / self.hop;
        self.codes += packet.codes as u64;
        self.end = packet.position + packet.samples;
        self.block(start, end - start, is_keyframe, packet.data)
    }

    /// Adds a packet at a time in nanoseconds; `key` marks packets at which a reader may begin.
    pub(crate) fn block(&mut self, start: u64, duration: u64, is_keyframe: bool, data: &[u8]) -> Result<()> {
        self.block_on(0, start, duration, is_keyframe, data)
    }

    /// [`Sink::block`] on any track.
    pub(crate) fn block_on(
        &mut self,
        track: usize,
        start: u64,
        duration: u64,
        is_keyframe: bool,
        data: &[u8],
    ) -> Result<()> {
        self.writer.write_block(track, start, duration, is_keyframe, data, &mut self.pending)?;
        self.packets += 1;
        self.packet_bytes += data.len() as u64;
        self.write_pending()
    }

    /// Hands all packets on to the system.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.writer.flush_cluster(&mut self.pending)?;
        self.write_pending()
    }

    /// Adds a word of a file that has a track for them; it may come later than the sound that it goes with.
    pub(crate) fn word(&mut self, text: &str, start: f64, end: f64) -> Result<()> {
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        let duration = ns(end).saturating_sub(ns(start));
        self.writer.write_block(1, ns(start), duration, true, text.as_bytes(), &mut self.pending)?;
        self.write_pending()
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> Result<Totals> {
        let patches = self.writer.finish(&mut self.pending)?;
        self.write_pending()?;
        self.write_over(&patches)?;
        Ok(Totals {
            packets: self.packets,
            bytes: self.bytes,
            packet_bytes: self.packet_bytes,
            redundant_bytes: self.redundant_bytes,
            frames: self.frames,
            codes: self.codes,
        })
    }

    fn write_pending(&mut self) -> Result<()> {
        let written = match &mut self.file {
            Some(file) => file.write_all(&self.pending),
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(&self.pending).and_then(|()| out.flush())
            }
        };
        written.with_context(|| cannot_write(&self.name))?;
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        let patches = self.writer.take_patches();
        self.write_over(&patches)
    }

    /// Writes over earlier bytes, and goes back to the end.
    fn write_over(&mut self, patches: &[Patch]) -> Result<()> {
        let end = self.bytes;
        let Some(file) = self.file.as_mut().filter(|_| !patches.is_empty()) else { return Ok(()) };
        let mut write = || -> std::io::Result<()> {
            patches.iter().try_for_each(|patch| patch.write_to(file))?;
            file.seek(SeekFrom::Start(end)).map(drop)
        };
        write().with_context(|| cannot_write(&self.name))
    }
}

fn cannot_write(name: &str) -> String {
    format!("{name} cannot be written")
}
