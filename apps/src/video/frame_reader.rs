//! A coded video file, frame by frame: what cannot be decoded is bridged by the frame before it.

use anyhow::{Result, bail};
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::Block;
use siskin_core::media::{PixelFormat, VideoFrame};
use siskin_core::runtime::Runtime;
use siskin_core::video::{Coding, Decoder, inspect};
use siskin_core::{Error, Limits};

use super::VideoFile;
use super::clock::Clock;
use super::convert::{Converter, Siting};

/// Decodes a file frame by frame.
pub(super) struct FrameReader {
    file: VideoFile,
    decoder: Decoder,
    block: Block,
    /// The packet after the one at hand, once it has been looked at.
    ahead: Option<siskin_core::Result<Option<Block>>>,
    clock: Clock,
    /// Frames missing before the group that was read last, for which the last frame stands.
    missing: u64,
    /// Whether the next frame of the group is decoded and not shown, as it has no place at the constant rate.
    surplus: bool,
    /// The group that was read last: its frames, how long each lasts if that differs, and the next one.
    frames: usize,
    durations: Option<Vec<u32>>,
    next: usize,
    /// Whether the group cannot be decoded and the last frame stands for its frames.
    held: bool,
    /// The current frame; none before the first.
    frame: Option<VideoFrame>,
    /// What the packets say of their frames, if that is another size than the file's, and what scales them to that.
    other: Option<(VideoHeader, PixelFormat, Converter)>,
    unscaled: VideoFrame,
    /// That frames were scaled, in words.
    pub(super) scaled: Option<String>,
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
    /// Frames for which a constant rate had no place.
    pub(super) left_out: u64,
}

