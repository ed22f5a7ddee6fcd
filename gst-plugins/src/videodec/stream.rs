//! A decoder and the packet that it is in the middle of.

use siskin_core::bitstream::VideoHeader;
use siskin_core::runtime::Runtime;
use siskin_core::video::Decoder;
use siskin_core::video::realtime::i420_bytes;
use siskin_core::{Error, Result};

use super::splitter::Place;
use crate::element::counters;
use crate::video::pictures::Layout;

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
    /// The last good picture, and how it is laid out; empty before the first.
    picture: Vec<u8>,
    layout: Layout,
    /// Layout of the pictures of the last good packet.
    next: Layout,
    /// Packets in a row that could not be decoded.
    pub(super) broken: u32,
}

impl Stream {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self {
            decoder: Decoder::new(runtime),
            packet: None,
            good: false,
            picture: Vec::new(),
            layout: Layout::Rgb,
            next: Layout::Rgb,
            broken: 0,
        }
    }

    /// The header of the packets so far.
    pub(super) fn header(&self) -> Option<&VideoHeader> {
        self.decoder.header()
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
        self.packet = Some(place.packet);
        let loaded = self.decoder.load(data);
        self.good = loaded.is_ok();
        loaded.map(|info| {
            (self.broken, self.next) = (0, Layout::of(info.coding));
            true
        })
    }

    /// Decodes a frame of the packet at hand. If that cannot be, the picture before stands for it.
    pub(super) fn decode(&mut self, frame: u32) -> Result<()> {
        if !self.good {
            return Ok(());
        }
        let frame = frame as usize;
        let decoded = match self.next {
            Layout::Rgb => self.decoder.frame(frame, &mut self.picture),
            Layout::I420 => self.decoder.frame_i420(frame, &mut self.picture),
        };
        self.good = !matches!(decoded, Err(Error::NotFinite { .. }));
        if decoded.is_ok() {
            self.layout = self.next;
        }
        decoded
    }

    /// Whether the packet at hand can be decoded.
    pub(super) fn is_good(&self) -> bool {
        self.good
    }

    /// The picture to show and its layout, if there is one of the stream's size.
    pub(super) fn picture(&self) -> Option<(&[u8], Layout)> {
        let bytes = self.header().map_or(0, |h| match self.layout {
            Layout::Rgb => 3 * h.pixels(),
            Layout::I420 => i420_bytes(h),
        });
        (bytes > 0 && self.picture.len() == bytes).then_some((self.picture.as_slice(), self.layout))
    }

    /// Forgets what has been decoded: what comes next does not follow from it.
    pub(super) fn reset(&mut self) {
        self.decoder.reset();
        (self.packet, self.good, self.broken) = (None, false, 0);
    }
}
