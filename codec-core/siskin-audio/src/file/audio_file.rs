use std::io::{Read, Seek};

use siskin_bitstream::StreamHeader;
use siskin_bitstream::container::{AUDIO_CODEC_ID, Block, Chapter, Reader};
use siskin_bitstream::packet::Packet;
use siskin_error::{Error, Limits, Result};
use siskin_media::{Rounding, TimeBase};

/// A Matroska file with a Siskin audio track.
pub struct AudioFile<R: Read> {
    reader: Reader<R>,
    track: u64,
    header: StreamHeader,
    limits: Limits,
    /// Bytes of other tracks' packets, as far as was read.
    elsewhere: u64,
    /// Where the last packet ends, in nanoseconds.
    end_ns: u64,
    segments: Segments,
}

/// Where the segments of a file lie, which do not begin on whole frames.
#[derive(Debug, Default)]
struct Segments {
    /// Place of the last packet, if it is a segment, and where it ends, in samples.
    last: Option<(u64, u64)>,
    /// Where the stream began.
    origin: u64,
    /// Samples from one to the next, once a packet has said it.
    stride: u64,
}

impl<R: Read + Seek> AudioFile<R> {
    /// Reads a file's description, also what lies behind its packets.
    ///
    /// # Errors
    /// [`Error::Container`] if this is not Matroska or has no track of Siskin, [`Error::Bitstream`] if the track's header is not
    /// valid.
    pub fn open(source: R, limits: Limits) -> Result<Self> {
        Self::from_reader(Reader::open_file(source, limits.clone())?, limits)
    }

    /// As [`AudioFile::open`], without what lies behind the packets: of a file that is still arriving the end comes last.
    ///
    /// # Errors
    /// As for [`AudioFile::open`].
    pub fn open_arriving(source: R, limits: Limits) -> Result<Self> {
        Self::from_reader(Reader::open_with(source, limits.clone())?, limits)
    }

    /// The sound of a container that was opened.
    ///
    /// # Errors
    /// As for [`AudioFile::open`].
    pub fn from_reader(reader: Reader<R>, limits: Limits) -> Result<Self> {
        let Some(track) = reader.tracks().iter().find(|t| t.codec_id == AUDIO_CODEC_ID) else {
            let ids: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
            let found = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
            return Err(Error::container(format!("no {AUDIO_CODEC_ID} track, found: {found}")));
        };
        let (header, _) = StreamHeader::parse(&track.codec_private)?;
        Ok(Self {
            track: track.number,
            header,
            limits,
            elsewhere: 0,
            end_ns: 0,
            segments: Segments::default(),
            reader,
        })
    }

    /// The container.
    pub fn reader(&self) -> &Reader<R> {
        &self.reader
    }

    /// What the track says of its stream.
    pub fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// Bytes of other tracks' packets, as far as was read.
    pub fn elsewhere_bytes(&self) -> u64 {
        self.elsewhere
    }

    /// The tags of the container.
    pub fn tags(&self) -> &[(String, String)] {
        self.reader.tags()
    }

    /// The chapters of the container.
    pub fn chapters(&self) -> &[Chapter] {
        self.reader.chapters()
    }

    /// Where the sound ends by what the container states, in samples; none beside other tracks, which may last longer.
    pub fn stated_samples(&self) -> Option<u64> {
        // The length is the file's and not the track's: with others it ends where the last of them does.
        let stated = self.reader.duration_ns().filter(|_| self.reader.tracks().len() == 1);
        stated.map(|ns| self.samples(ns).round() as u64)
    }

    /// How much of what the container states lies behind `start`, the position of the first packet; as
    /// [`AudioFile::stated_samples`]. `samples` are those found, since the container does not say from where it counts.
    pub fn stated_samples_from(&self, start: u64, samples: u64) -> Option<u64> {
        // From the beginning of time (FFmpeg, Siskin 0.2) or from the first time stamp (mkvmerge, Siskin).
        let stated = self.stated_samples()?;
        let from_zero = stated.saturating_sub(start);
        Some(if from_zero.abs_diff(samples) < stated.abs_diff(samples) { from_zero } else { stated })
    }

