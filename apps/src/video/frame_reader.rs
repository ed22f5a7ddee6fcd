//! A coded video file, frame by frame: what cannot be decoded is bridged by the frame before it.

use anyhow::{Result, bail};
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::Block;
use siskin_core::media::{PixelFormat, VideoFrame};
use siskin_core::runtime::Runtime;
use siskin_core::video::{Coding, Decoder, GopInfo, inspect};
use siskin_core::{Error, Limits};

use super::VideoFile;
use super::clock::Clock;

/// Decodes a file frame by frame.
pub(super) struct FrameReader {
    file: VideoFile,
    decoder: Decoder,
    block: Block,
    clock: Clock,
    /// Frames missing before the group that was read last, for which the last frame stands.
    missing: u64,
    /// The group that was read last: its frames, how long each lasts if that differs, and the next one.
    frames: usize,
    durations: Option<Vec<u32>>,
    next: usize,
    /// Whether the group cannot be decoded and the last frame stands for its frames.
    held: bool,
    /// The current frame; none before the first.
    frame: Option<VideoFrame>,
    /// When the frame is shown and for how long, in nanoseconds.
    time: (u64, u64),
    /// What the current packet's frames are: I420 in the real-time mode, RGB where they are fitted.
    format: PixelFormat,
    /// What went wrong, by packet.
    pub(super) faults: Vec<String>,
    pub(super) packets: u64,
    pub(super) packet_bytes: u64,
    /// Frames handed out, and those of them that stand for lost ones.
    pub(super) given: u64,
    pub(super) concealed: u64,
}

impl FrameReader {
    pub(super) fn new(file: VideoFile, runtime: &Runtime) -> Self {
        let clock = Clock::new(file.header());
        Self {
            file,
            decoder: Decoder::new(runtime),
            block: Block::default(),
            clock,
            missing: 0,
            frames: 0,
            durations: None,
            next: 0,
            held: false,
            frame: None,
            time: (0, 0),
            format: PixelFormat::Rgb,
            faults: Vec::new(),
            packets: 0,
            packet_bytes: 0,
            given: 0,
            concealed: 0,
        }
    }

    pub(super) fn file(&self) -> &VideoFile {
        &self.file
    }

    /// The current frame; none before the first.
    pub(super) fn frame(&self) -> Option<&VideoFrame> {
        self.frame.as_ref()
    }

    /// When the current frame is shown and for how long, in nanoseconds of the file.
    pub(super) fn time(&self) -> (u64, u64) {
        self.time
    }

    /// The next frame, in the format in which it is coded; none at the end.
    pub(super) fn next_frame(&mut self) -> Result<Option<&VideoFrame>> {
        // A loop, since a packet may bring no frames at all.
        while self.next == self.frames && self.missing == 0 {
            match self.file.next(&mut self.block) {
                Ok(true) => self.take_packet()?,
                Ok(false) => return Ok(None),
                Err(e) => {
                    self.faults.push(e.with_sources());
                    return Ok(None);
                }
            }
        }
        let is_missing = self.missing > 0;
        let size = self.file.header().size()?;
        // Gray, until something good has come.
        let frame = self.frame.get_or_insert_with(|| VideoFrame::new(PixelFormat::Rgb, size));
        if !is_missing && !self.held {
            match self.decoder.decode_frame(self.next, self.format, frame) {
                Ok(()) => (),
                Err(e @ Error::NotFinite { .. }) => {
                    self.add_fault(&e);
                    // The rest of the group would fail as well, after as much work.
                    self.held = true;
                }
                Err(e) => return Err(e.into()),
            }
        }
        let own = self.durations.as_ref().filter(|_| !is_missing).and_then(|d| d.get(self.next).copied());
        self.time = self.clock.tick(own);
        match is_missing {
            true => self.missing -= 1,
            false => self.next += 1,
        }
        self.given += 1;
        self.concealed += u64::from(is_missing || self.held);
        Ok(self.frame())
    }

    /// Notes what is wrong with the packet at hand; packets are counted from 0, as `verify` counts them.
    fn add_fault(&mut self, what: &dyn std::fmt::Display) {
        self.faults.push(format!("packet {}: {what}", self.packets.saturating_sub(1)));
    }

    fn take_packet(&mut self) -> Result<()> {
        self.packets += 1;
        self.packet_bytes += self.block.data.len() as u64;
        // By the time alone: a lost packet leaves nothing else.
        self.missing = self.clock.packet(self.block.pts_ns);
        let header = *self.file.header();
        let same_size =
            |info: &GopInfo| info.header.is_none_or(|h| (h.width, h.height) == (header.width, header.height));
        let loaded = match inspect(&self.block.data, &Limits::default()) {
            // Outputs have one size; the frames before stay.
            Ok(info) if !same_size(&info) => {
                self.add_fault(&"frames of another size");
                return Ok(());
            }
            _ => self.decoder.load(&self.block.data),
        };
        self.durations = None;
        match loaded {
            Ok(info) => {
                (self.frames, self.held, self.durations) = (info.frames as usize, false, info.durations);
                self.format = match info.coding {
                    Coding::Realtime | Coding::Blocks => PixelFormat::I420,
                    Coding::Fitted => PixelFormat::Rgb,
                };
            }
            Err(e @ (Error::Bitstream { .. } | Error::MissingHeader | Error::MissingPredecessor { .. })) => {
                self.add_fault(&e);
                // Its frames are bridged: as many as its head says, or else as long as the file says that it lasts.
                let head = inspect(&self.block.data, &Limits::default()).ok();
                let frames =
                    head.as_ref().map_or_else(|| self.frames_of_block(&header), |i| i.frames as usize);
                (self.frames, self.held) = (frames, true);
                self.durations = head.and_then(|i| i.durations);
            }
            Err(e) => return Err(e.into()),
        }
        self.next = 0;
        Ok(())
    }

    /// Frames in as long as the file says that the block lasts; none where that or the rate is not known.
    fn frames_of_block(&self, header: &VideoHeader) -> usize {
        let frames = self.block.duration_ns.and_then(|ns| header.ns_to_frames(ns)).unwrap_or(0);
        // A duration of damaged data must not become millions of frames.
        frames.min(u64::from(Limits::default().max_video_frames)) as usize
    }

    /// Fails if nothing at all could be decoded.
    pub(super) fn check_any(&self) -> Result<()> {
        // Gray alone is no video.
        if self.given > self.concealed {
            return Ok(());
        }
        match self.faults.first() {
            Some(fault) => bail!("{}: {fault}", self.file.name()),
            None => bail!("{} holds no video frames", self.file.name()),
        }
    }
}
