//! Packets cut into one buffer a frame, which is what the base class of decoders wants: it then skips, drops and turns round
//! frames as it does with any codec.

use siskin_core::Limits;
use siskin_core::bitstream::VideoHeader;
use siskin_core::video::inspect;

use crate::video::times;

/// Which frame of which packet a buffer stands for. Every one of them refers to the whole packet's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Counts packets.
    pub(super) packet: u64,
    /// The frame in it, from 0.
    pub(super) frame: u32,
}

impl Place {
    /// The place that a buffer says, if it comes from a splitter.
    pub(super) fn of(buffer: &gst::BufferRef) -> Self {
        // Offsets travel with the buffer through the base class, which gives them no meaning of its own.
        let (frame, packet) = (buffer.offset(), buffer.offset_end());
        Self { packet, frame: u32::try_from(frame).unwrap_or_default() }
    }
}

/// Cuts packets.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    header: Option<VideoHeader>,
    packets: u64,
    /// Frames of the last whole packet.
    last: u32,
}

impl Splitter {
    /// Takes over a header that came beside the packets.
    pub(super) fn set_header(&mut self, header: VideoHeader) {
        self.header = Some(header);
    }

    /// The buffers of a packet's frames. A packet that cannot be read has as many as its duration says, else one.
    pub(super) fn split(&mut self, packet: &gst::Buffer) -> Vec<gst::Buffer> {
        let info = packet.map_readable().ok().and_then(|data| inspect(&data, &Limits::default()).ok());
        self.header = info.as_ref().and_then(|i| i.header).or(self.header);
        self.packets += 1;
        let frames = match &info {
            Some(info) => {
                self.last = info.frames;
                info.frames
            }
            // A broken packet still takes its time, and its frames must come in the right number.
            None => self.guess(packet.duration()),
        };
        let offset = |frame: u32| match (&self.header, &info) {
            (Some(header), Some(info)) => times::frame_offset(header, info, frame),
            (Some(header), None) => times::frames_to_time(header, frame.into()),
            _ => None,
        };
        let cut = |frame: u32| {
            // A shallow copy: the memory is shared.
            let mut buffer = packet.copy();
            let edit = buffer.make_mut();
            let (begin, end) = (offset(frame), offset(frame + 1));
            // The first frame begins with its packet, whatever else is unknown.
            let begin = begin.or((frame == 0).then_some(gst::ClockTime::ZERO));
            edit.set_pts(packet.pts().zip(begin).and_then(|(pts, begin)| pts.checked_add(begin)));
            edit.set_dts(None);
            edit.set_duration(end.zip(begin).map(|(end, begin)| end.saturating_sub(begin)));
            edit.set_offset(u64::from(frame));
            edit.set_offset_end(self.packets);
            if frame > 0 {
                edit.unset_flags(gst::BufferFlags::DISCONT);
                // Only the first frame is a place to start at: it brings the packet.
                edit.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            buffer
        };
        (0..frames).map(cut).collect()
    }

    fn guess(&self, duration: Option<gst::ClockTime>) -> u32 {
        let counted = self.header.as_ref().zip(duration).and_then(|(h, d)| times::time_to_frames(h, d));
        let frames = counted.map_or(self.last, |n| u32::try_from(n).unwrap_or(u32::MAX));
        // A duration of damaged data must not become millions of buffers.
        frames.clamp(1, Limits::default().max_video_frames)
    }
}
