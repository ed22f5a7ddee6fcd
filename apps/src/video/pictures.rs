//! A coded video file, frame by frame: what cannot be decoded is bridged by the frame before it.

use anyhow::{Result, bail};
use siskin_core::container::Block;
use siskin_core::runtime::Runtime;
use siskin_core::video::{Coding, Decoder, GopInfo, inspect};
use siskin_core::{Error, Limits};

use super::VideoFile;
use super::clock::Clock;

/// Decodes a file frame by frame.
pub(super) struct Pictures {
    file: VideoFile,
    decoder: Decoder,
    block: Block,
    clock: Clock,
    /// Frames missing before the group at hand, for which the last frame stands.
    missing: u64,
    /// The group at hand: its frames, how long each lasts if that differs, and the next one.
    frames: usize,
    durations: Option<Vec<u32>>,
    next: usize,
    /// Whether the group cannot be decoded and the last frame stands for its frames.
    held: bool,
    picture: Vec<u8>,
    /// When the frame is shown and for how long, in nanoseconds.
    time: (u64, u64),
    /// Whether frames of the packet at hand are 4:2:0, which they are in the real-time mode.
    planar: bool,
    /// The same of the frame at hand, which may be of an earlier packet in the other mode.
    picture_is_planar: bool,
    /// What went wrong, by packet.
    pub(super) faults: Vec<String>,
    pub(super) packets: u64,
    pub(super) packet_bytes: u64,
    /// Frames handed out, and those of them that stand for lost ones.
    pub(super) given: u64,
    pub(super) concealed: u64,
}

impl Pictures {
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
            picture: Vec::new(),
            time: (0, 0),
            planar: false,
            picture_is_planar: false,
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

    /// The frame at hand, and whether it is 4:2:0, planes without gaps, and not interleaved RGB.
    pub(super) fn picture(&self) -> (&[u8], bool) {
        (&self.picture, self.picture_is_planar)
    }

    /// When the frame at hand is shown and for how long, in nanoseconds of the file.
    pub(super) fn time(&self) -> (u64, u64) {
        self.time
    }

    /// Goes on to the next frame; false at the end.
    pub(super) fn advance_frame(&mut self) -> Result<bool> {
        // A loop, since a packet may bring no frames at all.
        while self.next == self.frames && self.missing == 0 {
            match self.file.next(&mut self.block) {
                Ok(true) => self.take_packet()?,
                Ok(false) => return Ok(false),
                Err(e) => {
                    self.faults.push(e.with_sources());
                    return Ok(false);
                }
            }
        }
        let is_missing = self.missing > 0;
        if !is_missing && !self.held {
            let decoded = match self.planar {
                true => self.decoder.frame_i420(self.next, &mut self.picture),
                false => self.decoder.frame(self.next, &mut self.picture),
            };
            match decoded {
                Ok(()) => self.picture_is_planar = self.planar,
                Err(e @ Error::NotFinite { .. }) => {
                    self.faults.push(format!("packet {}: {e}", self.packets));
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
        if self.picture.is_empty() {
            // Nothing good has come yet: grey.
            self.picture_is_planar = false;
            self.picture.resize(3 * self.file.header().pixels(), 128);
        }
        Ok(true)
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
                self.faults.push(format!("packet {}: pictures of another size", self.packets));
                return Ok(());
            }
            _ => self.decoder.load(&self.block.data),
        };
        self.durations = None;
        match loaded {
            Ok(info) => {
                (self.frames, self.held, self.durations) = (info.frames as usize, false, info.durations);
                self.planar = info.coding == Coding::Realtime;
            }
            Err(e @ (Error::Bitstream { .. } | Error::MissingHeader | Error::MissingPredecessor { .. })) => {
                self.faults.push(format!("packet {}: {e}", self.packets));
                // As long as the packet's head can be read, its frames are bridged.
                let head = inspect(&self.block.data, &Limits::default()).ok();
                (self.frames, self.held) = (head.as_ref().map_or(0, |i| i.frames as usize), true);
                self.durations = head.and_then(|i| i.durations);
            }
            Err(e) => return Err(e.into()),
        }
        self.next = 0;
        Ok(())
    }

    /// Fails if nothing at all could be decoded.
    pub(super) fn check_any(&self) -> Result<()> {
        // Gray alone is no video.
        if self.given > self.concealed {
            return Ok(());
        }
        match self.faults.first() {
            Some(fault) => bail!("{}: {fault}", self.file.name()),
            None => bail!("{} holds no pictures", self.file.name()),
        }
    }
}
