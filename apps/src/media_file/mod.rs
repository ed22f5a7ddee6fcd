//! Coded files: writing, opening, surveying and decoding them.

mod channel;
mod codes;
mod decoding;
mod losses;
mod prefix;
mod probe;
mod rewrite;
mod sink;

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::Limits;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::packet::Packet;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Chapter, Reader, VIDEO_CODEC_ID};
use siskin_core::media::{Rounding, TimeBase};

pub(crate) use channel::LossArgs;
pub(crate) use decoding::Decoding;
pub(crate) use probe::Probe;
pub(crate) use rewrite::repair_in_place;
pub(crate) use sink::{Sink, Totals};

use crate::target::is_dash;

/// Most bytes of a coded stream taken from a pipe: 90 hours at 6 kb/s.
const MAX_FROM_PIPE: u64 = 256 << 20;

// A trait object has one trait besides the likes of `Send`, so this one stands for all three.
trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// A Matroska file with a Siskin audio track.
pub(crate) struct CodedFile {
    name: String,
    reader: Reader<Box<dyn Source>>,
    track: u64,
    header: StreamHeader,
    bytes: u64,
    /// Bytes of other tracks' packets, as far as was read.
    elsewhere: u64,
    /// Where the last packet ends, in nanoseconds.
    end_ns: u64,
}

impl CodedFile {
    /// Opens a file, or reads all of stdin for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (name, source, bytes) = open_source(path)?;
        Self::read(&name, source, bytes).map_err(|e| e.context(name))
    }

    fn read(name: &str, source: Box<dyn Source>, bytes: u64) -> Result<Self> {
        if bytes == 0 {
            // Else the container's reader would complain of a missing EBML header, which is no help with an empty
            // file.
            bail!("no data");
        }
        let reader = Reader::open_file(source, Limits::default())?;
        let Some(track) = reader.tracks().iter().find(|t| t.codec_id == AUDIO_CODEC_ID) else {
            let ids: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
            bail!(
                "no {AUDIO_CODEC_ID} track, found: {}",
                if ids.is_empty() { "none".into() } else { ids.join(", ") }
            );
        };
        let (header, _) = StreamHeader::parse(&track.codec_private)?;
        Ok(Self {
            name: name.to_owned(),
            track: track.number,
            header,
            bytes,
            elsewhere: 0,
            end_ns: 0,
            reader,
        })
    }

    /// Whether the file at `path` is Matroska with a Siskin track. Pipes are not asked: that would take their data.
    pub(crate) fn is_coded(path: &Path) -> bool {
        let open = || -> Option<bool> {
            let reader = Reader::open_file(BufReader::new(File::open(path).ok()?), Limits::default()).ok()?;
            Some(reader.tracks().iter().any(|t| t.codec_id == AUDIO_CODEC_ID))
        };
        // In this order: to open a named pipe waits for whoever writes to it.
        path.is_file() && open().unwrap_or(false)
    }

    /// The file's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the track says of its stream.
    pub(crate) fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// The file's size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's size without the packets of other tracks, once all has been read.
    pub(crate) fn own_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.elsewhere)
    }

    /// The tags of the container.
    pub(crate) fn tags(&self) -> &[(String, String)] {
        self.reader.tags()
    }

    /// The chapters of the container.
    pub(crate) fn chapters(&self) -> &[Chapter] {
        self.reader.chapters()
    }

    /// The length that the container states, in samples; none beside frames, which may last longer.
    pub(crate) fn stated_samples(&self) -> Option<u64> {
        let has_pictures = self.reader.tracks().iter().any(|t| t.codec_id == VIDEO_CODEC_ID);
        // The length is the file's and not the track's: with frames it ends where they do.
        let stated = self.reader.duration_ns().filter(|_| !has_pictures);
        stated.map(|ns| self.samples(ns).round() as u64)
    }

    /// Whether the file was found to end too early.
    pub(crate) fn is_truncated(&self) -> bool {
        self.reader.is_truncated()
    }

    /// Reads the next packet of the Siskin track; false at the end.
    pub(crate) fn next(&mut self, block: &mut Block) -> siskin_core::Result<bool> {
        while self.reader.next_block(block)? {
            if block.track == self.track {
                // Laced packets share one time stamp, so all but the first go by the lengths of those before.
                // Where the file does not say how long packets last, they do themselves, if they are not damaged.
                if block.follows && block.duration_ns.is_none() {
                    block.pts_ns = self.end_ns;
                }
                self.end_ns = block.pts_ns.saturating_add(self.length_ns(&block.data));
                return Ok(true);
            }
            // Payloads only: the few bytes of header that each block has in the container stay counted.
            self.elsewhere += block.data.len() as u64;
        }
        Ok(false)
    }

    /// Goes to the first packet at or after a time.
    pub(crate) fn seek(&mut self, seconds: f64) -> siskin_core::Result<()> {
        self.reader.seek_to((seconds * 1e9) as u64)
    }

    /// Position of a packet that does not start a stream, in samples, from its rounded time stamp: such packets begin
    /// on whole frames, counted from the `origin` of their stream.
    pub(crate) fn position(&self, pts_ns: u64, origin: u64) -> u64 {
        let (hop, skip) = (f64::from(self.header.hop), f64::from(self.header.pre_skip));
        let samples = self.samples(pts_ns) - origin as f64;
        // To the nearest frame: a tick of the container is far shorter than one, so this undoes the rounding for
        // certain.
        let frames = ((samples + skip) / hop).round();
        origin + (frames * hop - skip).max(0.0) as u64
    }

    /// How long a packet lasts; one that cannot be read lasts for no time.
    fn length_ns(&self, data: &[u8]) -> u64 {
        let packet = Packet::parse(data, &Limits::default()).and_then(|p| p.bind(&self.header));
        // Time then stands still, and the next packet with a time stamp of its own puts it right.
        let samples = packet.map_or(0, |p| p.sample_count());
        let base = TimeBase::from_sample_rate(self.header.sample_rate);
        base.ticks_to_ns(samples, Rounding::Down).unwrap_or(u64::MAX)
    }

    fn samples(&self, pts_ns: u64) -> f64 {
        // Exact enough: a double counts single nanoseconds up to 104 days.
        pts_ns as f64 * f64::from(self.header.sample_rate) / 1e9
    }
}

fn open_source(path: &Path) -> Result<(String, Box<dyn Source>, u64)> {
    let name = if is_dash(path) { "stdin".to_owned() } else { path.display().to_string() };
    if !is_dash(path) {
        let metadata = fs::metadata(path).with_context(|| name.clone())?;
        if metadata.is_dir() {
            bail!("{name} is a folder");
        }
        let file = File::open(path).with_context(|| name.clone())?;
        if metadata.is_file() {
            return Ok((name, Box::new(BufReader::new(file)), metadata.len()));
        }
        return read_all(name, file);
    }
    read_all(name, std::io::stdin().lock())
}

/// The container is read with seeking, so what cannot seek is taken into memory.
fn read_all(name: String, source: impl Read) -> Result<(String, Box<dyn Source>, u64)> {
    let mut data = Vec::new();
    // One byte more than allowed tells what is too large from what just fits.
    source.take(MAX_FROM_PIPE + 1).read_to_end(&mut data).with_context(|| name.clone())?;
    let bytes = data.len() as u64;
    if bytes > MAX_FROM_PIPE {
        bail!("{name}: more than {} MiB in a pipe, name a file instead", MAX_FROM_PIPE >> 20);
    }
    Ok((name, Box::new(Cursor::new(data)), bytes))
}
