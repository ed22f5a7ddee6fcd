//! One stream of an input through FFmpeg's decoder for it.

use anyhow::{Result, anyhow, bail};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Error as FfmpegError, Frame, Packet, decoder};

/// A demuxer that finds nothing valid so many times is not asked again.
const MOST_BAD_IN_A_ROW: u32 = 10_000;

/// An input of which one stream is read.
pub(crate) struct Feeder {
    /// The input's name, for messages.
    pub(crate) name: String,
    pub(crate) context: Input,
    /// Index of the stream.
    pub(crate) stream: usize,
    /// Packets that could not be decoded so far.
    pub(crate) bad_packets: u64,
    /// Whether the decoder has been told that nothing more comes.
    draining: bool,
}

impl Feeder {
    pub(crate) fn new(name: String, context: Input, stream: usize) -> Self {
        Self { name, context, stream, bad_packets: 0, draining: false }
    }

    /// Decodes the next frame of the stream; false at the end.
    pub(crate) fn decode(&mut self, decoder: &mut decoder::Opened, frame: &mut Frame) -> Result<bool> {
        loop {
            match decoder.receive_frame(frame) {
                Ok(()) => return Ok(true),
                Err(FfmpegError::Eof) => return Ok(false),
                Err(FfmpegError::Other { errno: ffmpeg_next::error::EAGAIN }) => self.feed(decoder)?,
                Err(_) => self.bad_packets += 1,
            }
        }
    }

    /// Gives the decoder one more packet, or the end.
    fn feed(&mut self, decoder: &mut decoder::Opened) -> Result<()> {
        if self.draining {
            bail!("{}: FFmpeg's decoder does not come to an end", self.name);
        }
        let mut in_a_row = 0;
        loop {
            // A new one each time: FFmpeg fills it without freeing what it held.
            let mut packet = Packet::empty();
            match packet.read(&mut self.context) {
                Ok(()) if packet.stream() != self.stream => {}
                Ok(()) if decoder.send_packet(&packet).is_err() => self.bad_packets += 1,
                Ok(()) => return Ok(()),
                // A demuxer goes on behind what it could not read; whatever else ends the input counts once.
                Err(FfmpegError::InvalidData) if in_a_row < MOST_BAD_IN_A_ROW => {
                    self.bad_packets += 1;
                    in_a_row += 1;
                }
                Err(end) => {
                    self.bad_packets += u64::from(end != FfmpegError::Eof);
                    self.draining = true;
                    return decoder.send_eof().map_err(|e| anyhow!("{}: {e}", self.name));
                }
            }
        }
    }
}
