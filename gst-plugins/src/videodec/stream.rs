//! A decoder and the packet that it is in the middle of.

use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{PixelFormat, VideoFrame, VideoFrameView};
use siskin_core::runtime::Runtime;
use siskin_core::video::{Coding, Decoder};
use siskin_core::{Error, Result};

use super::splitter::Place;
use crate::element::counters;
use crate::video::frames::codec_format;

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-video-decoder-stats" {
        packets: u64,
        frames: u64,
        bytes: u64,
        broken_packets: u64,
        held_frames: u64,
        late_frames: u64,
        packets_before_header: u64,
    }
}

/// A stream being decoded.
pub(super) struct Stream {
    decoder: Decoder,
    /// The packet at hand, and whether it can be decoded.
    packet: Option<u64>,
    good: bool,
    /// The last good frame of a fitted GOP; others stay where the decoder keeps them.
    frame: Option<VideoFrame>,
    /// Which frame of the packet at hand is shown; where it cannot be decoded, the last good one.
    shown: Option<usize>,
    /// How the last good packet is coded.
    coding: Coding,
    /// Packets in a row that could not be decoded.
    pub(super) broken: u32,
}

impl Stream {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self {
            decoder: Decoder::new(runtime),
            packet: None,
            good: false,
            frame: None,
            shown: None,
            coding: Coding::Blocks,
            broken: 0,
        }
    }

    /// The header of the packets so far.
    pub(super) fn header(&self) -> Option<&VideoHeader> {
        self.decoder.header()
    }

    /// The format of the frames of the last good packet; that of the real-time mode before any.
    pub(super) fn format(&self) -> PixelFormat {
        codec_format(self.coding)
    }

    /// What runs the network.
    pub(super) fn provider(&self) -> &'static str {
        self.decoder.provider().map_or("", |p| p.name())
    }

    /// Takes the packet of a place, if it is not the one at hand; whether it is new.
    pub(super) fn take(&mut self, place: Place, data: &[u8]) -> Result<bool> {
        if self.packet == Some(place.packet) {
            return Ok(false);
        }
        // Also if it cannot be loaded, so that it is not tried again for each of its frames.
        self.packet = Some(place.packet);
        let loaded = self.decoder.load(data);
        self.good = loaded.is_ok();
        self.shown = None;
        loaded.map(|info| {
            (self.broken, self.coding) = (0, info.coding);
            true
        })
    }

    /// Decodes a frame of the packet at hand. If that cannot be, the frame before stands for it.
    pub(super) fn decode(&mut self, frame: u32) -> Result<()> {
        if !self.good {
            return Ok(());
        }
        if self.coding != Coding::Fitted {
            // Decoded with its packet. What a fitted GOP left must not be shown in its place later.
            (self.frame, self.shown) = (None, Some(frame as usize));
            return Ok(());
        }
        // The last frame's memory is decoded into; the decoder leaves it as it was on failure.
        let mut room = self.frame.take();
        let had_frame = room.is_some();
        let out = room.get_or_insert_default();
        let decoded = self.decoder.decode_frame(frame as usize, PixelFormat::Rgb, out);
        // Parameters that overflow in one frame do so in its neighbors.
        self.good = !matches!(decoded, Err(Error::NotFinite { .. }));
        // What fails leaves the frame before.
        self.frame = room.filter(|_| had_frame || decoded.is_ok());
        decoded
    }

    /// Whether the packet at hand can be decoded.
    pub(super) fn is_good(&self) -> bool {
        self.good
    }

    /// The frame to show, if there is one of the stream's size.
    pub(super) fn frame(&self) -> Option<VideoFrameView<'_>> {
        let size = self.header().and_then(|header| header.size().ok())?;
        let kept = match &self.frame {
            Some(frame) => Some(frame.view()),
            // Straight from the decoder, without a copy in between.
            None => match self.shown {
                Some(index) => self.decoder.view_frame(index).ok().flatten(),
                None => self.decoder.view_last_frame().ok().flatten(),
            },
        };
        // After a change of size the old frame does not fit the caps.
        kept.filter(|frame| frame.size() == size)
    }

    /// Forgets what has been decoded: what comes next does not follow from it.
    pub(super) fn reset(&mut self) {
        self.decoder.reset();
        // The frame before a seek must not be shown as the one sought.
        (self.frame, self.packet, self.good, self.broken) = (None, None, false, 0);
    }
}