    /// Whether the file was found to end too early.
    pub fn is_truncated(&self) -> bool {
        self.reader.is_truncated()
    }

    /// Reads the next packet of the Siskin track; false at the end.
    ///
    /// # Errors
    /// [`Error::Container`] if the file is damaged, or has not arrived so far.
    pub fn next_packet(&mut self, block: &mut Block) -> Result<bool> {
        loop {
            let place = self.reader.place();
            match self.reader.next_block(block) {
                Ok(true) => {}
                Err(e) if e.is_would_block() => {
                    self.reader.return_to(place)?;
                    return Err(e);
                }
                end => return end,
            }
            if block.track == self.track {
                // Laced packets share one time stamp, so all but the first go by the lengths of those before.
                // Where the file does not say how long packets last, they do themselves, if they are not damaged.
                if block.follows && block.duration_ns.is_none() {
                    block.pts_ns = self.end_ns;
                }
                let samples = self.place_packet(block.pts_ns, &block.data);
                let base = TimeBase::from_sample_rate(self.header.sample_rate);
                let length = base.ticks_to_ns(samples, Rounding::Down).unwrap_or(u64::MAX);
                self.end_ns = block.pts_ns.saturating_add(length);
                return Ok(true);
            }
            // Payloads only: the few bytes of header that each block has in the container stay counted.
            self.elsewhere += block.data.len() as u64;
        }
    }

    /// Goes to the last block of any track at or before a time; the next packet follows it.
    ///
    /// # Errors
    /// As for [`AudioFile::next_packet`].
    pub fn seek(&mut self, seconds: f64) -> Result<()> {
        self.reader.seek_to((seconds * 1e9) as u64)
    }

    /// Position of the packet that was read last and does not start a stream, in samples, from its rounded time stamp: such
    /// packets begin on whole frames, counted from the `origin` of their stream, or where a codec has segments on whole segments.
    pub fn position(&self, pts_ns: u64, origin: u64) -> u64 {
        if let Some((start, _)) = self.segments.last {
            return start;
        }
        let (hop, skip) = (f64::from(self.header.hop), f64::from(self.header.pre_skip));
        let samples = self.samples(pts_ns) - origin as f64;
        // To the nearest frame: a tick of the container is far shorter than one, so this undoes the rounding for
        // certain.
        let frames = ((samples + skip) / hop).round();
        origin + (frames * hop - skip).max(0.0) as u64
    }

    /// How many samples a packet lasts; one that cannot be read lasts for no time.
    fn place_packet(&mut self, pts_ns: u64, data: &[u8]) -> u64 {
        let stamp = self.samples(pts_ns).round() as u64;
        let segments = &mut self.segments;
        let last = segments.last.take();
        let Ok(packet) = Packet::parse(data, &self.limits).and_then(|p| p.bind(&self.header)) else {
            // Time then stands still, and the next packet with a time stamp of its own puts it right.
            return 0;
        };
        let samples = packet.sample_count();
        if packet.segment().is_none() {
            return samples;
        }
        let info = packet.info();
        if info.overlap > 0 {
            segments.stride = samples;
        }
        let rounding = u64::from(self.header.sample_rate.div_ceil(1000));
        let next = last.map(|(_, end)| end).filter(|end| end.abs_diff(stamp) <= rounding);
        let start = match (next, info.starts_stream) {
            (Some(next), _) => next,
            (None, true) => stamp,
            (None, false) if segments.stride == 0 => stamp,
            (None, false) => {
                // After a seek or a loss: whole segments from the start of the stream.
                let count = (stamp.saturating_sub(segments.origin) + segments.stride / 2) / segments.stride;
                segments.origin + count * segments.stride
            }
        };
        if info.starts_stream {
            segments.origin = start;
        }
        segments.last = Some((start, start.saturating_add(samples)));
        samples
    }

    /// A time in samples, not rounded.
    pub fn samples(&self, pts_ns: u64) -> f64 {
        // Exact enough: a double counts single nanoseconds up to 104 days.
        pts_ns as f64 * f64::from(self.header.sample_rate) / 1e9
    }
}