impl FrameReader {
    pub(super) fn new(file: VideoFile, runtime: &Runtime) -> Self {
        let clock = Clock::new(file.header());
        Self {
            file,
            decoder: Decoder::new(runtime),
            block: Block::default(),
            ahead: None,
            clock,
            surplus: false,
            missing: 0,
            frames: 0,
            durations: None,
            next: 0,
            held: false,
            frame: None,
            other: None,
            unscaled: VideoFrame::default(),
            scaled: None,
            time: (0, 0),
            format: PixelFormat::Rgb,
            faults: Vec::new(),
            packets: 0,
            packet_bytes: 0,
            given: 0,
            concealed: 0,
            left_out: 0,
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
        loop {
            // A loop, since a packet may bring no frames at all.
            while self.next == self.frames && self.missing == 0 {
                match self.next_block() {
                    Ok(true) => self.take_packet()?,
                    Ok(false) => return Ok(None),
                    Err(e) => {
                        self.faults.push(e.with_sources());
                        return Ok(None);
                    }
                }
            }
            let is_missing = self.missing > 0;
            if !is_missing {
                self.decode_next()?;
            }
            let own = self.durations.as_ref().filter(|_| !is_missing).and_then(|d| d.get(self.next).copied());
            match is_missing {
                true => self.missing -= 1,
                false => self.next += 1,
            }
            if !is_missing && std::mem::take(&mut self.surplus) {
                self.left_out += 1;
                continue;
            }
            let is_last = self.next == self.frames && self.missing == 0;
            let following = if is_last && self.clock.is_variable() { self.following_ns() } else { None };
            self.time = self.clock.tick(own, following);
            self.given += 1;
            self.concealed += u64::from(is_missing || self.held);
            return Ok(self.frame());
        }
    }

    /// Decodes the group's next frame, unless the last one stands for it.
    fn decode_next(&mut self) -> Result<()> {
        let size = self.file.header().size()?;
        // Gray, until something good has come.
        let frame = self.frame.get_or_insert_with(|| VideoFrame::new(PixelFormat::Rgb, size));
        if self.held {
            return Ok(());
        }
        // Outputs have one size, so frames of another are scaled, as an encoding does with its inputs.
        let out = if self.other.is_some() { &mut self.unscaled } else { &mut *frame };
        match self.decoder.decode_frame(self.next, self.format, out) {
            Ok(()) => match &mut self.other {
                Some((.., to_size)) => to_size.convert(&self.unscaled, frame).map(|_| ()),
                None => Ok(()),
            },
            Err(e @ Error::NotFinite { .. }) => {
                self.add_fault(&e);
                // The rest of the group would fail as well, after as much work.
                self.held = true;
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Goes on to the next packet; false at the end.
    fn next_block(&mut self) -> siskin_core::Result<bool> {
        match self.ahead.take() {
            None => self.file.next(&mut self.block),
            Some(ahead) => Ok(ahead?.map(|block| self.block = block).is_some()),
        }
    }

    /// The time stamp of the packet after the one at hand.
    fn following_ns(&mut self) -> Option<u64> {
        if self.ahead.is_none() {
            let mut block = Block::default();
            let read = self.file.next(&mut block);
            self.ahead = Some(read.map(|is_there| is_there.then_some(block)));
        }
        self.ahead.as_ref()?.as_ref().ok()?.as_ref().map(|block| block.pts_ns)
    }

    /// Notes what is wrong with the packet at hand; packets are counted from 0, as `verify` counts them.
    fn add_fault(&mut self, what: &dyn std::fmt::Display) {
        self.faults.push(format!("packet {}: {what}", self.packets.saturating_sub(1)));
    }

    fn take_packet(&mut self) -> Result<()> {
        self.packets += 1;
        self.packet_bytes += self.block.data.len() as u64;
        // By the time alone: a lost packet leaves nothing else.
        let step = self.clock.packet(self.block.pts_ns);
        (self.missing, self.surplus) = (step.missing, step.is_surplus);
        let header = *self.file.header();
        let loaded = self.decoder.load(&self.block.data);
        self.durations = None;
        match loaded {
            Ok(info) => {
                (self.frames, self.held, self.durations) = (info.frames as usize, false, info.durations);
                self.format = match info.coding {
                    Coding::Realtime | Coding::Blocks => PixelFormat::I420,
                    Coding::Fitted => PixelFormat::Rgb,
                };
                // A packet without a header goes on with that of the one before.
                info.header.map_or(Ok(()), |own| self.fit_size(&own, &header))?;
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

    /// Prepares for frames of the size that a packet states.
    fn fit_size(&mut self, own: &VideoHeader, header: &VideoHeader) -> Result<()> {
        if (own.width, own.height) == (header.width, header.height) {
            self.other = None;
            return Ok(());
        }
        if self.other.as_ref().is_some_and(|(known, format, _)| known == own && *format == self.format) {
            return Ok(());
        }
        let siting = Siting::of_tags(self.file.tags());
        let scaler = Converter::scaling(own, header, siting, self.format)?;
        self.other = Some((*own, self.format, scaler));
        if self.scaled.is_none() {
            let number = self.packets.saturating_sub(1);
            self.scaled = Some(format!(
                "the frames' size changes to {}x{} at packet {number}: they are scaled to {}x{}",
                own.width, own.height, header.width, header.height
            ));
        }
        Ok(())
    }

    /// Frames in as long as the file says that the block lasts; none where that or the rate is not known.
    fn frames_of_block(&self, header: &VideoHeader) -> usize {
        let frames = self.block.duration_ns.and_then(|ns| header.ns_to_frames(ns)).unwrap_or(0);
        // A duration of damaged data must not become millions of frames.
        frames.min(u64::from(Limits::default().max_video_frames)) as usize
    }

    /// What is not as the file's head says, in words, once everything has been read.
    pub(super) fn notices(&self) -> Vec<String> {
        let left_out = (self.left_out > 0).then(|| {
            format!("{} frames came sooner than the frame rate has room for, and are left out", self.left_out)
        });
        self.scaled.clone().into_iter().chain(left_out).collect()
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
